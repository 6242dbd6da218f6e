"""`carmodel run`: from a run file to a run directory, on one rank or many."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TypeVar

import petsc4py

from .errors import InputError
from .runfile import load
from .scenario import Scenario

T = TypeVar("T")

#: What a run writes; a folder that holds any of these holds another run.
OUTPUTS = (
    "run.toml",
    "manifest.json",
    "series.csv",
    "line.csv",
    "fields.pvd",
    "fields",
    "csv",
    "checkpoints",
)


def launch(file: Path, out: Path, overrides: list[str], petsc_options: list[str], quiet: bool) -> int:
    """Simulate a run file into the folder `out`; collective over MPI.COMM_WORLD.  Returns the exit code.

    Raises, on every rank, InputError before anything is written when the input is wrong, and NumericsError when the
    numerics fail.
    """
    began = perf_counter()
    petsc4py.init(["carmodel", *petsc_options])
    _abort_together()
    scenario = _together(lambda: load(file, overrides))
    stopped_by = _catch_signals()
    complete = _simulate(file, scenario, out, began, quiet, stopped_by)
    return 0 if complete else 128 + stopped_by[0]


def _simulate(file: Path, scenario: Scenario, out: Path, began: float, quiet: bool, stopped_by: list[int]) -> bool:
    from mpi4py import MPI

    from .initial import diffusivity_of_C, initial_state
    from .integrators import Strang
    from .output import LineProfile, Manifest, Progress, PublishedCsv, Series, VtkVolumes
    from .simulation import Observer, Simulation
    from .spaces import BoxSpace

    grid, choices, output = scenario.space, scenario.integrator, scenario.output
    try:
        space = BoxSpace(grid.cells, grid.lengths, grid.nodes_on_boundary)
        mask = scenario.parameters.mask
        D_C = _together(lambda: diffusivity_of_C(mask, space)) if mask else None
        u = _together(lambda: initial_state(scenario.initial, space))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    if D_C is not None:
        space.exchange_field(D_C)
    _together(lambda: _prepare(out, scenario) if space.comm.rank == 0 else None)
    integrator = Strang(
        space,
        scenario.parameters.values,
        D_C=D_C,
        taxis=choices.taxis,
        substeps=choices.substeps,
        diffusion=choices.diffusion,
        jacobi_iterations=choices.jacobi_iterations,
        jacobi_tolerance=choices.jacobi_tolerance,
    )
    observers: list[Observer] = [Series(out), LineProfile(out, output.line)]
    if "vtk" in output.formats:
        observers.append(VtkVolumes(out))
    if "csv" in output.formats:
        observers.append(PublishedCsv(out))
    observers.append(Manifest(out, began))
    if not quiet:
        observers.append(Progress())
    simulation = Simulation(
        space,
        integrator,
        u,
        end=scenario.time.end,
        every=output.every,
        dt=choices.dt,
        observers=observers,
        interrupted=lambda: bool(stopped_by),
    )
    try:
        complete = simulation.run()
    finally:
        integrator.destroy()
        space.destroy()
    if MPI.COMM_WORLD.rank == 0 and not quiet:
        from .results import RunDirectory
        from .summary import summary

        print(summary(RunDirectory(out)), flush=True)
    return complete


def _prepare(out: Path, scenario: Scenario) -> None:
    """Make the run directory and write the resolved run file into it."""
    if held := [name for name in OUTPUTS if (out / name).exists()]:
        raise InputError(f"--out {out}: holds another run ({held[0]}); accepted: a new or empty folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "run.toml").write_text(scenario.toml(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}; accepted: a folder to write in") from None


def _together(action: Callable[[], T]) -> T:
    """Do something on every rank; if any rank finds the input wrong, all raise the first one's InputError."""
    from mpi4py import MPI

    result, complaint = None, None
    try:
        result = action()
    except InputError as error:
        complaint = str(error)
    if complaints := [text for text in MPI.COMM_WORLD.allgather(complaint) if text]:
        raise InputError(complaints[0])
    return result  # type: ignore[return-value]


def _catch_signals() -> list[int]:
    """The signals that asked to stop, as they come in; the loop ends after its step."""
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _frame: received.append(caught))
    return received


def _abort_together() -> None:
    """Under MPI, an exception that reaches the top on one rank ends all: the others may wait for it for ever."""
    from mpi4py import MPI

    if MPI.COMM_WORLD.size == 1:
        return

    def abort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(f"rank {MPI.COMM_WORLD.rank}:", file=sys.stderr)
        traceback.print_exception(kind, error, trace)
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)

    sys.excepthook = abort
