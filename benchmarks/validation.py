"""The two discretisations held against each other: quickstart scenario, T = 12, all seven fields.

    .venv/bin/python -m benchmarks.validation            # prints; some ten minutes
    .venv/bin/python -m benchmarks.validation --write    # and renews docs/validation.md

`strang` on the box (compiled stencils, splitting, backward Euler) and on FiPy's grid (the same scheme on face lists and
FiPy's matrices) against `coupled` (FiPy terms, everything implicit, BDF2), each with its own steps, on the same cells.
Differences are L2 norms relative to `coupled` at its shortest step.  The limit extrapolates either scheme to dt = 0 by
its own order: twice for `strang` (order 1), once for `coupled` (order 2).
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from carmodel.integrators import Strang
from carmodel.integrators.coupled import Coupled
from carmodel.integrators.protocol import Integrator
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace, Space
from carmodel.spaces.mesh import MeshSpace, grid_mesh

ROOT = Path(__file__).parents[1]
SCENARIO = load(ROOT / "runs/quickstart.toml")
LENGTHS, PARAMETERS, END = SCENARIO.space.lengths, SCENARIO.parameters.values, SCENARIO.time.end
STRANG_STEPS = (0.1, 0.05, 0.025)
COUPLED_STEPS = (0.2, 0.1, 0.05)


def final_state(space: Space, integrator: Integrator, dt: float) -> np.ndarray:
    """Fields at the end, shape (7, cells)."""
    u = initial_state(SCENARIO.initial, space)
    for _ in range(round(END / dt)):
        integrator.step(u, dt)
    integrator.destroy()
    return space.owned(u).reshape(len(FIELDS), -1).copy()


def finals(space: Space, make: Callable[[], Integrator], steps: tuple[float, ...]) -> list[np.ndarray]:
    """The end of a run for each step length."""
    return [final_state(space, make(), dt) for dt in steps]


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Relative L2 difference of each field, shape (7,)."""
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def row(n: int, name: str, values: np.ndarray) -> str:
    """A line of the table."""
    return f"| {n}^3 | {name} | " + " | ".join(f"{value:.1e}" for value in values) + " |"


def compare(n: int) -> tuple[list[str], np.ndarray]:
    """Lines of the table for n cells a side, and the limit of `coupled`."""
    box, mesh = BoxSpace((n, n, n), LENGTHS), MeshSpace(grid_mesh((n, n, n), LENGTHS))
    strang = finals(box, lambda: Strang(box, Medium(PARAMETERS)), STRANG_STEPS)
    on_mesh = final_state(mesh, Strang(mesh, Medium(PARAMETERS)), STRANG_STEPS[0])
    coupled = finals(mesh, lambda: Coupled(mesh, Medium(PARAMETERS)), COUPLED_STEPS)
    reference = coupled[-1]
    lines = [
        row(n, f"strang on box, dt = {dt}", difference(u, reference))
        for dt, u in zip(STRANG_STEPS, strang, strict=True)
    ]
    lines.append(row(n, f"strang on FiPy's grid, dt = {STRANG_STEPS[0]}", difference(on_mesh, reference)))
    lines += [
        row(n, f"coupled, dt = {dt}", difference(u, reference))
        for dt, u in zip(COUPLED_STEPS[:-1], coupled, strict=False)
    ]
    strang_limit = (8.0 * strang[2] - 6.0 * strang[1] + strang[0]) / 3.0
    coupled_limit = (4.0 * coupled[2] - coupled[1]) / 3.0
    lines.append(row(n, "**limit of strang against limit of coupled**", difference(strang_limit, coupled_limit)))
    lines.append(row(n, "strang on FiPy's grid against box, same dt", difference(on_mesh, strang[0])))
    box.destroy()
    mesh.destroy()
    return lines, coupled_limit


def coarsened(u: np.ndarray, n: int) -> np.ndarray:
    """Means over 2 x 2 x 2 cells of fields on n cells a side."""
    return u.reshape(len(FIELDS), n // 2, 2, n // 2, 2, n // 2, 2).mean(axis=(2, 4, 6)).reshape(len(FIELDS), -1)


def with_section(document: str, heading: str, section: str) -> str:
    """A document whose last section, from this heading on, is another."""
    return document.partition(heading)[0].rstrip() + "\n\n" + section


def main() -> None:
    """Print the table, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/validation.md")
    arguments.add_argument(
        "--sizes", type=int, nargs="+", default=[10, 20, 40], help="cells a side, each twice the last"
    )
    chosen = arguments.parse_args()
    lines = [f"| cells | | {' | '.join(FIELDS)} |", "|---" * (len(FIELDS) + 2) + "|"]
    limits = {}
    for n in chosen.sizes:
        start = perf_counter()
        found, limits[n] = compare(n)
        lines += found
        print(f"{n}^3: {perf_counter() - start:.0f} s", flush=True)
    for n in chosen.sizes[1:]:
        if n // 2 in limits:
            change = difference(limits[n // 2], coarsened(limits[n], n))
            lines.append(row(n, f"limit on {n // 2}^3 against this one, averaged", change))
    table = "\n".join(lines)
    print(table)
    if chosen.write:
        text = (
            "# Two discretisations of the same equations\n\n"
            "Made by `.venv/bin/python -m benchmarks.validation --write`.  "
            f"Quickstart scenario, t = {END:g} days.  `strang` (splitting, compiled stencils or FiPy's matrices, "
            "backward Euler, order 1) against `coupled` (FiPy terms, all seven equations implicit together, BDF2, "
            "order 2), each with its own steps on the same cells: L2 norm of the difference over that of `coupled` at "
            f"its shortest step, dt = {COUPLED_STEPS[-1]}.  The limits are extrapolated to dt = 0 by each scheme's own "
            "order from its runs; the last lines say how far the cells' size still matters.\n\n"
        )
        document = ROOT / "docs/validation.md"
        _, heading, tetrahedra = document.read_text(encoding="utf-8").partition("## Tetrahedra")
        document.write_text(f"{text}{table}\n\n{heading}{tetrahedra}".rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
