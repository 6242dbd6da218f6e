"""Shares of a box's cells and faces that lie inside a surface: exact where a level set is linear in each small cell.

A level set is negative inside, zero on the surface.  It is given at the corners of small cells, so many along each
edge of a cell of the box.  In a small cell it is taken for the linear function that fits its corners best; the share of
a unit cube below a linear function is an integral over the two short axes of its clipped height along the steepest one.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Below this slope an integral is taken by quadrature: the closed form would be a difference of nearly equal numbers.
FLAT = 1e-2

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


def _clipped_integral(start: Array, slope: Array) -> Array:
    """Of clip(start + slope x, 0, 1) over x from 0 to 1."""

    def antiderivative(s: Array) -> Array:
        inside = np.clip(s, 0.0, 1.0)
        return np.asarray(0.5 * inside * inside + np.maximum(s - 1.0, 0.0))

    steep = np.abs(slope) > FLAT
    divisor = np.where(steep, slope, 1.0)
    closed = (antiderivative(start + slope) - antiderivative(start)) / divisor
    by_nodes = sum(w * np.clip(start + x * slope, 0.0, 1.0) for x, w in zip(_NODES, _WEIGHTS, strict=True))
    return np.where(steep, closed, by_nodes)


def shares_below(mean: Array, slopes: Array) -> Array:
    """Shares of unit squares or cubes where mean + slopes . (x - 1/2) < 0, slopes of shape (2 or 3, ...)."""
    found = (mean < 0.0).astype(float)
    cut = np.abs(mean) < 0.5 * np.abs(slopes).sum(axis=0)
    found[cut] = _cut_shares(mean[cut], slopes[:, cut])
    return found


def _cut_shares(mean: Array, slopes: Array) -> Array:
    order = np.sort(np.abs(slopes), axis=0)
    # Height of the surface along the steepest axis, 0 to 1, over the lowest corner of the others.
    relative = order[:-1] / order[-1]
    start = 0.5 - mean / order[-1] - 0.5 * relative.sum(axis=0)
    if len(relative) == 1:
        return _clipped_integral(start, relative[0])
    least, middle = relative
    parts = zip(_NODES, _WEIGHTS, strict=True)
    return np.asarray(sum(w * _clipped_integral(start + x * least, middle) for x, w in parts))


def _fitted(level: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and slopes of the linear functions that fit the corners of small cells along some axes."""
    mean = level
    for axis in axes:
        mean = 0.5 * (_low(mean, axis) + _high(mean, axis))
    slopes = []
    for along in axes:
        slope = _high(level, along) - _low(level, along)
        for axis in axes:
            if axis != along:
                slope = 0.5 * (_low(slope, axis) + _high(slope, axis))
        slopes.append(slope)
    return mean, np.stack(slopes)


def _low(values: Array, axis: int) -> Array:
    return np.take(values, range(values.shape[axis] - 1), axis)


def _high(values: Array, axis: int) -> Array:
    return np.take(values, range(1, values.shape[axis]), axis)


def _averaged(values: Array, parts: int, axes: tuple[int, ...]) -> Array:
    """Means over so many values along some axes."""
    for axis in axes:
        shape = list(values.shape)
        shape[axis : axis + 1] = [shape[axis] // parts, parts]
        values = values.reshape(shape).mean(axis=axis + 1)
    return values


def volume_shares(level: Array, parts: int) -> Array:
    """Of cells, shape (nz, ny, nx), from a level set at the corners of `parts`^3 small cells in each.

    `level`: shape (parts nz + 1, parts ny + 1, parts nx + 1).
    """
    return _averaged(shares_below(*_fitted(level, (0, 1, 2))), parts, (0, 1, 2))


def area_shares(level: Array, parts: int, axis: int) -> Array:
    """Of the faces across an axis of the array, one more along it than cells; `level` as in `volume_shares`."""
    across = tuple(a for a in range(3) if a != axis)
    on_faces = np.take(level, range(0, level.shape[axis], parts), axis)
    return _averaged(shares_below(*_fitted(on_faces, across)), parts, across)
