"""The loop of a run: steps land exactly on outputs, events and the end; observers see what happens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..integrators.protocol import Integrator
from ..spaces import Space
from ..spaces.layout import Shared, State
from ..spaces.peclet import largest_peclet_numbers
from ..tools.errors import InputError, NumericsError
from ..tools.ranks import PATIENCE, all_ranks_arrive
from .dosing import Event
from .plan import Plan, equal_steps, output_times

Array = NDArray[np.float64]

#: What a guard asks for; the number of a signal that stops the run is added to the last.
GO_ON, SAVE, TIME_IS_UP, SIGNAL = 0, 1, 2, 100

#: Of a run's answer nothing is left when clamping has made this share of a field.
MEANINGLESS = 0.1


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
        """The run begins at t = 0, or where `restore` says that it goes on."""

    def step(self, run: "Simulation") -> None:
        """A step was made, or an infusion at the same time (or, once, the run started)."""

    def output(self, run: "Simulation") -> None:
        """An output time has come, t = 0 included."""

    def saved(self, run: "Simulation") -> None:
        """All observers have written this output; `run.outputs` counts it."""

    def finish(self, run: "Simulation", status: str) -> None:
        """The run is over; `status` is "finished", "stopped: ..." or "failed: ..."."""

    def state(self) -> State:
        """What `restore` takes; asked at a checkpoint, when all that was written must be on the disk."""
        return {}

    def restore(self, state: State) -> None:
        """Go on as the one whose `state` that was; before `start`."""


class Guard:
    """Says when a run is to be saved or stopped, and saves it; this one stops it by signals alone.

    `interrupted`: asked on every rank after each step for the signal it got.
    """

    #: Whether `save` does anything.
    saves = False

    def __init__(self, interrupted: Callable[[], int] = lambda: 0) -> None:
        self.interrupted = interrupted

    def request(self, run: "Simulation") -> int:
        """Asked on every rank after each step; the largest answer of all ranks counts."""
        return SIGNAL + number if (number := self.interrupted()) else GO_ON

    def save(self, run: "Simulation", state: State) -> None:
        """Keep the state of the run; collective."""


class Simulation:
    """A state on its way from 0 to the end of its plan.

    Parameters
    ----------
    space, integrator: where the fields live and how they advance.
    u: state at t = 0, shape (fields, n_local); advanced in place.  An observer that changes it calls `state_changed`.
    plan: times, and what happens at them.
    observers: told of all that happens in this order.
    guard: says when it is saved or stopped.
    """

    def __init__(
        self,
        space: Space,
        integrator: Integrator,
        u: Array,
        plan: Plan,
        observers: Sequence[Observer] = (),
        guard: Guard | None = None,
    ) -> None:
        self.space, self.integrator, self.u = space, integrator, u
        self.end, self.every, self.dt, self.schedule = plan.end, plan.every, plan.dt, plan.schedule
        self.observers, self.guard = observers, guard or Guard()
        self.names = integrator.model.names
        self.t = 0.0
        #: Days since the row before in the series: 0 at the start and after an infusion.
        self.last_dt = 0.0
        self._step_length = 0.0
        # The stretch between two times to land on, and the steps made in it.
        self._stretch, self._made = (0.0, 0.0), 0
        self._goes_on = False
        self._good: State | None = None
        self.steps = 0
        self.outputs = 0
        #: Number of the signal that stopped the run, the same on every rank; 0 if none did.
        self.stopped_by = 0
        #: Whether it stopped for want of time.
        self.out_of_time = False
        self.seconds = {"output": 0.0, "checkpoints": 0.0}
        #: Longest time that an output took, in seconds.
        self.longest_output = 0.0
        #: Largest cell Peclet number of fields that move, of all outputs so far, where taxis is central.
        self.peclet: dict[str, float] = {}
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
            elif self.out_of_time:
                status = f"stopped: out of time at t = {self.t:g}"
            else:
                self._refuse_clamped(f"by the end, t = {self.t:g}")
        except BaseException as error:
            if isinstance(error, NumericsError):
                self._save_last_good_state()
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

    def state(self) -> State:
        """What `restore` takes, and as `u` the fields."""
        return {
            "t": self.t,
            "last_dt": self.last_dt,
            "step_length": self._step_length,
            "stretch": list(self._stretch),
            "made": self._made,
            "steps": self.steps,
            "outputs": self.outputs,
            "largest_total": self._largest_total,
            "deepest": self._deepest,
            "peclet": dict(self.peclet),
            "seconds": dict(self.seconds),
            "u": Shared(self.space.owned(self.u), self.space.layout),
            "integrator": self.integrator.state(),
        }

    def restore(self, state: State) -> None:
        """Go on as the one whose `state` that was, with its fields and its integrator's state; collective."""
        self.t, self.last_dt, self._step_length = state["t"], state["last_dt"], state["step_length"]
        self._stretch, self._made = tuple(state["stretch"]), state["made"]
        self.steps, self.outputs = state["steps"], state["outputs"]
        self._largest_total, self._deepest = state["largest_total"], state["deepest"]
        self.peclet = dict(state["peclet"])
        self.seconds |= state["seconds"]
        self.totals = self._measure()
        self._goes_on = True

    def _advance(self) -> None:
        if not self._goes_on:
            self._tell(lambda observer: observer.step(self))
            self._apply_schedule()
            self._output()
        events = self.schedule.times if self.schedule else []
        outputs = set(output_times(self.end, self.every, events))
        times = sorted(t for t in outputs.union(events) if t > self.t)
        start, stop = self._stretch
        # Steps are counted from the last time landed on; a run that goes on may be on its way from there.
        begin = start if self.t > start and stop in times[:1] else self.t
        for stretch in pairwise([begin, *times]):
            for t, dt in self._steps(*stretch):
                self._step(t, dt)
                self._apply_schedule()
                if is_due := self.t in outputs:
                    self._output()
                if self._ask_guard():
                    if not is_due:
                        self._output()
                    return

    def _ask_guard(self) -> bool:
        """Save the run where its guard says so; whether it is to stop; collective."""
        request = self.space.comm.allreduce(self.guard.request(self), MPI.MAX)
        if request == GO_ON:
            return False
        if self.guard.saves:
            self._save(self.state())
        self.stopped_by, self.out_of_time = max(0, request - SIGNAL), request == TIME_IS_UP
        return bool(request != SAVE)

    def _save(self, state: State) -> None:
        """Have the guard keep a state, if it is finite: an observer may have spoilt what the last step left."""
        start = perf_counter()
        with np.errstate(all="ignore"):
            sums = self.space.comm.allreduce(float(np.abs(state["u"].values).sum()))
        if np.isfinite(sums):
            self.guard.save(self, state)
        self.seconds["checkpoints"] += perf_counter() - start

    def _save_last_good_state(self) -> None:
        """After the numerics have failed: keep the state of the last step that was finite; collective."""
        if not self.guard.saves or not all_ranks_arrive(self.space.comm, PATIENCE):
            return
        state = self._good
        if state is None and np.isfinite([self.totals.total, self.totals.clamped]).all():
            state = self.state()
        if state is not None:
            with suppress(OSError):
                self._save(state)

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
        if self._stretch != (start, stop):
            self._stretch, self._made = (start, stop), 0
        n, dt = equal_steps(start, stop, self.dt)
        # Output times are multiples of one number only to rounding: the same length for all keeps solvers set up.
        if abs(dt - self._step_length) <= 1e-9 * dt:
            dt = self._step_length
        for i in range(self._made + 1, n + 1):
            yield (stop if i == n else start + i * dt), dt

    def _step(self, t: float, dt: float) -> None:
        if self.guard.saves and not self.integrator.adaptive:  # what fixed steps spoil cannot be undone
            self._good = self.state() | {"u": Shared(self.space.owned(self.u).copy(), self.space.layout)}
        try:
            made = self.integrator.step(self.u, dt)
        except NumericsError as error:
            raise NumericsError(f"{error}, step from t = {self.t:g}; saved: {self.outputs} outputs") from None
        self.t = t if made == dt else self.t + made
        self.last_dt = self._step_length = made
        self.steps += 1
        self._made += 1
        self._look(f"at t = {self.t:g} (step {self.steps}, dt = {made:g})", "; try a smaller integrator.dt")
        self._good = None

    def _look(self, when: str, advice: str = "") -> None:
        """Measure the state and tell the observers.

        Raises NumericsError where a field is no longer finite, or, with an adaptive integrator, owes too much of
        itself to clamping.
        """
        self.totals = self._measure()
        for f, name in enumerate(self.names):
            if not np.isfinite([self.totals.total[f], self.totals.clamped[f]]).all():
                where = self._place_of_what_is_not_finite(f)
                raise NumericsError(f"{name} is no longer finite {where}{when}; saved: {self.outputs} outputs{advice}")
        self._largest_total = np.maximum(self._largest_total, self.totals.total)
        least, largest = self.totals.least, self.totals.largest
        below = np.divide(np.maximum(-least, 0.0), largest, out=np.zeros(len(self.names)), where=largest > 0.0)
        self._deepest = np.maximum(self._deepest, below)
        self._tell(lambda observer: observer.step(self))
        if self.integrator.adaptive:
            self._refuse_clamped(when)

    def _place_of_what_is_not_finite(self, f: int) -> str:
        """The first cell of a field where it is not, in words; collective."""
        own = self.space.owned(self.u[f])
        mine = None
        if (bad := np.flatnonzero(~np.isfinite(own))).size:
            mine = [float(np.broadcast_to(axis, own.shape).flat[bad[0]]) for axis in self.space.centres]
        for point in self.space.comm.allgather(mine):
            if point:
                return f"at ({point[0]:.3g}, {point[1]:.3g}, {point[2]:.3g}) cm, "
        return ""

    def _refuse_clamped(self, when: str) -> None:
        """Raise NumericsError where a field owes too much of itself to clamping."""
        share, name = self.clamped_share.max(), self.names[int(self.clamped_share.argmax())]
        if share > MEANINGLESS:
            raise NumericsError(
                f"{share:.0%} of {name} was made by setting negative values to zero {when}; "
                f"saved: {self.outputs} outputs; try {remedy(self.integrator)}"
            )

    def _output(self) -> None:
        start = perf_counter()
        if self.integrator.taxis == "central" and self.integrator.medium.moving.any():
            now = largest_peclet_numbers(self.space, self.u, self.integrator.medium)
            self.peclet = {name: max(self.peclet.get(name, 0.0), number) for name, number in now.items()}
        self._tell(lambda observer: observer.output(self))
        self.outputs += 1
        self._tell(lambda observer: observer.saved(self))
        self.longest_output = max(self.longest_output, perf_counter() - start)

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
        return Totals(sums * volume, sums / self.space.whole, least, largest, clamped * volume)
