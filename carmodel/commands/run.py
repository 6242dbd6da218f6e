"""`carmodel run`: from a run file to a run directory, on one rank or many."""

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..model import Medium
from ..runs.footprint import cells_of, check_fits
from ..scenario.choices import IntegratorChoices
from ..scenario.reading import load
from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..tools import petsc
from ..tools.errors import InputError, NumericsError
from ..tools.signals import caught_signals, held_interrupts
from .process import ending_together, together

if TYPE_CHECKING:  # PETSc takes its options when it is first imported: not before launch() hands them over
    from ..runs.simulation import Integrator
    from ..spaces import Space

#: What a run writes; a folder that holds any of these holds another run.
OUTPUTS = (
    "run.toml",
    "manifest.json",
    "datapackage.json",
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
    numerics fail.  A rank that is alone with an error, whatever it is, ends the job.
    """
    began = perf_counter()
    try:
        petsc.start(petsc_options)
    except Exception as error:
        raise InputError(f"PETSc options {petsc_options}: {str(error).splitlines()[-1].strip()}") from None
    with ending_together() as owned:
        scenario = together(lambda: load(file, overrides))
        return _simulate(file, scenario, out, began, quiet, owned)


def _simulate(file: Path, scenario: Scenario, out: Path, began: float, quiet: bool, owned: ExitStack) -> int:
    """What `launch` does with a scenario; `owned` destroys what is made here."""
    from ..runs.dosing import Schedule
    from ..runs.initial import density_warning, diffusivity_by_cell, initial_state

    with held_interrupts():
        from ..runs.output import (
            ClampingWarning,
            DataPackage,
            LineProfile,
            Manifest,
            Progress,
            PublishedCsv,
            Series,
            VtkVolumes,
        )
    from ..runs.simulation import Observer, Simulation
    from ..spaces import BoxSpace

    choices, output = scenario.integrator, scenario.output
    try:
        space = _make_space(scenario)
        owned.callback(space.destroy)
        masks = scenario.parameters.masks
        by_cell = together(lambda: {name: diffusivity_by_cell(name, mask, space) for name, mask in masks.items()})
        u = together(lambda: initial_state(scenario.initial, space))
        for D in by_cell.values():
            space.exchange_field(D)
        medium = Medium(scenario.parameters.values, by_cell)
        largest = dict(zip(medium.model.names, space.sum_min_max(u)[2].tolist(), strict=True))
        schedule = Schedule(scenario.infusion, scenario.intervention, space, u, medium, end=scenario.time.end)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    of_files = {field: largest[field] for field in scenario.initial.files}
    if (warning := density_warning(scenario, of_files)) and space.comm.rank == 0:
        print(warning, file=sys.stderr, flush=True)
    integrator = _make_integrator(scenario.integrator, space, medium)
    owned.callback(integrator.destroy)
    together(lambda: _prepare(out, scenario) if space.comm.rank == 0 else None)
    manifest = Manifest(out, began)
    observers: list[Observer] = [DataPackage(out, scenario), Series(out), LineProfile(out, output.line)]
    if "vtk" in output.formats:
        observers.append(VtkVolumes(out, scenario.model.units_of(scenario.parameters.preset)))
    if "csv" in output.formats and isinstance(space, BoxSpace):
        observers.append(PublishedCsv(out, space))
    observers += [manifest, ClampingWarning()]
    if not quiet:
        observers.append(Progress())
    with ending_together(manifest.give_up), caught_signals() as signals:
        simulation = Simulation(
            space,
            integrator,
            u,
            end=scenario.time.end,
            every=output.every,
            dt=choices.dt,
            schedule=schedule,
            observers=observers,
            interrupted=lambda: signals[0] if signals else 0,
        )
        try:
            simulation.run()
        except OSError as error:
            raise NumericsError(
                f"{error.filename or out}: cannot be written: {error.strerror}; saved: {simulation.outputs} outputs"
            ) from None
    if space.comm.rank == 0 and not quiet:
        from ..results import RunDirectory
        from .summary import summary

        print(summary(RunDirectory(out)), flush=True)
    return 128 + simulation.stopped_by if simulation.stopped_by else 0


def _make_space(scenario: Scenario) -> "Space":
    """The box or mesh of a run file; collective.

    Raises InputError when it cannot be made, or not on as many ranks, or a run on it would not fit into the memory.
    """
    grid = scenario.space
    if grid.cells:
        _check_memory(scenario, cells_of(scenario))
    if isinstance(grid, Box):
        from ..spaces import BoxSpace

        return BoxSpace(grid.cells, grid.lengths, grid.nodes_on_boundary)
    from ..spaces.mesh import MeshSpace, gmsh_mesh, grid_mesh  # brings in FiPy

    if cells := grid.cells:
        return MeshSpace(together(lambda: grid_mesh(cells, grid.lengths or (1.0, 1.0, 1.0))))
    return MeshSpace(together(lambda: gmsh_mesh(Path(grid.mesh), lambda cells: _check_memory(scenario, cells))))


def _check_memory(scenario: Scenario, cells: int) -> None:
    """Before anything is allocated: raise InputError where a machine of the run has not enough memory; collective."""
    from mpi4py import MPI

    machine = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
    here = machine.size
    machine.Free()
    together(lambda: check_fits(scenario, cells, here, here / MPI.COMM_WORLD.size))


def _make_integrator(choices: IntegratorChoices, space: "Space", medium: Medium) -> "Integrator":
    """What a run file asks for; collective."""
    if choices.kind == "coupled":
        from ..integrators.coupled import Coupled  # brings in FiPy
        from ..spaces.mesh import MeshSpace

        assert isinstance(space, MeshSpace)  # the scenario's validation has seen to it
        return Coupled(space, medium, taxis=choices.taxis, scheme=choices.scheme)
    from ..integrators import Exponential, Imex, Strang
    from ..spaces import BoxSpace

    if choices.kind == "imex":
        if isinstance(space, BoxSpace) and not medium.by_cell and _exponential_is_wanted(choices, medium.model.names):
            return Exponential(space, medium, taxis=choices.taxis, rtol=choices.rtol, dt=choices.dt)
        return Imex(space, medium, taxis=choices.taxis, rtol=choices.rtol, dt=choices.dt)
    return Strang(
        space,
        medium,
        taxis=choices.taxis,
        substeps=choices.substeps,
        reaction=choices.reaction,
        diffusion=choices.diffusion,
        diffusion_scheme=choices.diffusion_scheme,
        jacobi_iterations=choices.jacobi_iterations,
        jacobi_tolerance=choices.jacobi_tolerance,
    )


def _exponential_is_wanted(choices: IntegratorChoices, names: tuple[str, ...]) -> bool:
    """Whether `method` says so, or leaves it open and no PETSc option is for its time stepper or its solvers.

    Raises InputError where such an option meets a `method` without them.
    """
    from ..tools.petsc import PETSc

    prefixes = ("ts_", "imex_", *(f"{field}_".lower() for field in names))
    options = [key for key in PETSc.Options().getAll() if key.lower().startswith(prefixes)]  # PETSc reads any case
    if options and choices.method == "exponential":
        raise InputError(
            f"PETSc option -{options[0]}: integrator.method = 'exponential' has no solver of PETSc's; accepted with "
            "the option: 'auto' or 'arkimex'"
        )
    return choices.method == "exponential" or (choices.method == "auto" and not options)


def _prepare(out: Path, scenario: Scenario) -> None:
    """Make the run directory and write the resolved run file into it."""
    file = out / "run.toml"
    try:
        if held := [name for name in OUTPUTS if os.path.lexists(out / name)]:
            raise InputError(f"--out {out}: holds another run ({held[0]}); accepted: a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(scenario.toml())
    except FileExistsError:
        raise InputError(f"--out {out}: cannot be written, or another run has just begun there") from None
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            file.unlink()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--out {out}: cannot be written: {reason}; accepted: a folder to write in") from None
