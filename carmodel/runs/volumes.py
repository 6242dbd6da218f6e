"""The volumes that a run saved: VTK files below a ParaView collection, the published program's CSV, `.npz` sets."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import isfinite, prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..tools.csvfile import read_columns, read_first
from ..tools.errors import InputError
from ..tools.files import INDEX_BYTES, open_regular
from ..tools.npzfile import read_arrays
from ..tools.vtkheader import inside
from ..tools.vtkreader import read_vtk
from ..tools.xmltree import parse

Array = NDArray[np.float64]

#: Centres of cells so close, in sizes of the mesh, are those of one cell.
NEAR = 1e-6

#: Columns of the published format beside the fields: time, indices and coordinates.
PLACES = tuple("tijkxyz")
Found = TypeVar("Found")

#: VTK's array of cells that are not shown, and its value for them: those outside of a domain.
HIDDEN, HIDDEN_CELL = "vtkGhostType", 32


@dataclass(frozen=True)
class BoxCells:
    """Cells of a uniform box: how many along x, y, z, and where the box begins and ends, in cm."""

    cells: tuple[int, int, int]
    low: Array
    high: Array


@dataclass(frozen=True)
class MeshCells:
    """Cells of a mesh: centres of shape (cells, 3), volumes (cells,), and the box around them."""

    centres: Array
    volumes: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Volumes:
    """Fields at the saved times.

    `read(n)` gives those of `times[n]`: shape (fields, nz, ny, nx) on a box, (fields, cells) on a mesh.  `cells()` says
    where they are; None in formats that do not.  `names()` are those of the fields; None in formats without names.
    """

    times: list[float]
    read: Callable[[int], Array]
    cells: Callable[[], BoxCells | MeshCells | None]
    names: Callable[[], tuple[str, ...] | None] = lambda: None


def _alike(
    read: Callable[[int], Found], cells: Callable[[Found], tuple[int, ...]], files: list[Path]
) -> Callable[[int], Found]:
    """Read as before, and refuse a volume of other cells than the first has."""

    @cache
    def expected() -> tuple[int, ...]:
        return cells(read(0))

    def checked(n: int) -> Found:
        volume = read(n)
        if n and cells(volume) != expected():
            found, first = (" x ".join(map(str, counts)) for counts in (cells(volume), expected()))
            raise InputError(f"{files[n]}: has {found} cells; accepted: {first}, as {files[0]} has")
        return volume

    return checked


def saved_files(index: Path) -> tuple[list[float], list[Path]]:
    """Times and files of a ParaView collection.  Raises InputError where it is none."""
    try:
        with open_regular(index, INDEX_BYTES) as file:
            root = parse(file)
        entries = [entry for collection in root.all("Collection") for entry in collection.all("DataSet")]
        times = [float(entry.attributes["timestep"]) for entry in entries]
        if not all(map(isfinite, times)):
            raise ValueError("times that are not finite")
        return times, [inside(index.parent, entry.attributes["file"]) for entry in entries]
    except (KeyError, ValueError) as error:
        raise InputError(f"{index}: cannot be read as a ParaView collection: {error}") from None


def saved_datasets(index: Path) -> tuple[list[float], Callable[[int], Any]]:
    """Times of a ParaView collection, and what reads the n-th one's pyvista dataset, the fields as cell data.

    Raises InputError, now or when one is read, where a file is not what a run writes.
    """
    times, files = saved_files(index)

    def dataset(n: int) -> Any:
        try:
            found = read_vtk(files[n])
        except ValueError as error:
            raise InputError(f"{files[n]}: {error}") from None
        if not _fields(found):
            raise InputError(f"{files[n]}: no cell data; accepted: fields of one number a cell")
        if n and (missing := [name for name in _fields(dataset(0)) if name not in _fields(found)]):
            raise InputError(f"{files[n]}: no cell data {missing[0]}; accepted: the fields of {files[0]}")
        if min(_counts(found)) < 1 or not np.isfinite(found.bounds).all():
            raise InputError(f"{files[n]}: is flat, empty or endless; accepted: what a run writes")
        return found

    return times, _alike(dataset, _counts, files)


def _fields(dataset: Any) -> tuple[str, ...]:
    """Names of the cell data that are one number a cell, in the file's order."""
    names = dataset.cell_data.keys()
    return tuple(name for name in names if name != HIDDEN and np.ndim(dataset.cell_data[name]) == 1)


def _counts(dataset: Any) -> tuple[int, ...]:
    """Cells along x, y, z of an image, or of a mesh in all."""
    return tuple(n - 1 for n in dataset.dimensions) if hasattr(dataset, "dimensions") else (dataset.n_cells,)


def vtk_volumes(index: Path) -> Volumes:
    """Volumes below a ParaView collection."""
    times, dataset = saved_datasets(index)

    def read(n: int) -> Array:
        found = dataset(n)
        fields = np.stack([np.asarray(found.cell_data[name]) for name in names()])
        if hasattr(found, "dimensions"):
            return fields.reshape(len(fields), *reversed(_counts(found)))
        return fields[:, _places(centres(), _centres(found), files[n])]

    files = saved_files(index)[1]

    @cache
    def centres() -> Array:
        return _centres(dataset(0))

    @cache
    def names() -> tuple[str, ...]:
        return _fields(dataset(0))

    def cells() -> BoxCells | MeshCells:
        found = dataset(0)
        low, high = np.array(found.bounds).reshape(3, 2).T
        if hasattr(found, "dimensions"):
            nx, ny, nz = _counts(found)
            return BoxCells((nx, ny, nz), low, high)
        volumes = np.asarray(found.compute_cell_sizes(length=False, area=False).cell_data["Volume"])
        if not (np.isfinite(volumes).all() and volumes.min() > 0.0):
            raise InputError(f"{index}: has cells without a volume; accepted: what a run writes")
        return MeshCells(centres(), volumes, low, high)

    return Volumes(times, read, cells, names)


def _centres(mesh: Any) -> Array:
    """Centres of a mesh's cells, shape (cells, 3)."""
    return np.asarray(mesh.cell_centers().points)


def _places(first: Array, centres: Array, file: Path) -> NDArray[np.int64]:
    """Where the cells of the first volume stand in another one: on other ranks a run has gone on in another order.

    Raises InputError where they are other cells.
    """
    if np.array_equal(first, centres):
        return np.arange(len(first))
    distances, places = cKDTree(centres).query(first)
    if distances.max() > NEAR * np.ptp(first, axis=0).max() or len(np.unique(places)) < len(places):
        raise InputError(f"{file}: has other cells than the first volume; accepted: the same ones, in any order")
    return np.asarray(places)


def csv_files(folder: Path) -> list[Path]:
    """The CSV files of a folder by the numbers in their names.  Raises InputError where there are none."""

    def number(path: Path) -> tuple[int, str]:
        digits = re.findall(r"\d+", path.stem)
        return (int(digits[-1]) if digits else 0, path.name)

    files = sorted(folder.glob("*.csv"), key=number)
    if not files:
        raise InputError(f"{folder}: neither a run directory nor a folder of CSV files")
    return files


def csv_volumes(files: list[Path]) -> Volumes:
    """Volumes of files in the published format."""

    def read(n: int) -> Array:
        columns, (nx, ny, nz) = _nodes(files[n], *(names() if n else ()))
        i, j, k = (columns[name].astype(int) for name in "ijk")
        whole = np.full((len(names()), nz, ny, nx), np.nan)
        whole[:, k, j, i] = [columns[field] for field in names()]
        return whole

    @cache
    def names() -> tuple[str, ...]:
        return tuple(name for name in _nodes(files[0])[0] if name not in PLACES)

    def cells() -> BoxCells:
        columns, n = _nodes(files[0])
        ends = np.array([[columns[name].min(), columns[name].max()] for name in "xyz"])
        # One cell alone does not say how large it is.
        half = np.where(np.array(n) > 1, (ends[:, 1] - ends[:, 0]) / np.maximum(2 * (np.array(n) - 1), 1), 0.5)
        if not (np.isfinite(ends).all() and half.min() > 0.0):
            raise InputError(f"{files[0]}: x, y, z are not those of a box")
        return BoxCells(n, ends[:, 0] - half, ends[:, 1] + half)

    times = [read_first(path, "t") for path in files]
    return Volumes(times, _alike(read, lambda u: u.shape[:0:-1], files), cells, names)


def _nodes(path: Path, *fields: str) -> tuple[dict[str, Array], tuple[int, int, int]]:
    """Columns of a file in the published format, a row a node, and how many nodes there are along x, y, z."""
    columns = read_columns(path, *PLACES, *fields)
    if len(columns) == len(PLACES):
        raise InputError(f"{path}: no fields beside {', '.join(PLACES)}")
    numbers = np.stack([columns[name] for name in "ijk"])
    if not ((numbers >= 0) & (numbers < 2**31) & (numbers == np.floor(numbers))).all():
        raise InputError(f"{path}: i, j, k are not all whole numbers from 0 on")
    nx, ny, nz = (int(largest) + 1 for largest in numbers.max(axis=1))
    if numbers.shape[1] != prod((nx, ny, nz)):
        raise InputError(f"{path}: {numbers.shape[1]} rows for {nx} x {ny} x {nz} nodes")
    return columns, (nx, ny, nz)


def npz_volumes(path: Path) -> Volumes:
    """Volumes of an `.npz` with times t, shape (times,), and fields u, shape (times, fields, nz, ny, nx)."""
    try:
        times, u = read_arrays(path, "t", "u")
    except ValueError as error:
        raise InputError(f"{path}: not an .npz with t and u: {error}") from None
    if u.ndim != 5 or times.ndim != 1 or len(u) != len(times) or not u.size:
        raise InputError(f"{path}: u has shape {u.shape}; accepted: (times, fields, nz, ny, nx)")
    if not np.isfinite(times).all():
        raise InputError(f"{path}: t has values that are not finite")
    return Volumes(times.tolist(), lambda n: np.asarray(u[n]), lambda: None, lambda: None)
