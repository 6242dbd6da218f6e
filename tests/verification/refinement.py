"""Reported quantities on halved cells and halved steps: observed order, and the error left on the finest."""

from collections.abc import Iterator

import carmodel
from tests.verification.table import Row, convergence

#: Edges are smooth: of a sharp one the first cells' volumes converge by leaps.
SMOOTH = {
    "tumour": {"shape": "ball", "radius": 0.25, "edge": 0.1},
    "cart": {"shape": "layer", "axis": "x", "from": -1.0, "to": 0.1, "value": 0.5, "edge": 0.1},
}
GRIDS, DAYS = (20, 40, 80), 4.0
STEPS = (0.01, 0.005, 0.0025)


def quantities(case) -> dict[str, float]:
    """Of a run, by name."""
    series = carmodel.simulate(case).series
    burden = series["total_TA"] + series["total_TB"]
    return {
        "tumour burden at the end": float(burden.iloc[-1]),
        "antigen-negative tumour cells at the end": float(series["total_TB"].iloc[-1]),
        "CAR-T cells at the end": float(series["total_C"].iloc[-1]),
        "exhausted CAR-T cells at the end": float(series["total_E"].iloc[-1]),
        "largest chemoattractant at the end": float(series["max_S"].iloc[-1]),
        "hypoxia at the end": float(series["mean_H"].iloc[-1]),
    }


def on_grids() -> Iterator[Row]:
    """Cubes, steps by a small tolerance."""
    found = [
        quantities(
            carmodel.case(
                space={"cells": [n] * 3},
                initial=SMOOTH,
                time={"end": DAYS},
                integrator={"rtol": 1e-8, "taxis": "central"},
                output={"every": 0},
            )
        )
        for n in GRIDS
    ]
    yield from _rows(found, 2.0, "{} on 80^3 cells", f"cubes of {GRIDS} cells a side, day {DAYS:g}")


def on_steps() -> Iterator[Row]:
    """Fixed steps of `strang` as the paper has it, and of second order."""
    for name, choices, expected in (
        ("strang", {}, 1.0),
        ("strang, exact diffusion", {"diffusion_scheme": "exact"}, 2.0),
        ("strang, mprk22 and exact diffusion", {"reaction": "mprk22", "diffusion_scheme": "exact"}, 2.0),
    ):
        found = [
            quantities(
                carmodel.case(
                    space={"cells": [12] * 3},
                    initial=SMOOTH,
                    time={"end": DAYS},
                    integrator={"kind": "strang", "dt": dt, **choices},
                    output={"every": 0},
                )
            )
            for dt in STEPS
        ]
        yield from _rows(found, expected, "{}, " + name, f"steps of {STEPS} days, 12^3 cells, day {DAYS:g}")


def _rows(found, expected, what, how):
    for name in found[0]:
        p, index = convergence([values[name] for values in found])
        yield Row(what.format(name), expected, p, True, f"{how}; grid-convergence index {index:.1e}")
