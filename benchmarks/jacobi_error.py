"""How far the published program's Jacobi sweeps are from solving their systems (model errata 9).

    .venv/bin/python -m benchmarks.jacobi_error            # prints
    .venv/bin/python -m benchmarks.jacobi_error --write    # and renews docs/jacobi_error.md

One backward-Euler step at the published program's default grid (40 nodes a side, spacing 1/39 cm) and step (0.01 days)
from a tumour ball with noise, 60 sweeps against PETSc, errors from the exact cosine-transform solution; then its
default scenario up to t = 0.2 with either solver.
"""

import argparse
from pathlib import Path

import numpy as np

from carmodel.integrators import Jacobi, Krylov, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.runs.initial import initial_state
from carmodel.scenario.fields import Initial
from carmodel.spaces import BoxSpace
from tests.oracles import backward_euler_by_cosines

DT, NODES = 0.01, (40, 40, 40)
SOLVERS = {"jacobi": Jacobi(), "ksp": Krylov()}


def one_step() -> str:
    """Errors of one step, by field."""
    space = BoxSpace(NODES, (1.0, 1.0, 1.0), nodes_on_boundary=True)
    medium = Medium(PRESETS["normalised"])
    D = medium.numbers
    x, y, z = space.centres
    ball = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 <= 0.25**2
    b = space.zeros(7)
    space.owned(b)[...] = ball + 0.1 * np.random.default_rng(5).random((7, *space.owned_shape))
    errors, sweeps = {}, []
    for name, choice in SOLVERS.items():
        u, solver = b.copy(), choice.build(space, medium, taxis=None)
        solver.solve(u, DT, medium)
        exact = [backward_euler_by_cosines(space.owned(b[f]), D[f], DT, space.spacing) for f in range(7)]
        errors[name] = [np.abs(space.owned(u[f]) - exact[f]).max() / np.abs(exact[f]).max() for f in range(7)]
        if name == "jacobi":
            sweeps = solver.iterations.tolist()
        solver.destroy()
    lines = [
        "| field | D dt / h^2 | sweeps | error of the sweeps | error of `ksp` |",
        "|---|---|---|---|---|",
    ]
    for f, field in enumerate(FIELDS):
        lines.append(
            f"| {field} | {D[f] * DT / space.spacing[0] ** 2:.3g} | {sweeps[f]} | {errors['jacobi'][f]:.1e} "
            f"| {errors['ksp'][f]:.1e} |"
        )
    space.destroy()
    return "\n".join(lines)


def published_scenario() -> str:
    """Hypoxia at t = 0.2 in the published program's default scenario, by solver."""
    lines = ["| solver | max H / min H at t = 0.2 |", "|---|---|"]
    for solver, diffusion in SOLVERS.items():
        space = BoxSpace(NODES, (1.0, 1.0, 1.0), nodes_on_boundary=True)
        initial = Initial.model_validate(
            {
                "tumour": {"shape": "ball", "radius": 0.2, "value": 2.4e7},
                "cart": {"shape": "disk", "from": 0.0, "to": 0.05, "radius": 0.2, "value": 1e7},
            }
        )
        u = initial_state(initial, space)
        integrator = Strang(space, Medium(PRESETS["published_code"]), diffusion=diffusion)
        for _ in range(20):
            integrator.step(u, DT)
        _, least, largest = space.sum_min_max(u)
        lines.append(f"| {solver} | {largest[6] / least[6]:.1f} |")
        integrator.destroy()
        space.destroy()
    return "\n".join(lines)


def main() -> None:
    """Print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/jacobi_error.md")
    text = (
        "# 60 Jacobi sweeps do not solve the hypoxia equation\n\n"
        "Made by `.venv/bin/python -m benchmarks.jacobi_error --write`.\n\n"
        "The published program solves each backward-Euler system, eq. (60), by at most 60 Jacobi sweeps, eq. (61).  "
        "One step of 0.01 days on its default grid (40 nodes a side, h = 1/39 cm), normalised diffusivities, "
        "from a tumour ball with 10 % noise; errors are largest differences from the exact cosine-transform "
        "solution, relative to "
        f"its largest value:\n\n{one_step()}\n\nThe same in its default scenario (preset `published_code`):\n\n"
        f"{published_scenario()}\n"
    )
    print(text)
    if arguments.parse_args().write:
        (Path(__file__).parents[1] / "docs/jacobi_error.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
