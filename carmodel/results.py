"""Opens what a run wrote: volumes, time series, line profiles.  Also the published program's CSV and `.npz` sets."""

import csv
import json
import os
import re
import tomllib
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from . import FIELDS
from .errors import InputError
from .locks import is_held
from .parameters import TABLE_1, Entry
from .vtkfile import read_vtk

Array = NDArray[np.float64]
Found = TypeVar("Found")


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

    `read(n)` gives those of `times[n]`: shape (7, nz, ny, nx) on a box, (7, cells) on a mesh.  `cells()` says where
    they are; None in formats that do not.
    """

    times: list[float]
    read: Callable[[int], Array]
    cells: Callable[[], BoxCells | MeshCells | None]


class _Told(dict[str, Any]):
    """What a file of a run says, its tables too; asking for what it does not is the user's to mend."""

    def __init__(self, told: dict[str, Any], file: Path, above: str = "") -> None:
        tables = {key: _Told(value, file, f"{above}{key}.") for key, value in told.items() if isinstance(value, dict)}
        super().__init__(told | tables)
        self._file, self._above = file, above

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self._file}: no {self._above}{key}; accepted: what a run writes")


def is_run_directory(folder: Path) -> bool:
    """Whether a folder has a manifest.  Raises InputError where it cannot be looked into."""
    try:
        return (folder / "manifest.json").is_file()
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; accepted: a run directory") from None


class RunDirectory:
    """A run directory.

    Raises InputError when the folder is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not is_run_directory(folder):
            raise InputError(f"{folder}: not a run directory (no manifest.json)")

    @property
    def manifest(self) -> dict[str, Any]:
        """Versions, grid, wall times and counts of the run."""
        try:
            manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder}/manifest.json: cannot be read: {error}") from None
        if not isinstance(manifest, dict):
            raise InputError(
                f"{self.folder}/manifest.json: holds {type(manifest).__name__}; accepted: what a run writes"
            )
        return _Told(manifest, self.folder / "manifest.json")

    @property
    def settings(self) -> dict[str, Any]:
        """The run file with every default, `run.toml`."""
        try:
            tables = tomllib.loads((self.folder / "run.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder}/run.toml: cannot be read: {error}") from None
        return _Told(tables, self.folder / "run.toml")

    @property
    def parameters(self) -> dict[str, tuple[Any, Entry]]:
        """Values at the start by name, beside the paper's rows; a number, or where D_C varies its source."""
        given = self.settings["parameters"]
        return {name: (given[name], entry) for name, entry in TABLE_1.items() if name in given}

    @property
    def status(self) -> str:
        """The manifest's `status`, but "killed: ..." where that is "running" and the process is gone."""
        manifest = self.manifest
        status, process, host = str(manifest["status"]), manifest.get("pid"), manifest.get("host")
        if status != "running":
            return status
        running = is_held(self.folder / "run.toml")
        if running is None:  # without locks only the process itself can be looked for, and only from its machine
            running = host != os.uname().nodename or _is_alive(process)
        return status if running else f"killed: process {process} on {host} is gone, last update {manifest['updated']}"

    @property
    def cut_off(self) -> list[str]:
        """What is not whole, a line each: `series` and `line` leave the end of such a table out."""
        found = []
        for name in ("series.csv", "line.csv"):
            with suppress(OSError), (self.folder / name).open("rb") as file:
                if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                    found.append(f"{name}: its last row is incomplete and left out")
        with suppress(InputError):
            counts = np.unique(_columns(self.folder / "line.csv", "t", of_run=True)["t"], return_counts=True)[1]
            if counts[-1] < counts[0]:
                found.append(f"line.csv: the last time has {counts[-1]} of {counts[0]} points and is left out")
        return found + self._missing_volumes()

    def _missing_volumes(self) -> list[str]:
        """Volumes that `fields.pvd` names and that are not there."""
        if not (index := self.folder / "fields.pvd").is_file():
            return []
        files = saved_files(index)[1]
        missing = [file for file in files if not file.is_file()]
        return [f"fields.pvd: {len(missing)} of {len(files)} volumes are missing"] if missing else []

    @property
    def series(self) -> dict[str, Array]:
        """Columns of `series.csv` by name: t, dt, mean_C, min_C, max_C, total_C, clamped_C, ..."""
        kinds = ("mean", "min", "max", "total", "clamped")
        names = (f"{kind}_{field}" for kind in kinds for field in FIELDS)
        return _columns(self.folder / "series.csv", "t", "dt", *names, of_run=True)

    @property
    def line(self) -> dict[str, Array]:
        """Columns of `line.csv`: t has shape (times,), s (cells,), the fields C, E, ... (times, cells)."""
        columns = _columns(self.folder / "line.csv", "t", "s", *FIELDS, of_run=True)
        times, first, counts = np.unique(columns["t"], return_index=True, return_counts=True)
        if len(counts) > 1 and counts[-1] < counts[0]:  # the run ended within the last one
            columns = {name: values[: first[-1]] for name, values in columns.items()}
            times, first, counts = times[:-1], first[:-1], counts[:-1]
        if np.ptp(counts):
            raise InputError(
                f"{self.folder / 'line.csv'}: holds {min(counts)} to {max(counts)} points a time; one number"
            )
        shape = (len(times), counts[0])
        fields = {field: columns[field].reshape(shape) for field in FIELDS}
        return {"t": columns["t"][first], "s": columns["s"][: shape[1]], **fields}

    @property
    def whole_series(self) -> dict[str, Array]:
        """`series` of a finished run.  Raises InputError where some of it is cut off."""
        return self._whole("series.csv", self.series)

    @property
    def whole_line(self) -> dict[str, Array]:
        """`line` of a finished run.  Raises InputError where some of it is cut off."""
        return self._whole("line.csv", self.line)

    def _whole(self, name: str, columns: dict[str, Array]) -> dict[str, Array]:
        """Columns whose times go from 0 to the end of the run: what is cut off is neither judged nor drawn."""
        t, end = columns["t"], self.settings["time"]["end"]
        if not (t[0] == 0.0 and abs(t[-1] - end) <= 1e-9 * end and (np.diff(t) >= 0.0).all()):
            raise InputError(
                f"{self.folder / name}: is damaged; accepted: times that grow from 0 to {end:g}, the run's end"
            )
        return columns

    @property
    def volumes(self) -> Volumes:
        """The saved volumes: VTK, or the CSV files of a run that wrote no VTK."""
        index = self.folder / "fields.pvd"
        return _vtk_volumes(index) if index.is_file() else _csv_volumes(_csv_files(self.folder / "csv"))


def _is_alive(process: object) -> bool:
    try:
        os.kill(int(str(process)), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def open_volumes(path: Path) -> Volumes:
    """Volumes of a run directory, of published-format CSV (a file or a folder of them), or of an `.npz` with t and u.

    Raises InputError when the path is none of these.
    """
    if path.is_dir():
        return RunDirectory(path).volumes if is_run_directory(path) else _csv_volumes(_csv_files(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".npz":
        return _npz_volumes(path)
    return _csv_volumes([path])


def _columns(path: Path, *names: str, of_run: bool = False) -> dict[str, Array]:
    """Columns of a table by name; those of `names` are among them.

    `of_run`: a run wrote it, so a last row without its end is cut off and left out.
    """
    try:
        with path.open(newline="", encoding="ascii") as file, warnings.catch_warnings():
            warnings.filterwarnings("error", "loadtxt: input contained no data", UserWarning)
            text = file.read()
            rows = StringIO(text[: text.rfind("\n") + 1] if of_run else text)
            header = next(csv.reader(rows))
            values = np.loadtxt(rows, delimiter=",", ndmin=2)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, StopIteration, UserWarning) as error:
        raise InputError(f"{path}: cannot be read as a table: {str(error) or 'it is empty'}") from None
    if values.shape[1:] != (len(header),):
        raise InputError(f"{path}: {values.shape[-1]} columns under a header of {len(header)}")
    if missing := [name for name in names if name not in header]:
        raise InputError(f"{path}: no column {missing[0]}; accepted: what a run writes")
    return dict(zip(header, values.T, strict=True))


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
        entries = ElementTree.parse(index).findall("./Collection/DataSet")
        times = [float(entry.attrib["timestep"]) for entry in entries]
        return times, [index.parent / entry.attrib["file"] for entry in entries]
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
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
        if missing := [field for field in FIELDS if field not in found.cell_data]:
            raise InputError(f"{files[n]}: no cell data {missing[0]}; accepted: {', '.join(FIELDS)}")
        return found

    return times, _alike(dataset, _counts, files)


def _counts(dataset: Any) -> tuple[int, ...]:
    """Cells along x, y, z of an image, or of a mesh in all."""
    return tuple(n - 1 for n in dataset.dimensions) if hasattr(dataset, "dimensions") else (dataset.n_cells,)


def _vtk_volumes(index: Path) -> Volumes:
    times, dataset = saved_datasets(index)

    def read(n: int) -> Array:
        found = dataset(n)
        fields = np.stack([np.asarray(found.cell_data[field]) for field in FIELDS])
        if hasattr(found, "dimensions"):
            return fields.reshape(len(FIELDS), *reversed(_counts(found)))
        return fields

    def cells() -> BoxCells | MeshCells:
        found = dataset(0)
        low, high = np.array(found.bounds).reshape(3, 2).T
        if hasattr(found, "dimensions"):
            nx, ny, nz = _counts(found)
            return BoxCells((nx, ny, nz), low, high)
        volumes = found.compute_cell_sizes(length=False, area=False).cell_data["Volume"]
        return MeshCells(np.asarray(found.cell_centers().points), np.asarray(volumes), low, high)

    return Volumes(times, read, cells)


def _csv_files(folder: Path) -> list[Path]:
    def number(path: Path) -> tuple[int, str]:
        digits = re.findall(r"\d+", path.stem)
        return (int(digits[-1]) if digits else 0, path.name)

    files = sorted(folder.glob("*.csv"), key=number)
    if not files:
        raise InputError(f"{folder}: neither a run directory nor a folder of CSV files")
    return files


def _csv_volumes(files: list[Path]) -> Volumes:
    def read(n: int) -> Array:
        columns = _columns(files[n])
        if missing := [name for name in ("t", "i", "j", "k", *FIELDS) if name not in columns]:
            raise InputError(f"{files[n]}: no column {missing[0]}; accepted: t,i,j,k,x,y,z,{','.join(FIELDS)}")
        numbers = np.stack([columns[name] for name in "ijk"])
        if not ((numbers >= 0) & (numbers < 2**31) & (numbers == np.floor(numbers))).all():
            raise InputError(f"{files[n]}: i, j, k are not all whole numbers from 0 on")
        i, j, k = numbers.astype(int)
        shape = (k.max() + 1, j.max() + 1, i.max() + 1)
        if len(i) != np.prod(shape):
            raise InputError(f"{files[n]}: {len(i)} rows for {shape[2]} x {shape[1]} x {shape[0]} nodes")
        whole = np.full((len(FIELDS), *shape), np.nan)
        whole[:, k, j, i] = [columns[field] for field in FIELDS]
        return whole

    def cells() -> BoxCells:
        columns = _columns(files[0])
        ends = np.array([[columns[name].min(), columns[name].max()] for name in "xyz"])
        n = np.array([int(columns[name].max()) + 1 for name in "ijk"])
        # One cell alone does not say how large it is.
        half = np.where(n > 1, (ends[:, 1] - ends[:, 0]) / np.maximum(2 * (n - 1), 1), 0.5)
        return BoxCells((int(n[0]), int(n[1]), int(n[2])), ends[:, 0] - half, ends[:, 1] + half)

    return Volumes([_first_time(path) for path in files], _alike(read, lambda u: u.shape[:0:-1], files), cells)


def _first_time(path: Path) -> float:
    try:
        with path.open(encoding="ascii") as file:
            header, row = next(file).strip().split(","), next(file).split(",")
        return float(row[header.index("t")])
    except (OSError, ValueError, StopIteration, IndexError):
        raise InputError(f"{path}: not a CSV file with a column t") from None


def _npz_volumes(path: Path) -> Volumes:
    try:
        with np.load(path, allow_pickle=False) as data:
            times, u = data["t"], data["u"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not an .npz with t and u: {error}") from None
    if u.ndim != 5 or u.shape[:2] != (len(times), len(FIELDS)):
        raise InputError(f"{path}: u has shape {u.shape}; accepted: (times, {len(FIELDS)}, nz, ny, nx)")
    return Volumes([float(t) for t in times], lambda n: np.asarray(u[n], float), lambda: None)
