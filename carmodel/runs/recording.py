"""Keeps a run in memory: what `output/` would write of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scenario.scenario import Scenario
from ..tools.errors import InputError
from .output.clamping import remarks
from .output.line import sampler
from .output.manifest import grid
from .output.series import columns, row
from .simulation import Observer, Simulation
from .volumes import BoxCells, MeshCells, Volumes

Array = NDArray[np.float64]


class Recording(Observer):
    """Series and lines on every rank, fields on rank 0 unless `keep_fields` is false; read as a `RunDirectory` is."""

    def __init__(self, scenario: Scenario, keep_fields: bool = True) -> None:
        self.scenario, self._keep_fields = scenario, keep_fields
        self.names = scenario.model.names
        self.units = scenario.model.units_of(scenario.parameters.preset)
        self.status = "running"
        self.warnings: list[str] = []
        self._rows: list[Array] = []
        self._times: list[float] = []
        self._profiles: list[Array] = []
        self._fields: list[Array] = []

    def start(self, run: Simulation) -> None:
        """Find the line's cells and, where fields are kept, what is to be known of all; collective."""
        self._sampler = sampler(self.scenario.output.line, run.space)
        self.grid: dict[str, Any] = grid(run.space)
        self._cells = self._mesh_cells(run) if self._keep_fields and self.grid["kind"] == "mesh" else None

    def step(self, run: Simulation) -> None:
        """Keep a row."""
        self._rows.append(np.array(row(run)))

    def output(self, run: Simulation) -> None:
        """Keep the profile and the fields of this time; collective."""
        self._times.append(run.t)
        self._profiles.append(self._sampler.sample(run.u))
        if self._keep_fields and (whole := run.space.gather(run.u)) is not None:
            self._fields.append(whole)

    def finish(self, run: Simulation, status: str) -> None:
        """Keep how it ended."""
        self.status, self.warnings = status, [line for _, line in remarks(run).values()]
        self._line = {"t": np.array(self._times), "s": self._sampler.s}
        del self._sampler  # it holds the space

    @property
    def series(self) -> dict[str, Array]:
        """Columns of `series.csv` by name."""
        return dict(zip(columns(self.names), np.array(self._rows).T, strict=True))

    @property
    def line(self) -> dict[str, Array]:
        """Columns of `line.csv`: t has shape (times,), s (points,), the fields (times, points)."""
        return self._line | dict(zip(self.names, np.stack(self._profiles, axis=1), strict=True))

    @property
    def volumes(self) -> Volumes:
        """The fields.  Raises InputError where they are not kept."""
        if not self._fields:
            why = "are on rank 0 alone" if self._keep_fields else "were not kept (keep_fields = False)"
            raise InputError(f"the fields of this run {why}")
        return Volumes(self._times, lambda n: self._fields[n], self._where, lambda: self.names)

    def _where(self) -> BoxCells | MeshCells | None:
        return self._cells

    def _mesh_cells(self, run: Simulation) -> MeshCells | None:
        space: Any = run.space
        local = space.zeros(4)
        space.owned(local)[...] = (*space.centres, space.relative_volumes)
        if (whole := space.gather(local)) is None:
            return None
        return MeshCells(whole[:3].T, whole[3] * space.cell_volume, space.low, space.high)
