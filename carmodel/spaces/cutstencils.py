"""Compiled loops over the cells of a box that a wall cuts: `stencils` with the open shares of faces and cells.

`open_faces`, shape (3, nz + 2, ny + 2, nx + 2): share of each cell's face towards x+, y+, z+ that is open; `inverse`,
(nz + 2, ny + 2, nx + 2): one over the share of the cell that is inside, 0 outside.  Outside, all fields are zero.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..model import Model
from ..tools.compiled import compiled, compiled_for_threads
from ..tuples import each, function, inner_rows, of_model, of_run, slow_scratch
from .fluxes import harmonic_mean
from .reactions import react
from .stencils import Mover, Stage, Transport, cell_of, face_flux, face_migration, sensitivity_fields

Array = NDArray[np.float64]
#: Open shares of faces, and inverse shares of cells.
Cut = tuple[Array, Array]
States = tuple[Array, Array, Array, Array]


@compiled
def _subtract_taxis(transport: Transport, cut: Cut, mover: Mover, z: int, y: int, out: Array) -> None:
    """As `stencils._subtract_taxis`."""
    scheme, inv_h = transport.scheme, transport.inverse_spacing
    faces, inverse = cut
    for i in range(out.size):
        x = i + 1
        if inverse[z, y, x] == 0.0:
            continue
        here, total = cell_of(mover, z, y, x), 0.0
        if faces[0, z, y, x] > 0.0:
            total += faces[0, z, y, x] * inv_h[0] * face_flux(scheme, here, cell_of(mover, z, y, x + 1), inv_h[0])
        if faces[0, z, y, x - 1] > 0.0:
            total -= faces[0, z, y, x - 1] * inv_h[0] * face_flux(scheme, cell_of(mover, z, y, x - 1), here, inv_h[0])
        if faces[1, z, y, x] > 0.0:
            total += faces[1, z, y, x] * inv_h[1] * face_flux(scheme, here, cell_of(mover, z, y + 1, x), inv_h[1])
        if faces[1, z, y - 1, x] > 0.0:
            total -= faces[1, z, y - 1, x] * inv_h[1] * face_flux(scheme, cell_of(mover, z, y - 1, x), here, inv_h[1])
        if faces[2, z, y, x] > 0.0:
            total += faces[2, z, y, x] * inv_h[2] * face_flux(scheme, here, cell_of(mover, z + 1, y, x), inv_h[2])
        if faces[2, z - 1, y, x] > 0.0:
            total -= faces[2, z - 1, y, x] * inv_h[2] * face_flux(scheme, cell_of(mover, z - 1, y, x), here, inv_h[2])
        out[i] -= total * inverse[z, y, x]


@of_model
def _taxis_rows(model: Model) -> Any:
    """(v, r, z, y, transport, cut, p): subtract the divergence of all taxis fluxes from the rates `r` of a row."""
    lines = [
        f"if t.moving[{n}]: row(t, cut, (v[{f}], t.D[{n}], "
        f"({each('v[{f}]', [model.attractants[k] for k in numbers])}), ({each('t.chi[{f}]', numbers)})), z, y, r[{f}])"
        for n, (f, numbers) in enumerate(model.movers.items())
    ]
    return function("v, r, z, y, t, cut, p", *lines, "return None", row=_subtract_taxis)


@compiled
def _rate_row(
    v: Array, row: tuple[int, int], transport: Transport, cut: Cut, p: Any, exponentials: Array, r: Array
) -> None:
    """Reactions and taxis in the row (z, y): none outside."""
    z, y = row
    local = of_run(p, (z * v.shape[2] + y) * v.shape[3] + 1, v.shape[3] - 2)
    react(inner_rows(v, z, y, p), local, exponentials, r)
    _taxis_rows(v, r, z, y, transport, cut, p)
    inverse = cut[1][z, y]
    for f in range(r.shape[0]):
        rates = r[f]
        for i in range(r.shape[1]):
            rates[i] = rates[i] if inverse[i + 1] > 0.0 else 0.0


@compiled
def _stage_plane(z: int, states: States, stage: Stage, transport: Transport, cut: Cut, p: Any, clamped: Array) -> None:
    v, base, rate, out = states
    nx = v.shape[3] - 2
    exponentials, r = slow_scratch(nx, p), np.empty((v.shape[0], nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(v, (z, y), transport, cut, p, exponentials, r)
        inverse = cut[1][z, y]
        for f in range(v.shape[0]):
            start, stored, result = base[f, z, y, 1:-1], rate[f, z, y, 1:-1], out[f, z, y, 1:-1]
            change = r[f]
            for i in range(nx):
                if stage.store:
                    stored[i] = change[i]
                    new = start[i] + stage.weight * change[i]
                else:
                    new = start[i] + stage.weight_stored * stored[i] + stage.weight * change[i]
                if stage.clamp and new < 0.0:
                    clamped[f] -= new / inverse[i + 1]
                    new = 0.0
                result[i] = new


@compiled_for_threads
def explicit_stage(states: States, stage: Stage, transport: Transport, cut: Cut, p: Any, clamped: Array) -> None:
    """As `stencils.explicit_stage`."""
    v = states[0]
    nz = v.shape[1] - 2
    if transport.moving.any():
        sensitivity_fields(v, p, transport.chi)
    by_plane = np.zeros((nz, v.shape[0]))
    for k in numba.prange(nz):
        _stage_plane(k + 1, states, stage, transport, cut, p, by_plane[k])
    for k in range(nz):
        clamped += by_plane[k]


@compiled
def _rate_plane(z: int, v: Array, out: Array, transport: Transport, cut: Cut, p: Any) -> None:
    nx = v.shape[3] - 2
    exponentials, r = slow_scratch(nx, p), np.empty((v.shape[0], nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(v, (z, y), transport, cut, p, exponentials, r)
        for f in range(v.shape[0]):
            for i in range(nx):
                out[f, z - 1, y - 1, i] = r[f, i]


@compiled_for_threads
def explicit_rate(v: Array, out: Array, transport: Transport, cut: Cut, p: Any) -> None:
    """As `stencils.explicit_rate`."""
    if transport.moving.any():
        sensitivity_fields(v, p, transport.chi)
    for k in numba.prange(out.shape[1]):
        _rate_plane(k + 1, v, out, transport, cut, p)


@compiled
def conductances(D: Array, open_faces: Array, inv_h: Array, out: Array) -> None:
    """Open share times D / h^2 of each cell's face towards x+, y+, z+, shape as `open_faces`; D has valid ghosts."""
    for z in range(D.shape[0]):
        for y in range(D.shape[1]):
            for x in range(D.shape[2]):
                for axis in range(3):
                    i, j, k = x + (axis == 0), y + (axis == 1), z + (axis == 2)
                    if i < D.shape[2] and j < D.shape[1] and k < D.shape[0]:
                        mean = harmonic_mean(D[z, y, x], D[k, j, i])
                        out[axis, z, y, x] = open_faces[axis, z, y, x] * mean * inv_h[axis] ** 2


@compiled_for_threads
def subtract_diffusion(u: Array, out: Array, conductance: Array, inverse: Array) -> None:
    """out -= div(D grad u) for one field, from what `conductances` makes of its diffusivity; `out` has no ghosts."""
    for k in numba.prange(out.shape[0]):
        z = k + 1
        for j in range(out.shape[1]):
            y = j + 1
            a, b, c = conductance[0, z, y], conductance[1, z, y], conductance[2, z, y]
            south, below = conductance[1, z, y - 1], conductance[2, z - 1, y]
            for i in range(out.shape[2]):
                x = i + 1
                v = u[z, y, x]
                flux = a[x] * (u[z, y, x + 1] - v) - a[x - 1] * (v - u[z, y, x - 1])
                flux += b[x] * (u[z, y + 1, x] - v) - south[x] * (v - u[z, y - 1, x])
                flux += c[x] * (u[z + 1, y, x] - v) - below[x] * (v - u[z - 1, y, x])
                out[k, j, i] -= flux * inverse[z, y, x]


@compiled
def clamp_field(u: Array, inverse: Array) -> float:
    """As `stencils.clamp_field`, cells counted by their shares."""
    added = 0.0
    for z in range(1, u.shape[0] - 1):
        for y in range(1, u.shape[1] - 1):
            for x in range(1, u.shape[2] - 1):
                if u[z, y, x] < 0.0:
                    added -= u[z, y, x] / inverse[z, y, x]
                    u[z, y, x] = 0.0
    return added


@compiled
def sum_min_max(u: Array, inside: Array) -> tuple[float, float, float]:
    """As `stencils.sum_min_max`, cells counted by their shares `inside`."""
    total, least, largest = 0.0, np.inf, -np.inf
    for z in range(1, u.shape[0] - 1):
        plane = 0.0
        for y in range(1, u.shape[1] - 1):
            row = 0.0
            for x in range(1, u.shape[2] - 1):
                share = inside[z, y, x]
                if share > 0.0:
                    row += share * u[z, y, x]
                    least = min(least, u[z, y, x])
                    largest = max(largest, u[z, y, x])
            plane += row
        total += plane
    return total, least, largest


@compiled
def migration_rows(values: Array, dt: float, scheme: int, mover: Mover, open_faces: Array, grid: Any) -> None:
    """As `stencils.migration_rows`, V - dt V (div(D grad) - div(taxis)), of the cells that hold something.

    `grid`: shares of the cells that are inside, and inverse spacing.
    """
    inside, inv_h = grid
    D = mover[1]
    place = 0
    for z in range(1, D.shape[0] - 1):
        for y in range(1, D.shape[1] - 1):
            for x in range(1, D.shape[2] - 1):
                if inside[z, y, x] == 0.0:
                    continue
                here, diagonal = cell_of(mover, z, y, x), place
                values[diagonal] = inside[z, y, x]
                place += 1
                for side in range(6):
                    axis, shift = side // 2, 2 * (side % 2) - 1
                    i, j, k = x + shift * (axis == 0), y + shift * (axis == 1), z + shift * (axis == 2)
                    if inside[k, j, i] == 0.0:
                        continue
                    share = open_faces[axis, z, y, x] if shift > 0 else open_faces[axis, k, j, i]
                    there = cell_of(mover, k, j, i)
                    if shift > 0:
                        out, into = face_migration(scheme, here, there, inv_h[axis])
                    else:
                        into, out = face_migration(scheme, there, here, inv_h[axis])
                    values[diagonal] += dt * inv_h[axis] * share * out
                    values[place] = -dt * inv_h[axis] * share * into
                    place += 1
