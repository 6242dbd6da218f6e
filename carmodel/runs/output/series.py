"""`series.csv`: totals, extremes and clamped mass of every field, one row a step."""

from collections.abc import Sequence
from pathlib import Path

from ...spaces.layout import State
from ...tools.csvfile import KINDS
from ..directory import SERIES
from ..simulation import Observer, Simulation
from .table import TableFile


def columns(names: Sequence[str]) -> list[str]:
    """Of the table of a run with these fields."""
    return ["t", "dt", *(f"{kind}_{name}" for name in names for kind in KINDS)]


def row(run: Simulation) -> list[float]:
    """What a run is like now, in the order of `columns`."""
    m = run.totals
    by_field = zip(m.mean, m.least, m.largest, m.total, m.clamped, strict=True)
    return [run.t, run.last_dt, *(value for field in by_field for value in field)]


class Series(Observer):
    """Writes `series.csv` on rank 0; flushed at every output, so that a running job can be watched."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SERIES
        self._file: TableFile | None = None
        self._size: int | None = None

    def start(self, run: Simulation) -> None:
        """Open the file; a new one gets its header."""
        if run.space.comm.rank == 0:
            self._file = TableFile(self._path, columns(run.names), self._size)

    def step(self, run: Simulation) -> None:
        """Add a row."""
        if self._file:
            self._file.add(row(run))

    def output(self, run: Simulation) -> None:
        """Flush."""
        if self._file:
            self._file.flush()

    def state(self) -> State:
        """Where the table stands."""
        return {"size": self._file.keep() if self._file else 0}

    def restore(self, state: State) -> None:
        """Go on after that row."""
        self._size = state["size"]

    def finish(self, run: Simulation, status: str) -> None:
        """Close."""
        if self._file:
            self._file.close()
