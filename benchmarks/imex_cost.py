"""Cost of a step of `imex` against the number of cells: nanoseconds and peak memory per cell.

    .venv/bin/python -m benchmarks.imex_cost            # prints
    .venv/bin/python -m benchmarks.imex_cost --write    # and renews docs/imex_cost.md

Quickstart scenario in one process with a thread for each core, fixed steps of 0.25 days; the median over the steps
after the first day, in which boxes of more cells clamp for longer, and a clamped step takes another transform.
Memory is the growth of the peak resident size from before the space is made, over the cells.
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
#: Steps before those that are timed.
FIRST_DAY = 4
#: Cells a side, and steps that are timed.
SIZES = {32: 40, 64: 12, 96: 6, 128: 5, 192: 5}
DEFAULT = "exponential"
METHODS = (DEFAULT, "2e", "3", "4", "5")


def worker(n: int, method: str) -> None:
    """Measure n cells a side; prints JSON."""
    from carmodel.tools import petsc

    by_petsc = ["-ts_adapt_type", "none", "-ts_dt", str(DT), "-ts_arkimex_type", method]
    petsc.start(by_petsc if method != DEFAULT else ())
    from carmodel.integrators import Exponential, Imex
    from carmodel.model import Medium
    from carmodel.runs.initial import initial_state
    from carmodel.scenario.reading import load
    from carmodel.spaces import BoxSpace

    scenario = load(ROOT / "runs/quickstart.toml")
    p = scenario.parameters.values

    def make(space: BoxSpace) -> Exponential | Imex:
        return Exponential(space, Medium(p), dt=DT, adapt=False) if method == DEFAULT else Imex(space, Medium(p))

    small = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))  # compiles, loads, warms up
    integrator = make(small)
    integrator.step(initial_state(scenario.initial, small), DT)
    before = peak()
    space = BoxSpace((n, n, n), scenario.space.lengths)
    u = initial_state(scenario.initial, space)
    integrator = make(space)
    for _ in range(FIRST_DAY):
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


def row(name: str, figures: list[float]) -> str:
    """A line of a table, printed as soon as it is known."""
    line = f"| {name} | " + " | ".join(f"{ns:.0f}" for ns in figures[:4]) + f" | {figures[4] / 1e3:.2f} |"
    print(line, flush=True)
    return line


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
    rule = "|---|---|---|---|---|---|"
    parts = []
    for method in (DEFAULT, "4"):
        parts += [f"{method if method == DEFAULT else 'ARKIMEX ' + method}:", "", f"| cells | {head}", rule]
        whole = []
        for n in SIZES:
            figures = measure(n, method)
            whole.append(figures[0])
            parts.append(row(f"{n}^3", figures))
        percent = 100 * (whole[-1] / whole[0] - 1)
        change = f"From {min(SIZES)}^3 to {max(SIZES)}^3 the cost per cell and step changes by {percent:+.0f} %."
        parts += ["", change, ""]
    parts += ["All methods at 96^3, those of ARKIMEX by PETSc's names:", "", f"| method | {head}", rule]
    parts += [row(method, measure(96, method)) for method in METHODS]
    text = "\n".join(parts)
    print(text)
    if chosen.write:
        title = (
            "# Cost of a step of `imex`\n\nMade by `.venv/bin/python -m benchmarks.imex_cost --write`.  One process, "
            f"{len(os.sched_getaffinity(0))} threads, quickstart scenario, steps of {DT} days after the first day; "
            "memory is the growth of "
            "the peak resident size.  The exponential method evaluates reactions and taxis four times a step, "
            "ARKIMEX 4 six times.\n\n"
        )
        (ROOT / "docs/imex_cost.md").write_text(title + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
