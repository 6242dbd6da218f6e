"""Cost of a step: nanoseconds per cell, by phase, on one and two ranks, beside the memory's own speed.

    .venv/bin/python benchmarks/step_cost.py            # prints
    .venv/bin/python benchmarks/step_cost.py --write    # and renews docs/step_cost.md

Every figure is the median over the steps of one run, of the slowest rank, after a step that is not counted.  The last
column is the time of the explicit substeps over the time that their bytes need at the bandwidth of a triad
a = b + s c, measured on the same ranks in the same run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

ROOT = Path(__file__).parents[1]
#: Doubles that one explicit substep moves per cell.  Predictor: 7 read, 7 rates and 7 predictions written.
#: Corrector: 7 predictions, 7 values and 7 rates read, 7 values written.
DOUBLES_PER_SUBSTEP = 49
SUBSTEPS_PER_STEP = 2
DT = 0.01
CASES = [(40, 40), (100, 6)]  # cells a side, steps


def triad_bandwidth(comm) -> float:
    """Bytes per second of all ranks together, best of five."""
    from numba import njit

    @njit
    def triad(a, b, c, s):
        for i in range(a.size):
            a[i] = b[i] + s * c[i]

    n = 40_000_000 // comm.size
    a, b, c = np.zeros(n), np.ones(n), np.full(n, 2.0)
    triad(a, b, c, 3.0)
    best = np.inf
    for _ in range(5):
        comm.barrier()
        start = perf_counter()
        triad(a, b, c, 3.0)
        comm.barrier()
        best = min(best, perf_counter() - start)
    return 3 * 8 * n * comm.size / best


def worker() -> None:
    """Measure every case on the ranks at hand; rank 0 prints JSON."""
    from mpi4py import MPI

    from carmodel.integrators import Jacobi, Krylov, Strang
    from carmodel.model import Medium
    from carmodel.models.polyakov import MODEL, PRESETS
    from carmodel.runs.initial import initial_state
    from carmodel.runs.output.series import Series
    from carmodel.runs.output.vtk import VtkVolumes
    from carmodel.runs.plan import Plan
    from carmodel.runs.simulation import Observer, Simulation
    from carmodel.scenario.fields import Initial
    from carmodel.spaces import BoxSpace

    class Clock(Observer):
        def __init__(self):
            self.marks = []

        def step(self, run):
            self.marks.append(dict(run.integrator.seconds))

    comm = MPI.COMM_WORLD
    rows = []
    for n, steps in CASES:
        for solver, diffusion in {"jacobi": Jacobi(), "ksp": Krylov()}.items():
            space = BoxSpace((n, n, n), (1.0, 1.0, 1.0))
            integrator = Strang(space, Medium(PRESETS["normalised"]), diffusion=diffusion)
            u = initial_state(Initial(), space)
            integrator.step(u, DT)
            clock = Clock()
            with tempfile.TemporaryDirectory() as name:
                folder = Path(comm.bcast(name))
                plan = Plan(end=steps * DT, every=steps * DT, dt=DT)
                observers = [Series(folder), VtkVolumes(folder, MODEL.units_of("normalised")), clock]
                run = Simulation(space, integrator, u, plan, observers)
                run.run()
                comm.barrier()
            row = {"cells": n, "solver": solver, "ranks": comm.size}
            for phase in ("reaction_taxis", "diffusion"):
                spent = np.median(np.diff([mark[phase] for mark in clock.marks]))
                row[phase] = comm.allreduce(spent, MPI.MAX) / n**3 * 1e9
            # Two volumes and a row of the series a step; a volume's share is told separately.
            row["output"] = comm.allreduce(run.seconds["output"], MPI.MAX) / steps / n**3 * 1e9
            rows.append(row)
            integrator.destroy()
            space.destroy()
    bandwidth = triad_bandwidth(comm)
    if comm.rank == 0:
        print(json.dumps({"bandwidth": bandwidth, "rows": rows}))


def measure(ranks: int) -> dict:
    """Run the worker on some ranks."""
    command = ["bash", str(ROOT / "runs/mpirun.sh"), "-n", str(ranks), sys.executable, __file__, "--worker"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    return json.loads(done.stdout.splitlines()[-1])


def report(results: list[dict]) -> str:
    """The table as Markdown."""
    lines = [
        "| grid | ranks | solver | reaction-taxis | diffusion | output | sum | substeps / memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for row in result["rows"]:
            bytes_moved = 8 * DOUBLES_PER_SUBSTEP * SUBSTEPS_PER_STEP
            ratio = row["reaction_taxis"] / (bytes_moved / result["bandwidth"] * 1e9)
            total = row["reaction_taxis"] + row["diffusion"] + row["output"]
            lines.append(
                f"| {row['cells']}^3 | {row['ranks']} | {row['solver']} | {row['reaction_taxis']:.0f} "
                f"| {row['diffusion']:.0f} | {row['output']:.0f} | {total:.0f} | {ratio:.1f} |"
            )
    for result in results:
        ranks = result["rows"][0]["ranks"]
        lines.append(f"\nTriad bandwidth on {ranks} rank(s): {result['bandwidth'] / 1e9:.1f} GB/s.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/step_cost.md")
    arguments.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.worker:
        worker()
        return
    table = report([measure(ranks) for ranks in (1, 2)])
    print(table)
    if chosen.write:
        (ROOT / "docs/step_cost.md").write_text(
            "# Cost of a step\n\nMade by `.venv/bin/python benchmarks/step_cost.py --write`.  Nanoseconds per cell and "
            f"step (dt = {DT}, one substep, normalised parameters), median over the steps; `output` is a row of "
            "`series.csv` a step and two compressed volumes a run.  The last column is the time of the explicit "
            "substeps over the time that moving their bytes takes at the triad's bandwidth.\n\n" + table,
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
