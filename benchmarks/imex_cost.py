"""Cost of a step of `imex` against the number of cells: nanoseconds and peak memory per cell.

    .venv/bin/python -m benchmarks.imex_cost            # prints
    .venv/bin/python -m benchmarks.imex_cost --write    # and renews docs/imex_cost.md

Quickstart scenario in one process with a thread for each core, fixed steps of 0.25 days; the median over the steps
after the first.  Memory is the growth of the peak resident size from before the space is made, over the cells.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.coupled_cost import peak

ROOT = Path(__file__).parents[1]
DT = 0.25
#: Cells a side, and steps that are timed.
SIZES = {32: 40, 64: 12, 96: 6, 128: 4, 192: 3}
METHODS = ("2e", "3", "4", "5")


def worker(n: int, method: str) -> None:
    """Measure n cells a side; prints JSON."""
    import petsc4py

    petsc4py.init(["", "-ts_adapt_type", "none", "-ts_dt", str(DT), "-ts_arkimex_type", method])
    from carmodel.initial import initial_state
    from carmodel.integrators import Imex
    from carmodel.runfile import load
    from carmodel.spaces import BoxSpace

    scenario = load(ROOT / "runs/quickstart.toml")
    small = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))  # compiles, loads, warms up
    integrator = Imex(small, scenario.parameters.values)
    integrator.step(initial_state(scenario.initial, small), DT)
    before = peak()
    space = BoxSpace((n, n, n), scenario.space.lengths)
    u = initial_state(scenario.initial, space)
    integrator = Imex(space, scenario.parameters.values)
    integrator.step(u, DT)
    marks = []
    for _ in range(SIZES[n]):
        last, start = dict(integrator.seconds), perf_counter()
        integrator.step(u, DT)
        whole = perf_counter() - start
        marks.append([whole, *(integrator.seconds[phase] - last[phase] for phase in last)])
    per_cell = np.median(marks, axis=0) / n**3 * 1e9
    print(json.dumps([*per_cell.tolist(), (peak() - before) / n**3]))


def measure(n: int, method: str) -> list[float]:
    """Nanoseconds per cell and step: all, reactions and taxis, diffusion, the rest; bytes per cell."""
    command = [sys.executable, "-m", "benchmarks.imex_cost", "--worker", str(n), method]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/imex_cost.md")
    arguments.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.worker:
        worker(int(chosen.worker[0]), chosen.worker[1])
        return
    head = "step, ns/cell | reaction-taxis | diffusion | time stepper | memory, kB/cell |"
    sizes = [f"| cells | {head}", "|---|---|---|---|---|---|"]
    whole = []
    for n in SIZES:
        figures = measure(n, "4")
        whole.append(figures[0])
        sizes.append(f"| {n}^3 | " + " | ".join(f"{ns:.0f}" for ns in figures[:4]) + f" | {figures[4] / 1e3:.2f} |")
        print(sizes[-1], flush=True)
    percent = 100 * (whole[-1] / whole[0] - 1)
    growth = f"From {min(SIZES)}^3 to {max(SIZES)}^3 the cost per cell and step grows by {percent:.0f} %."
    methods = [f"| method | {head}", "|---|---|---|---|---|---|"]
    for method in METHODS:
        figures = measure(96, method)
        methods.append(f"| {method} | " + " | ".join(f"{x:.0f}" for x in figures[:4]) + f" | {figures[4] / 1e3:.2f} |")
    text = "\n".join([*sizes, "", growth, "", "The methods at 96^3:", "", *methods])
    print(text)
    if chosen.write:
        title = (
            "# Cost of a step of `imex`\n\nMade by `.venv/bin/python -m benchmarks.imex_cost --write`.  One process, "
            f"{len(os.sched_getaffinity(0))} threads, ARKIMEX 4 (six stages), quickstart scenario, steps of {DT} days; "
            "memory is the growth of the peak resident size.\n\n"
        )
        (ROOT / "docs/imex_cost.md").write_text(title + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
