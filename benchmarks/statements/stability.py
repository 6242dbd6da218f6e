"""Judges of what section 2.2 and its propositions say about stability."""

import numpy as np

from carmodel.models.polyakov import Parameters
from carmodel.paper.propositions import CE, TATB, block, proposition_1, proposition_2
from carmodel.paper.steady import SteadyState, coexistence, growth_roots, healthy, tumour_states
from carmodel.theory.dispersion import leading, taxis_threshold
from carmodel.theory.ode import jacobian, rates, solve
from carmodel.theory.spectra import growth_rate, spectrum
from tests.parameter_sets import MANY_CART_PERSIST, OSCILLATING, TAXIS_DRIVEN, TUMOUR_ONLY_WITH_CART

from .common import TABLE, Finding, P, coexisting, decide, samples, tumours

# ---- their stability -----------------------------------------------------------------------------------------------


def linear_subsystem(n: int) -> Finding:
    """Second derivative of eq. (14) with respect to H."""
    u, h = coexistence(P).states[0].state, 1e-3
    up, down = u.copy(), u.copy()
    up[6] += h
    down[6] -= h
    bend = (rates(up, P)[5] - 2.0 * rates(u, P)[5] + rates(down, P)[5]) / h**2
    linear = P._replace(sigma_M=0.0)
    flat = (rates(up, linear)[5] - 2.0 * rates(u, linear)[5] + rates(down, linear)[5]) / h**2
    return Finding(
        decide(abs(bend) < 1e-6, abs(flat) < 1e-6),
        f"d2(dA/dt)/dH2 = {bend:.4f} at the normalised E_CT, because of f(H); {flat:.0e} with sigma_M = 0.  The "
        "Jacobian of S, A, H is triangular all the same, which is what the argument needs",
    )


def decay_rates_without_cart(n: int) -> Finding:
    """-lambda_S, -lambda_A, -lambda_H in the 7x7 spectrum at E_0 and E_T."""
    worst = 0.0
    pairs = [(p, healthy()) for p in samples(n)] + list(tumours(n))
    for p, state in pairs:
        values = spectrum(jacobian(state.state, p))
        worst = max(worst, *(float(np.abs(values + x).min()) for x in (p.lambda_S, p.lambda_A, p.lambda_H)))
    return Finding(decide(worst < 1e-7), f"found in the 7x7 spectrum to {worst:.0e} at {len(pairs)} states E_0 and E_T")


def decay_rates_at_coexistence(n: int) -> Finding:
    """The same at E_CT."""
    S, A, H = [], [], []
    for p, found in coexisting(n):
        for state in found.states:
            values = spectrum(jacobian(state.state, p))
            for kept, x in ((S, p.lambda_S), (A, p.lambda_A), (H, p.lambda_H)):
                kept.append(float(np.abs(values + x).min()))
    u = coexistence(P).states[0].state
    own = spectrum(jacobian(u, P))
    near = ", ".join(f"{float(np.abs(own + x).min()):.1e}" for x in (P.lambda_S, P.lambda_A, P.lambda_H))
    return Finding(
        decide(max(S + A + H) < 1e-7),
        f"-lambda_S is (to {max(S):.0e}), as S acts on nothing without space; -lambda_A and -lambda_H are not: A and H "
        f"act on C and E and depend on TA + TB.  Distances from the spectrum at the normalised E_CT: {near}; up to "
        f"{max(A):.1e} and {max(H):.1e} in {len(S)} random E_CT",
    )


def block_ce_healthy(n: int) -> Finding:
    """Both eigenvalues of (32) are negative."""
    largest = max(block(np.zeros(7), p, CE).growth for p in samples(n))
    signs = all(block(np.zeros(7), p, CE).holds for p in samples(n))
    return Finding(
        decide(largest < 0.0 and signs), f"trace < 0 < determinant in {n} sets; largest real part {largest:.1e}"
    )


def blocks_tumour(n: int) -> Finding:
    """(35)-(37), (41)-(47) against the complex-step Jacobian."""
    worst = 0.0
    for p, state in tumours(n):
        u = state.state
        k_e, p_r = p.k_e0 * (1 + p.beta_A * u[5] + p.beta_H * u[6]), p.p_r / (1 + u[5])
        a11 = p.rho_C / p.K_C * u[2] - p.delta_CT * u[2] - k_e - p.d_C
        printed = {
            CE: (u, np.array([[a11, p_r], [k_e, -(p_r + p.d_E)]])),
            TATB: (
                np.zeros(7),
                np.array([[p.r_T - p.d_TA - p.mu_0, p.mu_1], [p.mu_0, p.r_T - p.d_TB - p.mu_1]]),
            ),
        }
        for fields, (at, matrix) in printed.items():
            worst = max(worst, float(np.abs(block(at, p, fields).matrix - matrix).max()))
    return Finding(
        decide(worst < 1e-12), f"as printed they differ from the full Jacobian's blocks by {worst:.0e} at most"
    )


def two_blocks(n: int) -> Finding:
    """The signs of the blocks (C, E) and (TA, TB) against the whole spectrum, at all three kinds of state."""
    free = [*((p, healthy()) for p in samples(n)), *tumours(n)]
    both = [(p, s) for p, found in coexisting(n) for s in found.states]

    def agree(p: Parameters, state: SteadyState) -> bool:
        larger = max(block(state.state, p, CE).growth, block(state.state, p, TATB).growth)
        return (larger > 0.0) == (growth_rate(jacobian(state.state, p)) > 0.0)

    alike, alike_both = (sum(agree(p, s) for p, s in pairs) for pairs in (free, both))
    (cycle,) = coexistence(OSCILLATING).states
    parts = [block(cycle.state, OSCILLATING, fields).growth for fields in (CE, TATB)]
    return Finding(
        decide(alike == len(free) and alike_both == len(both) and agree(OSCILLATING, cycle), alike == len(free)),
        f"at E_0 and E_T exactly, where the Jacobian is block triangular ({alike} of {len(free)} states); at E_CT it "
        f"is not, but inside Table 1's ranges the signs agree ({alike_both} of {len(both)}).  Outside they need not: "
        f"the state inside the limit cycle has {parts[0]:+.1e} and {parts[1]:+.1e} per day in the blocks, "
        f"{growth_rate(jacobian(cycle.state, OSCILLATING)):+.1e} in the whole",
    )


def proposition_1_stable(n: int) -> Finding:
    """(38) against the 7x7 spectrum."""
    held = [p for p in samples(n) if proposition_1(p).conditions]
    ok = all(proposition_1(p).growth < 0.0 for p in held)
    return Finding(decide(ok and bool(held)), f"(38) holds in {len(held)} of {n} sets; all seven eigenvalues negative")


def proposition_1_otherwise(n: int) -> Finding:
    """A positive eigenvalue where (38) fails, and its boundary."""
    failed = [p for p in samples(n) if not proposition_1(p).conditions]
    ok = all(proposition_1(p).block_growth > 0.0 for p in failed)
    edge = P._replace(r_T=0.02, d_TA=0.02, d_TB=0.02)
    found = proposition_1(edge)
    end = solve(edge, [0, 0, 1e-3, 1e-3, 0, 0, 0], [0.0, 1e5])[2:4, -1].sum()
    return Finding(
        decide(ok and found.agrees, ok),
        f"in all {len(failed)} sets where (38) fails.  Not where the determinant is zero: r_T = d_TA = d_TB = 0.02 has "
        f"largest real part {found.growth:.0e}, and a burden of 2e-3 falls to {end:.1e} in 1e5 days",
    )


def invasion_impossible(n: int) -> Finding:
    """A large tumour beside a stable E_0."""
    p = TUMOUR_ONLY_WITH_CART
    upper = coexistence(p).states[-1].state
    kept = solve(p, upper * 1.001, [0.0, 2e4])[2:4, -1].sum()
    held = [q for q in samples(n) if proposition_1(q).conditions]
    none = not any(coexistence(q).states for q in held)
    stable = growth_rate(jacobian(upper, p)) < 0.0 and proposition_1(p).conditions
    return Finding(
        decide(none and not stable, none),
        f"for tumours that start small; and in the {len(held)} sets inside Table 1's ranges where (38) holds there is "
        f"no other steady state.  Far outside them (d_TA = {p.d_TA:g}, d_TB = {p.d_TB:g}) (38) holds beside a "
        f"stable E_CT with a burden of {kept:.2f}: CAR-T cells turn the tumour into cells that die slowly",
    )


def equal_death_rates(n: int) -> Finding:
    """The determinant (37) with d_TA = d_TB."""
    worst, ok = 0.0, True
    for q in samples(n):
        p = q._replace(d_TB=q.d_TA)
        found = block(np.zeros(7), p, TATB)
        growth = p.r_T - p.d_TA
        worst = max(worst, abs(found.determinant - growth * (growth - p.mu_0 - p.mu_1)))
        ok &= (found.growth > 0.0) == (growth > 0.0)
    table = proposition_1(TABLE).growth
    return Finding(
        decide(ok and worst < 1e-14),
        f"(37) is (r_T - d)(r_T - d - mu_0 - mu_1) (to {worst:.0e}): E_0 is unstable exactly where r_T > d, whatever "
        f"the switching; Table 1: growth {table:.2f} per day",
    )


def tumour_coordinates(n: int) -> Finding:
    """E_T in the subspace C = E = 0."""
    largest = max(growth_rate(jacobian(s.state, p)[2:, 2:]) for p, s in tumours(n))
    worst = 0.0
    for p, s in tumours(n):
        values = np.linalg.eigvals(block(s.state, p, TATB).matrix).real
        one, two = growth_roots(p)
        expected = np.sort([-p.r_T * s.state[2:4].sum() / p.K_T, one - two])
        worst = max(worst, float(np.abs(np.sort(values) - expected).max()))
    return Finding(
        decide(largest < 0.0 and worst < 1e-8),
        f"it need not be assumed: J_T(E_T) has the eigenvalues -r_T N*/K_T and R_1 - R_2 (to {worst:.0e}), both "
        f"negative; largest real part in {len(tumours(n))} sets {largest:.1e}",
    )


def proposition_2_stable(n: int) -> Finding:
    """(48) against the 7x7 spectrum."""
    held = [(p, s) for p, s in tumours(n) if proposition_2(s, p).conditions]
    ok = all(growth_rate(jacobian(s.state, p)) < 0.0 for p, s in held)
    return Finding(
        decide(ok and bool(held)),
        f"(48) holds at {len(held)} of {len(tumours(n))} states E_T; the 7x7 spectrum is negative at each",
    )


def cannot_invade(n: int) -> Finding:
    """Large doses beside a stable E_T."""
    p = MANY_CART_PERSIST
    many = coexistence(p).states[-1].state
    stable = growth_rate(jacobian(many, p)) < 0.0 and proposition_2(tumour_states(p)[0], p).conditions
    held = [q for q, s in tumours(n) if proposition_2(s, q).conditions]
    none = not any(coexistence(q).states for q in held)
    return Finding(
        decide(none and not stable, none),
        f"small doses do not; and in the {len(held)} sets inside Table 1's ranges with (48) no state E_CT exists.  Far "
        f"outside them a stable E_CT (C = {many[0]:.1e}, burden {many[2:4].sum():.1e}) stands beside a stable E_T: a "
        "large dose persists and holds the tumour down",
    )


def invades(n: int) -> Finding:
    """What few CAR-T cells do where J_CE has a positive eigenvalue."""
    positive = [(p, s) for p, s in tumours(n) if block(s.state, p, CE).growth > 0.0]
    ok = all(growth_rate(jacobian(s.state, p)) > 0.0 for p, s in positive)
    persisted = 0
    for p, s in positive[:40]:
        growth = block(s.state, p, CE).growth
        end = solve(p, s.state + np.array([1e-6, 0, 0, 0, 0, 0, 0]), [0.0, 60.0 / growth + 500.0], rtol=1e-8)
        persisted += end[0, -1] > 1e-4
    return Finding(
        decide(ok and persisted == len(positive[:40])),
        f"{len(positive)} states E_T with a positive eigenvalue of J_CE, all unstable in the 7x7 spectrum; a dose of "
        f"1e-6 grows and stays in {persisted} of {len(positive[:40])} of them",
    )


def elimination(n: int) -> Finding:
    """Whether the tumour can go to zero after invasion."""
    positive = [(p, s) for p, s in tumours(n) if block(s.state, p, CE).growth > 0.0]
    repelled = all(proposition_1(p).block_growth > 0.0 for p, _ in positive)
    least = np.inf
    for p, s in positive[:40]:
        times = np.linspace(0.0, 3000.0, 601)
        burden = solve(p, s.state + np.array([1e-3, 0, 0, 0, 0, 0, 0]), times, rtol=1e-8)[2:4].sum(axis=0)
        least = min(least, float(burden[-100:].min()))
    (state,) = coexistence(OSCILLATING).states
    lead = spectrum(jacobian(state.state, OSCILLATING))[0]
    return Finding(
        decide(not repelled),
        f"elimination is impossible where E_T exists: r_T > R_1 makes E_0 repel tumour cells (in all {len(positive)} "
        f"sets), so the burden returns; least burden after 3000 days in {len(positive[:40])} runs {least:.3f}.  A "
        f"state E_CT is not the only alternative: outside Table 1's ranges it may be unstable "
        f"(real part {lead.real:.1e}, frequency {abs(lead.imag):.1e} per day) and a limit cycle is left",
    )


def effective_growth(n: int) -> Finding:
    """a_11 of (42) against the sign of J_CE(E_T)'s larger eigenvalue."""
    invaded = negative = criterion = sufficient = 0
    for p, s in tumours(n):
        part = block(s.state, p, CE)
        (a_11, p_r), (k_e, _) = part.matrix
        grows = part.growth > 0.0
        invaded += grows
        negative += grows and a_11 < 0.0
        sufficient += grows or a_11 <= 0.0
        criterion += grows == (a_11 + k_e > k_e * p.d_E / (p_r + p.d_E))
    total = len(tumours(n))
    return Finding(
        decide(negative == 0 and sufficient == total, criterion == sufficient == total),
        f"a_11 > 0 suffices for invasion ({sufficient} of {total}) but is not needed: {negative} of the {invaded} "
        "states E_T that are invaded have a_11 < 0, because exhausted cells recover.  What decides is a_11 + k_e* > "
        f"k_e* d_E/(p_r* + d_E), gain against what is lost for good ({criterion} of {total})",
    )


def suppression(n: int) -> Finding:
    """How the eigenvalues of J_CE(E_T) answer to more A and H (k_e up, p_r down)."""
    first = second = condition = 0
    for p, s in tumours(n):
        matrix = block(s.state, p, CE).matrix
        k_e, p_r, rise = matrix[1, 0], matrix[0, 1], 1e-4
        change = np.array([[-k_e * rise, -p_r * rise], [k_e * rise, p_r * rise]])
        before, after = (np.sort(np.linalg.eigvals(m).real) for m in (matrix, matrix + change))
        first += after[1] < before[1]
        second += after[0] < before[0]
        condition += (after[1] < before[1]) == (before[1] > -p.d_E)
    total = len(tumours(n))
    return Finding(
        decide(first == second == total, condition == total),
        f"the larger eigenvalue falls in {first} of {total} sets: exactly where it lies above -d_E ({condition} of "
        f"{total}), in particular near the threshold of invasion; where C dies faster than E, exhaustion preserves it"
        f".  The smaller one falls in {second} of {total}",
    )


def four_by_four(n: int) -> Finding:
    """Whether C, E, TA, TB alone decide the sign at E_CT."""
    pairs = [(p, s) for p, found in coexisting(n) for s in found.states]
    pairs += [(OSCILLATING, s) for s in coexistence(OSCILLATING).states]
    alike = []
    for p, s in pairs:
        J = jacobian(s.state, p)
        alike.append((growth_rate(J[:4, :4]) > 0.0) == (growth_rate(J) > 0.0))
    return Finding(
        decide(all(alike), all(alike[:-1])),
        f"with A and H held the 4x4 block has the sign of the whole spectrum in {sum(alike)} of {len(pairs)} states, "
        f"all but one inside Table 1's ranges; that one oscillates through A and H: {growth_rate(J[:4, :4]):+.1e} "
        f"against {growth_rate(J):+.1e} per day",
    )


def space(n: int) -> Finding:
    """The dispersion relation about all three kinds of state."""
    k2 = np.concatenate([[0.0], np.logspace(-2.0, 6.0, 120)])
    falling = all(
        (np.diff(leading(s.state, p, k2)[0]) <= 1e-10 * np.maximum(1.0, k2[1:])).all()
        for p, s in [*((p, healthy()) for p in samples(n)), *tumours(n)]
    )
    stable = [(p, s) for p, found in coexisting(n) for s in found.states if growth_rate(jacobian(s.state, p)) < 0.0]
    diffusion = sum(leading(s.state, p._replace(chi_0=0.0), k2)[0].max() > 0.0 for p, s in stable)
    own = sum(leading(s.state, p, k2)[0].max() > 0.0 for p, s in stable)
    thresholds = [(t[0], p) for p, s in stable if (t := taxis_threshold(s.state, p, "chi_0"))]
    least = min(thresholds, key=lambda pair: pair[0])
    normal = taxis_threshold(coexistence(P).states[0].state, P, "chi_0")
    driven = coexistence(TAXIS_DRIVEN).states[0].state
    growth, frequency = leading(driven, TAXIS_DRIVEN, k2)
    assert normal is not None
    return Finding(
        decide(own > 0 and diffusion > 0, falling and growth.max() > 0.0),
        f"about E_0 and E_T {'never: growth falls with k in all sets' if falling else 'it happens'}.  Of {len(stable)} "
        f"stable E_CT diffusion alone destabilises {diffusion}, taxis at their own chi_0 {own}; a larger chi_0 does, "
        f"as waves: from {normal[0]:.3g} on with the normalised set (own {P.chi_0:.2g}; wavelength "
        f"{2 * np.pi / np.sqrt(normal[1]):.2f} cm), from {least[0]:.3g} on in the random sets, "
        f"{least[0] / least[1].chi_0:.1f} times that set's own.  Outside Table 1's ranges a set's own taxis suffices: "
        f"growth {growth.max():+.3f}, frequency {frequency[growth.argmax()]:.2f} per day",
    )
