"""Checkpoints of a run: when they are written, which are kept, and which of them a run goes on from."""

from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from signal import SIGUSR1
from time import perf_counter
from typing import Any

from mpi4py import MPI

from ..scenario.choices import Output
from ..scenario.scenario import Scenario
from ..spaces.layout import State
from ..tools.ranks import say
from ..tools.walltime import left
from .directory import CHECKPOINTS, change, checkpoint_files
from .simulation import GO_ON, SAVE, SIGNAL, TIME_IS_UP, Guard, Observer, Simulation
from .statefile import DamagedError, StateFile, write

#: How many are kept.
KEPT = 2

#: Seconds that a run which stops in time leaves unused, beside those that its last steps and files may take.
RESERVE = 5.0

#: How many times as long as before the last step and the last checkpoint may take.
CAUTION = 1.5

#: Of so many steps the longest counts: the first ones wait for the compiler.
RECENT = 20


class Checkpoints(Guard):
    """Writes the checkpoints of a run into its folder, and stops it before its time is up.

    Parameters
    ----------
    folder: the run directory.
    scenario: what is run; `output` says how often.
    observers: those that have written something, whose state belongs to the run's.
    signals: numbers of those that came in, as they come; SIGUSR1 asks for a checkpoint, any other for an end.
    deadline: when the run must have ended, in seconds since 1970.
    started_at: days simulated before, by the checkpoint that it goes on from.
    """

    saves = True

    def __init__(
        self,
        folder: Path,
        scenario: Scenario,
        observers: list[Observer],
        signals: list[int],
        *,
        deadline: float = inf,
        started_at: float = 0.0,
    ) -> None:
        self._folder, self._scenario, self._observers = folder / CHECKPOINTS, scenario, observers
        self._signals, self._deadline = signals, deadline
        self._written = self._asked = perf_counter()
        self._t = started_at
        self._steps: list[float] = []
        self._longest = 0.0

    def request(self, run: Simulation) -> int:
        """A checkpoint where it is time for one or somebody asks; an end where a signal or the clock says so."""
        now = perf_counter()
        self._steps = [*self._steps[1 - RECENT :], now - self._asked]
        self._asked = now
        if stopping := [number for number in self._signals if number != SIGUSR1]:
            return SIGNAL + stopping[0]
        if SIGUSR1 in self._signals:
            self._signals.remove(SIGUSR1)
            return SAVE
        if run.space.comm.rank:  # clocks differ
            return GO_ON
        if run.t < run.end and left(self._deadline) < self._needed(run):
            return TIME_IS_UP
        return SAVE if self._is_due(run.t, now, run.end) else GO_ON

    def _needed(self, run: Simulation) -> float:
        """Seconds that another step, and then the last files, may take."""
        return CAUTION * (max(self._steps) + self._longest) + run.longest_output + RESERVE

    def _is_due(self, t: float, now: float, end: float) -> bool:
        output: Output = self._scenario.output
        if t >= end:
            return output.checkpoint_at_end
        if self._deadline < inf and not self._longest:  # how long one takes is to be known
            return True
        if output.checkpoint_minutes and now - self._written > 60.0 * output.checkpoint_minutes:
            return True
        every = output.checkpoint_every
        return bool(every) and _intervals(t, every) > _intervals(self._t, every)

    def save(self, run: Simulation, state: State) -> None:
        """Write one, and remove all but the latest ones; collective.  Raises OSError where it cannot be written."""
        start, comm = perf_counter(), run.space.comm
        if comm.rank == 0:
            self._folder.mkdir(exist_ok=True)
        whole = {
            "scenario": self._scenario.toml(),
            "space": run.space.state(),
            "run": state,
            "schedule": run.schedule.state() if run.schedule else {},
            "observers": {type(observer).__name__: observer.state() for observer in self._observers},
        }
        comm.barrier()
        write(self._folder / f"step_{state['steps']:08d}.h5", whole, comm)
        if comm.rank == 0:
            for old in checkpoint_files(self._folder)[KEPT:]:
                with suppress(OSError):
                    old.unlink()
        self._t, self._written = state["t"], perf_counter()
        self._longest = max(self._longest, self._written - start)


def _intervals(t: float, every: float) -> int:
    """Whole ones in t days, which may be off by rounding."""
    return int(t / every * (1.0 + 1e-12))


def newest(out: Path, scenario: Scenario, comm: MPI.Intracomm, tell: Callable[[str], Any] = say) -> StateFile | None:
    """The newest whole checkpoint in a run directory that a scenario can go on from; collective.

    `tell`: told on rank 0, in one line, of each that cannot be used.  None where there is none.
    """
    for path in comm.bcast(checkpoint_files(out / CHECKPOINTS) if comm.rank == 0 else None):
        try:
            found = StateFile(path, comm)
        except DamagedError as error:
            complaint = f"is damaged: {error}"
        else:
            if complaint := change(found.read("scenario"), scenario):
                complaint = f"was written with {complaint}"
            if not complaint and found.read("run")["t"] > scenario.time.end:
                complaint = f"is of t = {found.read('run')['t']:g}, after time.end = {scenario.time.end:g}"
            if not complaint:
                return found
        if comm.rank == 0:
            tell(f"{path}: {complaint}; it is not used")
    return None
