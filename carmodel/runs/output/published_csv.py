"""`csv/step_NNNNNN.csv`: the published program's format, one row a cell, 17 digits."""

from pathlib import Path

import numpy as np

from ...spaces import BoxSpace
from ...spaces.layout import State
from ...tools.files import kept_on_disk, replacing
from ..directory import CSV_FOLDER
from ..simulation import Observer, Simulation

COLUMNS = ("t", "i", "j", "k", "x", "y", "z")


class PublishedCsv(Observer):
    """Rank 0 gathers the box and writes it: for comparison with the published program, not for large grids."""

    def __init__(self, folder: Path, space: BoxSpace) -> None:
        self._folder, self._space = folder / CSV_FOLDER, space
        self._written: list[str] = []
        self._not_kept: list[Path] = []

    def output(self, run: Simulation) -> None:
        """Write this time's file; collective."""
        whole = self._space.gather(run.u)
        if whole is None:
            return
        self._folder.mkdir(exist_ok=True)
        k, j, i = np.indices(whole.shape[1:])
        x, y, z = (self._space.axis(axis) for axis in range(3))
        rows = np.column_stack([c.ravel() for c in (i, j, k, x[i], y[j], z[k], *whole)])
        path = self._folder / f"step_{run.steps:06d}.csv"
        with replacing(path) as file:
            np.savetxt(
                file,
                np.column_stack([np.full(len(rows), run.t), rows]),
                fmt=["%.17g", "%d", "%d", "%d", *["%.17g"] * (3 + len(run.names))],
                delimiter=",",
                header=",".join((*COLUMNS, *run.names)),
                comments="",
                encoding="ascii",
            )
        self._written.append(path.name)
        self._not_kept.append(path)

    def state(self) -> State:
        """Files so far."""
        kept_on_disk(self._not_kept)
        self._not_kept.clear()
        return {"written": list(self._written)}

    def restore(self, state: State) -> None:
        """Go on after these files; those that came later are removed."""
        self._written = list(state["written"])
        if self._space.comm.rank == 0 and self._folder.is_dir():
            for path in self._folder.glob("step_*.csv*"):
                if path.name not in self._written:
                    path.unlink()
