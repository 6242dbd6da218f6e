"""A run's tables and fields with names, units and coordinates, from memory or from its run directory."""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .runs.directory import RUN_FILE
from .runs.volumes import MeshCells, Volumes
from .scenario.reading import load
from .scenario.scenario import Scenario
from .scenario.units import integral_unit
from .tools.errors import InputError

if TYPE_CHECKING:  # half a second each, and not every program asks for tables
    import pandas
    import xarray

Array = NDArray[np.float64]

#: Bytes of volumes that are kept once they are read from files.
KEPT = 256_000_000

TIME = {"units": "day", "long_name": "time"}


class Source(Protocol):
    """What a run is read from."""

    @property
    def scenario(self) -> Scenario: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def units(self) -> Mapping[str, str]: ...
    @property
    def grid(self) -> Mapping[str, Any]: ...
    @property
    def status(self) -> str: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def series(self) -> dict[str, Array]: ...
    @property
    def line(self) -> dict[str, Array]: ...
    @property
    def volumes(self) -> Volumes: ...


class Run:
    """What a run was and what came of it; read when it is asked for, and then kept.

    `carmodel.simulate` and `carmodel.open` make it.  `folder` is its run directory, None of a run in memory.
    All properties raise InputError, in one line, where a file is missing or damaged.
    """

    def __init__(self, source: Source, folder: Path | None = None) -> None:
        self._source, self.folder = source, folder

    def __repr__(self) -> str:
        scenario, cells = self._source.scenario, self._source.grid.get("cells", "?")
        size = " x ".join(map(str, cells)) if isinstance(cells, list | tuple) else cells
        place = f"in {self.folder}" if self.folder else "in memory"
        return (
            f"<carmodel.Run: {scenario.title or 'untitled'}; model {scenario.model.name}, {size} cells, "
            f"{scenario.time.end:g} days, {self.status}, {place}>"
        )

    @property
    def case(self) -> Scenario:
        """The scenario that was simulated, for `carmodel.case` to change and `carmodel.simulate` to run.

        Raises InputError where it was read and its model is not found.
        """
        return load(self.folder / RUN_FILE) if self.folder else self._source.scenario

    @property
    def names(self) -> tuple[str, ...]:
        """Of the fields, in the order of every array."""
        return self._source.names

    @property
    def units(self) -> dict[str, str]:
        """Unit of each field."""
        return dict(self._source.units)

    @property
    def status(self) -> str:
        """How it ended: "finished"; of a run directory also "running", "stopped: ...", "failed: ...", "killed: ..."."""
        return self._source.status

    @property
    def warnings(self) -> list[str]:
        """What the run had to say about negative values, a line each."""
        return self._source.warnings

    @property
    def totals(self) -> dict[str, float]:
        """Integral of each field over the domain at the end, in the field's unit times cm^3."""
        last = self.series.iloc[-1]
        return {name: float(last[f"total_{name}"]) for name in self.names}

    @cached_property
    def series(self) -> "pandas.DataFrame":
        """One row a step: columns t, dt, then mean, min, max, total and clamped of each field, as in `series.csv`.

        t is a column, not the index: an infusion gives a second row at its time.  `attrs["units"]` has the units.
        """
        import pandas

        frame = pandas.DataFrame(self._source.series)
        frame.attrs["units"] = {column: self._unit(column) for column in frame}
        return frame

    @cached_property
    def line(self) -> "xarray.Dataset":
        """Fields along the case's `output.line` at every output: dimensions t (days) and s (cm)."""
        xarray, columns = _xarray(), self._source.line
        fields = {name: (("t", "s"), columns[name], self._label(name)) for name in self.names}
        place = {"units": "cm", "long_name": "place along the line"}
        return xarray.Dataset(fields, {"t": ("t", columns["t"], TIME), "s": ("s", columns["s"], place)}, self._about)

    @cached_property
    def fields(self) -> "xarray.Dataset":
        """Fields at the output times: dimensions t, z, y, x on a box, t and cell on a mesh; days and cm.

        Volumes are read from files as they are asked for: `run.fields["C"].sel(t=6.0, method="nearest")` reads one
        time.  On a mesh the coordinates are the cells' centres, and `volume` is the size of each, in cm^3.
        """
        xarray = _xarray()
        from xarray.core import indexing

        from .lazyarrays import SavedField

        volumes = self._source.volumes
        first = volumes.read(0)
        read = _keeping(volumes.read, first.nbytes) if self.folder else volumes.read
        dims, coordinates = self._places(volumes)
        shape = (len(volumes.times), *first.shape[1:])
        fields = {
            name: (dims, indexing.LazilyIndexedArray(SavedField(read, f, shape, first.dtype)), self._label(name))
            for f, name in enumerate(self.names)
        }
        return xarray.Dataset(fields, {"t": ("t", volumes.times, TIME)} | coordinates, self._about)

    def _places(self, volumes: Volumes) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Names of the dimensions of a field, and the coordinates beside t."""
        grid, unit = self._source.grid, {"units": "cm"}
        if grid["kind"] == "box":
            starts, widths, counts = grid["first_centre"], grid["spacing"], grid["cells"]
            axes = zip("xyz", starts, widths, counts, strict=True)
            return ("t", "z", "y", "x"), {
                axis: (axis, start + h * np.arange(n, dtype=float), unit) for axis, start, h, n in axes
            }
        cells = volumes.cells()
        assert isinstance(cells, MeshCells)
        centres = {axis: ("cell", x, unit) for axis, x in zip("xyz", cells.centres.T, strict=True)}
        return ("t", "cell"), centres | {"volume": ("cell", cells.volumes, {"units": "cm^3"})}

    @property
    def _about(self) -> dict[str, str]:
        scenario = self._source.scenario
        return {"title": scenario.title, "model": scenario.model.name}

    def _label(self, name: str) -> dict[str, str]:
        return {"units": self.units[name], "long_name": self._source.scenario.model.species[name].description}

    def _unit(self, column: str) -> str:
        kind, _, name = column.partition("_")
        if not name:
            return "day"
        return integral_unit(self.units[name]) if kind in ("total", "clamped") else self.units[name]


def _xarray() -> Any:
    """The package.  Raises InputError where it is not installed."""
    try:
        import xarray
    except ImportError:
        raise InputError("Run.fields and Run.line need the package xarray; accepted: pip install xarray") from None
    return xarray


def _keeping(read: Callable[[int], Array], size: int) -> Callable[[int], Array]:
    """Read as before, and keep what was read last, at least one volume of `size` bytes."""
    return lru_cache(maxsize=max(1, KEPT // max(1, size)))(read)
