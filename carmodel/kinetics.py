"""The reactions of eqs (1)-(8), once, as production P and specific loss L: R(u) = P - L u, with P, L >= 0 for u >= 0.

The functions are compiled scalars for the loops over cells.  `.py_func` of each is the plain Python behind it, which
takes arrays, complex numbers or FiPy variables as well.
"""

import numpy as np

from .compiled import callable_from_both, compiled
from .parameters import Parameters

#: Fields, by their place in the state, that the chemotactic flux of eq. (1) takes from neighbouring cells: C, S, A.
CHEMOTAXIS_FIELDS = (0, 4, 5)

Rates = tuple[float, float, float, float, float, float, float]


@compiled
def chemotactic_sensitivity(A: float, p: Parameters) -> float:
    """chi_C(A) of eq. (8)."""
    return p.chi_0 / (1.0 + p.alpha_A * A)


@compiled
def antigen_recovery(C: float, p: Parameters) -> float:
    """mu_BA(C) of eq. (8), in 1/day."""
    return p.mu_1 * np.exp(-p.xi * C)


@callable_from_both
def exchange(C: float, A: float, H: float, mu_BA: float, p: Parameters) -> tuple[float, float, float, float]:
    """Specific rates, in 1/day, at which cells pass from C to E, back, from TA to TB, and back.

    k_e, p_r/(1 + A), mu_AB and mu_BA of eqs (1)-(4) and (8): what one field loses by them the other gains.
    """
    return p.k_e0 * (1.0 + p.beta_A * A + p.beta_H * H), p.p_r / (1.0 + A), p.mu_0 + p.nu * C, mu_BA


@callable_from_both
def sources_and_sinks(
    C: float, E: float, TA: float, TB: float, S: float, A: float, H: float, p: Parameters
) -> tuple[Rates, Rates]:
    """Production and specific loss in eqs (1)-(7) but for `exchange`, in field unit/day and 1/day.

    The negative part of the logistic growth counts as loss.
    """
    T = TA + TB
    contact = C * TA
    crowding = p.r_T / p.K_T * T  # in this order the quotient is taken once, not in every cell
    f = H / (p.K_H + H)
    sources = (
        p.rho_C * contact / (p.K_C + C),
        0.0,
        p.r_T * TA,
        p.r_T * TB,
        p.sigma_S * TA,
        p.sigma_A * T + p.sigma_M * f,
        p.eta * T,
    )
    sinks = (
        p.delta_CT * TA + p.d_C,
        p.d_E,
        crowding + p.gamma * C + p.d_TA,
        crowding + p.d_TB,
        p.lambda_S,
        p.lambda_A,
        p.lambda_H,
    )
    return sources, sinks


@compiled
def production_and_loss(
    C: float, E: float, TA: float, TB: float, S: float, A: float, H: float, mu_BA: float, p: Parameters
) -> tuple[Rates, Rates]:
    """Production P (field unit/day) and specific loss L (1/day) of C, E, TA, TB, S, A, H in eqs (1)-(7).

    `mu_BA` is `antigen_recovery(C, p)`: an argument, because a loop over cells is several times faster when the
    exponential is taken in a loop of its own.
    """
    to_E, to_C, to_TB, to_TA = exchange(C, A, H, mu_BA, p)
    (of_C, of_E, of_TA, of_TB, of_S, of_A, of_H), sinks = sources_and_sinks(C, E, TA, TB, S, A, H, p)
    production = (of_C + to_C * E, of_E + to_E * C, of_TA + to_TA * TB, of_TB + to_TB * TA, of_S, of_A, of_H)
    loss = (sinks[0] + to_E, sinks[1] + to_C, sinks[2] + to_TB, sinks[3] + to_TA, sinks[4], sinks[5], sinks[6])
    return production, loss
