"""The error that `imex` reaches against the tolerance it was asked for: the quickstart scenario, and fast kinetics.

    .venv/bin/python -m benchmarks.tolerance            # prints
    .venv/bin/python -m benchmarks.tolerance --write    # and renews docs/tolerance.md

Errors are the largest over the fields of the relative L2 difference: in the quickstart scenario at T = 12 days from a
run of the other method, the exponential one or ARKIMEX 5, at a tolerance of 1e-9; with fast kinetics at T = 0.2 days
from the classical explicit Runge-Kutta method in steps of 2e-5 days, which keeps the digits of small values too.
"""

import argparse
from pathlib import Path

import numpy as np
from petsc4py import PETSc

from carmodel.integrators import Exponential, Imex
from carmodel.model import Medium
from carmodel.models.polyakov import Parameters
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace

ROOT = Path(__file__).parents[1]
N = 20
ASKED = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
METHODS = ((Exponential, "exponential"), (Imex, "ARKIMEX 4"))
SCENARIO = load(ROOT / "runs/quickstart.toml")
P = SCENARIO.parameters.values

#: Fast kinetics: growth of CAR-T cells per day, cells along an axis, days, days in a step of the explicit method.
STIFF = (100.0, 1000.0)
N_STIFF, END_STIFF, DT_STIFF = 12, 0.2, 2e-5

#: Noise on C at the start, in units of its root mean square, whose growth is followed.
NOISE = (1e-4, 1e-8, 1e-12, 1e-16)

PAGE = f"""# The error asked for and the error reached

Made by `.venv/bin/python -m benchmarks.tolerance --write`: `imex`, quickstart scenario on {N}^3 cells, T = 12 days.
The error is the largest over the fields of the relative L2 difference from the other method (ARKIMEX 5 for the
exponential one) at a tolerance of 1e-9.

{{}}

## Fast kinetics

The same with CAR-T cells that grow a hundred to a thousand times as fast, {N_STIFF}^3 cells, T = {END_STIFF} days.
The error is the difference from the classical explicit Runge-Kutta method in steps of {DT_STIFF:g} days.

{{}}

A smaller rtol helps less than it should.  The cause is the problem, not the steps: inside the tumour there are next to
no CAR-T cells at first, and their density grows at up to rho_C / K_C a day (239 and 2390) until it is about K_C.  A
small error there becomes a large one.  The next table shows it without `imex`: noise is added to C at the start, in
units of its root mean square, and the explicit method follows both states.

{{}}

Noise of the size of rtol changes the solution more than a run at that rtol errs.  For small errors the exponential
method keeps its order: with rho_C = 100, twice the steps give a sixteenth of the error.  With rho_C = 1000 the rounding
of the transforms, some 1e-16 of the largest C, is noise that grows: no rtol brings the error below about 1e-2.  The
solution then depends on densities far below one cell in the whole box, where no continuum describes cells.
"""


def state_at_end(
    make: type[Exponential | Imex], space: BoxSpace, rtol: float, parameters: Parameters = P, end: float = 12.0
) -> tuple[np.ndarray, int]:
    """The state as (7, cells), and the number of steps."""
    u, integrator = initial_state(SCENARIO.initial, space), make(space, Medium(parameters), rtol=rtol)
    t, steps = 0.0, 0
    while t < end:
        made = integrator.step(u, end - t)
        t, steps = (end if made == end - t else t + made), steps + 1
    integrator.destroy()
    return space.owned(u).reshape(7, -1).copy(), steps


def explicit_state(space: BoxSpace, parameters: Parameters, noise: float = 0.0) -> np.ndarray:
    """The state as (7, cells) after `END_STIFF` days by the classical Runge-Kutta method, all terms explicit."""
    u = initial_state(SCENARIO.initial, space)
    C = space.owned(u[0])
    C += noise * np.sqrt(np.mean(C**2)) * np.random.default_rng(0).random(C.shape)

    def rate(v: np.ndarray) -> np.ndarray:
        whole = space.zeros(7)
        space.owned(whole)[...] = v
        space.exchange(whole, range(7))
        out = np.zeros((7, space.n_owned))
        space.explicit_rate(whole, out, Medium(parameters), SCENARIO.integrator.taxis)
        loss = -out
        space.subtract_diffusion(whole, loss, Medium(parameters).diffusivities)
        return -loss.reshape(v.shape)

    v, h = space.owned(u).copy(), DT_STIFF
    for _ in range(round(END_STIFF / h)):
        k_1 = rate(v)
        k_2 = rate(v + 0.5 * h * k_1)
        k_3 = rate(v + 0.5 * h * k_2)
        k_4 = rate(v + h * k_3)
        v += h / 6.0 * (k_1 + 2.0 * (k_2 + k_3) + k_4)
    return v.reshape(7, -1)


def largest_error(state: np.ndarray, exact: np.ndarray) -> float:
    """The largest over the fields of the relative L2 difference."""
    return float((np.linalg.norm(state - exact, axis=1) / np.linalg.norm(exact, axis=1)).max())


def quickstart_rows() -> list[str]:
    """The table of the quickstart scenario, printed on the way."""
    space = BoxSpace((N, N, N), SCENARIO.space.lengths)
    PETSc.Options()["ts_arkimex_type"] = "5"
    exact = {Exponential: state_at_end(Imex, space, 1e-9)[0]}
    PETSc.Options().delValue("ts_arkimex_type")
    exact[Imex] = state_at_end(Exponential, space, 1e-9)[0]
    lines = ["| method | rtol | steps | error reached | error / rtol |", "|---|---|---|---|---|"]
    for make, name in METHODS:
        for rtol in ASKED:
            state, steps = state_at_end(make, space, rtol)
            error = largest_error(state, exact[make])
            lines.append(f"| {name} | {rtol:g} | {steps} | {error:.1e} | {error / rtol:.2f} |")
            print(lines[-1], flush=True)
    return lines


def stiff_rows() -> tuple[list[str], list[str]]:
    """The tables of fast kinetics, printed on the way: errors reached, and what becomes of noise."""
    space = BoxSpace((N_STIFF,) * 3, SCENARIO.space.lengths)
    errors = ["| rho_C | method | rtol | steps | error reached | error / rtol |", "|---|---|---|---|---|---|"]
    growth = ["| rho_C | noise at the start | change at the end | change / noise |", "|---|---|---|---|"]
    for rho_C in STIFF:
        p = P._replace(rho_C=rho_C)
        exact = explicit_state(space, p)
        for make, name in METHODS:
            for rtol in ASKED:
                state, steps = state_at_end(make, space, rtol, p, END_STIFF)
                error = largest_error(state, exact)
                errors.append(f"| {rho_C:g} | {name} | {rtol:g} | {steps} | {error:.1e} | {error / rtol:.3g} |")
                print(errors[-1], flush=True)
        for noise in NOISE:
            change = largest_error(explicit_state(space, p, noise), exact)
            growth.append(f"| {rho_C:g} | {noise:g} | {change:.1e} | {change / noise:.1e} |")
            print(growth[-1], flush=True)
    return errors, growth


def main() -> None:
    """Print the tables, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/tolerance.md")
    chosen = arguments.parse_args()
    quickstart, (errors, growth) = quickstart_rows(), stiff_rows()
    if chosen.write:
        text = PAGE.format(*("\n".join(table) for table in (quickstart, errors, growth)))
        (ROOT / "docs/tolerance.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
