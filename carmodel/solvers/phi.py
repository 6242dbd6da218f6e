"""The phi functions of exponential integrators, and the stages made of them, among the cosines of a box.

phi_1(z) = (e^z - 1) / z, phi_(k+1)(z) = (phi_k(z) - 1/k!) / z (Hochbruck and Ostermann 2010, doi
10.1017/S0962492910000048).  They are taken anew in every cell: a table of them would be larger than the state.
Rows along x are handled one loop at a time, because loops without branches run in vector registers.
"""

from math import factorial

import numba
import numpy as np
from numpy.typing import NDArray

from ..tools.compiled import compiled, compiled_for_threads

Array = NDArray[np.float64]

#: Below 0 and above this, phi functions come from their series: differences would cancel.
NEAR = -0.5

#: Taylor coefficients of phi_3 from the highest power on, as many as count at `NEAR`.
_SERIES = tuple(1.0 / factorial(k + 3) for k in range(12, -1, -1))

#: What `combine` computes.
SECOND, THIRD, FOURTH, STEP = 2, 3, 4, 5


@compiled
def phi_functions(z: Array, exp_z: Array, phi_1: Array, phi_2: Array, phi_3: Array) -> None:
    """phi_1, phi_2 and phi_3 of a row z <= 0, to rounding; `exp_z` is e^z."""
    for i in range(z.size):
        near = z[i] > NEAR
        small = z[i] if near else 0.0
        inverse = 1.0 / (-1.0 if near else z[i])
        series = 0.0
        for coefficient in _SERIES:
            series = series * small + coefficient
        first = (exp_z[i] - 1.0) * inverse
        second = (first - 1.0) * inverse
        phi_3[i] = series if near else (second - 0.5) * inverse
        phi_2[i] = small * series + 0.5 if near else second
        phi_1[i] = small * (small * series + 0.5) + 1.0 if near else first


@compiled
def _row_functions(dt_D: float, across: float, along: Array, functions: Array) -> None:
    """e^z, phi_1, phi_2 and phi_3 of z = -dt_D (across + along) in the first four rows of `functions`; z in the fifth.

    The exponential is that of a sum, so that most of it is taken once a row.
    """
    of_row = np.exp(-dt_D * across)
    for i in range(along.size):
        functions[4, i] = -dt_D * (across + along[i])
        functions[0, i] = of_row * functions[5, i]
    phi_functions(functions[4], functions[0], functions[1], functions[2], functions[3])


@compiled_for_threads
def combine(
    what: int,
    dt: float,
    D: Array,
    eigenvalues: tuple[Array, Array, Array],
    cosines: tuple[Array, Array, Array, Array],
    out: Array,
    functions: Array,
) -> None:
    """A stage, or the step, of Krogstad's method (`Exponential`) from the `cosines` of the state and of three rates.

    `what`: SECOND, THIRD or FOURTH stage (with the latter `N_2` grows by `N_3`), or the whole STEP, from N_1, N_2 + N_3
    and N_4 in the place of `N_3`.  `D`: diffusivities, shape (fields,); `eigenvalues`: those of `CosineTransform`;
    fields of cosines have shape (fields, nz, ny, nx).  `functions`: scratch, shape (fields nz, 6, nx).
    """
    (x, y, z), (u, N_1, N_2, N_3) = eigenvalues, cosines
    planes = u.shape[1]
    for plane in numba.prange(u.shape[0] * planes):
        f, k = plane // planes, plane % planes
        row = functions[plane]
        h = 0.5 * dt if what < FOURTH else dt
        for i in range(x.size):
            row[5, i] = np.exp(-h * D[f] * x[i])
        for j in range(y.size):
            _row_functions(h * D[f], z[k] + y[j], x, row)
            e, p_1, p_2, p_3 = row[0], row[1], row[2], row[3]
            U, R_1, R_2, R_3, result = u[f, k, j], N_1[f, k, j], N_2[f, k, j], N_3[f, k, j], out[f, k, j]
            if what == SECOND:
                for i in range(x.size):
                    result[i] = e[i] * U[i] + h * p_1[i] * R_1[i]
            elif what == THIRD:
                for i in range(x.size):
                    result[i] = e[i] * U[i] + h * (p_1[i] - 2.0 * p_2[i]) * R_1[i] + dt * p_2[i] * R_2[i]
            elif what == FOURTH:
                for i in range(x.size):
                    result[i] = e[i] * U[i] + dt * ((p_1[i] - 2.0 * p_2[i]) * R_1[i] + 2.0 * p_2[i] * R_3[i])
                    R_2[i] += R_3[i]
            else:
                for i in range(x.size):
                    last = 4.0 * p_3[i] - p_2[i]
                    middle = 2.0 * p_2[i] - 4.0 * p_3[i]
                    first = p_1[i] - 3.0 * p_2[i] + 4.0 * p_3[i]
                    result[i] = e[i] * U[i] + dt * (first * R_1[i] + middle * R_2[i] + last * R_3[i])


@compiled_for_threads
def squared_errors(
    dt: float,
    D: Array,
    eigenvalues: tuple[Array, Array, Array],
    rates: tuple[Array, Array],
    sums: Array,
    functions: Array,
) -> None:
    """Sums over planes of the squared difference between `STEP` and its embedded method; arguments as in `combine`.

    The embedded method is of third order: the rate after the step, the second of `rates`, in the place of that in the
    fourth stage, the first.  `sums` has shape (fields, nz).
    """
    (x, y, z), (N_4, N_5) = eigenvalues, rates
    planes = N_4.shape[1]
    for plane in numba.prange(N_4.shape[0] * planes):
        f, k = plane // planes, plane % planes
        row = functions[plane]
        for i in range(x.size):
            row[5, i] = np.exp(-dt * D[f] * x[i])
        total = 0.0
        for j in range(y.size):
            _row_functions(dt * D[f], z[k] + y[j], x, row)
            for i in range(x.size):
                error = dt * (4.0 * row[3, i] - row[2, i]) * (N_4[f, k, j, i] - N_5[f, k, j, i])
                total += error * error
        sums[f, k] = total
