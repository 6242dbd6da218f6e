"""Judges of what section 2.2 says about the steady states themselves."""

from collections import Counter

import numpy as np

from carmodel.integrators import Strang
from carmodel.model import Medium
from carmodel.paper.propositions import CE, block, proposition_1
from carmodel.paper.sampling import random_parameters
from carmodel.paper.steady import burden, candidates, coexistence, exhaustion, growth_roots, largest_C, tumour_states
from carmodel.spaces import BoxSpace
from carmodel.theory.ode import jacobian, rates, residual, solve
from carmodel.theory.spectra import growth_rate

from .common import TABLE, Finding, P, coexisting, decide, samples, tumours

# ---- the states ----------------------------------------------------------------------------------------------------


def reduction(n: int) -> Finding:
    """Uniform fields in the 3-D solver against the ODE, at two steps."""
    start = np.array([0.17, 0.0, 0.88, 0.0, 0.0, 0.0, 0.0])
    exact = solve(P, start, [0.0, 2.0])[:, -1]
    errors, spread = [], 0.0
    for dt in (0.02, 0.01):
        space = BoxSpace((4, 3, 2), (1.0, 1.0, 1.0))
        u = space.zeros(7)
        space.owned(u)[...] = start[:, None, None, None]
        integrator = Strang(space, Medium(P))
        for _ in range(round(2.0 / dt)):
            integrator.step(u, dt)
        own = space.owned(u).reshape(7, -1)
        spread = max(spread, float(np.ptp(own, axis=1).max()))
        errors.append(float(np.abs(own[:, 0] - exact).max()))
        integrator.destroy()
        space.destroy()
    order = float(np.log2(errors[0] / errors[1]))
    return Finding(
        decide(spread < 1e-12 and abs(order - 2.0) < 0.2),
        f"3-D run from uniform fields: stays uniform to {spread:.0e}, and differs from the ODE at t = 2 by "
        f"{errors[1]:.1e}, falling with order {order:.2f}, that of the Runge-Kutta steps",
    )


def healthy_unique(n: int) -> Finding:
    """det of (18)-(19) from the Jacobian, against the paper's formula."""
    smallest, worst = np.inf, 0.0
    for p in samples(n):
        found = block(np.zeros(7), p, CE).determinant
        formula = p.k_e0 * p.d_E + p.d_C * p.p_r + p.d_C * p.d_E
        smallest, worst = min(smallest, found), max(worst, abs(found / formula - 1.0))
    return Finding(
        decide(smallest > 0.0 and worst < 1e-10),
        f"det J_CE(E_0) >= {smallest:.1e} > 0 in {n} sets, equal to k_e0 d_E + d_C p_r + d_C d_E to {worst:.0e}",
    )


def fields_of_tumour(n: int) -> Finding:
    """(21)-(23) and (26) as residuals of the full right-hand side."""
    worst = max(residual(state.state, p) for p, state in tumours(n))
    total = max(
        abs((p.r_T * (1 - s.state[2:4].sum() / p.K_T)) * s.state[2:4].sum() - p.d_TA * s.state[2] - p.d_TB * s.state[3])
        for p, s in tumours(n)
    )
    return Finding(
        decide(worst < 1e-12 and total < 1e-12),
        f"largest residual of the full right-hand side {worst:.0e}, of (26) {total:.0e}, over {len(tumours(n))} sets "
        "with a tumour state",
    )


def homogeneous_formula(n: int) -> Finding:
    """Where (27) is positive, and what eq. (24) alone gives there."""
    there = [p for p in samples(n) if p.r_T > p.d_TA + p.mu_0]
    worst = max(abs(rates(candidates(p)[0].state, p)[2]) for p in there)
    agrees = all((candidates(p)[0].admissible) == (p.r_T > p.d_TA + p.mu_0) for p in samples(n))
    return Finding(
        decide(agrees and worst < 1e-12),
        f"eq. (24) with TB = 0 is solved to {worst:.0e}; r_T > d_TA + mu_0 in {len(there)} of {n} sets, but not at "
        f"Table 1's own values ({TABLE.r_T:g} < {TABLE.d_TA + TABLE.mu_0:g})",
    )


def homogeneous_is_steady(n: int) -> Finding:
    """(27) in the full right-hand side, with and without antigen loss."""
    leak = [rates(c.state, p)[3] / (p.mu_0 * c.state[2]) for p in samples(n) if (c := candidates(p)[0]).admissible]
    without = [
        c.residual for q in samples(n) if (c := candidates(p := q._replace(mu_0=0.0))[0]).admissible and p.r_T > p.d_TA
    ]
    state = candidates(P)[0].state
    later = solve(P, state, [0.0, 10.0, 200.0])
    share = later[3] / (later[2] + later[3])
    return Finding(
        decide(max(np.abs(leak)) < 1e-6, max(without) < 1e-12),
        f"with mu_0 > 0 eq. (25) leaves dTB/dt = mu_0 TA (ratio 1 to {max(abs(x - 1.0) for x in leak):.0e} in "
        f"{len(leak)} sets); from (27) with the normalised set TB/(TA + TB) is {share[1]:.2f} after 10 days and "
        f"{share[2]:.2f} after 200.  With mu_0 = 0 its residual is {max(without):.0e}.  (31) demands TB > 0 besides, "
        "so that it is no E_T by the paper's own definition",
    )


def determinant_28(n: int) -> Finding:
    """The smaller root makes the matrix singular and (TA, TB) its null vector; no other R does with TA, TB > 0."""
    worst = 0.0
    for p, state in tumours(n):
        R = p.r_T * (1.0 - state.state[2:4].sum() / p.K_T)
        a, b, c, d = R - p.d_TA - p.mu_0, p.mu_1, p.mu_0, R - p.d_TB - p.mu_1
        worst = max(worst, abs(a * d - b * c))
    return Finding(
        decide(worst < 1e-14), f"the determinant (28) is zero to {worst:.0e} at the E_T of {len(tumours(n))} sets"
    )


def discriminant(n: int) -> Finding:
    """Against (P - Q)^2 + 4 mu_0 mu_1."""
    least, worst = np.inf, 0.0
    for p in samples(n):
        total = p.d_TA + p.d_TB + p.mu_0 + p.mu_1
        paper = total**2 - 4.0 * ((p.d_TA + p.mu_0) * (p.d_TB + p.mu_1) - p.mu_0 * p.mu_1)
        square = (p.d_TA + p.mu_0 - p.d_TB - p.mu_1) ** 2 + 4.0 * p.mu_0 * p.mu_1
        least, worst = min(least, paper), max(worst, abs(paper - square))
    return Finding(
        decide(least >= 0.0 and worst < 1e-14),
        f"always, not only typically: it equals (d_TA + mu_0 - d_TB - mu_1)^2 + 4 mu_0 mu_1 (to {worst:.0e}); least "
        f"{least:.2e} in {n} sets",
    )


def second_root(n: int) -> Finding:
    """N* and TB/TA of each root, for death rates that differ and that do not."""
    steady: Counter[int] = Counter()
    ratios, worst = [], 0.0
    for q in samples(n):
        p = q._replace(r_T=1.0)  # both N* positive, so that ratios decide
        for number, (c, R) in enumerate(zip(candidates(p)[1:], growth_roots(p), strict=True), 1):
            N = burden(R, p)
            worst = max(worst, abs(p.r_T * (1.0 - N / p.K_T) - R) if 0.0 < N < p.K_T else np.inf)
            steady[number] += not c.reason
        ratios.append((p.d_TA + p.mu_0 - growth_roots(p)[1]) / p.mu_1)
    equal = growth_roots(P)
    gap = abs(equal[0] - P.d_TA) + abs(equal[1] - P.d_TA - P.mu_0 - P.mu_1)
    ratio = (P.d_TA + P.mu_0 - equal[1]) / P.mu_1
    return Finding(
        decide(worst < 1e-12 and steady[1] == n),
        f"R(N*) = R_1, R_2 to {worst:.0e} in {n} sets with r_T set to 1, so that both N* > 0.  TA, TB > 0, which the "
        f"paper demands next, is met by the smaller root in {steady[1]} of them and by the larger in {steady[2]}: "
        f"TB/TA of (30) is then {min(ratios):.2f} to {max(ratios):.2f}, negative because R_2 > d_TA + mu_0.  With "
        f"d_TA = d_TB = d the roots are d and d + mu_0 + mu_1 (to {gap:.0e}) and the second ratio is {ratio:.6f}; with "
        "d_TA != d_TB R_1 lies between the death rates and the second ratio stays negative",
    )


def ratio_30(n: int) -> Finding:
    """Both forms, at the states."""
    worst = wrong = 0.0
    for p, state in tumours(n):
        R = growth_roots(p)[0]
        one, two = (p.d_TA + p.mu_0 - R) / p.mu_1, p.mu_0 / (R - p.d_TB - p.mu_1)
        ratio = state.state[3] / state.state[2]
        worst = max(worst, abs(one / ratio - 1.0), abs(-two / ratio - 1.0))
        wrong = max(wrong, abs(two / ratio - 1.0))
    return Finding(
        decide(wrong < 1e-10),
        f"the first form is TB/TA, the second, as printed, -TB/TA (both to {worst:.0e} in {len(tumours(n))} sets): "
        "eq. (25) gives mu_0/(d_TB + mu_1 - R)",
    )


def admissible(n: int) -> Finding:
    """0 < N* < K_T against 0 < R_1 < r_T, counted on the states themselves."""
    ok = all(
        (len(tumour_states(p)) == 1) == (p.r_T > growth_roots(p)[0])
        and all(0.0 < s.state[2:4].sum() < p.K_T and s.state[2:4].min() > 0.0 for s in tumour_states(p))
        for p in samples(n)
    )
    return Finding(
        decide(ok),
        f"met by exactly one state where r_T > R_1, by none elsewhere ({len(tumours(n))} and {n - len(tumours(n))} of "
        f"{n} sets)",
    )


def before_therapy(n: int) -> Finding:
    """Without CAR-T cells every tumour ends at the mixed state."""
    rng, worst, pairs = np.random.default_rng(1), 0.0, tumours(n)[:60]
    for p, state in pairs:
        start = np.array([0.0, 0.0, rng.uniform(0.01, 1.0), rng.uniform(0.0, 0.5), 0.0, 0.0, 0.0])
        J = jacobian(state.state, p)[2:, 2:]
        end = solve(p, start, [0.0, 30.0 / abs(growth_rate(J))], rtol=1e-9)[:, -1]
        worst = max(worst, float(np.abs(end - state.state)[2:4].max()))
    return Finding(
        decide(False, worst < 1e-6),
        f"every tumour without CAR-T cells ends at the mixed state ({len(pairs)} sets, random starts, to {worst:.0e}); "
        "the antigen-positive tumour, of section 3.1 too, has TB = 0, is none of these states and a transient while "
        "mu_0 > 0",
    )


def persistence(n: int) -> Finding:
    """The mixed state exists exactly where E_0 is unstable."""
    ok = all(bool(tumour_states(p)) == (proposition_1(p).block_growth > 0.0) for p in samples(n))
    return Finding(
        decide(ok), f"it exists exactly where E_0 is unstable to tumour cells: {len(tumours(n))} of {n} sets, no other"
    )


def coexistence_numerically(n: int) -> Finding:
    """How many states E_CT there are; the search is exhaustive."""
    counts = Counter(len(found.states) for _, found in coexisting(n))
    complete = all(not found.open for _, found in coexisting(n))
    invaded = sum(
        len(found.states) % 2 == int(any(block(s.state, p, CE).growth > 0.0 for s in tumour_states(p)))
        for p, found in coexisting(n)
    )
    worst = max(residual(s.state, p) for p, found in coexisting(n) for s in found.states)
    errors: dict[str, list[float]] = {"apart": [], "fixed": []}
    for q in samples(n):
        p = q._replace(mu_0=0.0, mu_1=0.0, nu=0.0, d_TB=q.d_TA + 0.02)
        formula = (p.d_TB - p.d_TA) / p.gamma
        errors["apart"] += [abs(s.state[0] / formula - 1.0) for s in coexistence(p).states if s.phenotype == "mixed"]
        p = q._replace(gamma=0.0, nu=0.0, xi=0.0)
        for tumour in tumour_states(p):
            TA = tumour.state[2]
            k_e, out_of_E = exhaustion(TA + tumour.state[3], p)
            formula = p.rho_C / (p.delta_CT + (p.d_C + k_e * p.d_E / out_of_E) / TA) - p.K_C
            errors["fixed"] += [abs(s.state[0] / formula - 1.0) for s in coexistence(p).states]
    closed = all(found and max(found) < 1e-8 for found in errors.values())
    return Finding(
        decide(False, closed and complete and worst < 1e-12 and invaded == n),
        "one equation in the one unknown C is left, and interval bounds give all its zeros "
        "(`carmodel/paper/steady.py`).  "
        f"States in {n} sets: {', '.join(f'{k}: {v}' for k, v in sorted(counts.items()))}; complete in all; residuals "
        f"<= {worst:.0e}; their number is odd exactly where CAR-T cells invade E_T ({invaded} of {n}).  Special cases "
        f"are explicit: without switching C = (d_TB - d_TA)/gamma where both phenotypes persist (to "
        f"{max(errors['apart']):.0e} at {len(errors['apart'])} states), and with gamma = nu = xi = 0 the tumour is "
        f"that of E_T and C = rho_C/(delta_CT + m/TA) - K_C, m = d_C + k_e d_E/(p_r/(1 + A) + d_E) (to "
        f"{max(errors['fixed']):.0e} at {len(errors['fixed'])})",
    )


def coexistence_at_table_1(n: int) -> Finding:
    """rho_C > delta_CT K_C is necessary."""
    rng, total = np.random.default_rng(5), 10 * n
    possible = sum(largest_C(random_parameters(rng)) > 0.0 for _ in range(total))
    scaled = TABLE.K_C / TABLE.K_T
    growth = block(tumour_states(TABLE)[0].state, TABLE, CE).matrix[0, 0]
    return Finding(
        decide(False, possible > 0),
        "C < rho_C K_T/(m(0) + delta_CT K_T) - K_C at every E_CT, so rho_C > delta_CT K_C is needed.  Table 1's values "
        f"fail it in scaled units ({TABLE.rho_C:g} against {TABLE.delta_CT * scaled:.2f}) and raw, where few CAR-T "
        f"cells beside E_T decay at {growth:.1e} per day; {possible} of {total} random sets pass the sharper bound",
    )
