"""Compiled loops over the faces and cells of an unstructured mesh: the counterpart of `stencils` for `MeshSpace`."""

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..kinetics import antigen_recovery, chemotactic_sensitivity, production_and_loss
from ..parameters import Parameters
from ..transport import taxis_flux

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@compiled
def taxis_divergence(
    scheme: int,
    C: Array,
    S: Array,
    A: Array,
    p: Parameters,
    cells: Indices,
    area: Array,
    inverse_distance: Array,
    weight: Array,
    D_C: Array,
    out: Array,
) -> None:
    """Integral over each cell of the divergence of the taxis flux, eqs (54)-(56) on faces.

    `cells`, shape (faces, 2), are the cells left and right of each inner face, `weight` that of the left one in linear
    interpolation onto the face, `D_C` the diffusivity of C there.  Areas and so the result are in the unit of the
    caller's volumes.
    """
    out[:] = 0.0
    for face in range(area.size):
        left, right = cells[face, 0], cells[face, 1]
        w = weight[face]
        chi = w * chemotactic_sensitivity(A[left], p) + (1.0 - w) * chemotactic_sensitivity(A[right], p)
        v = chi * ((S[right] - S[left]) * inverse_distance[face])
        flux = area[face] * taxis_flux(scheme, C[left], C[right], v, D_C[face] * inverse_distance[face], w)
        out[left] += flux
        out[right] -= flux


@compiled
def explicit_stage(
    v: Array,
    base: Array,
    rate: Array,
    out: Array,
    weight_stored: float,
    weight: float,
    store: bool,
    divergence: Array,
    volume: Array,
    p: Parameters,
    clamp: bool,
    clamped: Array,
) -> None:
    """As `stencils.explicit_stage`, on own cells: arrays have shape (7, cells), `volume` and `divergence` (cells,)."""
    r = np.empty(7)
    for i in range(volume.size):
        P, L = production_and_loss(
            v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i], v[6, i], antigen_recovery(v[0, i], p), p
        )
        for f in range(7):
            r[f] = P[f] - L[f] * v[f, i]
        r[0] -= divergence[i] / volume[i]
        for f in range(7):
            if store:
                rate[f, i] = r[f]
                result = base[f, i] + weight * r[f]
            else:
                result = base[f, i] + weight_stored * rate[f, i] + weight * r[f]
            if clamp and result < 0.0:
                clamped[f] -= result * volume[i]
                result = 0.0
            out[f, i] = result


@compiled
def clamp_field(u: Array, volume: Array) -> float:
    """Set negative values of one field's own cells to zero; return the integral of what that added."""
    added = 0.0
    for i in range(u.size):
        if u[i] < 0.0:
            added -= u[i] * volume[i]
            u[i] = 0.0
    return added
