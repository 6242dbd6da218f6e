"""A run directory as the statements look at it: means over the box, cells inside the tumour, the central line."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...models.polyakov import FIELDS, Fields, Parameters, chi_C
from ...results import RunDirectory
from ...runs.directory import RUN_FILE
from ...runs.volumes import BoxCells, Volumes
from ...scenario.reading import load
from ...scenario.scenario import Scenario
from ...scenario.shapes import TumourBall
from ...theory.ode import balance, rates
from ...tools.errors import InputError
from .time_series import Number, TimeSeries

Array = NDArray[np.float64]
Cells = NDArray[np.bool_]

#: The front stands where C is this part of its largest value; so does what counts as covered.
FRONT = 0.25


class ObservedRun:
    """A finished run of a tumour ball in a box.

    States have shape (7, nz, ny, nx).  "The tumour" is the ball of the run file's radius, whatever is in it.
    """

    def __init__(self, folder: Path) -> None:
        self._run = RunDirectory(folder)
        self.folder = folder

    @cached_property
    def scenario(self) -> Scenario:
        """What was run."""
        return load(self.folder / RUN_FILE)

    @cached_property
    def parameters(self) -> Parameters:
        """From time 0 on."""
        parameters = self.scenario.parameters.values
        for change in self.scenario.intervention:
            if change.time == 0.0:
                parameters = change.changed(parameters)
        return parameters

    @property
    def first_infusion(self) -> float:
        """Its time, in days; not a number without one."""
        return min((infusion.time for infusion in self.scenario.infusion), default=float("nan"))

    # ---- over time -----------------------------------------------------------------------------------------------

    @cached_property
    def _series(self) -> dict[str, Array]:
        return self._run.whole_series

    def sampled(self, n: int) -> "ObservedRun":
        """The run with its means at n equally spaced times, both ends among them; linear between its own."""
        series, other = self._series, copy(self)
        times: Array = np.linspace(0.0, self.duration, n)
        other._series = {name: np.interp(times, series["t"], values) for name, values in series.items()}
        return other

    @property
    def duration(self) -> float:
        """Days."""
        return float(self._series["t"][-1])

    def mean(self, field: str) -> TimeSeries:
        """Mean of a field over the box."""
        return TimeSeries(self._series["t"], self._series[f"mean_{field}"])

    @property
    def burden(self) -> TimeSeries:
        """N = TA + TB, mean over the box."""
        return self.mean("TA") + self.mean("TB")

    @property
    def cart(self) -> TimeSeries:
        """W = C + E, mean over the box."""
        return self.mean("C") + self.mean("E")

    @property
    def negative_share(self) -> TimeSeries:
        """F = TB/N of the means."""
        return self.mean("TB") / self.burden

    @property
    def residual(self) -> np.float64:
        """N(T)/N(0)."""
        return self.burden.end / self.burden.start

    @property
    def regression(self) -> np.float64:
        """1 - min N/N(0)."""
        return np.float64(1.0 - self.burden.least / self.burden.start)

    @property
    def regrowth(self) -> np.float64:
        """(N(T) - min N)/N(0)."""
        return np.float64((self.burden.end - self.burden.least) / self.burden.start)

    def state_at(self, t: Number) -> Array:
        """Means of the seven fields over the box, shape (7,)."""
        return np.array([self.mean(field).at(t) for field in FIELDS])

    # ---- cells ---------------------------------------------------------------------------------------------------

    @cached_property
    def _volumes(self) -> Volumes:
        volumes = self._run.volumes
        if not np.array_equal(volumes.times, self.line["t"]):
            raise InputError(f"{self.folder}: is damaged; accepted: saved volumes at the times of line.csv")
        return volumes

    @cached_property
    def _box(self) -> BoxCells:
        cells = self._volumes.cells()
        if not isinstance(cells, BoxCells):
            raise InputError(f"{self.folder}: is on a mesh; accepted for the paper's statements: a box")
        return cells

    @cached_property
    def centre(self) -> Array:
        """Of the box, shape (3,), in cm."""
        return np.asarray(0.5 * (self._box.low + self._box.high))

    @property
    def radius(self) -> float:
        """Of the tumour, in cm."""
        return float(self._ball.radius)

    @property
    def plateau(self) -> float:
        """Value of the tumour at t = 0."""
        return float(self._ball.value)

    @property
    def _ball(self) -> TumourBall:
        tumour = self.scenario.initial.tumour
        if not isinstance(tumour, TumourBall):
            raise InputError(f"{self.folder}: initial.tumour is no ball; accepted for the paper's statements: a ball")
        return tumour

    @cached_property
    def _distance(self) -> Array:
        """Of each cell's centre from the box's, shape (nz, ny, nx)."""
        box = self._box
        x, y, z = (
            low + (np.arange(n) + 0.5) * (high - low) / n - middle
            for n, low, high, middle in zip(box.cells, box.low, box.high, self.centre, strict=True)
        )
        return np.asarray(np.sqrt(x**2 + y[:, None] ** 2 + z[:, None, None] ** 2))

    @property
    def spacing(self) -> float:
        """Of the cells along x, in cm."""
        return float((self._box.high[0] - self._box.low[0]) / self._box.cells[0])

    @cached_property
    def tumour(self) -> Cells:
        """Cells within the radius."""
        return np.asarray(self._distance <= self.radius)

    @cached_property
    def core(self) -> Cells:
        """Cells within 0.8 of the radius."""
        return np.asarray(self._distance <= 0.8 * self.radius)

    @property
    def outputs(self) -> list[float]:
        """Times of the snapshots."""
        return self._volumes.times

    def snapshots(self) -> Iterator[Array]:
        """The states at these times, read as they are asked for."""
        return (self._volumes.read(n) for n in range(len(self._volumes.times)))

    def over_snapshots(self, measure: Callable[[Array], Number]) -> TimeSeries:
        """What is measured on each snapshot, over time."""
        return TimeSeries(np.array(self.outputs), np.array([measure(u) for u in self.snapshots()]))

    @cached_property
    def first(self) -> Array:
        """State at t = 0."""
        return self._volumes.read(0)

    @cached_property
    def last(self) -> Array:
        """State at the end."""
        return self._volumes.read(len(self._volumes.times) - 1)

    def inside(self, field: Array | Cells) -> np.float64:
        """Mean over the tumour's cells."""
        return np.float64(field[self.tumour].mean())

    def outside(self, field: Array | Cells) -> np.float64:
        """Mean over the other cells."""
        return np.float64(field[~self.tumour].mean())

    @property
    def coverage(self) -> np.float64:
        """Share of the tumour's cells where C, at the end, is at least a quarter of its largest value in the box."""
        C = self.last[0]
        return self.inside(FRONT * C.max() <= C)

    # ---- reactions -----------------------------------------------------------------------------------------------

    def net_growth_of_C(self, u: Array) -> Array:
        """Right-hand side of eq. (9) in each cell, C's own reactions in eq. (1)."""
        return np.asarray(rates(u, self.parameters)[0])

    def proliferation_of_C(self, u: Array) -> Array:
        """rho_C C TA/(K_C + C) in each cell: what produces C where there is no E to recover."""
        C, _, TA, *_ = u
        zero = np.zeros_like(C)
        production, _ = balance((C, zero, TA, zero, zero, zero, zero), self.parameters)
        return np.asarray(production[0])

    def exhaustion_rate(self, u: Array) -> Array:
        """k_e(A, H) in each cell: what one unit of C gives to E."""
        one, zero = np.ones_like(u[0]), np.zeros_like(u[0])
        production, _ = balance((one, zero, zero, zero, zero, u[5], u[6]), self.parameters)
        return np.asarray(production[1])

    def taxis_left(self, u: Array) -> Array:
        """chi(A)/chi_0 in each cell."""
        return np.asarray(chi_C(Fields(*u), self.parameters._replace(chi_0=1.0)))

    # ---- along the central line ----------------------------------------------------------------------------------

    @cached_property
    def line(self) -> dict[str, Array]:
        """Along x through the centre at every output: t (times,), s (cells,), fields (times, cells)."""
        return self._run.whole_line

    @cached_property
    def front(self) -> TimeSeries:
        """Largest x on the central line where C is at least a quarter of its largest value on it in the whole run.

        -9 where there is none.
        """
        C, s = self.line["C"], self.line["s"]
        reached = FRONT * C.max() <= C
        return TimeSeries(self.line["t"], np.where(reached, s, -9.0).max(axis=1))

    def depth(self, x: Number) -> float:
        """How deep x lies in the tumour: 0 at its small-x edge, 1 at the centre, in radii."""
        return float((x - (self.centre[0] - self.radius)) / self.radius)

    def arrival(self, level: Number) -> float:
        """When C at the centre reaches a level, linear between outputs; the end of the run if never."""
        at_centre = [np.interp(self.centre[0], self.line["s"], row) for row in self.line["C"]]
        t = self.line["t"]
        reached = np.flatnonzero(np.array(at_centre) >= level)
        if not reached.size:
            return float(t[-1])
        n = int(reached[0])
        if n == 0:
            return 0.0
        share = (level - at_centre[n - 1]) / (at_centre[n] - at_centre[n - 1])
        return float(t[n - 1] + share * (t[n] - t[n - 1]))
