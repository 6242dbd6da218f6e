"""Compiled loops over the cells of a box: explicit stage, Jacobi sweep, walls, sums.

Arrays are a rank's cells with one layer of ghosts all round: (nz + 2, ny + 2, nx + 2), x fastest.  Ghosts beyond a wall
mirror the cell inside it, which makes every flux through the wall vanish.  Rows along x are handled one loop at a time,
because loops without branches and without the exponential run in vector registers.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, compiled_for_threads
from ..kinetics import antigen_recovery, chemotactic_sensitivity, production_and_loss
from ..parameters import Parameters
from ..transport import FITTED, harmonic_mean, migration_weights, taxis_flux

Array = NDArray[np.float64]


@compiled
def mirror_walls(u: Array, walls: NDArray[np.bool_]) -> None:
    """Fill the ghosts beyond the walls of one field; `walls` says which of x-, x+, y-, y+, z-, z+ are walls."""
    if walls[0]:
        u[:, :, 0] = u[:, :, 1]
    if walls[1]:
        u[:, :, -1] = u[:, :, -2]
    if walls[2]:
        u[:, 0, :] = u[:, 1, :]
    if walls[3]:
        u[:, -1, :] = u[:, -2, :]
    if walls[4]:
        u[0, :, :] = u[1, :, :]
    if walls[5]:
        u[-1, :, :] = u[-2, :, :]


@compiled
def _velocity(S_left: float, S_right: float, chi_left: float, chi_right: float, inv_h: float) -> float:
    """Chemotactic velocity on the face between two cells, eq. (55)."""
    return 0.5 * (chi_left + chi_right) * ((S_right - S_left) * inv_h)


@compiled
def _face_flux(
    scheme: int,
    left: tuple[float, float, float, float],
    right: tuple[float, float, float, float],
    inv_h: float,
) -> float:
    """Taxis flux between two cells given as (C, S, chi, D), eqs (55)-(56)."""
    v = _velocity(left[1], right[1], left[2], right[2], inv_h)
    d = harmonic_mean(left[3], right[3]) * inv_h if scheme >= FITTED else 0.0
    return taxis_flux(scheme, left[0], right[0], v, d, 0.5)


@compiled
def _taxis_divergence_row(
    scheme: int, C: Array, S: Array, chi: Array, D: Array, z: int, y: int, inv_h: Array, out: Array
) -> None:
    """Divergence of the taxis flux, eq. (54), in the row (z, y), ghosts excluded."""
    for i in range(out.size):
        x = i + 1
        here = (C[z, y, x], S[z, y, x], chi[z, y, x], D[z, y, x])
        west = (C[z, y, x - 1], S[z, y, x - 1], chi[z, y, x - 1], D[z, y, x - 1])
        east = (C[z, y, x + 1], S[z, y, x + 1], chi[z, y, x + 1], D[z, y, x + 1])
        south = (C[z, y - 1, x], S[z, y - 1, x], chi[z, y - 1, x], D[z, y - 1, x])
        north = (C[z, y + 1, x], S[z, y + 1, x], chi[z, y + 1, x], D[z, y + 1, x])
        below = (C[z - 1, y, x], S[z - 1, y, x], chi[z - 1, y, x], D[z - 1, y, x])
        above = (C[z + 1, y, x], S[z + 1, y, x], chi[z + 1, y, x], D[z + 1, y, x])
        along_x = _face_flux(scheme, here, east, inv_h[0]) - _face_flux(scheme, west, here, inv_h[0])
        along_y = _face_flux(scheme, here, north, inv_h[1]) - _face_flux(scheme, south, here, inv_h[1])
        along_z = _face_flux(scheme, here, above, inv_h[2]) - _face_flux(scheme, below, here, inv_h[2])
        out[i] = along_x * inv_h[0] + along_y * inv_h[1] + along_z * inv_h[2]


@compiled
def _reaction_row(v: Array, p: Parameters, z: int, y: int, mu_BA: Array, out: Array) -> None:
    """R(v) = P - L v of eqs (1)-(7) in the row (z, y); `mu_BA` is scratch of a row."""
    for i in range(mu_BA.size):
        mu_BA[i] = antigen_recovery(v[0, z, y, i + 1], p)
    C, E, TA, TB = v[0, z, y, 1:-1], v[1, z, y, 1:-1], v[2, z, y, 1:-1], v[3, z, y, 1:-1]
    S, A, H = v[4, z, y, 1:-1], v[5, z, y, 1:-1], v[6, z, y, 1:-1]
    for i in range(mu_BA.size):
        P, L = production_and_loss(C[i], E[i], TA[i], TB[i], S[i], A[i], H[i], mu_BA[i], p)
        out[0, i] = P[0] - L[0] * C[i]
        out[1, i] = P[1] - L[1] * E[i]
        out[2, i] = P[2] - L[2] * TA[i]
        out[3, i] = P[3] - L[3] * TB[i]
        out[4, i] = P[4] - L[4] * S[i]
        out[5, i] = P[5] - L[5] * A[i]
        out[6, i] = P[6] - L[6] * H[i]


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
def _sensitivities(A: Array, p: Parameters, chi: Array) -> None:
    """chi(A) of eq. (8) in all cells, ghosts included."""
    for z in numba.prange(A.shape[0]):
        for y in range(A.shape[1]):
            for x in range(A.shape[2]):
                chi[z, y, x] = chemotactic_sensitivity(A[z, y, x], p)


@compiled
def _rate_row(
    scheme: int, v: Array, chi: Array, D_C: Array, p: Parameters, z: int, y: int, inv_h: Array, scratch: Array, r: Array
) -> None:
    """Reactions and taxis of eqs (1)-(7) in the row (z, y); `scratch` is that of a row."""
    _reaction_row(v, p, z, y, scratch, r)
    if p.chi_0 != 0.0:
        _taxis_divergence_row(scheme, v[0], v[4], chi, D_C, z, y, inv_h, scratch)
        for i in range(scratch.size):
            r[0, i] -= scratch[i]


@compiled
def _stage_plane(
    z: int,
    v: Array,
    base: Array,
    rate: Array,
    out: Array,
    weight_stored: float,
    weight: float,
    store: bool,
    scheme: int,
    p: Parameters,
    D_C: Array,
    chi: Array,
    inv_h: Array,
    clamp: bool,
    clamped: Array,
) -> None:
    nx = v.shape[3] - 2
    scratch, r = np.empty(nx), np.empty((7, nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(scheme, v, chi, D_C, p, z, y, inv_h, scratch, r)
        for f in range(7):
            start, stored, result = base[f, z, y, 1:-1], rate[f, z, y, 1:-1], out[f, z, y, 1:-1]
            change = r[f]
            negative = 0
            if store:
                for i in range(nx):
                    stored[i] = change[i]
                    result[i] = start[i] + weight * change[i]
                    negative += result[i] < 0.0
            else:
                for i in range(nx):
                    result[i] = start[i] + weight_stored * stored[i] + weight * change[i]
                    negative += result[i] < 0.0
            if clamp and negative:  # counting runs in vector registers, adding up in order does not
                clamped[f] += clamp_row(result)


@compiled_for_threads
def explicit_stage(
    v: Array,
    base: Array,
    rate: Array,
    out: Array,
    weight_stored: float,
    weight: float,
    store: bool,
    scheme: int,
    p: Parameters,
    D_C: Array,
    chi: Array,
    inv_h: Array,
    clamp: bool,
    clamped: Array,
) -> None:
    """One pass: r = reactions and taxis at v;  out = base + weight_stored * rate + weight * r;  rate = r if `store`.

    `out` may be `base`.  `chi` is scratch.  With `clamp`, negative results become zero and `clamped[f]` grows by their
    sum over the cells.  Ghosts of C, S and A of `v` must be valid; those of `out` are not set.
    """
    nz = v.shape[1] - 2
    if p.chi_0 != 0.0:
        _sensitivities(v[5], p, chi)
    by_plane = np.zeros((nz, 7))  # added up in order: the same sum for any number of threads
    for k in numba.prange(nz):
        _stage_plane(
            k + 1, v, base, rate, out, weight_stored, weight, store, scheme, p, D_C, chi, inv_h, clamp, by_plane[k]
        )
    for k in range(nz):
        clamped += by_plane[k]


@compiled
def _rate_plane(z: int, v: Array, out: Array, scheme: int, p: Parameters, D_C: Array, chi: Array, inv_h: Array) -> None:
    nx = v.shape[3] - 2
    scratch, r = np.empty(nx), np.empty((7, nx))
    for y in range(1, v.shape[2] - 1):
        _rate_row(scheme, v, chi, D_C, p, z, y, inv_h, scratch, r)
        for f in range(7):
            for i in range(nx):
                out[f, z - 1, y - 1, i] = r[f, i]


@compiled_for_threads
def explicit_rate(v: Array, out: Array, scheme: int, p: Parameters, D_C: Array, chi: Array, inv_h: Array) -> None:
    """Reactions and taxis of eqs (1)-(7) at v; `out` has no ghosts: (7, nz, ny, nx).  Otherwise as `explicit_stage`."""
    if p.chi_0 != 0.0:
        _sensitivities(v[5], p, chi)
    for k in numba.prange(out.shape[1]):
        _rate_plane(k + 1, v, out, scheme, p, D_C, chi, inv_h)


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
def _face_migration(
    scheme: int, left: tuple[float, float, float], right: tuple[float, float, float], inv_h: float
) -> tuple[float, float]:
    """`migration_weights` of the face between two cells given as (S, chi, D)."""
    v = _velocity(left[0], right[0], left[1], right[1], inv_h)
    return migration_weights(scheme, v, harmonic_mean(left[2], right[2]) * inv_h, 0.5)


@compiled
def migration_rows(
    values: Array,
    dt: float,
    scheme: int,
    S: Array,
    A: Array,
    p: Parameters,
    D_C: Array,
    chi: Array,
    inv_h: Array,
    walls: NDArray[np.bool_],
) -> None:
    """Entries of I - dt (div(D_C grad) - div(taxis)) for C, row by row: the cell, then x-, x+, y-, y+, z-, z+ of it.

    Neighbours beyond walls are left out.  Ghosts of S, A and D_C must be valid; `chi` is scratch.
    """
    nz, ny, nx = S.shape[0] - 2, S.shape[1] - 2, S.shape[2] - 2
    for z in range(nz + 2):
        for y in range(ny + 2):
            for x in range(nx + 2):
                chi[z, y, x] = chemotactic_sensitivity(A[z, y, x], p)
    place = 0
    for z in range(1, nz + 1):
        for y in range(1, ny + 1):
            for x in range(1, nx + 1):
                here = (S[z, y, x], chi[z, y, x], D_C[z, y, x])
                diagonal = place
                values[diagonal] = 1.0
                place += 1
                for side in range(6):
                    axis, shift = side // 2, 2 * (side % 2) - 1
                    i, j, k = x + shift * (axis == 0), y + shift * (axis == 1), z + shift * (axis == 2)
                    outside = i < 1 or i > nx or j < 1 or j > ny or k < 1 or k > nz
                    if outside and walls[side]:
                        continue
                    there = (S[k, j, i], chi[k, j, i], D_C[k, j, i])
                    if shift > 0:
                        out, into = _face_migration(scheme, here, there, inv_h[axis])
                    else:
                        into, out = _face_migration(scheme, there, here, inv_h[axis])
                    values[diagonal] += dt * inv_h[axis] * out
                    values[place] = -dt * inv_h[axis] * into
                    place += 1
