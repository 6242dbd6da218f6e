"""A progress bar on rank 0: simulated time, rate, time left; plain lines where there is no terminal."""

import os
import sys
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..simulation import Observer, Simulation

#: Seconds between plain lines.
PERIOD = 10.0

#: Set by `runs/mpirun.sh` when its own standard output is a terminal.
LAUNCHER_S_TERMINAL = "CARMODEL_TERMINAL"


def on_terminal() -> bool:
    """Whether someone watches.  Under mpirun a rank cannot tell: `runs/mpirun.sh` says so in CARMODEL_TERMINAL."""
    return LAUNCHER_S_TERMINAL in os.environ or sys.stderr.isatty()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} days/s" if task.speed else "-", style="progress.data.speed")


class Progress(Observer):
    """Writes on rank 0 only: to stderr, or to the launcher's terminal."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._began = self._last = monotonic()
        #: Simulated days and the clock after the first step: that one waits for the compiler.
        self._compiled: tuple[float, float] | None = None

    def start(self, run: Simulation) -> None:
        """Start the clock and, on a terminal, the bar."""
        self._began = self._last = monotonic()
        if run.space.comm.rank == 0 and on_terminal():
            # The launcher passes stdout on as it comes, but stderr line by line, and a bar has no lines.
            console = Console(stderr=LAUNCHER_S_TERMINAL not in os.environ, force_terminal=True)
            self._bar = Bar(
                TextColumn("t = {task.completed:.2f} of {task.total:g} days"),
                BarColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=console,
            )
            self._bar.add_task("days", total=run.end)
            self._bar.start()

    def step(self, run: Simulation) -> None:
        """Move the bar, or write a line when the last one is old."""
        if run.space.comm.rank:
            return
        if run.steps and self._compiled is None:
            self._compiled = run.t, monotonic()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=run.t)
        elif monotonic() - self._last >= PERIOD:
            self._last = monotonic()
            self._line(run)

    def _line(self, run: Simulation) -> None:
        line = f"t = {run.t:.3g} of {run.end:g} days"
        if self._compiled:
            days, seconds = run.t - self._compiled[0], self._last - self._compiled[1]
            if days > 0.0 and seconds > 0.0:
                rate = days / seconds
                line += f", {rate:.3g} days/s, {(run.end - run.t) / rate:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    def finish(self, run: Simulation, status: str) -> None:
        """Take the bar away, say how long it took."""
        if self._bar:
            self._bar.stop()
        elif run.space.comm.rank == 0 and run.steps:
            seconds = monotonic() - self._began
            print(f"t = {run.t:.3g} of {run.end:g} days, {run.steps} steps in {seconds:.1f} s", file=sys.stderr)
