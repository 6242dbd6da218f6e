"""What models cost: an older revision against this one, nanoseconds by number of fields, seconds to compile.

    .venv/bin/python benchmarks/model_cost.py --old FOLDER            # prints; FOLDER: checkout of an older revision
    .venv/bin/python benchmarks/model_cost.py --old FOLDER --write    # and renews docs/model_cost.md

Old and new are measured in turn, each in a process of its own, on the same numbers: the rate of reactions and taxis of
the paper's model, and a stage of the explicit scheme.  Of each process the shortest time of a call counts, and of the
pairs the median of the ratios.  Run it alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

ROOT = Path(__file__).parents[1]

#: Cells a side, and seconds that each call is repeated for.
SIZES = {40: 0.7, 100: 1.5}
KINDS = ("box", "mesh")
THREADS = (1, 2)
CALLS = ("central rate", "hybrid rate", "stage")
MODELS = ("two_fields", "polyakov", "dual_target", "twelve_fields")

COUNTING = """
import sys
from numba.core import event
from carmodel.{module} import main
with event.install_recorder("numba:compile") as found:
    try:
        main()
    except SystemExit as end:
        assert not end.code
print(sum(e.is_start for _, e in found.buffer))
"""


def space_of(kind: str, n: int):
    """A cube of n^3 cells."""
    if kind == "box":
        from carmodel.spaces import BoxSpace

        return BoxSpace((n, n, n), (1.0, 1.0, 1.0))
    from fipy import Grid3D

    from carmodel.spaces.mesh import MeshSpace

    return MeshSpace(Grid3D(nx=n, ny=n, nz=n, dx=1 / n, dy=1 / n, dz=1 / n))


def calls_of(space, p, fields: int):
    """What is timed, by name; in the words of a revision before models, too."""
    u = space.zeros(fields)
    own = space.owned(u)
    own[...] = np.random.default_rng(0).uniform(0.1, 1.0, own.shape)
    for field in u:
        space.exchange_field(field)
    out, base, rate, clamped = (
        np.zeros((fields, space.n_owned)),
        space.zeros(fields),
        space.zeros(fields),
        np.zeros(fields),
    )
    try:
        from carmodel.model import Medium
        from carmodel.spaces.stencils import Stage
    except ImportError:
        D_C = space.zeros() + p.D_C
        old = {"parameters": p, "D_C": D_C}
        stage = {"weight_stored": 0.0, "weight": 1e-3, "store": True, "clamp": True, "clamped": clamped}
        return {
            "central rate": lambda: space.explicit_rate(u, out, taxis="central", **old),
            "hybrid rate": lambda: space.explicit_rate(u, out, taxis="hybrid", **old),
            "stage": lambda: space.explicit_stage(u, base, rate, base, taxis="central", **stage, **old),
        }
    medium, stage = Medium(p), Stage(0.0, 1e-3, True, True)
    return {
        "central rate": lambda: space.explicit_rate(u, out, medium, "central"),
        "hybrid rate": lambda: space.explicit_rate(u, out, medium, "hybrid"),
        "stage": lambda: space.explicit_stage((u, base, rate, base), stage, medium, "central", clamped),
    }


def worker(model: str, kind: str, n: int, threads: int, seconds: float) -> None:
    """Print the least seconds of each call as JSON."""
    import numba

    if model == "polyakov":
        is_old = not (Path(import_module("carmodel").__file__).parent / "model.py").exists()
        module = import_module("carmodel.parameters" if is_old else "carmodel.models.polyakov")
        p = module.PRESETS["normalised"]
    else:
        from carmodel import models

        p = next(iter(models.named(model, [ROOT / "tests/models"]).presets.values()))
    space = space_of(kind, n)
    numba.set_num_threads(threads)
    least = {}
    for name, call in calls_of(space, p, 7 if model == "polyakov" else len(p_fields(p))).items():
        call()
        times, start = [], perf_counter()
        while perf_counter() - start < seconds:
            before = perf_counter()
            call()
            times.append(perf_counter() - before)
        least[name] = min(times)
    print(json.dumps(least))


def p_fields(p) -> tuple[str, ...]:
    """Names of the fields of the parameters' model."""
    from carmodel.model import model_of

    return model_of(p).names


def timed(checkout: Path, model: str, kind: str, n: int, threads: int, seconds: float) -> dict[str, float]:
    """The least seconds of each call in a process of its own."""
    command = [sys.executable, "-P", __file__, "--worker", model, kind, n, threads, seconds]
    environment = dict(os.environ) | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compared(old: Path, pairs: int, scale: float) -> list[str]:
    """Rows: median of the paired ratios new over old."""
    rows = []
    for n, seconds in SIZES.items():
        for kind in KINDS:
            for threads in THREADS:
                found = [
                    [timed(checkout, "polyakov", kind, n, threads, scale * seconds) for checkout in (old, ROOT)]
                    for _ in range(pairs)
                ]
                ratios = {name: median(new[name] / before[name] for before, new in found) for name in CALLS}
                ns = {name: 1e9 * median(new[name] for _, new in found) / n**3 for name in CALLS}
                cells = " | ".join(f"{ratios[name]:.3f} ({ns[name]:.0f})" for name in CALLS)
                rows.append(f"| {kind}, {n}^3, {threads} thread{'s' * (threads > 1)} | {cells} |")
                print(rows[-1], flush=True)
    return rows


def by_fields(scale: float) -> list[str]:
    """Rows: nanoseconds per cell, field and stage."""
    rows = []
    for model in MODELS:
        found = [timed(ROOT, model, kind, 40, 1, scale * SIZES[40]) for kind in KINDS]
        fields = {"two_fields": 2, "polyakov": 7, "dual_target": 8, "twelve_fields": 12}[model]
        cells = " | ".join(f"{1e9 * times['hybrid rate'] / 40**3 / fields:.1f}" for times in found)
        rows.append(f"| `{model}`, {fields} fields | {cells} |")
        print(rows[-1], flush=True)
    return rows


def compilation(checkout: Path) -> tuple[float, float, int]:
    """Seconds of a run of 8^3 cells with an empty cache and after it, and what the second one compiled."""
    is_old = not (checkout / "carmodel/model.py").exists()
    code = COUNTING.format(module="cli" if is_old else "commands.cli")
    seconds, counts = [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cache.mkdir(mode=0o700)
        for n in range(2):
            arguments = ["run", checkout / "runs/quickstart.toml", "--quiet", "--out", Path(folder) / str(n)]
            settings = ["--set", "space.cells=[8,8,8]", "--set", "time.end=0.1"]
            environment = dict(os.environ) | {"PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(cache)}
            start = perf_counter()
            command = [sys.executable, "-P", "-c", code, *map(str, arguments), *settings]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds.append(perf_counter() - start)
            counts.append(int(done.stdout.splitlines()[-1]))
    assert counts[0] > 0
    return seconds[0], seconds[1], counts[1]


def page(old: Path, pairs: int, scale: float) -> str:
    """All figures as a document."""
    revision = subprocess.run(["git", "-C", old, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    before, after = (compilation(checkout) for checkout in (old, ROOT))
    lines = [
        "# What models cost",
        "",
        "Made by `.venv/bin/python benchmarks/model_cost.py --old FOLDER --write`, FOLDER a checkout of revision "
        f"{revision.stdout.strip()}, which had the paper's model alone.",
        "",
        f"Time of reactions and taxis of the paper's model over that of revision {revision.stdout.strip()}: median of "
        f"{pairs} pairs; in brackets nanoseconds a cell now.",
        "",
        "| | central rate | hybrid rate | stage |",
        "|---|---|---|---|",
        *compared(old, pairs, scale),
        "",
        "Nanoseconds per cell and field of one rate of reactions and taxis (`hybrid`), 40^3 cells, one thread:",
        "",
        "| model | box | mesh |",
        "|---|---|---|",
        *by_fields(scale),
        "",
        f"A run of 8^3 cells of the paper's model takes {after[0]:.1f} s with an empty cache of compiled code "
        f"({before[0]:.1f} s before), and {after[1]:.1f} s after it; the second process compiles {after[2]} functions.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--old", type=Path, help="checkout of the older revision")
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--scale", type=float, default=1.0, help="of the seconds that calls are repeated for")
    arguments.add_argument("--write", action="store_true", help="renew docs/model_cost.md")
    arguments.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.worker:
        model, kind, n, threads, seconds = chosen.worker
        worker(model, kind, int(n), int(threads), float(seconds))
        return
    if chosen.old is None:
        arguments.error("--old: missing; accepted: a checkout of an older revision")
    text = page(chosen.old.resolve(), chosen.pairs, chosen.scale)
    print(text)
    if chosen.write:
        (ROOT / "docs/model_cost.md").write_text(text)


if __name__ == "__main__":
    main()
