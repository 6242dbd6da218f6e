"""Compiled loops over the faces and cells of an unstructured mesh: the counterpart of `stencils` for `MeshSpace`."""

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..kinetics import antigen_recovery, chemotactic_sensitivity, production_and_loss
from ..parameters import Parameters
from ..transport import migration_weights, taxis_flux

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@compiled
def _velocity(
    S_left: float, S_right: float, A_left: float, A_right: float, p: Parameters, inverse_distance: float, w: float
) -> float:
    """Chemotactic velocity on a face, eq. (55); `w` weighs the left cell."""
    chi = w * chemotactic_sensitivity(A_left, p) + (1.0 - w) * chemotactic_sensitivity(A_right, p)
    return chi * ((S_right - S_left) * inverse_distance)


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
        v = _velocity(S[left], S[right], A[left], A[right], p, inverse_distance[face], w)
        flux = area[face] * taxis_flux(scheme, C[left], C[right], v, D_C[face] * inverse_distance[face], w)
        out[left] += flux
        out[right] -= flux


@compiled
def _rate(v: Array, i: int, divergence: Array, volume: Array, p: Parameters, r: Array) -> None:
    """R - div(taxis) in cell i."""
    P, L = production_and_loss(
        v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i], v[6, i], antigen_recovery(v[0, i], p), p
    )
    for f in range(7):
        r[f] = P[f] - L[f] * v[f, i]
    r[0] -= divergence[i] / volume[i]


@compiled
def subtract_diffusion(u: Array, out: Array, conductance: Array, cells: Indices, volume: Array, first: int) -> None:
    """out -= div(D grad u) for one field: `conductance` = area D / distance of each inner face, shape (faces,).

    `out` and `volume` have own cells only; number `first` among the local cells is the first of them.
    """
    for face in range(conductance.size):
        left, right = cells[face, 0], cells[face, 1]
        flux = conductance[face] * (u[left] - u[right])
        if 0 <= left - first < out.size:
            out[left - first] += flux / volume[left - first]
        if 0 <= right - first < out.size:
            out[right - first] -= flux / volume[right - first]


@compiled
def explicit_rate(v: Array, divergence: Array, volume: Array, p: Parameters, out: Array) -> None:
    """Reactions and taxis of eqs (1)-(7) on own cells; arguments as those of `explicit_stage`."""
    for i in range(volume.size):
        _rate(v, i, divergence, volume, p, out[:, i])


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
        _rate(v, i, divergence, volume, p, r)
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


@compiled
def migration_rows(
    values: Array,
    dt: float,
    scheme: int,
    S: Array,
    A: Array,
    p: Parameters,
    cells: Indices,
    area: Array,
    inverse_distance: Array,
    weight: Array,
    D_C: Array,
    volume: Array,
    diagonal: Indices,
    places: Indices,
) -> None:
    """Entries of V - dt V (div(D_C grad) - div(taxis)) for C; arguments as those of `taxis_divergence`.

    `diagonal`, shape (own cells,), says where among the values each cell's diagonal stands; `places`, shape (faces, 4),
    where in the left cell's row the left and the right cell stand and where in the right cell's row, -1 in rows of
    other ranks' cells.
    """
    values[:] = 0.0
    for i in range(volume.size):
        values[diagonal[i]] = volume[i]
    for face in range(area.size):
        left, right = cells[face, 0], cells[face, 1]
        v = _velocity(S[left], S[right], A[left], A[right], p, inverse_distance[face], weight[face])
        out, into = migration_weights(scheme, v, D_C[face] * inverse_distance[face], weight[face])
        a = dt * area[face]
        if places[face, 0] >= 0:
            values[places[face, 0]] += a * out
            values[places[face, 1]] -= a * into
        if places[face, 2] >= 0:
            values[places[face, 2]] -= a * out
            values[places[face, 3]] += a * into
