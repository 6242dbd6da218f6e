"""The reactions of eqs (1)-(8), once, as production P and specific loss L: R(u) = P - L u, with P, L >= 0 for u >= 0.

The functions are compiled scalars for the loops over cells.  `.py_func` of each is the plain Python behind it, which
takes arrays, complex numbers or FiPy variables as well.
"""

import numpy as np

from .compiled import compiled
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


@compiled
def production_and_loss(
    C: float, E: float, TA: float, TB: float, S: float, A: float, H: float, mu_BA: float, p: Parameters
) -> tuple[Rates, Rates]:
    """Production P (field unit/day) and specific loss L (1/day) of C, E, TA, TB, S, A, H in eqs (1)-(7).

    `mu_BA` is `antigen_recovery(C, p)`: an argument, because a loop over cells is several times faster when the
    exponential is taken in a loop of its own.  The negative part of the logistic growth counts as loss.
    """
    T = TA + TB
    contact = C * TA
    crowding = p.r_T / p.K_T * T  # in this order the quotient is taken once, not in every cell
    k_e = p.k_e0 * (1.0 + p.beta_A * A + p.beta_H * H)
    recovery = p.p_r / (1.0 + A)
    mu_AB = p.mu_0 + p.nu * C
    f = H / (p.K_H + H)
    production = (
        p.rho_C * contact / (p.K_C + C) + recovery * E,
        k_e * C,
        p.r_T * TA + mu_BA * TB,
        p.r_T * TB + mu_AB * TA,
        p.sigma_S * TA,
        p.sigma_A * T + p.sigma_M * f,
        p.eta * T,
    )
    loss = (
        p.delta_CT * TA + k_e + p.d_C,
        recovery + p.d_E,
        crowding + p.gamma * C + mu_AB + p.d_TA,
        crowding + mu_BA + p.d_TB,
        p.lambda_S,
        p.lambda_A,
        p.lambda_H,
    )
    return production, loss
