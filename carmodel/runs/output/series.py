"""`series.csv`: totals, extremes and clamped mass of every field, one row a step."""

from pathlib import Path

from ...tools.csvfile import KINDS
from ..directory import SERIES
from ..simulation import Observer, Simulation
from .table import TableFile


class Series(Observer):
    """Writes `series.csv` on rank 0; flushed at every output, so that a running job can be watched."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SERIES
        self._file: TableFile | None = None

    def start(self, run: Simulation) -> None:
        """Open the file and write its header."""
        if run.space.comm.rank == 0:
            self._file = TableFile(
                self._path, ["t", "dt", *(f"{kind}_{field}" for field in run.names for kind in KINDS)]
            )

    def step(self, run: Simulation) -> None:
        """Add a row."""
        if self._file:
            m = run.totals
            columns = zip(m.mean, m.least, m.largest, m.total, m.clamped, strict=True)
            self._file.add([run.t, run.last_dt, *(value for field in columns for value in field)])

    def output(self, run: Simulation) -> None:
        """Flush."""
        if self._file:
            self._file.flush()

    def finish(self, run: Simulation, status: str) -> None:
        """Close."""
        if self._file:
            self._file.close()
