"""The error that `imex` reaches against the tolerance it was asked for, on the quickstart scenario.

    .venv/bin/python -m benchmarks.tolerance            # prints
    .venv/bin/python -m benchmarks.tolerance --write    # and renews docs/tolerance.md

Errors are the largest over the fields of the relative L2 difference at T = 12 days from a run of the other method, the
exponential one or ARKIMEX 5, at a tolerance of 1e-9.
"""

import argparse
from pathlib import Path

import numpy as np

from carmodel.initial import initial_state
from carmodel.integrators import Exponential, Imex
from carmodel.petsc import PETSc
from carmodel.runfile import load
from carmodel.spaces import BoxSpace

ROOT = Path(__file__).parents[1]
N = 20
ASKED = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


def state_at_end(make: type[Exponential | Imex], space: BoxSpace, rtol: float) -> tuple[np.ndarray, int]:
    """The state as (7, cells), and the number of steps."""
    scenario = load(ROOT / "runs/quickstart.toml")
    u, integrator = initial_state(scenario.initial, space), make(space, scenario.parameters.values, rtol=rtol)
    t, steps, end = 0.0, 0, scenario.time.end
    while t < end:
        made = integrator.step(u, end - t)
        t, steps = (end if made == end - t else t + made), steps + 1
    integrator.destroy()
    return space.owned(u).reshape(7, -1).copy(), steps


def main() -> None:
    """Print the table, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/tolerance.md")
    chosen = arguments.parse_args()
    space = BoxSpace((N, N, N), load(ROOT / "runs/quickstart.toml").space.lengths)
    PETSc.Options()["ts_arkimex_type"] = "5"
    exact = {Exponential: state_at_end(Imex, space, 1e-9)[0]}
    PETSc.Options().delValue("ts_arkimex_type")
    exact[Imex] = state_at_end(Exponential, space, 1e-9)[0]
    lines = ["| method | rtol | steps | error reached | error / rtol |", "|---|---|---|---|---|"]
    for make, name in ((Exponential, "exponential"), (Imex, "ARKIMEX 4")):
        for rtol in ASKED:
            state, steps = state_at_end(make, space, rtol)
            error = (np.linalg.norm(state - exact[make], axis=1) / np.linalg.norm(exact[make], axis=1)).max()
            lines.append(f"| {name} | {rtol:g} | {steps} | {error:.1e} | {error / rtol:.2f} |")
            print(lines[-1], flush=True)
    if chosen.write:
        (ROOT / "docs/tolerance.md").write_text(
            "# The error asked for and the error reached\n\n"
            "Made by `.venv/bin/python -m benchmarks.tolerance --write`: "
            f"`imex`, quickstart scenario on {N}^3 cells, T = 12 days.  The error is the largest over the fields of "
            "the relative L2 difference from the other method (ARKIMEX 5 for the exponential one) at a tolerance of "
            "1e-9.\n\n" + "\n".join(lines) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
