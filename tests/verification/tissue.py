"""Boxes that a wall cuts and meshes of tetrahedra: rates of the slowest modes against exact ones, and no leaks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from carmodel.integrators import Imex
from carmodel.model import Medium
from tests.conftest import without_reactions
from tests.spaces.test_circumcentres import BAR, mesh_space, rate_of
from tests.spaces.test_cutbox import ball_error, cut_box, slab_error, waves
from tests.verification.table import Row, order

#: Cells along an edge of the cut boxes, width of the tetrahedra in cm, steps without a leak.
CELLS, SIZES, STEPS = (18, 26), (0.1, 0.05, 0.033), 200


def modes() -> Iterator[Row]:
    """The slowest rate of diffusion in domains where it is known."""
    for what, error in (("a ball", ball_error), ("a tilted slab", slab_error)):
        errors = [abs(error(n)) for n in CELLS]
        found = order(errors, CELLS[1] / CELLS[0])
        yield Row(f"slowest mode, box cut to {what}", 2.0, found, True, f"{CELLS} cells along x")
    for optimised, kind in ((False, "as Gmsh makes them"), (True, "optimised")):
        errors = []
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                space = mesh_space(Path(folder), BAR, size, optimised)
            errors.append(abs(rate_of(space, space.zeros(), "central") / np.pi**2 - 1.0))
            space.destroy()
        yield Row(
            f"slowest mode, tetrahedra {kind}", 2.0, order(errors, SIZES[0] / SIZES[1]), True, f"cells of {SIZES} cm"
        )


def no_leaks() -> Iterator[Row]:
    """Totals of all fields without reactions, on a box cut to a ball."""
    space = cut_box(12)
    u = waves(space)
    before = space.sum_min_max(u)[0]
    integrator, t = Imex(space, Medium(without_reactions())), 0.0
    for _ in range(STEPS):
        t += integrator.step(u, 0.01)
    integrator.destroy()
    change = np.abs(space.sum_min_max(u)[0] / before - 1.0).max()
    space.destroy()
    yield Row("totals, box cut to a ball", 1e-12, float(change), False, f"largest relative change in {STEPS} steps")
