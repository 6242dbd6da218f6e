"""Runs as the elements of one SLURM job array, each with processes of its own, resumed until it is finished."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import sleep
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..models import searched
from ..runs.directory import CHECKPOINTS
from ..scenario.scenario import Scenario
from ..tools.errors import InputError
from ..tools.messages import one_line
from .batch import Ended, Executor
from .submit import REQUEUE, RESUMED, Job, head, start, submitted

#: Seconds between questions to SLURM, and for which an element without an exit code may be on its way to one.
PERIOD, LATE = 2.0, 20.0

#: Folders of arrays begin with this, and have SLURM's answer in a file of that name.
PREFIX, JOB = ".carmodel-array-", "job"

_BODY = """
cd {cd} || exit 2
n=$SLURM_ARRAY_TASK_ID
files={scratch}/$n
out=$(cat "$files.out")
{resumed}echo "$code" >"$files.code.new" && mv "$files.code.new" "$files.code"
exit "$code"
"""


class Array(NamedTuple):
    """What is submitted: run files, folders, complaints and exit codes as `scratch`/NUMBER.* from 1 on."""

    names: list[str]
    scratch: Path

    def code(self, n: int) -> int | None:
        """Exit code of a run, None before it has ended."""
        with suppress(OSError, ValueError):
            return int((self.scratch / f"{n}.code").read_text())
        return None

    def ended(self, n: int) -> Ended:
        """How a run ended."""
        code = self.code(n)
        if code is None:
            return Ended(self.names[n - 1], 3, "its element of the array ended without an exit code: was it cancelled?")
        with suppress(OSError):
            said = (self.scratch / f"{n}.txt").read_text(encoding="utf-8", errors="replace").strip()
            said = said.replace(f"{self.scratch / f'{n}.toml'}: ", "")
            if said:
                return Ended(self.names[n - 1], code, said.splitlines()[-1])
        return Ended(self.names[n - 1], code, f"code {code}")


def array(job: Job, at_once: int) -> Executor:
    """One job array, of which SLURM runs at most `at_once` elements at a time; waits until it has ended.

    Its files are beside the runs, where other machines see them, and stay while it lasts, also where this process ends
    before.  Raises InputError where there is no SLURM, it refuses the array, or an earlier array still makes runs.
    """

    def execute(runs: Mapping[str, Scenario], folder: Path, quiet: bool) -> list[Ended]:
        for old in folder.glob(f"{PREFIX}*"):
            number = _submitted_in(old)
            if number and _has_elements(number):
                raise InputError(f"{folder}: job array {number} makes runs there; accepted: when it has ended")
            rmtree(old)
        scratch = Path(mkdtemp(prefix=PREFIX, dir=folder))
        mine = Array(list(runs), scratch.absolute())
        for n, (name, scenario) in enumerate(runs.items(), 1):
            (scratch / f"{n}.toml").write_text(scenario.toml(), encoding="utf-8")
            (scratch / f"{n}.out").write_text(str((folder / name).absolute()), encoding="utf-8")
        script = scratch / "array.sh"
        script.write_text(_script(job, mine, at_once), encoding="utf-8")
        try:
            answer = submitted("sbatch", script)
            (scratch / JOB).write_text(answer, encoding="utf-8")
        except BaseException:
            rmtree(scratch)
            raise
        number = _submitted_in(scratch)
        if not quiet:
            said = f"job array {number}: {len(runs)} runs; to end it: scancel {number}"
            print(one_line(said), file=sys.stderr, flush=True)
        _wait(number, mine, quiet)
        ended = [mine.ended(n) for n in range(1, len(runs) + 1)]
        rmtree(scratch)
        return ended

    return execute


def _submitted_in(scratch: Path) -> str:
    """The number of the job array that an earlier command has submitted from a folder; "" where it has none."""
    with suppress(OSError):
        found = re.search(r"\d+", (scratch / JOB).read_text(encoding="utf-8"))
        return found[0] if found else ""
    return ""


def _script(job: Job, mine: Array, at_once: int) -> str:
    more = (f"--array=1-{len(mine.names)}%{at_once}", *job.more)
    run = shlex.join([*start(job, "slurm"), *(f"--models={folder}" for folder in searched())])
    resumed = RESUMED.format(
        checkpoints=f'"$out/{CHECKPOINTS}"',
        start=f'{run} "$files.toml" --out "$out" --resume --quiet 2>"$files.txt"',
        again=REQUEUE.format(job="${SLURM_ARRAY_JOB_ID}_$n"),
    )
    text = _BODY.format(cd=shlex.quote(str(Path.cwd())), scratch=shlex.quote(str(mine.scratch)), resumed=resumed)
    return head("slurm", job._replace(more=more), "carmodel", mine.scratch / "%a.log") + text


def _wait(number: str, mine: Array, quiet: bool) -> None:
    """Until all runs have an exit code, or SLURM has no element of the array left."""
    count, idle = len(mine.names), 0.0
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("runs", total=count)
        told: set[int] = set()
        while len(told) < count and idle < LATE:
            sleep(PERIOD)
            for n in sorted(set(range(1, count + 1)) - told):
                if (code := mine.code(n)) is not None:
                    told.add(n)
                    if not quiet and not sys.stderr.isatty():
                        text = f"{'failed' if code else 'made'} {mine.names[n - 1]} ({len(told)} of {count})"
                        print(one_line(text), file=sys.stderr, flush=True)
            bars.update(bar, completed=len(told))
            idle = 0.0 if _has_elements(number) else idle + PERIOD


def _has_elements(number: str) -> bool:
    """Whether SLURM still has some of the array waiting or running."""
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["squeue", "--noheader", "--jobs", number, "--format", "%T"],
            capture_output=True,
            text=True,
            timeout=60.0,
            stdin=subprocess.DEVNULL,
            env=dict(os.environ),
        )
        return answer.returncode == 0 and bool(answer.stdout.strip())
    return True  # no answer says nothing
