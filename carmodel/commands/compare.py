"""The difference of two runs, on the same grid or on different ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from ..results import open_volumes
from ..runs.volumes import BoxCells, MeshCells, Volumes
from ..tools.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How far A is from B over the times both have, for each field of `names`, shape (fields,).

    `relative_l2`: norm of the difference over norm of B, cells weighted by volume.  `relative_max`: largest difference
    over B's largest value.  Both over all cells and common times; zero where both fields are zero, inf where only B is.
    `how` says how the grids were brought together.
    """

    times: list[float]
    relative_l2: Array
    relative_max: Array
    how: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class CommonCells:
    """How A and B are brought onto common cells: maps of (fields, ...) to (fields, cells), and relative volumes."""

    how: str
    a: Callable[[Array], Array]
    b: Callable[[Array], Array]
    volumes: Array | float = 1.0


def compare(a: Path, b: Path) -> Difference:
    """Difference of two sets of volumes.

    Boxes of different cells are averaged, volumes kept, to the coarser cells along each axis.  With a mesh, A is
    sampled at the centres of B's cells, unless both are the same mesh.
    Raises InputError when either cannot be read, no time is common, or they cover different regions.
    """
    A, B = open_volumes(a), open_volumes(b)
    if not A.times or not B.times:
        raise InputError(f"{b if A.times else a}: has no saved times")
    slack = 1e-9 * max(map(abs, B.times))
    pairs = _common(A.times, B.times, slack)
    if not pairs:
        raise InputError(f"{a} and {b} have no time in common ({_span(A.times)} and {_span(B.times)})")
    try:
        common = common_cells(A, B)
    except ValueError as error:
        raise InputError(f"{a} and {b} {error}") from None
    of_a, of_b, names = _common_fields(A, B, f"{a} and {b}")
    squares, largest = np.zeros((2, 2, len(names)))
    with np.errstate(all="ignore"):  # what overflows is infinitely different
        for n, m in pairs:
            u, v = common.a(A.read(n))[of_a], common.b(B.read(m))[of_b]
            if u.shape != v.shape:
                raise InputError(f"{a} and {b}: grids do not match, {u.shape[1]} and {v.shape[1]} cells")
            for row, w in enumerate((u - v, v)):
                squares[row] += (w**2 * common.volumes).sum(axis=1)
                largest[row] = np.maximum(largest[row], np.abs(w).max(axis=1))
        ratios = _ratio(*np.sqrt(squares)), _ratio(*largest)
    return Difference([A.times[n] for n, _ in pairs], *ratios, common.how, names)


def _common_fields(A: Volumes, B: Volumes, where: str) -> tuple[list[int], list[int], tuple[str, ...]]:
    """Places in A and in B of the fields that both have, and their names; by place where a format has no names."""
    names_a, names_b = A.names(), B.names()
    if names_a is None or names_b is None:
        counts = len(A.read(0)), len(B.read(0))
        if counts[0] != counts[1]:
            raise InputError(f"{where}: have {counts[0]} and {counts[1]} fields; accepted: as many")
        return [*range(counts[0])], [*range(counts[0])], names_a or names_b or tuple(map(str, range(counts[0])))
    common = tuple(name for name in names_b if name in names_a)
    if not common:
        raise InputError(f"{where}: have no field in common: {', '.join(names_a)} and {', '.join(names_b)}")
    return [names_a.index(name) for name in common], [names_b.index(name) for name in common], common


def _common(one: list[float], other: list[float], slack: float) -> list[tuple[int, int]]:
    """Indices of the times of one that are among those of the other but for the slack, and of the first such there."""
    order = np.argsort(other, kind="stable")
    times = np.array(other)[order]
    places = np.searchsorted(times, np.array(one) - slack)
    return [(n, int(order[i])) for n, i in enumerate(places) if i < len(times) and times[i] <= one[n] + slack]


def common_cells(A: Volumes, B: Volumes) -> CommonCells:
    """Where to compare A and B.  Raises ValueError where they cover different regions."""
    a, b = A.cells(), B.cells()
    if a is None or b is None:
        return CommonCells("cell by cell", _flat, _flat)
    size = (b.high - b.low).max()
    if max(np.abs(a.low - b.low).max(), np.abs(a.high - b.high).max()) > 1e-6 * size:
        raise ValueError(f"cover different regions: {_region(a)} and {_region(b)}")
    if isinstance(a, BoxCells) and isinstance(b, BoxCells):
        if a.cells == b.cells:
            return CommonCells("cell by cell", _flat, _flat)
        common = tuple(map(min, a.cells, b.cells))
        how = f"averaged to {' x '.join(map(str, common))} cells"
        return CommonCells(how, _averaging(a.cells, common), _averaging(b.cells, common))
    centres, volumes = _centres(b)
    if isinstance(a, MeshCells):
        distance, nearest = cKDTree(a.centres).query(centres)
        same = len(a.centres) == len(centres) and distance.max() < 1e-9 * size
        return CommonCells(_how_sampled(same), lambda u: u[:, nearest], _flat, volumes)
    low, spacing = a.low, (a.high - a.low) / a.cells
    cell = np.clip(np.floor((centres - low) / spacing).astype(int), 0, np.array(a.cells) - 1)
    off_centre = np.abs(low + (cell + 0.5) * spacing - centres).max()
    same = np.prod(a.cells) == len(centres) and off_centre < 1e-9 * size
    i, j, k = cell.T
    return CommonCells(_how_sampled(same), lambda u: u[:, k, j, i], _flat, volumes)


def _how_sampled(same: bool) -> str:
    return "cell by cell" if same else "A sampled at the centres of B's cells"


def _flat(u: Array) -> Array:
    return u.reshape(len(u), -1)


def _averaging(cells: tuple[int, ...], common: tuple[int, ...]) -> Callable[[Array], Array]:
    """Means over the cells of a coarser box, of fields (fields, nz, ny, nx) on a finer one; keeps integrals exactly."""
    shares = [_overlaps(n, m) for n, m in zip(cells, common, strict=True)]

    def average(u: Array) -> Array:
        for axis, share in zip((3, 2, 1), shares, strict=True):
            u = np.moveaxis(u, axis, 0)
            means = share @ u.reshape(len(u), -1)
            u = np.moveaxis(means.reshape(-1, *u.shape[1:]), 0, axis)
        return _flat(u)

    return average


def _overlaps(fine: int, coarse: int) -> csr_array:
    """Share of each coarse cell of an interval that each fine one covers, shape (coarse, fine)."""
    # Both grids' borders, in whole numbers: the interval has fine * coarse parts.
    borders = np.union1d(np.arange(fine + 1) * coarse, np.arange(coarse + 1) * fine)
    starts, lengths = borders[:-1], np.diff(borders)
    return csr_array((lengths / fine, (starts // fine, starts // coarse)), shape=(coarse, fine))


def _centres(cells: BoxCells | MeshCells) -> tuple[Array, Array | float]:
    """Centres, shape (cells, 3) in the order of the flattened fields, and relative volumes."""
    if isinstance(cells, MeshCells):
        return cells.centres, cells.volumes / cells.volumes.mean()
    axes = [
        low + (np.arange(n) + 0.5) * (high - low) / n
        for low, high, n in zip(cells.low, cells.high, cells.cells, strict=True)
    ]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
    return np.column_stack([x.ravel(), y.ravel(), z.ravel()]), 1.0


def _ratio(difference: Array, size: Array) -> Array:
    safe = np.where(size > 0.0, size, 1.0)
    return np.where(size > 0.0, difference / safe, np.where(difference == 0.0, 0.0, np.inf))


def _span(times: list[float]) -> str:
    return f"{min(times):g} to {max(times):g} in {len(times)}"


def _region(cells: BoxCells | MeshCells) -> str:
    return " x ".join(f"[{low:.4g}, {high:.4g}]" for low, high in zip(cells.low, cells.high, strict=True))
