"""From which dt D / h^2 multigrid beats Jacobi as a preconditioner on meshes: sets `diffusion.MULTIGRID_FROM`.

.venv/bin/python -m benchmarks.linear_solves            # prints
.venv/bin/python -m benchmarks.linear_solves --write    # and renews docs/linear_solves.md
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from carmodel.models.polyakov import FIELDS
from carmodel.solvers import diffusion, krylov
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tools.petsc import PETSc

ROOT = Path(__file__).parents[1]


def solve(space: MeshSpace, number: float, multigrid: bool) -> tuple[float, int]:
    """Seconds and iterations of one solve of a sharp ball, set-up excluded, best of three."""
    diffusion.MULTIGRID_FROM = 0.0 if multigrid else np.inf
    solver = KrylovDiffusion(space, [number / round(space.n_cells ** (1 / 3)) ** 2] + [0.0] * 6, FIELDS)
    x, y, z = space.centres
    u = space.zeros(7)
    best = np.inf
    for attempt in range(4):
        space.owned(u[0])[...] = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 <= 0.04
        before = solver.iterations[0]
        start = perf_counter()
        solver.solve(u, 1.0)
        if attempt:  # the first one sets the preconditioner up
            best = min(best, perf_counter() - start)
    iterations = int(solver.iterations[0] - before)
    solver.destroy()
    return best, iterations


def main() -> None:
    """Print the table, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/linear_solves.md")
    chosen = arguments.parse_args()
    lines = [
        "| cells | dt D / h^2 | CG + Jacobi, iterations | CG + multigrid, iterations | time ratio |",
        "|---|---|---|---|---|",
    ]
    for n in (40, 80):
        space = MeshSpace(grid_mesh((n, n, n), (1.0, 1.0, 1.0)))
        for number in (1.0, 3.0, 10.0, 30.0, 100.0):
            (jacobi, few), (multigrid, many) = (solve(space, number, choice) for choice in (False, True))
            lines.append(f"| {n}^3 | {number:g} | {few} | {many} | {jacobi / multigrid:.2f} |")
        space.destroy()
    table = "\n".join(lines)
    print(table)
    if chosen.write:
        version = ".".join(map(str, PETSc.Sys.getVersion()))
        (ROOT / "docs/linear_solves.md").write_text(
            "# Conjugate gradients on meshes: Jacobi or multigrid\n\n"
            "Made by `.venv/bin/python -m benchmarks.linear_solves --write`"
            f" with PETSc {version}, FiPy's grid, one rank.  Both solve one field's backward-Euler system to a "
            f"relative residual of {krylov.RELATIVE_RESIDUAL:g}; the time ratio is Jacobi over multigrid (GAMG), so "
            f"above 1 multigrid is faster.  `diffusion.MULTIGRID_FROM` follows from it.\n\n{table}\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
