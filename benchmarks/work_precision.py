"""Error against wall time of every integrator on the quickstart scenario, all in one run on the same cores.

    .venv/bin/python -m benchmarks.work_precision            # prints
    .venv/bin/python -m benchmarks.work_precision --write    # and renews docs/performance.md and its figures

40^3 cells, T = 12 days, steps only (no output).  Errors are the largest over the fields of the relative L2 difference
at T from a finer run of a different integrator: for the exponential one from ARKIMEX, fifth order; for all others from
the exponential one.  The table says how far these two references are from each other.  Runs of less than a few seconds
are made three times, and the middle time counts.  Coarser grids (`--cells`) are for trying the script out.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from carmodel.integrators import Exponential, Imex, Jacobi, Krylov, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tools.petsc import PETSc

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
SCENARIO = load(ROOT / "runs/quickstart.toml")
P = SCENARIO.parameters.values
END = SCENARIO.time.end

Array = NDArray[np.float64]

#: Steps of the published arithmetic; the last is its default.
JACOBI = (0.02, 0.01)
#: Tolerances of the references by ARKIMEX 5 and by the exponential integrator.
FINEST = (1e-7, 1e-9)
#: Tolerances of the exponential integrator.
EXPONENTIAL = (2e-1, 1e-1, 6e-2, 3e-2, 2e-2, 1e-2, 8e-3, 7e-3, 6e-3, 5e-3, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6)
#: Tolerances of ARKIMEX by method.
TOLERANCES = {
    "2e": (5e-2, 2e-2, 1e-2, 2e-3),
    "3": (2e-2, 1e-2, 2e-3, 1e-3),
    "4": (1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6),
    "5": (1e-2, 3e-3, 1e-3),
}


#: Seconds below which a run is made three times.
SHORT = 4.0


@dataclass(frozen=True)
class Point:
    """One run: what was chosen, steps, seconds, error."""

    choice: float
    steps: int
    seconds: float
    error: float


def run(space: Any, make: Callable[[], Any], dt: float = np.inf) -> tuple[Array, int, float]:
    """The state at END as (7, cells), the number of steps, and the seconds they took (of short runs, the middle)."""
    runs = [_run(space, make, dt)]
    while len(runs) < 3 and runs[0][2] < SHORT:
        runs.append(_run(space, make, dt))
    return *runs[0][:2], sorted(seconds for _, _, seconds in runs)[len(runs) // 2]


def _run(space: Any, make: Callable[[], Any], dt: float) -> tuple[Array, int, float]:
    u, integrator = initial_state(SCENARIO.initial, space), make()
    if integrator.adaptive:
        t, steps, start = 0.0, 0, perf_counter()
        while t < END:
            made = integrator.step(u, END - t)
            t, steps = (END if made == END - t else t + made), steps + 1
    else:
        steps, start = round(END / dt), perf_counter()
        for _ in range(steps):
            integrator.step(u, dt)
    seconds = perf_counter() - start
    integrator.destroy()
    return space.owned(u).reshape(7, -1).copy(), steps, seconds


def arkimex(space: Any, rtol: float, method: str) -> tuple[Array, int, float]:
    """A run of PETSc's methods."""
    PETSc.Options()["ts_arkimex_type"] = method
    try:
        return run(space, lambda: Imex(space, Medium(P), rtol=rtol))
    finally:
        PETSc.Options().delValue("ts_arkimex_type")


def exponential(space: Any, rtol: float) -> tuple[Array, int, float]:
    """A run of the exponential integrator."""
    return run(space, lambda: Exponential(space, Medium(P), rtol=rtol))


def difference(a: Array, b: Array) -> float:
    """Largest relative L2 difference over the fields."""
    return float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())


def curves(space: Any, mesh: Any) -> tuple[dict[str, list[Point]], float]:
    """Every integrator's points, and how far the two references are from one another."""
    print("references", flush=True)
    by_arkimex, finest = arkimex(space, FINEST[0], "5")[0], exponential(space, FINEST[1])[0]
    found: dict[str, list[Point]] = {}

    def add(name: str, choice: float, told: tuple[Array, int, float], reference: Array = finest) -> None:
        state, steps, seconds = told
        point = Point(choice, steps, seconds, difference(state, reference))
        found.setdefault(name, []).append(point)
        print(f"{name:22} {choice:<8g} {steps:6d} steps {seconds:8.2f} s  error {point.error:.2e}", flush=True)

    for dt in JACOBI:
        add("jacobi (published)", dt, run(space, lambda: Strang(space, Medium(P), diffusion=Jacobi()), dt))
    for dt in (0.02, 0.01):
        add("strang", dt, run(space, lambda: Strang(space, Medium(P)), dt))
    for dt in (0.04, 0.02):
        add("strang, sdirk2", dt, run(space, lambda: Strang(space, Medium(P), diffusion=Krylov("sdirk2")), dt))
    for dt in (0.4, 0.2):
        add("coupled (BDF2)", dt, run(mesh, lambda: Coupled(mesh, Medium(P)), dt))
    for rtol in EXPONENTIAL:
        add("imex", rtol, exponential(space, rtol), by_arkimex)
    for method, tolerances in TOLERANCES.items():
        for rtol in tolerances:
            add(f"imex, ARKIMEX {method}", rtol, arkimex(space, rtol, method))
    return found, difference(by_arkimex, finest)


def time_at(points: list[Point], error: float) -> float:
    """Least time of a run at most that wrong; infinite if there is none."""
    return min((point.seconds for point in points if point.error <= error), default=np.inf)


def speed_up(found: dict[str, list[Point]]) -> list[str]:
    """The published arithmetic against `imex`, at its own error and at a tenth of that."""
    points = found["jacobi (published)"]
    coarse, default = points[-2], points[-1]
    order = log(coarse.error / default.error) / log(coarse.choice / default.choice)
    scaled = default.seconds * 10.0 ** (1.0 / order)
    lines = [
        "| error | jacobi, s | imex, s | method | ratio |",
        "|---|---|---|---|---|",
    ]
    for error, seconds in ((default.error, default.seconds), (0.1 * default.error, scaled)):
        times = {name: time_at(curve, error) for name, curve in found.items() if name.startswith("imex")}
        for name in ("imex", "imex, ARKIMEX 4"):
            lines.append(f"| {error:.2e} | {seconds:.1f} | {times[name]:.2f} | {name} | {seconds / times[name]:.0f} |")
    lines.append("")
    lines.append(
        f"The second time of `jacobi` is not measured: it is that at dt = {default.choice:g} scaled by "
        f"10^(1/{order:.2f}), the order measured between dt = {coarse.choice:g} and {default.choice:g}."
    )
    return lines


def draw(found: dict[str, list[Point]], stem: Path) -> None:
    """The figure, SVG and PNG."""
    figure, axes = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    colours = ["#000000", "#E69F00", "#D55E00", "#CC79A7", "#882255", "#56B4E9", "#009E73", "#0072B2", "#8C510A"]
    for (name, points), colour, marker in zip(found.items(), colours, "sxv^hoDP*", strict=True):
        axes.loglog(
            [p.seconds for p in points],
            [p.error for p in points],
            color=colour,
            marker=marker,
            ms=5,
            lw=1.2,
            label=name,
        )
    axes.set_xlabel("wall time (s)")
    axes.set_ylabel("largest relative L2 error of a field at T = 12 days")
    axes.grid(which="major", alpha=0.3)
    axes.legend(fontsize=8)
    for kind in ("svg", "png"):
        figure.savefig(stem.with_suffix(f".{kind}"), dpi=130, metadata={"Date": None} if kind == "svg" else None)


def main() -> None:
    """Run all, print the tables, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/performance.md")
    arguments.add_argument("--cells", type=int, default=40, help="cells a side (40)")
    chosen = arguments.parse_args()
    n = chosen.cells
    lengths = SCENARIO.space.lengths
    space, mesh = BoxSpace((n, n, n), lengths), MeshSpace(grid_mesh((n, n, n), lengths))
    for make, where in (
        (lambda: Strang(space, Medium(P)), space),
        (lambda: Coupled(mesh, Medium(P)), mesh),
    ):  # compiles
        make().step(initial_state(SCENARIO.initial, where), 1e-3)
    found, apart = curves(space, mesh)
    rows = ["| integrator | dt or rtol | steps | seconds | error |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {p.choice:g} | {p.steps} | {p.seconds:.2f} | {p.error:.1e} |"
        for name, points in found.items()
        for p in points
    ]
    ratios = speed_up(found)
    note = f"The two references differ by {apart:.1e}: errors near that are not to be trusted."
    print("\n".join([note, "", *ratios]))
    if chosen.write:
        draw(found, ROOT / "docs/performance")
        text = [
            "# Accuracy and time",
            "",
            "Made by `.venv/bin/python -m benchmarks.work_precision --write`: quickstart scenario, "
            f"{n}^3 cells, T = {END:g} days, one process with {len(os.sched_getaffinity(0))} threads, all in one run.  "
            "Errors are the largest over the fields of the relative L2 difference at T from a finer run of a different "
            "integrator: `imex` by its default method, the exponential one, is held against ARKIMEX 5, rtol = "
            f"{FINEST[0]:g}; all others against the exponential one, rtol = {FINEST[1]:g}.  {note}  Times of runs "
            f"below {SHORT:g} s are the middle one of three.",
            "",
            "![error against wall time](performance.png)",
            "",
            "## imex against the published arithmetic",
            "",
            "At the error of `jacobi` at its default step, and at a tenth of it; the default method and PETSc's:",
            "",
            *ratios,
            "",
            "## All runs",
            "",
            *rows,
        ]
        (ROOT / "docs/performance.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
