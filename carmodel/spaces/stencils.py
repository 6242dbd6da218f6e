"""Compiled loops over the cells of a box: explicit stage, Jacobi sweep, walls, sums.

Arrays are a rank's cells with one layer of ghosts all round: (nz + 2, ny + 2, nx + 2), x fastest.  Ghosts beyond a wall
mirror the cell inside it, which makes every flux through the wall vanish.  Rows along x are handled one loop at a time,
because loops without branches and without the exponential run in vector registers.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ..model import Model
from ..tools.compiled import compiled, compiled_for_threads
from ..tuples import (
    at,
    each,
    function,
    inner_rows,
    of_cell,
    of_model,
    of_run,
    picked,
    put_at,
    rows,
    sensitivities,
    sensitivity_rows,
    slow_scratch,
    velocity,
)
from .fluxes import FITTED, harmonic_mean, migration_weights, taxis_flux
from .reactions import react

Array = NDArray[np.float64]
#: A field that moves: its values and diffusivity, the fields that it follows, and its sensitivity to each of them.
Mover = tuple[Array, Array, tuple[Array, ...], tuple[Array, ...]]
#: The same in one cell.
Cell = tuple[float, float, tuple[float, ...], tuple[float, ...]]


class Transport(NamedTuple):
    """What the taxis fluxes need beside the state.

    `scheme`: its number in `TAXIS_SCHEMES`.  `moving`: which of the model's movers move.  `chi`: scratch for the
    sensitivities, shape (taxes, nz + 2, ny + 2, nx + 2).  `D`: diffusivity of each mover by cell, with valid ghosts.
    `inverse_spacing`: 1/cm along x, y, z.
    """

    scheme: int
    moving: NDArray[np.bool_]
    chi: Array
    D: Array
    inverse_spacing: Array


class Stage(NamedTuple):
    """out = base + weight_stored * rate + weight * r; `store`: rate becomes r; `clamp`: negative values become zero."""

    weight_stored: float
    weight: float
    store: bool
    clamp: bool


@compiled
def mirror_walls(field: Array, walls: NDArray[np.bool_]) -> None:
    """Fill the ghosts beyond the walls of one field; `walls` says which of x-, x+, y-, y+, z-, z+ are walls."""
    if walls[0]:
        field[:, :, 0] = field[:, :, 1]
    if walls[1]:
        field[:, :, -1] = field[:, :, -2]
    if walls[2]:
        field[:, 0, :] = field[:, 1, :]
    if walls[3]:
        field[:, -1, :] = field[:, -2, :]
    if walls[4]:
        field[0, :, :] = field[1, :, :]
    if walls[5]:
        field[-1, :, :] = field[-2, :, :]


@compiled
def face_flux(scheme: int, left: Cell, right: Cell, inv_h: float) -> float:
    """Taxis flux between two cells, eqs (55)-(56)."""
    v = velocity(left[2], right[2], left[3], right[3], 0.5, inv_h)
    d = harmonic_mean(left[1], right[1]) * inv_h if scheme >= FITTED else 0.0
    return taxis_flux(scheme, left[0], right[0], v, d, 0.5)


@compiled
def cell_of(mover: Mover, z: int, y: int, x: int) -> Cell:
    C, D, S, chi = mover
    return C[z, y, x], D[z, y, x], picked(S, z, y, x), picked(chi, z, y, x)


@compiled
def _subtract_taxis(transport: Transport, mover: Mover, z: int, y: int, out: Array) -> None:
    """Subtract the divergence of the taxis flux, eq. (54), in the row (z, y), ghosts excluded."""
    scheme, inv_h = transport.scheme, transport.inverse_spacing
    for i in range(out.size):
        x = i + 1
        here = cell_of(mover, z, y, x)
        west, east = cell_of(mover, z, y, x - 1), cell_of(mover, z, y, x + 1)
        south, north = cell_of(mover, z, y - 1, x), cell_of(mover, z, y + 1, x)
        below, above = cell_of(mover, z - 1, y, x), cell_of(mover, z + 1, y, x)
        along_x = face_flux(scheme, here, east, inv_h[0]) - face_flux(scheme, west, here, inv_h[0])
        along_y = face_flux(scheme, here, north, inv_h[1]) - face_flux(scheme, south, here, inv_h[1])
        along_z = face_flux(scheme, here, above, inv_h[2]) - face_flux(scheme, below, here, inv_h[2])
        out[i] -= along_x * inv_h[0] + along_y * inv_h[1] + along_z * inv_h[2]


@compiled
def clamp_row(row: Array) -> float:
    """Set negative values to zero; return what that added."""
    added = 0.0
    for i in range(row.size):
        if row[i] < 0.0:
            added -= row[i]
            row[i] = 0.0
    return added


@compiled_for_threads
def sensitivity_fields(v: Array, p: Any, chi: Array) -> None:
    """chi of each taxis in all cells, ghosts included."""
    for z in numba.prange(v.shape[1]):
        for y in range(v.shape[2]):
            fields, out = rows(v, z, y, p), sensitivity_rows(chi, z, y, p)
            local = of_run(p, (z * v.shape[2] + y) * v.shape[3], v.shape[3])
            for x in range(v.shape[3]):
                put_at(out, x, sensitivities(at(fields, x), of_cell(local, x)))


@of_model
def _taxis_rows(model: Model) -> Any:
    """(v, r, z, y, transport, p): subtract the divergence of all taxis fluxes from the rates `r` of the row (z, y)."""
    lines = [
        f"if t.moving[{n}]: row(t, (v[{f}], t.D[{n}], ({each('v[{f}]', [model.attractants[k] for k in numbers])}), "
        f"({each('t.chi[{f}]', numbers)})), z, y, r[{f}])"
        for n, (f, numbers) in enumerate(model.movers.items())
    ]
    return function("v, r, z, y, t, p", *lines, "return None", row=_subtract_taxis)


@compiled
def _rate_row(v: Array, z: int, y: int, transport: Transport, p: Any, exponentials: Array, r: Array) -> None:
    """Reactions and taxis in the row (z, y); `exponentials` is scratch, of `slow_scratch`."""
    local = of_run(p, (z * v.shape[2] + y) * v.shape[3] + 1, v.shape[3] - 2)
    react(inner_rows(v, z, y, p), local, exponentials, r)
    _taxis_rows(v, r, z, y, transport, p)


@compiled
def _stage_plane(
    z: int, states: tuple[Array, Array, Array, Array], stage: Stage, transport: Transport, p: Any, clamped: Array
) -> None:
    """`explicit_stage` in the plane z; `states` are v, base, rate and out."""
    v, base, rate, out = states
    nx = v.shape[3] - 2
    exponentials, r = slow_scratch(nx, p), np.empty((v.shape[0], nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(v, z, y, transport, p, exponentials, r)
        for f in range(v.shape[0]):
            start, stored, result = base[f, z, y, 1:-1], rate[f, z, y, 1:-1], out[f, z, y, 1:-1]
            change = r[f]
            negative = 0
            if stage.store:
                for i in range(nx):
                    stored[i] = change[i]
                    result[i] = start[i] + stage.weight * change[i]
                    negative += result[i] < 0.0
            else:
                for i in range(nx):
                    result[i] = start[i] + stage.weight_stored * stored[i] + stage.weight * change[i]
                    negative += result[i] < 0.0
            if stage.clamp and negative:  # counting runs in vector registers, adding up in order does not
                clamped[f] += clamp_row(result)


@compiled_for_threads
def explicit_stage(
    states: tuple[Array, Array, Array, Array], stage: Stage, transport: Transport, p: Any, clamped: Array
) -> None:
    """One pass of `stage` with r the reactions and taxis at v; `states` are v, base, rate and out.

    `out` may be `base`.  `clamped[f]` grows by the sum over the cells of what clamping adds.  Ghosts of the fields that
    taxis needs must be valid in v; those of `out` are not set.
    """
    v = states[0]
    nz = v.shape[1] - 2
    if transport.moving.any():
        sensitivity_fields(v, p, transport.chi)
    by_plane = np.zeros((nz, v.shape[0]))  # added up in order: the same sum for any number of threads
    for k in numba.prange(nz):
        _stage_plane(k + 1, states, stage, transport, p, by_plane[k])
    for k in range(nz):
        clamped += by_plane[k]


@compiled
def _rate_plane(z: int, v: Array, out: Array, transport: Transport, p: Any) -> None:
    nx = v.shape[3] - 2
    exponentials, r = slow_scratch(nx, p), np.empty((v.shape[0], nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(v, z, y, transport, p, exponentials, r)
        for f in range(v.shape[0]):
            for i in range(nx):
                out[f, z - 1, y - 1, i] = r[f, i]


@compiled_for_threads
def explicit_rate(v: Array, out: Array, transport: Transport, p: Any) -> None:
    """Reactions and taxis at v; `out` has no ghosts: (fields, nz, ny, nx).  Otherwise as `explicit_stage`."""
    if transport.moving.any():
        sensitivity_fields(v, p, transport.chi)
    for k in numba.prange(out.shape[1]):
        _rate_plane(k + 1, v, out, transport, p)


@compiled_for_threads
def subtract_diffusion(u: Array, out: Array, D: float, inv_h: Array) -> None:
    """out -= div(D grad u) for one field and a constant D; `out` has no ghosts."""
    a, b, c = D * inv_h[0] ** 2, D * inv_h[1] ** 2, D * inv_h[2] ** 2
    for k in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            here, result = u[k + 1, j + 1], out[k, j]
            below, above = u[k, j + 1], u[k + 2, j + 1]
            south, north = u[k + 1, j], u[k + 1, j + 2]
            for i in range(out.shape[2]):
                x = i + 1
                result[i] -= (
                    a * ((here[x + 1] - here[x]) - (here[x] - here[x - 1]))
                    + b * ((north[x] - here[x]) - (here[x] - south[x]))
                    + c * ((above[x] - here[x]) - (here[x] - below[x]))
                )


@compiled_for_threads
def subtract_varying_diffusion(u: Array, out: Array, D: Array, inv_h: Array) -> None:
    """out -= div(D grad u) for one field and a field D with valid ghosts; faces take the harmonic mean."""
    for k in numba.prange(out.shape[0]):
        z = k + 1
        for j in range(out.shape[1]):
            y = j + 1
            for i in range(out.shape[2]):
                x = i + 1
                d, v = D[z, y, x], u[z, y, x]
                out[k, j, i] -= (
                    inv_h[0] ** 2 * harmonic_mean(d, D[z, y, x + 1]) * (u[z, y, x + 1] - v)
                    - inv_h[0] ** 2 * harmonic_mean(D[z, y, x - 1], d) * (v - u[z, y, x - 1])
                    + inv_h[1] ** 2 * harmonic_mean(d, D[z, y + 1, x]) * (u[z, y + 1, x] - v)
                    - inv_h[1] ** 2 * harmonic_mean(D[z, y - 1, x], d) * (v - u[z, y - 1, x])
                    + inv_h[2] ** 2 * harmonic_mean(d, D[z + 1, y, x]) * (u[z + 1, y, x] - v)
                    - inv_h[2] ** 2 * harmonic_mean(D[z - 1, y, x], d) * (v - u[z - 1, y, x])
                )


@compiled
def clamp_field(u: Array) -> float:
    """Set negative values of one field's own cells to zero; return what that added."""
    added = 0.0
    for z in range(1, u.shape[0] - 1):
        for y in range(1, u.shape[1] - 1):
            added += clamp_row(u[z, y, 1:-1])
    return added


@compiled
def jacobi_sweep(old: Array, b: Array, new: Array, a: Array) -> float:
    """One Jacobi sweep of (I - dt D Laplacian) u = b, eq. (61), with a = dt D / h^2 by axis; the largest change."""
    diagonal = 1.0 + 2.0 * (a[0] + a[1] + a[2])
    largest = 0.0
    for z in range(1, old.shape[0] - 1):
        for y in range(1, old.shape[1] - 1):
            for x in range(1, old.shape[2] - 1):
                new[z, y, x] = (
                    b[z, y, x]
                    + a[0] * (old[z, y, x + 1] + old[z, y, x - 1])
                    + a[1] * (old[z, y + 1, x] + old[z, y - 1, x])
                    + a[2] * (old[z + 1, y, x] + old[z - 1, y, x])
                ) / diagonal
            for x in range(1, old.shape[2] - 1):
                largest = max(largest, abs(new[z, y, x] - old[z, y, x]))
    return largest


@compiled
def sum_min_max(u: Array) -> tuple[float, float, float]:
    """Sum, least and largest value of one field's own cells; sums by rows and planes to keep rounding small."""
    total, least, largest = 0.0, np.inf, -np.inf
    for z in range(1, u.shape[0] - 1):
        plane = 0.0
        for y in range(1, u.shape[1] - 1):
            row = 0.0
            for x in range(1, u.shape[2] - 1):
                row += u[z, y, x]
                least = min(least, u[z, y, x])
                largest = max(largest, u[z, y, x])
            plane += row
        total += plane
    return total, least, largest


@compiled
def face_migration(scheme: int, left: Cell, right: Cell, inv_h: float) -> tuple[float, float]:
    """`migration_weights` of the face between two cells."""
    v = velocity(left[2], right[2], left[3], right[3], 0.5, inv_h)
    return migration_weights(scheme, v, harmonic_mean(left[1], right[1]) * inv_h, 0.5)


@compiled
def migration_rows(values: Array, dt: float, scheme: int, mover: Mover, inv_h: Array, walls: NDArray[np.bool_]) -> None:
    """Entries of I - dt (div(D grad) - div(taxis)) for a mover by rows: the cell, then x-, x+, y-, y+, z-, z+ of it.

    Neighbours beyond walls are left out.  Ghosts must be valid; the mover's own values do not matter.
    """
    D = mover[1]
    nz, ny, nx = D.shape[0] - 2, D.shape[1] - 2, D.shape[2] - 2
    place = 0
    for z in range(1, nz + 1):
        for y in range(1, ny + 1):
            for x in range(1, nx + 1):
                here = cell_of(mover, z, y, x)
                diagonal = place
                values[diagonal] = 1.0
                place += 1
                for side in range(6):
                    axis, shift = side // 2, 2 * (side % 2) - 1
                    i, j, k = x + shift * (axis == 0), y + shift * (axis == 1), z + shift * (axis == 2)
                    outside = i < 1 or i > nx or j < 1 or j > ny or k < 1 or k > nz
                    if outside and walls[side]:
                        continue
                    there = cell_of(mover, k, j, i)
                    if shift > 0:
                        out, into = face_migration(scheme, here, there, inv_h[axis])
                    else:
                        into, out = face_migration(scheme, there, here, inv_h[axis])
                    values[diagonal] += dt * inv_h[axis] * out
                    values[place] = -dt * inv_h[axis] * into
                    place += 1
