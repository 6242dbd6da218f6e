"""Makes what a run consists of from a scenario: space, state at t = 0, schedule and integrator."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..integrators import Exponential, Heat, Heun, Imex, Jacobi, Krylov, Patankar, Strang
from ..integrators.protocol import Integrator
from ..model import Medium
from ..scenario.choices import IntegratorChoices
from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..spaces import BoxSpace, Space
from ..tools.errors import InputError
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from ..tools.ranks import together
from .dosing import Schedule
from .footprint import cells_of, check_fits
from .initial import density_warning, initial_state, parameter_by_cell
from .oddities import clipped_faces, odd_values
from .plan import Plan
from .simulation import Guard, Observer, Simulation
from .statefile import StateFile, Stored
from .tissue import cut_box, parameter_of_regions

Array = NDArray[np.float64]


class Assembly(Owner):
    """A scenario ready to run; owns its space and its integrator.

    Parameters
    ----------
    scenario: what to make.
    comm: communicator whose ranks share the cells; making and destroying are collective over it.
    source: where the scenario comes from, as messages name it.
    warn: told on rank 0, a line each, of what is odd: a density that seems to be in other units, `oddities`.
    saved: the checkpoint to go on from; None to begin at t = 0.

    Raises InputError, on every rank, when a file cannot be used, shapes or infusions put nothing anywhere, the cells
    cannot be split over the ranks or do not fit into the memory, or PETSc refuses its options.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        scenario: Scenario,
        comm: MPI.Intracomm,
        source: str,
        warn: Callable[[str], None],
        saved: StateFile | None = None,
    ) -> None:
        self.scenario, self.saved = scenario, saved
        with _named(source):
            space = self.space = make_space(scenario, comm)
            self.adopt(space)
            if saved is not None:
                self._go_on(saved)
                return
            masks, regions = scenario.parameters.masks, scenario.parameters.by_region
            by_cell = together(
                comm,
                lambda: {
                    name: parameter_by_cell(name, mask, space, name in scenario.model.positive)
                    for name, mask in masks.items()
                },
            )
            for name, given in regions.items():
                usual = getattr(scenario.parameters.values, name)
                by_cell[name] = parameter_of_regions(given.by_region, usual, space)
            u = self.u = together(comm, lambda: initial_state(scenario.initial, space))
            for values in by_cell.values():
                space.exchange_field(values)
            medium = Medium(scenario.parameters.values, by_cell)
            largest = dict(zip(medium.model.names, space.sum_min_max(u)[2].tolist(), strict=True))
            self.schedule = self._schedule(u, medium)
        of_files = {field: largest[field] for field in scenario.initial.files}
        if comm.rank == 0:
            odd = (density_warning(scenario, of_files), *odd_values(scenario, largest), clipped_faces(space))
            for warning in odd:
                if warning:
                    warn(warning)
        self.integrator = self.adopt(make_integrator(scenario.integrator, space, medium))

    def _schedule(self, u: Array, medium: Medium) -> Schedule:
        scenario = self.scenario
        return Schedule(scenario.infusion, scenario.intervention, self.space, u, medium, end=scenario.time.end)

    def _go_on(self, saved: StateFile) -> None:
        """Fields, medium, schedule and integrator as a checkpoint has them; collective.

        Masks and initial fields are not read again: their files may have gone.
        """
        space, scenario, model = self.space, self.scenario, self.scenario.model
        if not space.is_as(saved.read("space")):
            raise InputError("space: its cells are not those of the checkpoint; accepted: the mesh of before")
        state = saved.read("schedule")
        parameters = type(scenario.parameters.values)(*state["parameters"])
        by_cell = {name: self._restored(1, values)[0] for name, values in state["by_cell"].items()}
        for D in by_cell.values():
            space.exchange_field(D)
        u = space.zeros(len(model.names))
        for name, values in state["initial"].items():
            space.owned(u[model.place(name)])[...] = values.part(space.layout)
        medium = Medium(parameters, by_cell)
        self.schedule = self._schedule(u, medium)
        self.schedule.restore(state)
        run = saved.read("run")
        self.u = self._restored(len(model.names), run["u"])
        self.integrator = self.adopt(make_integrator(scenario.integrator, space, medium))
        self.integrator.restore(run["integrator"], self.u)

    def _restored(self, n: int, stored: Stored) -> Array:
        """n fields of a checkpoint, shape (n, n_local), without ghosts; collective."""
        fields = self.space.zeros(n)
        self.space.owned(fields)[...] = stored.part(self.space.layout)
        return fields

    def simulation(self, observers: Sequence[Observer], guard: Guard) -> Simulation:
        """The run, to be made once: it advances `u` in place.  `guard`: as of `Simulation`."""
        time, output, integrator = self.scenario.time, self.scenario.output, self.scenario.integrator
        plan = Plan(time.end, output.every, integrator.dt, self.schedule)
        simulation = Simulation(self.space, self.integrator, self.u, plan, observers, guard)
        if self.saved:
            simulation.restore(self.saved.read("run"))
        return simulation


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Let an InputError begin with what it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def make_space(scenario: Scenario, comm: MPI.Intracomm) -> Space:
    """The box or mesh of a scenario; collective over `comm`.

    Raises InputError when it cannot be made, or not on as many ranks, or a run on it would not fit into the memory.
    """
    grid = scenario.space
    if grid.cells:
        _check_memory(scenario, cells_of(scenario), comm)
    if isinstance(grid, Box) and grid.domain:
        return cut_box(grid, comm)
    if isinstance(grid, Box):
        return BoxSpace(grid.cells, grid.lengths, grid.nodes_on_boundary, comm)
    if MPI.Comm.Compare(comm, MPI.COMM_WORLD) not in (MPI.IDENT, MPI.CONGRUENT):
        raise InputError(
            f"space.kind = '{grid.kind}': FiPy shares a mesh out among all {MPI.COMM_WORLD.size} ranks; accepted on a "
            "communicator of others: 'box'"
        )
    from ..spaces.mesh import MeshSpace, gmsh_mesh, grid_mesh  # brings in FiPy

    if cells := grid.cells:
        return MeshSpace(together(comm, lambda: grid_mesh(cells, grid.lengths or (1.0, 1.0, 1.0))))
    return MeshSpace(
        together(comm, lambda: gmsh_mesh(Path(grid.mesh), lambda cells: _check_memory(scenario, cells, comm)))
    )


def _check_memory(scenario: Scenario, cells: int, comm: MPI.Intracomm) -> None:
    """Before anything is allocated: raise InputError where a machine of the run has not enough memory; collective."""
    machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
    here = machine.size
    machine.Free()
    together(comm, lambda: check_fits(scenario, cells, here, here / comm.size))


def make_integrator(choices: IntegratorChoices, space: Space, medium: Medium) -> Integrator:
    """What a scenario asks for; collective.  Raises InputError when PETSc refuses its options."""
    if choices.kind == "coupled":
        from ..integrators.coupled import Coupled  # brings in FiPy
        from ..spaces.mesh import MeshSpace

        assert isinstance(space, MeshSpace)  # the scenario's validation has seen to it
        return Coupled(space, medium, taxis=choices.taxis, scheme=choices.scheme)
    if choices.kind == "imex":
        is_box = isinstance(space, BoxSpace) and space.outside is None
        if is_box and medium.diffuses_evenly and _exponential_is_wanted(choices, medium.model.names):
            assert isinstance(space, BoxSpace)
            return Exponential(space, medium, taxis=choices.taxis, rtol=choices.rtol, dt=choices.dt)
        return Imex(space, medium, taxis=choices.taxis, rtol=choices.rtol, dt=choices.dt)
    reactions = (Patankar if choices.reaction == "mprk22" else Heun)(choices.substeps)
    return Strang(space, medium, reactions=reactions, diffusion=_diffusion(choices), taxis=choices.taxis)


def _diffusion(choices: IntegratorChoices) -> Heat | Jacobi | Krylov:
    """How `strang` solves for diffusion."""
    if choices.diffusion == "jacobi":
        return Jacobi(choices.jacobi_iterations, choices.jacobi_tolerance)
    return Heat() if choices.diffusion_scheme == "exact" else Krylov(choices.diffusion_scheme)


def _exponential_is_wanted(choices: IntegratorChoices, names: tuple[str, ...]) -> bool:
    """Whether `method` says so, or leaves it open and no PETSc option is for its time stepper or its solvers.

    Raises InputError where such an option meets a `method` without them.
    """
    prefixes = ("ts_", "imex_", *(f"{field}_".lower() for field in names))
    options = [key for key in PETSc.Options().getAll() if key.lower().startswith(prefixes)]  # PETSc reads any case
    if options and choices.method == "exponential":
        raise InputError(
            f"PETSc option -{options[0]}: integrator.method = 'exponential' has no solver of PETSc's; accepted with "
            "the option: 'auto' or 'arkimex'"
        )
    return choices.method == "exponential" or (choices.method == "auto" and not options)
