"""Opens what a run wrote: its manifest, time series, line profiles and volumes."""

import os
from collections import namedtuple
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError, model_validator

from .model import Entry, Model, Species, nothing
from .models import DEFAULT, named
from .runs import directory
from .runs.volumes import Volumes, csv_files, csv_volumes, npz_volumes, saved_files, vtk_volumes
from .scenario.reading import read, validated
from .scenario.scenario import Scenario
from .tools.csvfile import KINDS, read_columns
from .tools.documents import read_json
from .tools.errors import InputError
from .tools.files import TABLE_BYTES, open_regular
from .tools.locks import is_held

Array = NDArray[np.float64]

#: Larger numbers are in no table of a run that can be judged or drawn.
LARGEST = 1e100


class _Part(BaseModel):
    """A table of a manifest, with more in it than is read."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Grid(_Part):
    kind: Literal["box", "mesh"] = "box"
    cells: int | list[int] = 0


class _Event(_Part):
    event: str = ""
    time: FiniteFloat = 0.0
    amount: FiniteFloat = 0.0


class _Manifest(_Part):
    """The types of what is read of a manifest, where it is there; `output/manifest.py` writes it."""

    carmodel: str = ""
    git_revision: str | None = None
    started: str = ""
    updated: str = ""
    host: str = ""
    pid: int = 0
    system: str = ""
    versions: dict[str, str] = {}
    ranks: int = 1
    petsc_options: dict[str, str | None] = {}
    grid: _Grid = _Grid()
    status: str = ""
    t: FiniteFloat = 0.0
    steps: int = 0
    rejected_steps: int = 0
    wall_seconds: dict[str, FiniteFloat] = {}
    linear_iterations: dict[str, int] = {}
    warnings: list[str] = []
    events: list[_Event] = []


class _Entry(_Part):
    description: str
    unit: str
    value: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    source: str


class _Model(_Part):
    name: str
    fields: dict[str, str] = {}
    tumour: list[str]
    cart: list[str]
    diffusivity: dict[str, str]


class _Package(_Part):
    """What is read of a data package; `output/data_package.py` writes it."""

    units: dict[str, str]
    model: _Model
    parameters: dict[str, _Entry]

    @model_validator(mode="after")
    def _of_these_fields(self) -> Self:
        for what, names in (("tumour", self.model.tumour), ("cart", self.model.cart)):
            if unknown := [name for name in names if name not in self.units]:
                raise ValueError(f"model.{what} has {unknown[0]!r}, which is no field")
        return self

    def described(self, preset: str) -> Model:
        """Names, units, roles and tables of a model, without its equations."""
        return _described(self.model_dump_json(), preset)


@cache  # models and their types are kept for ever: one for all runs of a kind
def _described(text: str, preset: str) -> Model:
    package = _Package.model_validate_json(text)
    given, units = package.model, package.units
    table = {name: Entry(**dict(entry)) for name, entry in package.parameters.items()}
    Fields: Any = namedtuple("Fields", units)  # type: ignore[misc]
    Parameters: Any = namedtuple("Parameters", table)  # type: ignore[misc]
    return Model(
        given.name,
        Fields,
        Parameters,
        {name: Species(given.fields.get(name, ""), unit) for name, unit in units.items()},
        table,
        presets={preset: Parameters(*[entry.value for entry in table.values()])},
        sources=nothing,
        sinks=nothing,
        diffusivity=given.diffusivity,
        tumour=tuple(given.tumour),
        cart=tuple(given.cart),
    )


class _Document(dict[str, Any]):
    """What a file of a run says, its tables too; asking for what it does not is an InputError."""

    def __init__(self, given: dict[str, Any], file: Path, above: str = "") -> None:
        super().__init__({key: self._inside(value, file, f"{above}{key}.") for key, value in given.items()})
        self._file, self._above = file, above

    @classmethod
    def _inside(cls, value: Any, file: Path, above: str) -> Any:
        if isinstance(value, list):
            return [cls._inside(part, file, f"{above}{n}.") for n, part in enumerate(value)]
        return cls(value, file, above) if isinstance(value, dict) else value

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self._file}: no {self._above}{key}; accepted: what a run writes")


def is_run_directory(folder: Path) -> bool:
    """Whether a folder has a manifest.  Raises InputError where it cannot be looked into."""
    try:
        return (folder / directory.MANIFEST).is_file()
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
        file = self.folder / directory.MANIFEST
        try:
            given = read_json(file)
            if not isinstance(given, dict):
                raise InputError(f"{file}: holds {type(given).__name__}; accepted: what a run writes")
            manifest = _Manifest.model_validate(given).model_dump(exclude_unset=True)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise InputError(f"{file}: {key}: {problem['msg']}; accepted: what a run writes") from None
        except ValueError as error:
            raise InputError(f"{file}: cannot be read: {error}") from None
        return _Document(manifest, file)

    @property
    def scenario(self) -> Scenario:
        """What was run, `run.toml`; its model is what the run tells of it, without equations."""
        file = self.folder / directory.RUN_FILE
        return validated(read(file) | {"model": self._model}, file)

    @property
    def settings(self) -> dict[str, Any]:
        """The run file with every default."""
        return self.scenario.tables()

    @property
    def grid(self) -> dict[str, Any]:
        """Where the cells are."""
        grid: dict[str, Any] = self.manifest["grid"]
        return grid

    @property
    def warnings(self) -> list[str]:
        """What the run had to say about negative values, a line each."""
        return list(self.manifest.get("warnings", []))

    @property
    def units(self) -> dict[str, str]:
        """Unit of each field."""
        package, preset = self._package, self.settings["parameters"]["preset"]
        return package.units if package else self._model.units_of(preset)

    @property
    def descriptions(self) -> dict[str, str]:
        """What each field is; "" where an older run does not say."""
        return {name: species.description for name, species in self._model.species.items()}

    @property
    def parameters(self) -> dict[str, tuple[Any, Entry]]:
        """Values at the start by name, beside the model's rows; of a diffusivity by cell the table with its source."""
        given = self.settings["parameters"]
        return {name: (given[name], entry) for name, entry in self._model.table.items() if name in given}

    @property
    def tumour(self) -> tuple[str, ...]:
        """Fields of tumour cells, those with most antigen first: their sum is the burden."""
        return self._model.tumour

    @property
    def cart(self) -> tuple[str, ...]:
        """Fields of CAR-T cells, the functional ones that are infused first."""
        return self._model.cart

    @cached_property
    def _package(self) -> _Package | None:
        """What the run's data package says of its model; None of a run that is older than that."""
        file = self.folder / directory.DATA_PACKAGE
        if not os.path.lexists(file):
            return None
        try:
            given = read_json(file)
            return _Package.model_validate(given) if isinstance(given, dict) and "model" in given else None
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise InputError(f"{file}: {key}: {problem['msg']}; accepted: what a run writes") from None
        except ValueError as error:
            raise InputError(f"{file}: cannot be read: {error}") from None

    @cached_property
    def _model(self) -> Model:
        """The model as the run describes it, the paper's where it does not: readers need no model's file."""
        if (package := self._package) is None:
            return named(DEFAULT)
        preset = read(self.folder / directory.RUN_FILE).get("parameters", {}).get("preset", "")
        try:
            return package.described(preset)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.folder / 'datapackage.json'}: {error}; accepted: what a run writes") from None

    @property
    def status(self) -> str:
        """The manifest's `status`, but "killed: ..." where that is "running" and the process is gone."""
        manifest = self.manifest
        status, process, host = str(manifest["status"]), manifest.get("pid"), manifest.get("host")
        if status != "running":
            return status
        running = is_held(self.folder / directory.RUN_FILE)
        if running is None:  # without locks only the process itself can be looked for, and only from its machine
            running = host != os.uname().nodename or _is_alive(process)
        return status if running else f"killed: process {process} on {host} is gone, last update {manifest['updated']}"

    @property
    def cut_off(self) -> list[str]:
        """What is not whole, a line each: `series` and `line` leave the end of such a table out."""
        found = []
        for name in (directory.SERIES, directory.LINE):
            with suppress(OSError, ValueError), open_regular(self.folder / name, TABLE_BYTES) as file:
                if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                    found.append(f"{name}: its last row is incomplete and left out")
        with suppress(InputError):
            counts = np.unique(read_columns(self.folder / directory.LINE, "t", of_run=True)["t"], return_counts=True)[1]
            if counts[-1] < counts[0]:
                found.append(f"line.csv: the last time has {counts[-1]} of {counts[0]} points and is left out")
        return found + self._missing_volumes()

    def _missing_volumes(self) -> list[str]:
        """Volumes that `fields.pvd` names and that are not there."""
        if not os.path.isfile(index := self.folder / directory.VOLUMES):
            return []
        files = saved_files(index)[1]
        missing = [file for file in files if not os.path.isfile(file)]
        return [f"fields.pvd: {len(missing)} of {len(files)} volumes are missing"] if missing else []

    @property
    def series(self) -> dict[str, Array]:
        """Columns of `series.csv` by name: t, dt, mean_C, min_C, max_C, total_C, clamped_C, ..."""
        file = self.folder / directory.SERIES
        columns = read_columns(file, "t", "dt", of_run=True)
        names = {name.partition("_")[2] for name in columns if name.startswith(tuple(f"{kind}_" for kind in KINDS))}
        missing = [f"{kind}_{name}" for name in sorted(names) for kind in KINDS if f"{kind}_{name}" not in columns]
        if missing or not names:
            raise InputError(f"{file}: no column {[*missing, 'total_ of any field'][0]}; accepted: what a run writes")
        return columns

    @property
    def names(self) -> tuple[str, ...]:
        """Of the fields, in the order of `series.csv`."""
        return tuple(name.removeprefix("total_") for name in self.series if name.startswith("total_"))

    @property
    def line(self) -> dict[str, Array]:
        """Columns of `line.csv`: t has shape (times,), s (cells,), the fields C, E, ... (times, cells)."""
        columns = read_columns(self.folder / directory.LINE, "t", "s", *self.names, of_run=True)
        times, first, counts = np.unique(columns["t"], return_index=True, return_counts=True)
        if len(counts) > 1 and counts[-1] < counts[0]:  # the run ended within the last one
            columns = {name: values[: first[-1]] for name, values in columns.items()}
            times, first, counts = times[:-1], first[:-1], counts[:-1]
        if np.ptp(counts):
            raise InputError(
                f"{self.folder / 'line.csv'}: holds {min(counts)} to {max(counts)} points a time; one number"
            )
        shape = (len(times), counts[0])
        fields = {name: columns[name].reshape(shape) for name in self.names}
        return {"t": columns["t"][first], "s": columns["s"][: shape[1]], **fields}

    @property
    def whole_series(self) -> dict[str, Array]:
        """`series` of a finished run.  Raises InputError where some of it is cut off."""
        series = self.series
        self._check_whole(directory.SERIES, series)
        return series

    @property
    def whole_line(self) -> dict[str, Array]:
        """`line` of a finished run, nan at points outside a mesh.  Raises InputError where some of it is cut off."""
        line = self.line
        if self.manifest["grid"]["kind"] == "mesh":
            inside = ~np.isnan([line[field] for field in self.names]).all(axis=(0, 1))
            self._check_whole(directory.LINE, line | {field: line[field][:, inside] for field in self.names})
        else:
            self._check_whole(directory.LINE, line)
        return line

    def _check_whole(self, name: str, columns: dict[str, Array]) -> None:
        """Raise InputError unless the numbers are finite and the times go from 0 to the end of the run."""
        t, end = columns["t"], self.settings["time"]["end"]
        if not all((np.abs(column) <= LARGEST).all() for column in columns.values()):
            raise InputError(f"{self.folder / name}: is damaged; accepted: finite numbers up to {LARGEST:g}")
        if not (t[0] == 0.0 and abs(t[-1] - end) <= 1e-9 * end and (np.diff(t) >= 0.0).all()):
            raise InputError(
                f"{self.folder / name}: is damaged; accepted: times that grow from 0 to {end:g}, the run's end"
            )

    @property
    def volumes(self) -> Volumes:
        """The saved volumes: VTK, or the CSV files of a run that wrote no VTK."""
        index = self.folder / directory.VOLUMES
        if os.path.isfile(index):
            return vtk_volumes(index)
        return csv_volumes(csv_files(self.folder / directory.CSV_FOLDER))


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
    if os.path.isdir(path):
        return RunDirectory(path).volumes if is_run_directory(path) else csv_volumes(csv_files(path))
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".npz":
        return npz_volumes(path)
    return csv_volumes([path])
