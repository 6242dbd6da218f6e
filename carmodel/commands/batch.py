"""Many runs in processes of their own, a few at a time; what is there already is not made again."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..models import searched, source
from ..results import RunDirectory, is_run_directory
from ..runs.directory import OUTPUTS, RUN_FILE, difference
from ..scenario.reading import load
from ..scenario.scenario import Scenario
from ..tools.errors import InputError, NumericsError
from ..tools.locks import hold
from ..tools.messages import one_line, printable
from ..tools.signals import signals_handled
from .launcher import COMMAND, launcher

#: Seconds between looks at the processes.
PERIOD = 0.2


def _environment() -> dict[str, str]:
    """That of a run: one core a rank, and none of what MPI or a batch system has told this process.

    This process may have started MPI, which marks the C environment: Python's copy is from before.  And mpirun would
    take the whole allocation of a job that this process runs in for each run.
    """
    foreign = ("SLURM_", "PMI_", "PMIX_", "OMPI_COMM_", "PRTE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"OMP_NUM_THREADS": "1"}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


#: Exit codes of a process that somebody, or the kernel for want of memory, has killed; mpirun's when a rank was.
LOST = (-signal.SIGKILL, 128 + signal.SIGKILL)

#: Makes runs in a folder, quietly or not, and says how they ended.
Executor = Callable[[Mapping[str, Scenario], Path, bool], "list[Ended]"]


class Ended(NamedTuple):
    """How a run ended: exit code, and what it said last."""

    name: str
    code: int
    complaint: str


def local(jobs: int, ranks: int = 1) -> Executor:
    """At most `jobs` runs at once on this machine, each of so many ranks, one core each."""

    def execute(runs: Mapping[str, Scenario], folder: Path, quiet: bool) -> list[Ended]:
        with TemporaryDirectory(prefix="carmodel-") as scratch:
            return Batch(runs, folder, Path(scratch), quiet, ranks).make(jobs)

    return execute


def make(runs: Mapping[str, Scenario], folder: Path, execute: Executor, quiet: bool = False) -> list[str]:
    """Make the runs that are missing in `folder` and return their names.

    A run is there where its directory, `folder`/name, holds a finished one of the same scenario.  One that was stopped,
    failed or killed goes on from its last checkpoint, or begins anew where it has none; of its directory only what
    carmodel writes is removed.  One that is killed meanwhile is tried once more.

    Raises InputError before anything is made when a directory holds another scenario, or one that is being made; and
    after all others are made, InputError when runs refused their input, and NumericsError when runs failed.  On SIGINT,
    SIGTERM and SIGHUP the runs are stopped, each saving its volume, and SystemExit tells the signal.
    """
    missing = {name: scenario for name, scenario in runs.items() if not _is_finished(folder / name, scenario)}
    if not missing:
        return []
    with _refusing("written", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        for name, scenario in list(missing.items()):
            if _is_finished(folder / name, scenario):  # again: now nobody else makes any
                del missing[name]
                continue
            with _refusing("written", folder / name):
                (folder / name).mkdir(parents=True, exist_ok=True)
        ended = execute(missing, folder, quiet)
    for kind, how, ours in ((InputError, "refused", True), (NumericsError, "failed", False)):
        bad = [run for run in ended if run.code and (run.code == 2) == ours]  # 2: its input is wrong
        if bad:
            raise kind(f"{len(bad)} of {len(missing)} runs {how}: {bad[0].name}: {bad[0].complaint}")
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
    scenario: Scenario
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
        if code < 0:  # what it said before that is not why
            return ended
        return said.replace(f"{self.complaints.with_suffix('.toml')}: ", "") or ended


class Batch:
    """Runs on their way."""

    def __init__(self, runs: Mapping[str, Scenario], folder: Path, scratch: Path, quiet: bool, ranks: int = 1) -> None:
        self._waiting, self._ranks = list(runs.items()), ranks
        self._count, self._folder, self._scratch, self._quiet = len(runs), folder, scratch, quiet
        self._models = [f"--models={folder}" for folder in searched()]
        self._running: list[Job] = []
        self._started = 0
        self._lost: set[str] = set()
        self._ended: list[Ended] = []
        self._signal = 0
        self._bars: Progress | None = None

    def make(self, jobs: int) -> list[Ended]:
        """Make all, at most `jobs` at once; how they ended."""
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
        return self._ended

    def _start(self, name: str, scenario: Scenario) -> None:
        self._started += 1
        file = self._scratch / f"{self._started}.toml"
        file.write_text(scenario.toml(), encoding="utf-8")
        out, complaints = self._folder / name, file.with_suffix(".txt")
        resume = ["--resume"] if (out / RUN_FILE).exists() else []
        with complaints.open("wb") as stream:
            process = subprocess.Popen(
                [*launcher(self._ranks), *COMMAND, str(file), *self._models, "--out", str(out), *resume, "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=_environment(),
                start_new_session=True,  # a terminal's ^C is ours to pass on
            )
        job = Job(name, out, scenario, process, complaints)
        if self._bars:
            job.bar = self._bars.add_task(printable(name), total=scenario.time.end, unit="")
        self._running.append(job)

    def _look_at(self, job: Job) -> None:
        code = job.process.poll()
        if self._bars and job.bar is not None:
            t = job.time_reached()
            self._bars.update(job.bar, completed=t, unit=f"t = {t:g} of {job.scenario.time.end:g} days")
        if code is None:
            return
        self._running.remove(job)
        if code == 1:  # a bug of ours
            raise RuntimeError(f"{job.name}:\n{job.complaint()}")
        if code in LOST and job.name not in self._lost:  # once more, as what killed it may be over
            self._lost.add(job.name)
            self._waiting.append((job.name, job.scenario))
            if self._bars and job.bar is not None:
                self._bars.remove_task(job.bar)
            elif not self._quiet:
                print(one_line(f"killed {job.name}; once more"), file=sys.stderr, flush=True)
            return
        self._ended.append(Ended(job.name, code, job.complaint().splitlines()[-1] if code else ""))
        if self._bars and job.bar is not None:
            self._bars.remove_task(job.bar)
            self._bars.update(self._all, completed=len(self._ended), unit=f"{len(self._ended)} of {self._count}")
        elif not self._quiet:
            how = "failed" if code else "made"
            seconds = monotonic() - job.began
            text = f"{how} {job.name} in {seconds:.0f} s ({len(self._ended)} of {self._count})"
            print(one_line(text), file=sys.stderr, flush=True)

    def _stop(self) -> None:
        """End what still runs, and wait for it."""
        for job in self._running:
            job.process.terminate()
        for job in self._running:
            job.process.wait()

    def _note_signal(self, number: int, _frame: object) -> None:
        self._signal = number
