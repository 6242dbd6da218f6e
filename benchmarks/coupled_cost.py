"""Cost of an implicit step of `coupled`: seconds, split into assembly and solve, and memory per cell.

    .venv/bin/python benchmarks/coupled_cost.py            # prints
    .venv/bin/python benchmarks/coupled_cost.py --write    # and renews docs/coupled_cost.md

Quickstart scenario on FiPy's grid, BDF2, dt = 0.05; medians over the steps after the first, which is four in one.
Memory is the growth of the ranks' peak resident size from before the mesh is made, over the number of cells.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

ROOT = Path(__file__).parents[1]
DT, STEPS, SIZES = 0.05, 6, (20, 40)


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def worker(n: int) -> None:
    """Measure n cells a side on the ranks at hand; rank 0 prints JSON."""
    from mpi4py import MPI

    from carmodel.integrators.coupled import Coupled
    from carmodel.model import Medium
    from carmodel.runs.initial import initial_state
    from carmodel.scenario.reading import load
    from carmodel.spaces.mesh import MeshSpace, grid_mesh

    comm = MPI.COMM_WORLD
    scenario = load(ROOT / "runs/quickstart.toml")
    before = peak()
    start = perf_counter()
    space = MeshSpace(grid_mesh((n, n, n), scenario.space.lengths))
    integrator = Coupled(space, Medium(scenario.parameters.values))
    u = initial_state(scenario.initial, space)
    integrator.step(u, DT)
    made = perf_counter() - start
    marks, sweeps = [], integrator.sweeps
    for _ in range(STEPS):
        last = dict(integrator.seconds)
        start = perf_counter()
        integrator.step(u, DT)
        whole = perf_counter() - start
        marks.append([whole, *(integrator.seconds[phase] - last[phase] for phase in ("assembly", "solve"))])
    figures = np.empty(3)
    comm.Allreduce(np.median(marks, axis=0), figures, MPI.MAX)
    memory = comm.allreduce(peak() - before) / n**3
    if comm.rank == 0:
        per_step = (integrator.sweeps - sweeps) / STEPS
        print(json.dumps({"made": made, "figures": figures.tolist(), "memory": memory, "sweeps": per_step}))
    integrator.destroy()
    space.destroy()


def main() -> None:
    """Measure, print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/coupled_cost.md")
    arguments.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.worker:
        worker(chosen.worker)
        return
    lines = [
        "| cells | ranks | step, s | assembly, s | solve, s | sweeps | set-up and first step, s | memory, kB/cell |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n in SIZES:
        for ranks in (1, 2):
            command = ["bash", str(ROOT / "runs/mpirun.sh"), "-n", str(ranks), sys.executable, __file__]
            done = subprocess.run([*command, "--worker", str(n)], stdout=subprocess.PIPE, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            whole, assembly, solve = told["figures"]
            lines.append(
                f"| {n}^3 | {ranks} | {whole:.3f} | {assembly:.3f} | {solve:.3f} | {told['sweeps']:.1f} "
                f"| {told['made']:.1f} | {told['memory'] / 1e3:.1f} |"
            )
    table = "\n".join(lines)
    print(table)
    if chosen.write:
        text = (
            "# Cost of an implicit step\n\nMade by `.venv/bin/python benchmarks/coupled_cost.py --write`.  `coupled` "
            f"on FiPy's grid, quickstart scenario, BDF2, dt = {DT}: medians over {STEPS} steps of the slowest rank; "
            "memory is the growth of the peak resident size.\n\n"
        )
        (ROOT / "docs/coupled_cost.md").write_text(text + table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
