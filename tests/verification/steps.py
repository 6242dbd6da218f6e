"""Orders in time, of all equations together, against an explicit solver of order 8 on the same cells."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from carmodel.integrators import Exponential, Imex, Strang
from carmodel.model import Medium
from carmodel.spaces import BoxSpace
from tests.conftest import petsc_options, smooth_state
from tests.integrators import test_coupled, test_time_order
from tests.integrators.test_time_order import IMEX, MILD, STRANG, P, exact, measured_order
from tests.meshes import BOX, uniform
from tests.verification.table import Row, order

CELLS = (6, 5, 4)
PAIRS = {"strang": (80, 160), "exponential": (8, 16)}


def in_time() -> Iterator[Row]:
    """Every integrator of the paper's model with taxis, on halved steps."""
    space = BoxSpace(CELLS, BOX)
    start = smooth_state(space)
    references = {p: exact(space, start, p, "central") for p in (P, MILD)}
    how = "error after {} days, {} and {} steps".format

    def measured(p, make, numbers):
        return measured_order(space, start, references[p], make, numbers)[0]

    for name, (known, choices) in STRANG.items():
        seen = measured(P, lambda c=choices: Strang(space, Medium(P), taxis="central", **c), PAIRS["strang"])
        yield Row(f"strang, {name}", known, seen, True, how(test_time_order.END, *PAIRS["strang"]))
    seen = measured(
        MILD, lambda: Exponential(space, Medium(MILD), taxis="central", dt=1.0, adapt=False), PAIRS["exponential"]
    )
    yield Row("imex, exponential", 4, seen, True, how(test_time_order.END, *PAIRS["exponential"]) + ", D_H = 0.015")
    for method, (known, numbers) in IMEX.items():
        with petsc_options({"ts_arkimex_type": method, "ts_adapt_type": "none", "ts_dt": 1.0}):
            seen = measured(MILD, lambda: Imex(space, Medium(MILD), taxis="central", rtol=1.0), numbers)
        yield Row(f"imex, arkimex {method}", known, seen, True, how(test_time_order.END, *numbers) + ", D_H = 0.015")
    space.destroy()


def coupled_in_time() -> Iterator[Row]:
    """The schemes of `coupled`, against the finest steps by Richardson's extrapolation."""
    space = uniform((6, 5, 4))
    u = test_coupled.smooth(space)
    for scheme, known in test_coupled.SCHEMES.items():
        ends = []
        for n in (8, 16, 32):
            v = u.copy()
            test_coupled.advance(space, test_coupled.P, v, 0.8 / n, n, scheme=scheme)
            ends.append(space.owned(v).copy())
        errors = [float(np.linalg.norm(a - b)) for a, b in pairwise(ends)]
        yield Row(f"coupled, {scheme}", known, order(errors), True, "differences of fields, day 0.8, 8 to 32 steps")
    space.destroy()
