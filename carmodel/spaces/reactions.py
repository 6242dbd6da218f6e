"""Reactions of a model along a run of cells, the same loop for rows of a box and blocks of a mesh."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tools.compiled import compiled
from ..tuples import at, balance, net, of_cell, put, slow, slow_column

Array = NDArray[np.float64]


@compiled
def react(fields: Any, p: Any, exponentials: Array, out: Array) -> None:
    """P - L u of each cell, `fields` being a row of each field; `exponentials` is scratch, of `slow_scratch`.

    `p`: of `tuples.of_run`.

    Exponentials are taken in a loop of their own: the other one then runs in vector registers.
    """
    for i in range(fields[0].size):
        put(exponentials, i, slow(at(fields, i), of_cell(p, i)))
    for i in range(fields[0].size):
        u = at(fields, i)
        P, L = balance(u, slow_column(exponentials, i, p), of_cell(p, i))
        put(out, i, net(P, L, u))
