"""Many runs in processes of their own, a few at a time; what is there already is not made again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..models import searched, source
from ..results import RunDirectory, is_run_directory
from ..runs.directory import OUTPUTS, RUN_FILE, clear, difference
from ..scenario.reading import load
from ..scenario.scenario import Scenario
from ..tools.errors import InputError, NumericsError
from ..tools.locks import hold
from ..tools.messages import one_line, printable
from ..tools.signals import signals_handled

#: Seconds between looks at the processes.
PERIOD = 0.2

# -P: from where this process has carmodel, not from the current folder.
_COMMAND = [sys.executable, "-P", "-c", "from carmodel.commands.cli import main; main()", "run"]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def make(runs: Mapping[str, Scenario], folder: Path, jobs: int, quiet: bool = False) -> list[str]:
    """Make the runs that are missing in `folder`, at most `jobs` at once on one core each; return their names.

    A run is there where its directory, `folder`/name, holds a finished one of the same scenario.  One that was stopped,
    failed or killed is made anew; of its directory only what carmodel writes is removed.

    Raises InputError before anything is made when a directory holds another scenario, or one that is being made; and
    after all others are made, InputError when runs refused their input, and NumericsError when runs failed.  On SIGINT,
    SIGTERM and SIGHUP the runs are stopped, each saving its volume, and SystemExit tells the signal.
    """
    missing = {name: scenario for name, scenario in runs.items() if not _is_finished(folder / name, scenario)}
    if not missing:
        return []
    with _refusing("written", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder), TemporaryDirectory(prefix="carmodel-") as scratch:
        for name, scenario in missing.items():
            if not _is_finished(folder / name, scenario):  # again: now nobody else makes any
                with _refusing("written", folder / name):
                    clear(folder / name)
        Batch(missing, folder, Path(scratch), quiet).make(jobs)
    return list(missing)


@contextmanager
def _refusing(how: str, folder: Path) -> Iterator[None]:
    """Raise InputError for an OSError inside: the folder cannot be `how`, "read" or "written"."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be {how}: {error.strerror}; accepted: a folder to read and write in"
        ) from None


def _is_finished(out: Path, scenario: Scenario) -> bool:
    """Whether a finished run of the scenario is in `out`.  Raises InputError where something else is."""
    refusal = (
        f"{out}: holds another run ({{}}); accepted: this run's directory, or none: move it or choose another folder"
    )
    with _refusing("read", out):
        if not (out / RUN_FILE).exists():
            if held := [name for name in OUTPUTS if os.path.lexists(out / name)]:
                raise InputError(refusal.format(held[0]))
            return False
    try:
        other = load(out / RUN_FILE).tables()
    except InputError:
        raise InputError(refusal.format("run.toml cannot be read")) from None
    if found := difference(other, scenario.tables(), ("title",)):
        raise InputError(refusal.format(found))
    if not is_run_directory(out):
        return False
    run = RunDirectory(out)
    file, digest = source(scenario.model), run.manifest.get("model", {}).get("sha256")
    if file and digest and file.sha256 != digest:
        raise InputError(refusal.format(f"another version of {file.file}"))
    if run.status == "running":
        raise InputError(f"{out}: is being made by process {run.manifest.get('pid')}; accepted: when that has ended")
    return run.status == "finished"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder against another batch; file systems without locks do without."""
    with _refusing("read", folder):
        try:
            handle = hold(folder)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another carmodel is making runs there; accepted: when that has ended"
            ) from None
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


@dataclass
class Job:
    """A run that is being made."""

    name: str
    out: Path
    end: float
    process: subprocess.Popen[bytes]
    complaints: Path
    bar: TaskID | None = None
    began: float = field(default_factory=monotonic)

    def time_reached(self) -> float:
        """Simulated days, as the manifest has them."""
        with suppress(InputError):
            return float(RunDirectory(self.out).manifest["t"])
        return 0.0

    def complaint(self) -> str:
        """What the process said last, or how it ended; without the name of its run file, which is gone by then."""
        said = self.complaints.read_text(encoding="utf-8", errors="replace").strip()
        code = self.process.returncode
        ended = f"ended by signal {-code if code < 0 else code - 128}" if code < 0 or code > 128 else f"code {code}"
        return said.replace(f"{self.complaints.with_suffix('.toml')}: ", "") or ended


class Batch:
    """Runs on their way."""

    def __init__(self, runs: Mapping[str, Scenario], folder: Path, scratch: Path, quiet: bool) -> None:
        self._waiting = list(runs.items())
        self._count, self._folder, self._scratch, self._quiet = len(runs), folder, scratch, quiet
        self._models = [f"--models={folder}" for folder in searched()]
        self._running: list[Job] = []
        self._done = 0
        self._failed: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._signal = 0
        self._bars: Progress | None = None

    def make(self, jobs: int) -> None:
        """Make all, at most `jobs` at once."""
        with ExitStack() as stack:
            stack.enter_context(signals_handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), self._note_signal))
            stack.callback(self._stop)
            if not self._quiet and sys.stderr.isatty():
                label, unit = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[unit]}")
                columns = (label, BarColumn(), unit, TimeElapsedColumn())
                bars = Progress(*columns, console=Console(stderr=True), transient=True)
                self._bars = stack.enter_context(bars)
                self._all = self._bars.add_task("runs", total=self._count, unit=f"0 of {self._count}")
            while (self._waiting or self._running) and not self._signal:
                while self._waiting and len(self._running) < jobs:
                    self._start(*self._waiting.pop(0))
                sleep(PERIOD)
                for job in list(self._running):
                    self._look_at(job)
        if self._signal:
            raise SystemExit(128 + self._signal)
        for kind, how, complaints in ((InputError, "refused", self._refused), (NumericsError, "failed", self._failed)):
            for name, complaint in complaints.items():
                raise kind(f"{len(complaints)} of {self._count} runs {how}: {name}: {complaint}")

    def _start(self, name: str, scenario: Scenario) -> None:
        file = self._scratch / f"{len(self._waiting)}.toml"
        file.write_text(scenario.toml(), encoding="utf-8")
        out, complaints = self._folder / name, file.with_suffix(".txt")
        with complaints.open("wb") as stream:
            process = subprocess.Popen(
                [*_COMMAND, str(file), *self._models, "--out", str(out), "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                # This process may have started MPI, which marks the C environment: Python's copy is from before.
                env=dict(os.environ) | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # a terminal's ^C is ours to pass on
            )
        job = Job(name, out, scenario.time.end, process, complaints)
        if self._bars:
            job.bar = self._bars.add_task(printable(name), total=job.end, unit="")
        self._running.append(job)

    def _look_at(self, job: Job) -> None:
        code = job.process.poll()
        if self._bars and job.bar is not None:
            t = job.time_reached()
            self._bars.update(job.bar, completed=t, unit=f"t = {t:g} of {job.end:g} days")
        if code is None:
            return
        self._running.remove(job)
        self._done += 1
        if code == 1:  # a bug of ours
            raise RuntimeError(f"{job.name}:\n{job.complaint()}")
        if code:
            complaints = self._refused if code == 2 else self._failed  # 2: its input is wrong
            complaints[job.name] = job.complaint().splitlines()[-1]
        if self._bars and job.bar is not None:
            self._bars.remove_task(job.bar)
            self._bars.update(self._all, completed=self._done, unit=f"{self._done} of {self._count}")
        elif not self._quiet:
            how = "failed" if code else "made"
            seconds = monotonic() - job.began
            text = f"{how} {job.name} in {seconds:.0f} s ({self._done} of {self._count})"
            print(one_line(text), file=sys.stderr, flush=True)

    def _stop(self) -> None:
        """End what still runs, and wait for it."""
        for job in self._running:
            job.process.terminate()
        for job in self._running:
            job.process.wait()

    def _note_signal(self, number: int, _frame: object) -> None:
        self._signal = number
