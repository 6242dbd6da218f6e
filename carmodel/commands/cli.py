"""The commands `run`, `submit`, `sweep`, `check`, `info`, `compare`, `steady` and `claims`."""

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..tools.environment import environment, launched_rank
from ..tools.errors import InputError, NumericsError
from ..tools.messages import printable
from .options import (
    Account,
    Batch,
    Jobs,
    Memory,
    Models,
    Overrides,
    Partition,
    Petsc,
    Ranks,
    RunFile,
    RunFolder,
    Step,
    Time,
)
from .process import end

# Typer names only the subclass: UsageError itself is where the Typer at hand keeps click.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # rich's own would take [sweep] for a style
)

#: Elements of a job array that run at a time unless `--jobs` says.
MOST_AT_ONCE = 1000


def _version(wanted: bool) -> None:
    if wanted:
        print(f"carmodel {__version__}")
        raise typer.Exit


@app.callback()
def _carmodel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """CAR-T cell therapy of solid tumours in 3-D."""


@app.command()
def run(
    file: RunFile,
    petsc: Petsc = None,
    out: RunFolder = None,
    overrides: Overrides = None,
    models: Models = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in the run directory, if there is one.")
    ] = False,
    walltime: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time given, as 11h50m: save and stop before it is up, exit code 4."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no summary.")] = False,
) -> None:
    """Simulate; alone or under mpirun."""
    if out == "":
        raise InputError("--out: is empty; accepted: a folder")
    from .run import Wishes, launch  # brings in MPI and PETSc, which the other commands do without

    folder = Path(out or f"results/{file.stem}")
    wishes = Wishes(folder, overrides or [], petsc or [], quiet=quiet, resume=resume, walltime=walltime)
    raise typer.Exit(launch(file, wishes))


@app.command()
def submit(
    file: RunFile,
    petsc: Petsc = None,
    out: RunFolder = None,
    overrides: Overrides = None,
    models: Models = None,
    ranks: Ranks = 1,
    time: Time = "",
    partition: Partition = "",
    account: Account = "",
    memory: Memory = "",
    batch: Batch = None,
    step: Step = "mpirun",
    system: Annotated[str, typer.Option(help="slurm or pbs.")] = "slurm",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the job script; write and submit nothing.")] = False,
) -> None:
    """Give a run to the batch system, which starts it again from its checkpoints until it is finished."""
    from ..scenario.reading import load
    from . import submit as batch_system

    if out == "":
        raise InputError("--out: is empty; accepted: a folder")
    _check_choice("--step", step, "mpirun", "srun")
    _check_choice("--system", system, "slurm", "pbs")
    load(file, overrides or [])  # what is wrong is said now, and not when the job begins
    folder = Path(out or f"results/{file.stem}")
    given = [str(file), *(f"--set={given}" for given in overrides or [])]
    given += [f"--models={folder}" for folder in models or []]
    given += ["--", *petsc] if petsc else []
    job = batch_system.Job(ranks, time, partition, account, memory, tuple(batch or ()), step)
    text = batch_system.script(system, given, folder, job)
    if dry_run:
        print(text, end="")
        return
    files = batch_system.files_of(folder, system)
    print(batch_system.submit(system, text, files))
    print(printable(f"script: {files.script}\nlog: {files.log}\nrun: {folder}"))


@app.command()
def sweep(
    file: RunFile,
    jobs: Jobs = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the run directories; results unless given.")
    ] = None,
    overrides: Overrides = None,
    models: Models = None,
    ranks: Ranks = 1,
    executor: Annotated[str, typer.Option(help="local: processes of this machine; slurm: one job array.")] = "local",
    time: Time = "",
    partition: Partition = "",
    account: Account = "",
    memory: Memory = "",
    batch: Batch = None,
    step: Step = "mpirun",
    outcome: Annotated[
        list[str] | None,
        typer.Option(metavar="O", help="Another column of sweep.csv: total_TA@6, max(mean_C); more may be given."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Simulate all runs of a file with a table [sweep], each in a process of its own."""
    if out == "":
        raise InputError("--out: is empty; accepted: a folder")
    _refuse_mpi("sweep")
    _check_choice("--executor", executor, "local", "slurm")
    _check_choice("--step", step, "mpirun", "srun")
    from ..scenario.sweep import read_sweep
    from .array import array
    from .batch import cores, local, make
    from .outcomes import parsed, write_table
    from .submit import Job

    if executor == "local":
        execute = local(jobs or max(1, cores() // ranks), ranks)
    else:
        job = Job(ranks, time, partition, account, memory, tuple(batch or ()), step)
        execute = array(job, jobs or MOST_AT_ONCE)
    folder, sweep = Path(out or "results"), read_sweep(file, overrides or [])
    wanted = [parsed(text) for text in outcome or []]

    def tell(made: Collection[str]) -> None:
        _write_results(sweep.runs, folder, made)
        if sweep.axes:
            print(printable(f"table: {write_table(sweep.inputs, folder, file.stem, wanted)}"))

    try:
        made = make(sweep.runs, folder, execute, quiet)
    except NumericsError:  # some failed, and all others are made
        tell(sweep.runs)
        raise
    tell(made)


@app.command()
def check(file: RunFile, overrides: Overrides = None, models: Models = None) -> None:
    """Validate a run file and print it with every default, or the axes and runs of a sweep; run nothing."""
    from ..runs.footprint import cells_of, check_fits, estimates
    from ..runs.images import check_files
    from ..runs.initial import density_warning
    from ..runs.oddities import initial_peaks, odd_values
    from ..runs.picture import described_domain, draw
    from ..scenario.sweep import read_sweep

    axes, runs, _ = read_sweep(file, overrides or [])
    warnings: dict[str, None] = {}
    for name, scenario in runs.items():
        try:
            check_fits(scenario, cells_of(scenario))
            check_files(scenario)
            described = described_domain(scenario.space)
        except InputError as error:
            raise InputError(f"{file}: sweep: {name}: {error}" if axes else f"{file}: {error}") from None
        odd = (density_warning(scenario), *odd_values(scenario, initial_peaks(scenario)), *described.warnings)
        for warning in odd:
            if warning:
                warnings[warning] = None
    for warning in warnings:  # alike in many runs of a sweep
        print(warning, file=sys.stderr)
    if not axes:
        print(estimates(scenario) + described.text + scenario.toml(), end="")
        if described.tissue:
            print(f"# picture of the domain: {draw(described.tissue, file)}")
        return
    for key, labels in axes.items():
        print(printable(f"{key}: {', '.join(labels)}"))
    print(f"{len(runs)} runs, all valid:")
    for name in runs:
        print(printable(f"  {name}"))


@app.command()
def info(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]) -> None:
    """What ran, how long, where it ended."""
    from ..results import RunDirectory
    from .summary import summary

    print(summary(RunDirectory(folder)))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Run directory, published-format CSV file or folder, or .npz.")],
    b: Annotated[Path, typer.Argument(help="The same; differences are relative to it.")],
    tol: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Exit with 1 when a difference is above it.")
    ] = None,
) -> None:
    """Difference of A from B by field at their common times; exit 1 above the tolerance."""
    import numpy as np

    from .compare import compare as difference

    found = difference(a, b)
    print(f"{len(found.times)} common times from {found.times[0]:g} to {found.times[-1]:g}, {found.how}")
    print(f"{'field':>5}  {'relative L2':>12}  {'relative max':>12}")
    for row in zip(found.names, found.relative_l2, found.relative_max, strict=True):
        print("{:>5}  {:12.3e}  {:12.3e}".format(*row))
    worst = float(np.max([found.relative_l2, found.relative_max]))
    if tol is None:
        print(f"largest {worst:.3e}")
    else:
        close = worst <= tol  # False for nan
        print(f"largest {worst:.3e}: {'within' if close else 'above'} the tolerance of {tol:g}")
        raise typer.Exit(0 if close else 1)


@app.command()
def steady(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Run file (TOML); the normalised set on 1 cm unless given.")
    ] = None,
    overrides: Overrides = None,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Steady states, spectra, stability with diffusion and taxis; of the paper's model all of section 2.2."""
    import json

    from ..paper import analysis as paper
    from ..scenario.reading import load
    from ..theory import analysis as theory

    scenario = load(file, overrides or [])
    about = paper if paper.is_about(scenario.model) else theory
    try:
        data = about.analyse_scenario(scenario)
    except InputError as error:
        raise InputError(f"{file or '--set'}: {error}") from None
    if as_json:
        print(json.dumps(data, indent=1, allow_nan=False))
        return
    from rich.console import Console

    about.write_report(data, Console(width=None if sys.stdout.isatty() else 160))


@app.command()
def claims(
    section: Annotated[
        list[str] | None, typer.Option(metavar="S", help="3.1, 3.2, 3.3, 3.4 or ABS (the abstract); all unless given.")
    ] = None,
    runs: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the runs; results/paper unless given.")
    ] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the verdicts as JSON.")] = None,
    jobs: Jobs = None,
    overrides: Overrides = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Judge every statement of the paper's section 3, making the runs that are missing; exit 1 if any fails."""
    _refuse_mpi("claims")
    from ..paper import claims as paper
    from .batch import cores, local, make

    chosen = section or list(paper.SECTIONS)
    if unknown := [name for name in chosen if name not in paper.SECTIONS]:
        raise InputError(f"--section {unknown[0]}: accepted: {', '.join(paper.SECTIONS)}")
    if runs == "" or json_file == "":
        raise InputError(f"{'--runs' if runs == '' else '--json'}: is empty; accepted: a name")
    if json_file:
        _check_writable(Path(json_file))
    folder = paper.folder_for(Path(runs or "results/paper"), overrides or [])
    scenarios = paper.experiments(chosen, overrides or [])
    make(scenarios, folder, local(jobs or cores()), quiet)
    observed = {name: paper.ObservedRun(folder / name) for name in scenarios}
    verdicts = [paper.judge(statement, observed) for statement in paper.statements(chosen)]
    if json_file:  # before what a closed pipe may end
        paper.write_json(verdicts, Path(json_file))
    from rich.console import Console

    paper.write_table(verdicts, Console(width=None if sys.stdout.isatty() else 160))
    print(printable(f"runs: {folder}"))
    raise typer.Exit(0 if all(verdict.holds for verdict in verdicts) else 1)


def _write_results(names: Iterable[str], folder: Path, made: Collection[str]) -> None:
    """The table of a sweep; of runs that failed before they wrote anything there is no row."""
    from rich.console import Console

    from ..results import RunDirectory, is_run_directory
    from .summary import table

    there = {name: RunDirectory(folder / name) for name in names if is_run_directory(folder / name)}
    Console(width=None if sys.stdout.isatty() else 160).print(table(there, made))
    print(printable(f"runs: {folder}"))


def _check_choice(option: str, value: str, *accepted: str) -> None:
    if value not in accepted:
        raise InputError(f"{option} {value}: accepted: {' or '.join(accepted)}")


def _check_writable(file: Path) -> None:
    """Before hours of runs."""
    if os.path.isdir(file) or not os.access(file if os.path.exists(file) else file.parent, os.W_OK):
        raise InputError(f"--json {file}: cannot be written; accepted: a file in a folder to write in")


def _refuse_mpi(command: str) -> None:
    if launched_rank():
        raise InputError(f"{command}: starts processes of its own; accepted: without mpirun or srun, with --jobs N")


def main() -> NoReturn:
    """Entry point: errors that a user can cause become one line on stderr and an exit code."""
    _open_closed_streams()
    code, error = 0, None
    # A thread that has done its share of a loop watches for the next loop, by default for milliseconds, and the threads
    # of the cosine transform that come in between must do with the other cores.  OpenMP reads this when it is loaded.
    with environment(GOMP_SPINCOUNT=os.environ.get("GOMP_SPINCOUNT", "10000")):
        try:
            code = _command()
            sys.stdout.flush()
        except BaseException as raised:
            error = raised
    if isinstance(error, OSError) and error.filename is None:
        # Standard output.  What it still holds would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(end(error, code))


def _open_closed_streams() -> None:
    """Some daemons start programs without standard streams: the next file opened would take the place of one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _command() -> int:
    """Do what the command line says; its exit code.  Typer's own call would take a closed pipe for an end with 1."""
    try:
        with typer.main.get_command(app).make_context("carmodel", sys.argv[1:]) as context:
            context.command.invoke(context)
    except typer.Exit as finished:
        return finished.exit_code
    except _UsageError as error:
        raise InputError(f"{error.format_message() or 'which command?'} (see carmodel --help)") from None
    except SystemExit as finished:
        if isinstance(finished.__context__, BrokenPipeError):  # rich's answer to a closed pipe
            raise BrokenPipeError from None
        raise
    return 0
