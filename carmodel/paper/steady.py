"""Steady states of eqs (9)-(15): E_0, the tumour states E_T, and all coexistence states E_CT.

Coexistence is reduced to one equation in one unknown, C.  At a given C > 0:

1. eqs (11)-(12) say that growth R = r_T (1 - N/K_T) and (TA, TB) solve (P - R) TA = b TB and (Q - R) TB = a TA with
   P = gamma C + a + d_TA, Q = b + d_TB, a = mu_AB(C), b = mu_BA(C).  As a, b >= 0, R is one of the two real roots of
   (P - R)(Q - R) = a b, and only the smaller gives TA, TB >= 0 (Perron-Frobenius) where a b > 0.  So C fixes R,
   hence N, and the share TA/N;
2. eqs (14)-(15) give H and A from N; eq. (10) gives E;
3. eq. (9), divided by C, is left: TA (rho_C/(K_C + C) - delta_CT) = m(N), where m = d_C + k_e d_E/(p_r/(1 + A) + d_E)
   is what a functional cell is lost by, exhaustion and recovery counted in.

C lies below rho_C K_T/(m(0) + delta_CT K_T) - K_C, because TA <= K_T and m grows with N; so no coexistence state exists
where that is negative.  The zeros on that finite interval are found by bounds (`intervals.zeros`): none is missed.

With one-way switching some C have no admissible TA and TB.  There the function goes on continuously, so that bounds
and signs tell of the same function everywhere, and its zeros are sorted out afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..models.polyakov import Parameters
from ..theory.intervals import Interval, point, zeros
from ..theory.ode import balance, jacobian, residual
from ..theory.steady import SteadyState
from ..tools.errors import InputError

Array = NDArray[np.float64]

#: Without these the fields have no finite steady state.
_NEEDED = ("lambda_S", "lambda_A", "lambda_H", "r_T")

#: A burden below this part of K_T is zero to rounding: where r_T is R_1 to all digits, no tumour state is there.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Candidate:
    """A tumour state as the paper's formula gives it, admissible or not."""

    #: "(27)" or "(28)-(30), root 1" and "2".
    formula: str
    state: Array
    growth: float  # R(N*) in 1/day
    admissible: bool
    #: Residual of the full right-hand side in scaled units; NaN where the state is not admissible.
    residual: float
    #: Why it is no steady state, empty if it is one.
    reason: str


@dataclass(frozen=True)
class Coexistence:
    """All states E_CT: `states` by growing C, and how they were searched for."""

    states: tuple[SteadyState, ...]
    largest_C: float  # no coexistence state has a C above it; negative: there is none
    boxes: int  # intervals looked at
    #: Intervals of C that may hold further states.  Empty: the list is proved complete.
    open: tuple[tuple[float, float], ...]
    #: Why they are left; empty if none is.
    why_open: str


def check(p: Parameters) -> None:
    """Raise InputError where a parameter leaves fields without a steady state, or CAR-T cells without a bound."""
    for name in _NEEDED:
        if getattr(p, name) <= 0.0:
            raise InputError(f"parameters.{name} = {getattr(p, name):g}; accepted for steady states: greater than 0")
    if p.p_r + p.d_E <= 0.0:
        raise InputError("parameters.d_E = 0 with p_r = 0; accepted for steady states: one of them greater than 0")
    if _functional_loss(0.0, p) <= 0.0:
        raise InputError(
            f"parameters.d_C = {p.d_C:g}, k_e0 = {p.k_e0:g}, d_E = {p.d_E:g}: CAR-T cells never die; accepted for "
            "steady states: d_C > 0, or k_e0 > 0 and d_E > 0"
        )


# ---- what the fields are at a given C ----------------------------------------------------------------------------


def switching(C: Any, p: Parameters) -> tuple[Any, Any, Any, Any]:
    """P, Q, a, b of the tumour's equations at a given C, in 1/day; numbers or intervals."""
    _, loss = balance((C, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), p)
    to_B = balance((C, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), p)[0][3]
    to_A = balance((C, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), p)[0][2]
    return loss[2], loss[3], to_B, to_A


def microenvironment(N: Any, p: Parameters) -> tuple[Any, Any]:
    """Stationary A and H at a burden N, eqs (22)-(23)."""
    production, loss = balance((0.0, 0.0, N, 0.0, 0.0, 0.0, 0.0), p)
    H = production[6] / loss[6]
    production, loss = balance((0.0, 0.0, N, 0.0, 0.0, 0.0, H), p)
    return production[5] / loss[5], H


def exhaustion(N: Any, p: Parameters) -> tuple[Any, Any]:
    """k_e and p_r/(1 + A) + d_E at the stationary A and H of a burden N, in 1/day."""
    A, H = microenvironment(N, p)
    production, loss = balance((1.0, 0.0, 0.0, 0.0, 0.0, A, H), p)
    return production[1], loss[1]


def _functional_loss(N: Any, p: Parameters) -> Any:
    """m(N): what functional CAR-T cells are lost by, in 1/day, with E in balance."""
    k_e, out_of_E = exhaustion(N, p)
    return p.d_C + k_e * p.d_E / out_of_E


def largest_C(p: Parameters) -> float:
    """No coexistence state has a C above this, rounding included."""
    with np.errstate(all="ignore"):
        none = Interval.variable(np.zeros(1), np.zeros(1))
        K_T = Interval.constant(p.K_T, none)
        bound = K_T * p.rho_C / (_functional_loss(none, p) + K_T * p.delta_CT) - p.K_C
    return float(bound.value[1][0])


def burden(growth: float, p: Parameters) -> float:
    """N at a growth R = r_T (1 - N/K_T); zero where it is so to rounding."""
    share = 1.0 - growth / p.r_T
    return p.K_T * share if abs(share) > _ROUNDING else 0.0


def state_of(C: float, TA: float, TB: float, p: Parameters) -> Array:
    """The state with this C, TA and TB, all fields but these in balance; shape (7,)."""
    A, H = microenvironment(TA + TB, p)
    k_e, out_of_E = exhaustion(TA + TB, p)
    production, loss = balance((0.0, 0.0, TA, 0.0, 0.0, 0.0, 0.0), p)
    return np.array([C, k_e * C / out_of_E, TA, TB, production[4] / loss[4], A, H])


# ---- coexistence -------------------------------------------------------------------------------------------------

#: At a given C: growth R, share TA/N, and a number that is positive where they are admissible.
Branch = Callable[[Interval], tuple[Interval, Interval, Interval]]


def _perron(C: Interval, p: Parameters) -> tuple[Interval, Interval, Interval]:
    """The smaller root, with both phenotypes."""
    P, Q, a, b = switching(C, p)
    # P - Q, where slow switching is not lost beside the death rates.
    D = C * p.gamma + (Interval.constant(p.d_TA, C) - p.d_TB) + (a - b)
    root = (D.squared() + 4.0 * a * b).sqrt()
    # Both forms hold; each is tight where the other's difference cancels.
    above = 2.0 * b / (2.0 * b + (root + D).within(0.0, np.inf))
    gap = (root - D).within(0.0, np.inf)
    share = above.intersected(gap / (gap + 2.0 * a))
    return (P + Q - root) * 0.5, share.within(0.0, 1.0), Interval.constant(1.0, C)


def _pure(C: Interval, p: Parameters) -> tuple[Interval, Interval, Interval]:
    """Antigen-positive cells only: where nothing turns them into the other."""
    one = Interval.constant(1.0, C)
    return switching(C, p)[0], one, one


def _fed(C: Interval, p: Parameters) -> tuple[Interval, Interval, Interval]:
    """Antigen-negative cells in balance, some turning into antigen-positive ones, none back: a = 0, P > Q."""
    P, Q, _, b = switching(C, p)
    D = P - Q
    return Q, (b / (D.positive_part() + b)).within(0.0, 1.0), D


def _feeding(C: Interval, p: Parameters) -> tuple[Interval, Interval, Interval]:
    """Antigen-positive cells in balance, some turning into antigen-negative ones, none back: b = 0, Q > P."""
    P, Q, a, _ = switching(C, p)
    D = Q - P
    positive = D.positive_part()
    return P, (positive / (positive + a)).within(0.0, 1.0), D


def _branches(p: Parameters) -> list[Branch]:
    loses, recovers = p.mu_0 > 0.0 or p.nu > 0.0, p.mu_1 > 0.0
    kinds = {
        (True, True): [_perron],
        (False, True): [_pure, _fed],
        # Q - P falls with C: where it is not positive at 0 it never is.
        (True, False): [_feeding] if p.d_TB > p.d_TA and p.d_TB - p.d_TA >= p.mu_0 else [],
        (False, False): [_pure],
    }[loses, recovers]
    return [lambda C, kind=kind: kind(C, p) for kind in kinds]  # type: ignore[misc]


def _invasion(C: Interval, growth: Interval, share: Interval, p: Parameters) -> Interval:
    """(K_C + C) times gain less loss of eq. (9) per functional cell: zero at coexistence.

    At C = 0 its sign is that of -det J_CE(E_T), eq. (47).
    """
    N = ((1.0 - growth / p.r_T) * p.K_T).positive_part()
    filling = C + p.K_C
    return share * N * (p.rho_C - p.delta_CT * filling) - _functional_loss(N, p) * filling


def coexistence(p: Parameters) -> Coexistence:
    """All states E_CT of the admissible region, C > 0, TA > 0, TB >= 0; see the module's head for why all.

    Raises InputError where `check` does.
    """
    check(p)
    largest, switches = largest_C(p), p.mu_0 > 0.0 or p.nu > 0.0 or p.mu_1 > 0.0
    states: list[SteadyState] = []
    left_open: list[tuple[float, float]] = []
    boxes = 0
    if largest > 0.0:
        for branch in _branches(p):

            def excess(C: Interval, branch: Branch = branch) -> Interval:
                growth, share, _ = branch(C)
                return _invasion(C, growth, share, p)

            found = zeros(excess, 0.0, largest)
            boxes += found.boxes
            left_open += [piece for piece in found.open if _admissible(branch, *piece) >= 0]
            for bracket in found.brackets:
                low, high = _narrowed(branch, excess, *bracket)
                admissible = _admissible(branch, low, high)
                if admissible > 0:
                    states.append(_state_between(branch, excess, low, high, p))
                elif admissible == 0:
                    left_open.append((low, high))
        if not switches:
            both, unclear = _neutral(p)
            states += both
            left_open += unclear
    states.sort(key=lambda s: s.state[0])
    why = "states that meet or begin there, or nearly; or numbers too far apart" if left_open else ""
    if largest > 0.0 and not switches and p.gamma == 0.0 and p.d_TA == p.d_TB:
        # Each state with C > 0 belongs to a line of them; the pure one stands for all.
        left_open, why = [(0.0, largest)], "the phenotypes do not differ and do not switch: any ratio is stationary"
    return Coexistence(tuple(states), largest, boxes, tuple(left_open), why)


def _between(low: float, high: float) -> Interval:
    return Interval.variable(np.array([low]), np.array([high]))


def _sign(x: Interval) -> int:
    """1 where it is proved positive, -1 where it is proved to be negative or zero, else 0."""
    return int(x.value[0][0] > 0.0) - int(x.value[1][0] <= 0.0)


def _admissible(branch: Branch, low: float, high: float) -> int:
    """Whether a branch is admissible between two C: 1 everywhere, -1 nowhere, 0 where bounds do not tell."""
    with np.errstate(all="ignore"):
        return _sign(branch(_between(low, high))[2])


def _narrowed(branch: Branch, excess: Callable[[Interval], Interval], low: float, high: float) -> tuple[float, float]:
    """A bracket, made so short that the zero in it is known to be admissible or not, unless rounding hides that."""
    with np.errstate(all="ignore"):
        at_low = _sign(excess(_between(low, low)))
        while _admissible(branch, low, high) == 0:
            inner = low + 0.45 * (high - low)  # not the middle, which is a zero sooner
            sign = _sign(excess(_between(inner, inner)))
            if sign == 0 or not low < inner < high:
                break
            low, high = (inner, high) if sign == at_low else (low, inner)
    return low, high


def _state_between(
    branch: Branch, excess: Callable[[Interval], Interval], low: float, high: float, p: Parameters
) -> SteadyState:
    C = brentq(lambda x: point(excess, x), low, high, xtol=1e-300, rtol=1e-15)
    with np.errstate(all="ignore"):
        growth, share, _ = branch(_between(C, C))
        R, part = (0.5 * (float(x.value[0][0]) + float(x.value[1][0])) for x in (growth, share))
    N = burden(R, p)
    return _polished(state_of(float(C), part * N, (1.0 - part) * N, p), p)


def _polished(u: Array, p: Parameters) -> SteadyState:
    """The state after Newton steps in all seven unknowns, as long as they lower the residual and stay admissible."""
    best = residual(u, p)
    for _ in range(5):
        production, loss = balance(tuple(u), p)
        F = np.array([P - L * v for P, L, v in zip(production, loss, u, strict=True)])
        try:
            trial = u - np.linalg.solve(jacobian(u, p), F)
        except np.linalg.LinAlgError:
            break
        trial[u == 0.0] = 0.0  # stays on the boundary: it is invariant
        near = np.allclose(trial[[0, 2]], u[[0, 2]], rtol=1e-3, atol=0.0)  # far ones are other states
        if not (near and trial.min() >= 0.0 and residual(trial, p) < best):
            break
        u, best = trial, residual(trial, p)
    return SteadyState("E_CT", u, "mixed" if u[3] > 0.0 else "antigen-positive")


def _neutral(p: Parameters) -> tuple[list[SteadyState], list[tuple[float, float]]]:
    """Without switching both phenotypes persist together only where killing makes up for a lower death rate.

    That state if there is one; else the C where rounding hides whether there is one, if it does.
    """
    if not (p.gamma > 0.0 and p.d_TB > p.d_TA):
        return [], []
    with np.errstate(all="ignore"):
        C = (_between(p.d_TB, p.d_TB) - p.d_TA) / p.gamma
        # Were all cells antigen-positive, CAR-T cells would grow: antigen-negative ones take that much of their place.
        surplus = _invasion(C, Interval.constant(p.d_TB, C), Interval.constant(1.0, C), p)
        low, high = (float(bound[0]) for bound in C.value)
    if _sign(surplus) == 0 and np.isfinite(low):
        return [], [(low, high)]
    if _sign(surplus) <= 0:
        return [], []
    filling, N = 0.5 * (low + high) + p.K_C, burden(p.d_TB, p)
    gain = p.rho_C - p.delta_CT * filling
    TB = 0.5 * float(surplus.value[0][0] + surplus.value[1][0]) / gain
    return [_polished(state_of(0.5 * (low + high), _functional_loss(N, p) * filling / gain, TB, p), p)], []


# ---- E_0 and E_T -------------------------------------------------------------------------------------------------


def healthy() -> SteadyState:
    """E_0, eq. (20)."""
    return SteadyState("E_0", np.zeros(7))


def growth_roots(p: Parameters) -> tuple[float, float]:
    """The roots R_1 <= R_2 of the quadratic under eq. (28), in 1/day; its discriminant is (P - Q)^2 + 4 a b >= 0."""
    P, Q, a, b = switching(0.0, p)
    if a == 0.0 or b == 0.0:
        return min(P, Q), max(P, Q)
    root = float(np.hypot(P - Q, 2.0 * np.sqrt(a * b)))
    larger = 0.5 * (P + Q + root)
    # By the product of the roots, written without cancellation.
    product = p.d_TA * p.d_TB + p.d_TA * b + p.d_TB * a
    return (product / larger if larger > 0.0 else 0.0), larger


def candidates(p: Parameters) -> tuple[Candidate, ...]:
    """The paper's tumour states: the antigen-homogeneous one, eq. (27), and the two of eqs (28)-(30).

    Raises InputError where `check` does.
    """
    check(p)
    alone = p.d_TA + p.mu_0
    found = [_candidate("(27)", (1.0, 0.0), alone, p)]
    P, Q, a, b = switching(0.0, p)
    # P - Q, where slow switching both ways decides, without losing it beside the death rates.
    D = (p.d_TA - p.d_TB) + (a - b) if min(a, b) > 0.0 else P - Q
    gap = float(np.hypot(D, 2.0 * np.sqrt(a) * np.sqrt(b)))
    for number, R, root in zip((1, 2), growth_roots(p), (gap, -gap), strict=True):
        # TA : TB of eq. (30) is b : P - R and Q - R : a; by the form that neither vanishes nor cancels.
        parts = (b, 0.5 * (root + D)) if a == 0.0 or root * D > 0.0 else (0.5 * (root - D), a)
        found.append(_candidate(f"(28)-(30), root {number}", parts, R, p))
    return tuple(found)


def _candidate(formula: str, parts: tuple[float, float], growth: float, p: Parameters) -> Candidate:
    """The state with TA : TB = `parts` and the burden at which growth is `growth`."""
    N, (of_A, of_B) = burden(growth, p), parts
    reason = ""
    if of_A == of_B == 0.0:
        reason = "no switching: nothing fixes the ratio of the phenotypes"
    elif not N > 0.0:
        reason = f"N* = {N:.6g} is not positive: r_T = {p.r_T:.6g} <= R = {growth:.6g}"
    elif formula != "(27)" and not min(parts) > 0.0:
        reason = f"TB/TA = {of_B / of_A:.6g} is not positive" if of_A else "TA = 0"
    if reason:
        return Candidate(formula, np.full(7, np.nan), growth, False, np.nan, reason)
    u = state_of(0.0, N * (of_A / (of_A + of_B)), N * (of_B / (of_A + of_B)), p)
    error = residual(u, p)
    if formula == "(27)" and p.mu_0 > 0.0:
        reason = f"eq. (25) leaves dTB/dt = mu_0 TA = {p.mu_0 * u[2]:.6g} per day"
    return Candidate(formula, u, growth, True, error, reason)


def tumour_states(p: Parameters) -> tuple[SteadyState, ...]:
    """All states E_T, steady states with C = 0 and a burden.

    Those of the paper that are zeros of the full right-hand side, and, where nothing turns antigen-negative cells
    into antigen-positive ones (mu_1 = 0), the antigen-negative tumour, which the paper does not list.  Without any
    switching and with d_TA = d_TB every ratio of the phenotypes is stationary: the two pure ones are given.
    Raises InputError where `check` does.
    """
    found = []
    for candidate in candidates(p):
        if not candidate.reason:
            mixed = candidate.state[3] > 0.0
            found.append(SteadyState("E_T", candidate.state, "mixed" if mixed else "antigen-positive"))
    if p.mu_1 == 0.0 and (N := burden(p.d_TB, p)) > 0.0:
        found.append(SteadyState("E_T", state_of(0.0, 0.0, N, p), "antigen-negative"))
    return tuple(found)


def steady_states(p: Parameters) -> tuple[SteadyState, ...]:
    """E_0, all E_T and all E_CT.

    Raises InputError where `check` does.
    """
    return (healthy(), *tumour_states(p), *coexistence(p).states)
