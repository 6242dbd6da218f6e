"""`carmodel submit`: a job script for a batch system, which goes on from checkpoints until the run is finished."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..runs.directory import CHECKPOINTS
from ..tools.errors import InputError
from ..tools.walltime import seconds_of
from .launcher import COMMAND, launcher

#: Seconds at most that a job runs before the command does.
LATE = 20.0

#: Seconds that a batch system may take to accept a job.
PATIENCE = 120.0


class Job(NamedTuple):
    """What is asked of the batch system.

    ranks: processes.  time: for one start, as 12h or 1-00:00:00; "" is the partition's own.  partition, account,
    memory (of a rank, as 4G): the batch system's names; "" leaves them to it.  more: further options, as they stand
    behind #SBATCH or #PBS.  step: "mpirun" or "srun".
    """

    ranks: int = 1
    time: str = ""
    partition: str = ""
    account: str = ""
    memory: str = ""
    more: tuple[str, ...] = ()
    step: str = "mpirun"


class Files(NamedTuple):
    """The job script and the log of all starts, beside the run directory."""

    script: Path
    log: Path


def files_of(out: Path, system: str) -> Files:
    """Of a run directory."""
    return Files(out.with_name(f"{out.name}.{system}.sh"), out.with_name(f"{out.name}.{system}.log"))


def script(system: str, run: list[str], out: Path, job: Job) -> str:
    """The job script.

    `run`: the arguments behind `carmodel run`, without `--resume` and `--out`.

    Raises InputError, naming the option, where a value cannot stand in a job script.
    """
    files = files_of(out, system)
    mine = ["--out", str(out), "--resume", "--quiet"]
    if system == "pbs" and job.time:  # which does not tell a job when it must end
        seconds = seconds_of(job.time)
        mine += ["--walltime", f"{seconds - min(LATE, 0.1 * seconds):.0f}s"]
    top = head(system, job, out.name, files.log.resolve())
    command = [*start(job, system), *_before_petsc(run, mine)]
    again = REQUEUE.format(job="$SLURM_JOB_ID")
    if system == "pbs":
        again = f"qsub {shlex.quote(str(files.script.resolve()))}"
    checkpoints = shlex.quote(str(out / CHECKPOINTS))
    resumed = RESUMED.format(checkpoints=checkpoints, start=shlex.join(command), again=again)
    return f'{top}\ncd {shlex.quote(str(Path.cwd()))} || exit 2\n{resumed}exit "$code"\n'


#: SLURM ends the job that it is told to requeue.
REQUEUE = 'scontrol requeue "{job}" && sleep 60'

#: A start of a run, and the next one where its time was up.
RESUMED = """newest() {{ ls {checkpoints} 2>/dev/null | sort | tail -n 1; }}
before=$(newest)
{start}
code=$?
# 4: stopped before its time was up.  Again, unless all that time has led nowhere.
if [ "$code" = 4 ]; then
    if [ "$(newest)" = "$before" ]; then
        echo "carmodel: no checkpoint was made in the time of a start; not started again" >&2
    else
        {again}
    fi
fi
"""


def head(system: str, job: Job, name: str, log: Path) -> str:
    """The lines of a job script that the batch system reads.

    Raises InputError, naming the option, where a value cannot stand there.
    """
    _check(job, system)
    options = _slurm_options(job, name, log) if system == "slurm" else _pbs_options(job, name, log)
    mark = "#SBATCH" if system == "slurm" else "#PBS"
    return "#!/bin/bash\n" + "".join(f"{mark} {option}\n" for option in (*options, *job.more))


def start(job: Job, system: str) -> list[str]:
    """The command that begins a run, before its arguments."""
    by = ["srun", "--mpi=pmix", f"--ntasks={job.ranks}"] if (job.step, system) == ("srun", "slurm") else None
    return [*(launcher(job.ranks) if by is None else by), *COMMAND]


def _slurm_options(job: Job, name: str, log: Path) -> list[str]:
    options = [f"--job-name={name}", f"--ntasks={job.ranks}", "--requeue", "--open-mode=append", f"--output={log}"]
    if job.time:
        minutes = max(1, int(seconds_of(job.time) // 60))
        options.append(f"--time={minutes // 1440}-{minutes // 60 % 24:02d}:{minutes % 60:02d}:00")
    options += [f"--partition={job.partition}"] if job.partition else []
    options += [f"--account={job.account}"] if job.account else []
    return options + ([f"--mem-per-cpu={job.memory}"] if job.memory else [])


def _pbs_options(job: Job, name: str, log: Path) -> list[str]:
    memory = f":mem={job.memory}" if job.memory else ""
    chunk = f"-l select={job.ranks}:ncpus=1:mpiprocs=1{memory}"
    options = [f"-N {re.sub('[^A-Za-z0-9_]', '_', name)[:15]}", chunk, "-j oe", f"-o {log}", "-r y"]
    if job.time:
        whole = int(seconds_of(job.time))
        options.append(f"-l walltime={whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}")
    options += [f"-q {job.partition}"] if job.partition else []
    return options + ([f"-A {job.account}"] if job.account else [])


def _before_petsc(run: list[str], more: list[str]) -> list[str]:
    """Arguments with others before the `--` that begins PETSc's."""
    place = run.index("--") if "--" in run else len(run)
    return [*run[:place], *more, *run[place:]]


def _check(job: Job, system: str) -> None:
    """Raise InputError where an option would break the script's lines, or is none."""
    named = {"--partition": job.partition, "--account": job.account, "--memory": job.memory}
    for option, value in named.items():
        if value and not re.fullmatch(r"[A-Za-z0-9_.,:@+-]+", value):
            raise InputError(f"{option} {value!r}: accepted: a name of the batch system's")
    for value in job.more:
        if not re.fullmatch(r"-[^\n\r\0]*", value):
            raise InputError(f"--batch {value!r}: accepted: one of the batch system's options, as --constraint=icelake")
    if job.time:
        try:
            seconds_of(job.time)
        except InputError:
            raise InputError(f"--time {job.time}: accepted: a time such as 11h50m, or 1-02:00:00") from None
    if job.step == "srun" and system != "slurm":
        raise InputError("--step srun: is SLURM's; accepted with --system pbs: mpirun")


def submit(system: str, text: str, files: Files) -> str:
    """Write the job script and give it to the batch system; what that answered.

    Raises InputError where there is no such batch system, or it refuses the job.
    """
    try:
        files.script.parent.mkdir(parents=True, exist_ok=True)
        files.script.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{files.script}: cannot be written: {error.strerror}; accepted: a folder to write in"
        ) from None
    return submitted("sbatch" if system == "slurm" else "qsub", files.script)


def submitted(command: str, script: Path) -> str:
    """The batch system's answer to a job script.  Raises InputError where there is none, or it refuses the job."""
    try:
        answer = subprocess.run(
            [command, str(script)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
            env=dict(os.environ),  # not what MPI may have added to it, which the job would take for its own
        )
    except OSError:
        raise InputError(f"no {command} here; accepted: a machine of a cluster with that batch system") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{command} has not answered in {PATIENCE:.0f} s; accepted: one that does") from None
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        raise InputError(f"{command} says: {said[-1] if said else 'nothing'}; accepted: a job that it takes")
    return answer.stdout.strip()
