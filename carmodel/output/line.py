"""`line.csv`: the fields along a line through the box at every output, for space-time maps."""

import csv
from pathlib import Path
from typing import TextIO

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import FIELDS
from ..scenario import Line
from ..simulation import Observer, Simulation
from ..spaces import BoxSpace

Array = NDArray[np.float64]


class LineProfile(Observer):
    """Samples at the cell centres along the axis, linearly interpolated across it (constant beyond the last centre)."""

    def __init__(self, folder: Path, line: Line) -> None:
        self._path, self._line = folder / "line.csv", line
        self._file: TextIO | None = None

    def start(self, run: Simulation) -> None:
        """Open the file and write its header."""
        if run.space.comm.rank == 0:
            self._file = self._path.open("w", newline="", encoding="ascii")
            csv.writer(self._file).writerow(["t", "s", *FIELDS])

    def output(self, run: Simulation) -> None:
        """Add the profile of this time."""
        values = sample_line(self._line, run.space, run.u)
        if self._file:
            s = run.space.axis("xyz".index(self._line.axis))
            csv.writer(self._file).writerows(
                [repr(v) for v in (run.t, *row)] for row in np.column_stack([s, values.T]).tolist()
            )
            self._file.flush()

    def finish(self, run: Simulation, status: str) -> None:
        """Close."""
        if self._file:
            self._file.close()


def sample_line(line: Line, space: BoxSpace, u: Array) -> Array:
    """The fields along the line, shape (7, cells along it), on every rank; collective."""
    along = "xyz".index(line.axis)
    across = [axis for axis in range(3) if axis != along]
    through = line.through or [space.middle[axis] for axis in across]
    weights = [
        _weights(space, axis, position)[slice(*space.ranges[axis])]
        for axis, position in zip(across, through, strict=True)
    ]
    names = "xyz"
    profile = np.zeros((len(FIELDS), space.cells[along]))
    profile[:, slice(*space.ranges[along])] = np.einsum(
        f"fzyx,{names[across[0]]},{names[across[1]]}->f{names[along]}", space.owned(u), *weights
    )
    space.comm.Allreduce(MPI.IN_PLACE, profile, MPI.SUM)
    return profile


def _weights(space: BoxSpace, axis: int, position: float) -> Array:
    """Weights of the cells along an axis that interpolate linearly at a position."""
    centres = space.axis(axis)
    return np.array([np.interp(position, centres, row) for row in np.eye(len(centres))])
