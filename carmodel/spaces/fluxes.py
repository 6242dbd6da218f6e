"""Face fluxes: the harmonic mean of a diffusivity and the chemotactic flux of eq. (1) in four schemes.

A face lies between a left and a right cell; fluxes are positive from left to right.  With v the chemotactic velocity
chi(A) dS/dx on the face (cm/day), eq. (55), and d = D/h the diffusive conductance there (cm/day), every scheme gives
the taxis flux v C only: the diffusive flux d (C_left - C_right) is the diffusion operator's business.
"""

import numpy as np

from ..tools.compiled import compiled

#: Schemes by the name of the run file; the number selects the formula in compiled loops.
TAXIS_SCHEMES = {"central": 0, "upwind": 1, "scharfetter-gummel": 2, "hybrid": 3}
#: The scheme that may turn C negative.
CENTRAL = TAXIS_SCHEMES["central"]
#: The first of those that need the diffusive conductance.
FITTED = TAXIS_SCHEMES["scharfetter-gummel"]


@compiled
def bernoulli(x: float) -> float:
    """Bernoulli function x / (exp(x) - 1), to rounding for every x."""
    if abs(x) < 1e-3:
        return 1.0 - 0.5 * x + x * x / 12.0
    if x > 700.0:
        return 0.0
    return x / np.expm1(x)


@compiled
def harmonic_mean(a: float, b: float) -> float:
    """Diffusivity of the face between two equal cells: their conductances in series; 0 where either is 0."""
    return 2.0 * a * b / (a + b + 1e-300)


@compiled
def central(C_left: float, C_right: float, v: float, weight: float) -> float:
    """Linear interpolation of C, eq. (56): second order; may turn C negative where v h / D exceeds 2."""
    return v * (weight * C_left + (1.0 - weight) * C_right)


@compiled
def upwind(C_left: float, C_right: float, v: float) -> float:
    """C of the cell that v comes from: first order, positive."""
    return v * C_left if v > 0.0 else v * C_right


@compiled
def scharfetter_gummel(C_left: float, C_right: float, v: float, d: float) -> float:
    """Taxis part of the exponentially fitted flux d (B(-v/d) C_left - B(v/d) C_right), doi 10.1109/T-ED.1969.16566.

    Central for v << d, upwind for v >> d.  It is the sum with the diffusive flux that is positive for every v.
    """
    if d <= 0.0:
        return upwind(C_left, C_right, v)
    return v * C_left + d * (bernoulli(v / d) - 1.0) * (C_left - C_right)


@compiled
def hybrid(C_left: float, C_right: float, v: float, d: float, weight: float) -> float:
    """Central, with as much diffusion as the sum with the diffusive flux lacks to be positive.

    That is none where the cell Peclet number |v|/d is at most 2 (for `weight` 0.5), and |v|/2 - d above: there the sum
    is upwind, without diffusion (Spalding 1972, doi 10.1002/nme.1620040409).  No flux that is linear in the two cells
    is positive for every v with less.
    """
    missing = max(0.0, (1.0 - weight) * v - d, -weight * v - d)
    return central(C_left, C_right, v, weight) + missing * (C_left - C_right)


@compiled
def taxis_flux(scheme: int, C_left: float, C_right: float, v: float, d: float, weight: float) -> float:
    """Taxis flux through a face in the scheme numbered as in `TAXIS_SCHEMES`.

    `weight` is that of the left cell in linear interpolation onto the face: 0.5 between equal cells.
    """
    if scheme == 0:
        return central(C_left, C_right, v, weight)
    if scheme == 1:
        return upwind(C_left, C_right, v)
    if scheme == 2:
        return scharfetter_gummel(C_left, C_right, v, d)
    return hybrid(C_left, C_right, v, d, weight)


@compiled
def migration_weights(scheme: int, v: float, d: float, weight: float) -> tuple[float, float]:
    """Factors a, b of the flux a C_left - b C_right of diffusion and taxis together; both >= 0 but for `central`.

    With them backward Euler has an M-matrix whose columns sum to one: positive and conservative for every step.
    """
    a = d + taxis_flux(scheme, 1.0, 0.0, v, d, weight)
    b = d - taxis_flux(scheme, 0.0, 1.0, v, d, weight)
    if scheme == CENTRAL:
        return a, b
    return max(a, 0.0), max(b, 0.0)  # what is below zero is rounding
