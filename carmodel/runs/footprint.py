"""How much memory, time and disk a run takes, before it takes any."""

from math import ceil, prod

from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..tools.errors import InputError
from ..tools.memory import available, in_words
from .volumes import PLACES

#: Bytes of a process that simulates next to nothing: the libraries and their compiled loops.
PROCESS = 350e6

#: Bytes a cell at the peak of a run, by space and integrator, outputs included: growth of the resident size from 8^3 to
#: 80^3 cells of a box, 6^3 to 24^3 of FiPy's grid, 800 to 32,000 of Gmsh's tetrahedra.
EXPONENTIAL, ARKIMEX, STRANG, STRANG_OF_TWO_STAGES = 620, 1670, 290, 640
GRID, TETRAHEDRA, COUPLED = 4100, 7200, 7000

#: What matrices with a diffusivity by cell, and text, add on a box.
MASK, CSV = 360, 150

#: Seconds that a field of a cell takes in a step of one core: of docs/imex_cost.md, step_cost.md, coupled_cost.md and
#: performance.md; measured likewise on meshes.
EXPONENTIAL_STEP, ARKIMEX_STEP, JACOBI_STEP, KRYLOV_STEP = 1.0e-7, 2.7e-7, 0.7e-7, 3.6e-7
MESH_STEP, COUPLED_STEP = 11e-7, 14e-7

#: Seconds until a run begins, and those of a step of next to no cells.
START, SHORTEST_STEP = 2.0, 0.0015

#: Bytes of a number in a table; cells that make a rank worthwhile.
CSV_NUMBER, CELLS_A_RANK = 21, 30_000


def bytes_per_cell(scenario: Scenario) -> float:
    """Bytes that each cell of a run takes at its peak, on all ranks together."""
    choices = scenario.integrator
    if not isinstance(scenario.space, Box):
        if choices.kind == "coupled":
            return COUPLED
        return GRID if scenario.space.cells else TETRAHEDRA
    mask = bool(scenario.parameters.by_cell)
    if choices.kind == "imex":
        size = ARKIMEX if _has_systems(scenario) else EXPONENTIAL
    else:
        two_stages = choices.reaction == "mprk22" or choices.diffusion_scheme == "sdirk2"
        size = STRANG_OF_TWO_STAGES if two_stages else STRANG
    return size + (MASK if mask else 0) + (CSV if "csv" in scenario.output.formats else 0)


def cells_of(scenario: Scenario) -> int:
    """Cells of a box or of FiPy's grid; 0 for a Gmsh file: how many it makes is not known before."""
    return prod(scenario.space.cells or (0,))


def estimate(scenario: Scenario, cells: int, processes: int = 1, share: float = 1.0) -> float:
    """Bytes that a run of so many cells takes on one machine: `processes` of it, which have this share of the cells."""
    return processes * PROCESS + share * bytes_per_cell(scenario) * cells


def check_fits(scenario: Scenario, cells: int, processes: int = 1, share: float = 1.0) -> None:
    """Raise InputError where this machine has not the memory for a run of so many cells; arguments as `estimate`."""
    size, left = estimate(scenario, cells, processes, share), available()
    if size <= left:
        return
    space = scenario.space
    given = f"space.cells = {list(space.cells)}" if space.cells else f"space.mesh = '{space.mesh}': has {cells} cells"
    most = max(0.0, left - processes * PROCESS) / (share * bytes_per_cell(scenario))
    raise InputError(
        f"{given}: a run takes about {in_words(size)} of memory, and {in_words(left)} are left here; accepted: about "
        f"{most:.2g} cells at most, or more machines"
    )


def expected_steps(scenario: Scenario) -> float:
    """Steps that a run makes: with fixed ones how many, with chosen ones about how many (to a factor of two or so).

    Chosen steps land on outputs and events, and start small after these; between them they follow the transients of the
    first days, in a number that grows with the order of the method as the tolerance falls.
    """
    end, choices = scenario.time.end, scenario.integrator
    outputs, events = number_of_outputs(scenario), len(scenario.infusion) + len(scenario.intervention)
    if choices.kind != "imex":
        return max(end / choices.dt, outputs + events)
    return 2.0 * outputs + 8.0 * events + 30.0 * (1e-4 / choices.rtol) ** 0.25 * (end / 12.0) ** 0.5


def number_of_outputs(scenario: Scenario) -> int:
    """Volumes that a run saves, those of the start and the end among them."""
    every = scenario.output.every
    return 1 + (ceil(scenario.time.end / every * (1.0 - 1e-12)) if every else 1)


def seconds(scenario: Scenario, cells: int) -> float:
    """Wall time of a run on one core, outputs included; within a factor of three on machines of these years."""
    choices = scenario.integrator
    if choices.kind == "coupled":
        cost = COUPLED_STEP
    elif not isinstance(scenario.space, Box):
        cost = MESH_STEP
    elif choices.kind == "imex":
        cost = ARKIMEX_STEP if _has_systems(scenario) else EXPONENTIAL_STEP
    else:
        cost = JACOBI_STEP if choices.diffusion == "jacobi" else KRYLOV_STEP
    return START + expected_steps(scenario) * (SHORTEST_STEP + cost * cells * len(scenario.model.names))


def disk_bytes(scenario: Scenario, cells: int) -> float:
    """Bytes that a run leaves on the disk at most: volumes as they are without compression, tables, two checkpoints."""
    fields, outputs, formats = len(scenario.model.names), number_of_outputs(scenario), scenario.output.formats
    volumes = outputs * fields * 8.0 * cells * ("vtk" in formats)
    volumes += outputs * (fields + len(PLACES)) * CSV_NUMBER * cells * ("csv" in formats)
    tables = CSV_NUMBER * (5 * fields + 2) * expected_steps(scenario)
    tables += CSV_NUMBER * (fields + 2) * outputs * round(cells ** (1 / 3))
    arrays = 3 if scenario.integrator.kind == "imex" and not _has_systems(scenario) else 1
    arrays += scenario.integrator.kind == "coupled"
    return volumes + tables + 2.0 * arrays * fields * 8.0 * cells


def worthwhile_ranks(scenario: Scenario, cells: int) -> int:
    """Ranks that a run may be shared among, so that each has enough cells to be worthwhiles messages."""
    most = max(1, cells // CELLS_A_RANK)
    space = scenario.space
    if not isinstance(space, Box) and space.cells:
        most = min(most, max(1, space.cells[2] // 2))  # FiPy cuts its grid into slabs of two layers along z
    return most


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} s"


def _has_systems(scenario: Scenario) -> bool:
    """Whether `imex` on a box solves linear systems: PETSc's method, which a diffusivity by cell or a wall needs."""
    has_wall = isinstance(scenario.space, Box) and scenario.space.domain is not None
    uneven = bool(scenario.parameters.diffusivities_by_cell)
    return uneven or has_wall or scenario.integrator.method == "arkimex"


def estimates(scenario: Scenario) -> str:
    """Comments for the head of a run file: cells, memory, time, disk and ranks; "" for a Gmsh file."""
    if not (cells := cells_of(scenario)):
        return ""
    ranks = worthwhile_ranks(scenario, cells)
    return (
        f"# {cells} cells, about {in_words(estimate(scenario, cells))} of memory in one process\n"
        f"# about {expected_steps(scenario):.2g} steps, {_duration(seconds(scenario, cells))} on one core, to a factor "
        f"of three; {'one rank is' if ranks == 1 else f'up to {ranks} ranks are'} worthwhile\n"
        f"# at most {in_words(disk_bytes(scenario, cells))} on the disk\n"
    )
