"""Compiled loops over the faces and cells of an unstructured mesh: the counterpart of `stencils` for `MeshSpace`."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..tools.compiled import compiled
from ..tuples import column, of_cell, of_run, picked_at, put, runs, sensitivities, slow_scratch, velocity
from .fluxes import migration_weights, taxis_flux
from .reactions import react
from .stencils import Mover, Stage

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Faces(NamedTuple):
    """Inner faces that touch a rank's own cells, shape (faces,).

    `cells`, shape (faces, 2): the cells left and right.  `area`: in the unit of the caller's volumes over cm.
    `weight`: of the left cell in linear interpolation onto the face.
    """

    cells: Indices
    area: Array
    inverse_distance: Array
    weight: Array


class Own(NamedTuple):
    """A rank's own cells: the number of the first among the local ones, their volumes, and what taxis takes away.

    `divergence`, shape (movers, local cells), is that of the fields with the places `movers`.
    """

    first: int
    volume: Array
    movers: Indices
    divergence: Array


#: Cells handled together: their scratch stays in the first-level cache.
BLOCK = 128


@compiled
def sensitivity_fields(v: Array, p: Any, chi: Array) -> None:
    """chi of each taxis in all cells, ghosts included."""
    local = of_run(p, 0, v.shape[1])
    for i in range(v.shape[1]):
        put(chi, i, sensitivities(column(v, i, p), of_cell(local, i)))


@compiled
def taxis_divergence(scheme: int, mover: Mover, faces: Faces, out: Array) -> None:
    """Integral over each cell of the divergence of the taxis flux, eqs (54)-(56) on faces.

    The mover's diffusivity is that of the faces, the rest of it of cells.  The result is in the unit of `faces.area`.
    """
    C, D, S, chi = mover
    out[:] = 0.0
    for face in range(D.size):
        left, right = faces.cells[face, 0], faces.cells[face, 1]
        w, inverse = faces.weight[face], faces.inverse_distance[face]
        v = velocity(picked_at(S, left), picked_at(S, right), picked_at(chi, left), picked_at(chi, right), w, inverse)
        flux = faces.area[face] * taxis_flux(scheme, C[left], C[right], v, D[face] * inverse, w)
        out[left] += flux
        out[right] -= flux


@compiled
def _rates(v: Array, start: int, own: Own, p: Any, scratch: Array, r: Array) -> int:
    """R - div(taxis) of the block of own cells from `start` on; how many they are."""
    n = min(r.shape[1], own.volume.size - start)
    first = own.first + start
    react(runs(v, first, first + n, p), of_run(p, first, n), scratch, r)
    for k in range(own.movers.size):
        rates, divergence = r[own.movers[k]], own.divergence[k]
        for i in range(n):
            rates[i] -= divergence[first + i] / own.volume[start + i]
    return n


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
def explicit_rate(v: Array, own: Own, p: Any, out: Array) -> None:
    """Reactions and taxis on own cells; `out` has no others."""
    scratch, r = slow_scratch(BLOCK, p), np.empty((v.shape[0], BLOCK))
    for start in range(0, own.volume.size, BLOCK):
        n = _rates(v, start, own, p, scratch, r)
        for f in range(v.shape[0]):
            result, rates = out[f, start : start + n], r[f]
            for i in range(n):
                result[i] = rates[i]


@compiled
def explicit_stage(states: tuple[Array, Array, Array, Array], stage: Stage, own: Own, p: Any, clamped: Array) -> None:
    """As `stencils.explicit_stage`, on own cells."""
    v, base, rate, out = states
    scratch, r = slow_scratch(BLOCK, p), np.empty((v.shape[0], BLOCK))
    for start in range(0, own.volume.size, BLOCK):
        n = _rates(v, start, own, p, scratch, r)
        here = slice(own.first + start, own.first + start + n)
        for f in range(v.shape[0]):
            before, stored, after, rates = base[f, here], rate[f, here], out[f, here], r[f]
            for i in range(n):
                if stage.store:
                    stored[i] = rates[i]
                    result = before[i] + stage.weight * rates[i]
                else:
                    result = before[i] + stage.weight_stored * stored[i] + stage.weight * rates[i]
                if stage.clamp and result < 0.0:
                    clamped[f] -= result * own.volume[start + i]
                    result = 0.0
                after[i] = result


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
    values: Array, dt: float, scheme: int, mover: Mover, faces: Faces, volume: Array, places: tuple[Indices, Indices]
) -> None:
    """Entries of V - dt V (div(D grad) - div(taxis)) for a mover; arguments as those of `taxis_divergence`.

    `places`: where among the values each cell's diagonal stands, shape (own cells,); and of each face where in the left
    cell's row the left and the right cell stand and where in the right cell's row, shape (faces, 4), -1 in rows of
    other ranks' cells.
    """
    _, D, S, chi = mover
    diagonal, of_faces = places
    values[:] = 0.0
    for i in range(volume.size):
        values[diagonal[i]] = volume[i]
    for face in range(D.size):
        left, right = faces.cells[face, 0], faces.cells[face, 1]
        w, inverse = faces.weight[face], faces.inverse_distance[face]
        v = velocity(picked_at(S, left), picked_at(S, right), picked_at(chi, left), picked_at(chi, right), w, inverse)
        out, into = migration_weights(scheme, v, D[face] * inverse, w)
        a = dt * faces.area[face]
        if of_faces[face, 0] >= 0:
            values[of_faces[face, 0]] += a * out
            values[of_faces[face, 1]] -= a * into
        if of_faces[face, 2] >= 0:
            values[of_faces[face, 2]] -= a * out
            values[of_faces[face, 3]] += a * into
