"""How much memory a run takes, before it takes any."""

from math import prod

from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..tools.errors import InputError
from ..tools.memory import available, in_words

#: Bytes of a process that simulates next to nothing: the libraries and their compiled loops.
PROCESS = 350e6

#: Bytes a cell at the peak of a run, by space and integrator, outputs included: growth of the resident size from 8^3 to
#: 80^3 cells of a box, 6^3 to 24^3 of FiPy's grid, 800 to 32,000 of Gmsh's tetrahedra.
EXPONENTIAL, ARKIMEX, STRANG, STRANG_OF_TWO_STAGES = 620, 1670, 290, 640
GRID, TETRAHEDRA, COUPLED = 4100, 7200, 7000

#: What matrices with a diffusivity by cell, and text, add on a box.
MASK, CSV = 360, 150


def bytes_per_cell(scenario: Scenario) -> float:
    """Bytes that each cell of a run takes at its peak, on all ranks together."""
    choices = scenario.integrator
    if not isinstance(scenario.space, Box):
        if choices.kind == "coupled":
            return COUPLED
        return GRID if scenario.space.cells else TETRAHEDRA
    mask = bool(scenario.parameters.masks)
    if choices.kind == "imex":
        size = ARKIMEX if mask or choices.method == "arkimex" else EXPONENTIAL
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


def memory_comment(scenario: Scenario) -> str:
    """A comment for the head of a run file: cells, and how much memory they take; "" for a Gmsh file."""
    if not (cells := cells_of(scenario)):
        return ""
    return f"# {cells} cells, about {in_words(estimate(scenario, cells))} of memory in one process\n"
