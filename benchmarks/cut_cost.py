"""What a wall costs: a step of `imex` (ARKIMEX) on the quickstart, cut by a ball of tissue, against the whole box.

    .venv/bin/python -m benchmarks.cut_cost            # prints; some three minutes, on a quiet machine
    .venv/bin/python -m benchmarks.cut_cost --write    # and renews docs/cut_cost.md
    bash runs/mpirun.sh -n 2 .venv/bin/python -m benchmarks.cut_cost

Both in turn, three times; seconds a step are the least of the three.  The balls leave 30 % and 47 % of the box.  Then
one solve on a cut box by each of its solvers.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from carmodel.integrators import Imex
from carmodel.model import Medium
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.spaces import BoxSpace
from carmodel.spaces.cutbox import CutBoxSpace, LevelSet
from carmodel.tools.petsc import PETSc

ROOT = Path(__file__).parents[1]
SCENARIO = load(ROOT / "runs/quickstart.toml")
LENGTHS, MEDIUM, END = SCENARIO.space.lengths, Medium(SCENARIO.parameters.values), 2.0


def ball(radius: float) -> LevelSet:
    """In the middle of the box."""

    def level(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        points = np.meshgrid(z, y, x, indexing="ij", sparse=True)
        return np.sqrt(sum((axis - 0.5 * LENGTHS[0]) ** 2 for axis in points)) - radius

    return level


def seconds_a_step(space: BoxSpace) -> float:
    """From the third step on."""
    integrator, u = Imex(space, MEDIUM), initial_state(SCENARIO.initial, space)
    t, steps, start = 0.0, 0, 0.0
    while t < END - 1e-9:
        if steps == 2:
            start = perf_counter()
        t += integrator.step(u, END - t)
        steps += 1
    spent = perf_counter() - start
    integrator.destroy()
    return spent / (steps - 2)


def table() -> str:
    """The figures as Markdown."""
    lines = ["| cells | share that is tissue | whole box, s a step | cut, s a step | ratio |", "|---|---|---|---|---|"]
    for n in (40, 64):
        cells = (n, n, n)
        for radius in (0.5, 0.58):
            whole, cut = BoxSpace(cells, LENGTHS), CutBoxSpace(cells, LENGTHS, ball(radius))
            if n == 40 and radius == 0.5:
                seconds_a_step(whole), seconds_a_step(cut)  # compiles
            found = np.array([[seconds_a_step(space) for space in (whole, cut)] for _ in range(3)]).min(axis=0)
            share = cut.whole / cut.n_cells
            lines.append(f"| {n}^3 | {share:.0%} | {found[0]:.3f} | {found[1]:.3f} | {found[1] / found[0]:.2f} |")
            if whole.comm.rank == 0:
                print(lines[-1], flush=True)
            whole.destroy()
            cut.destroy()
    return "\n".join(lines)


def solves() -> str:
    """What one solve takes: every second cell eliminated, or the transform between two Gauss-Seidel sweeps."""
    kinds = {"red-black": {}, "transform and Gauss-Seidel": {"ksp_type": "cg"}, "Jacobi": {"pc_type": "jacobi"}}
    lines = [
        f"| cells | dt D / h^2 | {' | '.join(f'{kind}, iterations | s' for kind in kinds)} |",
        "|---|---|" + "---|" * 2 * len(kinds),
    ]
    options = PETSc.Options("a_")
    for n in (40, 64):
        space, h = CutBoxSpace((n, n, n), LENGTHS, ball(0.58)), LENGTHS[0] / n
        start = space.owned(initial_state(SCENARIO.initial, space)[2])
        for number in (0.3, 3.0, 30.0, 300.0, 3000.0):
            figures = []
            for given in kinds.values():
                for option, value in given.items():
                    options[option] = value
                solver, seconds = KrylovDiffusion(space, [1.0], ["a"]), np.inf
                for option in given:
                    options.delValue(option)
                with space.threads:
                    for _ in range(3):
                        values, began = start.copy(), perf_counter()
                        solver.iterations[:] = 0
                        solver.solve_field(0, values, number * h**2)
                        seconds = min(seconds, perf_counter() - began)
                figures.append(f"{solver.iterations[0]} | {seconds:.4f}")
                solver.destroy()
            lines.append(f"| {n}^3 | {number:g} | {' | '.join(figures)} |")
            if space.comm.rank == 0:
                print(lines[-1], flush=True)
        space.destroy()
    return "\n".join(lines)


def main() -> None:
    """Print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/cut_cost.md")
    chosen = arguments.parse_args()
    text = (
        "# What a wall costs\n\nMade by `.venv/bin/python -m benchmarks.cut_cost --write`.  The quickstart, whole and "
        "cut by a ball of tissue, `imex` by ARKIMEX, one process, two days.  On the whole box a solve is one cosine "
        f"transform; on a cut one, conjugate gradients for every second of the cells that hold something.\n\n"
        f"{table()}\n\nOne solve of a field with a sharp edge, on the box of which 47 % are tissue:\n\n{solves()}\n"
    )
    if chosen.write:
        (ROOT / "docs/cut_cost.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
