"""What checkpoints cost, and how long a run takes to go on from one.

    .venv/bin/python benchmarks/checkpoint_cost.py            # prints
    .venv/bin/python benchmarks/checkpoint_cost.py --write    # and renews docs/checkpoint_cost.md

A checkpoint is compared with a step of the same run, on two ranks; going on is compared with starting afresh, in turn,
each to the end of its first step.  Run it alone.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).parents[1]

#: Integrators by name, as overrides of a run file.
WAYS = {
    "imex, exponential": [],
    "imex, arkimex": ["integrator.method=arkimex"],
    "strang": ["integrator.kind=strang"],
    "strang, mprk22": ["integrator.kind=strang", "integrator.reaction=mprk22"],
}


def carmodel(ranks: int, *arguments: object) -> float:
    """Run a command to its end; seconds."""
    start = ["bash", str(ROOT / "runs/mpirun.sh"), "-n", str(ranks)] if ranks > 1 else []
    program = "carmodel" if ranks > 1 else str(ROOT / ".venv/bin/carmodel")
    began = perf_counter()
    subprocess.run([*start, program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def overrides(*keys: str) -> list[str]:
    """As on the command line."""
    return [word for key in keys for word in ("--set", key)]


def cost(folder: Path, file: Path, n: int, way: list[str]) -> tuple[float, float, float]:
    """Seconds of a step and of a checkpoint of n^3 cells on two ranks, and its size in MB."""
    out = folder / "cost"
    shutil.rmtree(out, ignore_errors=True)
    keys = [f"space.cells=[{n},{n},{n}]", "time.end=0.1", "integrator.dt=0.01", "output.checkpoint_every=1e-9", *way]
    carmodel(2, "run", file, "--out", out, "--quiet", *overrides(*keys))
    told = json.loads((out / "manifest.json").read_text())
    spent, steps = told["wall_seconds"], told["steps"]
    checkpoints = steps - 1  # none at the end
    made = sum(spent.get(phase, 0.0) for phase in ("reaction_taxis", "diffusion", "time_stepper", "assembly", "solve"))
    size = max(path.stat().st_size for path in (out / "checkpoints").iterdir())
    return made / steps, spent["checkpoints"] / checkpoints, size / 1e6


def going_on(folder: Path, file: Path, n: int, pairs: int) -> list[tuple[float, float]]:
    """Seconds to the end of the first step of n^3 cells, starting afresh and going on from a checkpoint, in turn."""
    kept, out = folder / "kept", folder / "first"
    keys = [f"space.cells=[{n},{n},{n}]", "output.every=0", "output.checkpoint_at_end=true"]
    shutil.rmtree(kept, ignore_errors=True)
    carmodel(1, "run", file, "--out", kept, "--quiet", *overrides(*keys, "time.end=0.01"))
    times = []
    for _ in range(pairs):
        shutil.rmtree(out, ignore_errors=True)
        fresh = carmodel(1, "run", file, "--out", out, "--quiet", *overrides(*keys, "time.end=0.01"))
        shutil.rmtree(out)
        shutil.copytree(kept, out)
        resumed = carmodel(1, "run", file, "--out", out, "--quiet", "--resume", *overrides(*keys, "time.end=0.02"))
        times.append((fresh, resumed))
    return times


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew docs/checkpoint_cost.md")
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carmodel-") as name:
        folder = Path(name)
        file = folder / "case.toml"
        file.write_text("[space]\ncells = [8, 8, 8]\n[time]\nend = 1.0\n")
        rows = []
        for n in (40, 100):
            for way, keys in WAYS.items():
                step, checkpoint, size = cost(folder, file, n, keys)
                rows.append(f"| {n}^3 | {way} | {step:.3f} | {checkpoint:.3f} | {checkpoint / step:.2f} | {size:.0f} |")
                print(rows[-1], flush=True)
        times = going_on(folder, file, 64, given.pairs)
    ratio = median(resumed / fresh for fresh, resumed in times)
    fresh, resumed = (median(column) for column in zip(*times, strict=True))
    text = f"""# What checkpoints cost

Made by `.venv/bin/python benchmarks/checkpoint_cost.py --write`, on two ranks.

| cells | integrator | s a step | s a checkpoint | checkpoint in steps | MB |
|---|---|---|---|---|---|
{chr(10).join(rows)}

Starting a run of 64^3 cells takes {fresh:.2f} s to the end of its first step. Going on from a checkpoint takes
{resumed:.2f} s, {ratio:.2f} times as long (median of {given.pairs} pairs, one process).
"""
    print(text)
    if given.write:
        (ROOT / "docs/checkpoint_cost.md").write_text(text)


if __name__ == "__main__":
    main()
