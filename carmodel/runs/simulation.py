"""The loop of a run: steps land exactly on outputs, events and the end; observers see what happens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium, Model
from ..spaces import Space
from ..tools.errors import InputError, NumericsError
from .dosing import Event, Schedule, same_time

Array = NDArray[np.float64]

#: Of a run's answer nothing is left when clamping has made this share of a field.
MEANINGLESS = 0.1


class Integrator(Protocol):
    """How the state advances.

    `order` is the order of accuracy in time; `adaptive`: it chooses its steps.  `clamped`, shape (fields,), is what
    clamping added to each field so far, summed over this rank's cells.  `negligible` is the share of a field that
    clamping may have made, and the share of its largest value that it may have been below zero, without a warning.

    An integrator may keep the state in a form of its own, and what it knows of earlier steps.  So who changes the state
    between two steps calls `restart`: otherwise the change may be lost.
    """

    order: int
    adaptive: bool
    taxis: str
    negligible: float
    model: Model
    medium: Medium
    clamped: Array
    seconds: dict[str, float]

    @property
    def deepest_undershoot(self) -> Array:
        """How far below zero each field was before it was clamped, relative to its largest value then, shape (fields,).

        Zeros where that is not measured.
        """

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days, or fewer if adaptive; how many.  Collective.

        The array is as the last step left it, unless `restart` was called or it is another array.
        """

    def restart(self, medium: Medium) -> None:
        """The state, the parameters or both were changed: go on with the next step's array and these; collective."""

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest, among them `rejected_steps`."""

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""


@dataclass(frozen=True)
class Totals:
    """Integrals and extremes of each field over the box, each of shape (fields,)."""

    total: Array
    mean: Array
    least: Array
    largest: Array
    clamped: Array


def remedy(integrator: Integrator) -> str:
    """What may leave less to clamp."""
    if integrator.taxis == "central":
        steps = "" if integrator.adaptive else "smaller steps, "
        return f'{steps}smaller cells or another integrator.taxis than "central"'
    return "a smaller integrator.rtol" if integrator.adaptive else "smaller steps"


class Observer:
    """Is told of a run's events, in this order; every rank calls it."""

    def start(self, run: "Simulation") -> None:
        """The state at t = 0 is ready."""

    def step(self, run: "Simulation") -> None:
        """A step was made, or an infusion at the same time (or, once, the run started)."""

    def output(self, run: "Simulation") -> None:
        """An output time has come, t = 0 included."""

    def saved(self, run: "Simulation") -> None:
        """All observers have written this output; `run.outputs` counts it."""

    def finish(self, run: "Simulation", status: str) -> None:
        """The run is over; `status` is "finished", "stopped: ..." or "failed: ..."."""


def output_times(end: float, every: float, events: Sequence[float] = ()) -> list[float]:
    """0, every, 2 every, ..., end; only 0 and end where `every` is 0.

    One that is an event's time but for rounding is that time to the digit.
    """
    times = [n * every for n in range(ceil(end / every * (1.0 - 1e-12)))] if every else [0.0]
    times.append(end)
    for t in events:
        if (n := same_time(times, t, end)) is not None:
            times[n] = t
    return times


def equal_steps(start: float, stop: float, dt: float) -> tuple[int, float]:
    """Number and length of the fewest equal steps from start to stop that are not longer than dt.

    Where dt fits, the length is dt to the digit, so that solvers set up for dt serve the whole run.
    """
    span = stop - start
    n = max(1, ceil(span / dt * (1.0 - 1e-9)))
    return n, dt if abs(n * dt - span) <= 1e-9 * span else span / n


@dataclass(frozen=True)
class Plan:
    """Days simulated, between outputs (0: none but the last), and in the longest step; infusions and interventions.

    Adaptive integrators choose their own steps.
    """

    end: float
    every: float
    dt: float
    schedule: Schedule | None = None


class Simulation:
    """A state on its way from 0 to the end of its plan.

    Parameters
    ----------
    space, integrator: where the fields live and how they advance.
    u: state at t = 0, shape (fields, n_local); advanced in place.  An observer that changes it calls `state_changed`.
    plan: times, and what happens at them.
    observers: told of all that happens in this order.
    interrupted: asked on every rank after each step for the signal it got; the run stops when any rank got one.
    """

    def __init__(
        self,
        space: Space,
        integrator: Integrator,
        u: Array,
        plan: Plan,
        observers: Sequence[Observer] = (),
        interrupted: Callable[[], int] = lambda: 0,
    ) -> None:
        self.space, self.integrator, self.u = space, integrator, u
        self.end, self.every, self.dt, self.schedule = plan.end, plan.every, plan.dt, plan.schedule
        self.observers, self.interrupted = observers, interrupted
        self.names = integrator.model.names
        self.t = 0.0
        #: Days since the row before in the series: 0 at the start and after an infusion.
        self.last_dt = 0.0
        self._step_length = 0.0
        self.steps = 0
        self.outputs = 0
        #: Number of the signal that stopped the run, the same on every rank; 0 if none did.
        self.stopped_by = 0
        self.seconds = {"output": 0.0}
        self.totals = self._measure()
        self._largest_total = self.totals.total
        self._deepest: Array = np.zeros(len(self.names))

    def run(self) -> None:
        """Advance to the end or until interrupted (`stopped_by`).  Observers are told how it ended.

        Raises NumericsError when a solver fails, a field is no longer finite, or too much of one was made by clamping:
        at once with an adaptive integrator, at the end of the run with another.
        """
        status = "finished"
        try:
            self._tell(lambda observer: observer.start(self))
            self._advance()
            if self.stopped_by:
                status = f"stopped: by signal {self.stopped_by} at t = {self.t:g}"
            else:
                self._refuse_clamped(f"by the end, t = {self.t:g}")
        except BaseException as error:
            known = isinstance(error, InputError | NumericsError | OSError)
            status = f"failed: {error}" if known else f"failed: {type(error).__name__}: {error}".rstrip(": ")
            raise
        finally:
            for observer in self.observers:
                # What went wrong before is told; that the disk is still full is not.
                with suppress(OSError) if status.startswith("failed") else nullcontext():
                    observer.finish(self, status)

    def state_changed(self) -> None:
        """Tell the integrator that `u`, or the schedule's medium, was changed between two steps; collective."""
        self.integrator.restart(self.schedule.medium if self.schedule else self.integrator.medium)

    @property
    def events(self) -> list[Event]:
        """Infusions and interventions so far."""
        return self.schedule.happened if self.schedule else []

    @property
    def clamped_share(self) -> Array:
        """What clamping has added to each field, as a share of the largest total it has had, shape (fields,)."""
        largest = self._largest_total
        return np.divide(self.totals.clamped, largest, out=np.zeros(len(self.names)), where=largest > 0.0)

    @property
    def undershoot(self) -> Array:
        """How far below zero each field was, clamped or not, relative to its largest value then, shape (fields,)."""
        return np.maximum(self._deepest, self.integrator.deepest_undershoot)

    def _advance(self) -> None:
        self._tell(lambda observer: observer.step(self))
        self._apply_schedule()
        self._output()
        events = self.schedule.times if self.schedule else []
        outputs = set(output_times(self.end, self.every, events))
        for start, stop in pairwise(sorted(outputs.union(events))):
            for t, dt in self._steps(start, stop):
                self._step(t, dt)
                self._apply_schedule()
                self.stopped_by = self.space.comm.allreduce(self.interrupted(), MPI.MAX)
                if self.stopped_by:
                    self._output()
                    return
            if self.t in outputs:
                self._output()

    def _apply_schedule(self) -> None:
        """Let what is due happen; each infusion gives the series another entry at this time."""
        if not self.schedule:
            return
        happened = False
        for event in self.schedule.happen(self.t, self.u):
            happened = True
            if event.is_infusion:
                self.last_dt = 0.0
                self._look(f"after an infusion at t = {self.t:g}")
        if happened:
            self.state_changed()

    def _steps(self, start: float, stop: float) -> Iterator[tuple[float, float]]:
        """Where each step is to end, and its length."""
        if self.integrator.adaptive:
            while self.t < stop:
                yield stop, stop - self.t
            return
        n, dt = equal_steps(start, stop, self.dt)
        # Output times are multiples of one number only to rounding: the same length for all keeps solvers set up.
        if abs(dt - self._step_length) <= 1e-9 * dt:
            dt = self._step_length
        for i in range(1, n + 1):
            yield (stop if i == n else start + i * dt), dt

    def _step(self, t: float, dt: float) -> None:
        try:
            made = self.integrator.step(self.u, dt)
        except NumericsError as error:
            raise NumericsError(f"{error}, step from t = {self.t:g}; saved: {self.outputs} outputs") from None
        self.t = t if made == dt else self.t + made
        self.last_dt = self._step_length = made
        self.steps += 1
        self._look(f"at t = {self.t:g} (step {self.steps}, dt = {made:g})", "; try a smaller integrator.dt")

    def _look(self, when: str, advice: str = "") -> None:
        """Measure the state and tell the observers.

        Raises NumericsError where a field is no longer finite, or, with an adaptive integrator, owes too much of
        itself to clamping.
        """
        self.totals = self._measure()
        for name, total, clamped in zip(self.names, self.totals.total, self.totals.clamped, strict=True):
            if not np.isfinite([total, clamped]).all():
                raise NumericsError(f"{name} is no longer finite {when}; saved: {self.outputs} outputs{advice}")
        self._largest_total = np.maximum(self._largest_total, self.totals.total)
        least, largest = self.totals.least, self.totals.largest
        below = np.divide(np.maximum(-least, 0.0), largest, out=np.zeros(len(self.names)), where=largest > 0.0)
        self._deepest = np.maximum(self._deepest, below)
        self._tell(lambda observer: observer.step(self))
        if self.integrator.adaptive:
            self._refuse_clamped(when)

    def _refuse_clamped(self, when: str) -> None:
        """Raise NumericsError where a field owes too much of itself to clamping."""
        share, name = self.clamped_share.max(), self.names[int(self.clamped_share.argmax())]
        if share > MEANINGLESS:
            raise NumericsError(
                f"{share:.0%} of {name} was made by setting negative values to zero {when}; "
                f"saved: {self.outputs} outputs; try {remedy(self.integrator)}"
            )

    def _output(self) -> None:
        self._tell(lambda observer: observer.output(self))
        self.outputs += 1
        self._tell(lambda observer: observer.saved(self))

    def _tell(self, event: Callable[[Observer], None]) -> None:
        start = perf_counter()
        for observer in self.observers:
            event(observer)
        self.seconds["output"] += perf_counter() - start

    def _measure(self) -> Totals:
        start = perf_counter()
        sums, least, largest = self.space.sum_min_max(self.u)
        clamped = np.empty_like(sums)
        self.space.comm.Allreduce(self.integrator.clamped, clamped, MPI.SUM)
        volume = self.space.cell_volume
        self.seconds["output"] += perf_counter() - start
        return Totals(sums * volume, sums / self.space.n_cells, least, largest, clamped * volume)
