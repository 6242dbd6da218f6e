"""Reactions by the modified Patankar-Runge-Kutta scheme MPRK22: second order, positive for every step.

Burchard, Deleersnijder and Meister (2003), doi 10.1016/S0168-9274(03)00101-6: the member alpha = 1 of the family
MPRK22(alpha) of Kopecz and Meister (2018), doi 10.1016/j.apnum.2017.09.004.  It is Heun's method with every loss
multiplied by the new value over the predicted one of the field that loses, so that each stage is a linear system with
a non-negative inverse.

The rates of a model need not be conservative.  Of the ways to split them, this one weights what passes between two
fields (`Model.passes`: exhaustion, antigen switching) alike where it leaves and where it arrives: as many cells arrive
as leave, however long the step.  It costs a small linear system for each group of such fields.  With all production
taken as it comes, each field would have an equation of its own, but in a long step exhausted cells would become more
than there were functional ones.  Sources are explicit, sinks weighted, as the rest terms of Torlo, Oeffner and Ranocha
(arXiv 2108.07347).

Fields that are exactly zero: with losses written L u no stage divides by u, and the weight of the old loss in the final
stage, L(u) u / u_predicted, is zero where u is, whatever was predicted.  For alpha = 1 no small constant is needed; for
alpha > 1 the weights hold powers of u, and that paper finds order lost, or zero kept, from such data.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..tools.compiled import compiled, compiled_for_threads
from ..tuples import (
    at,
    column,
    implicit,
    mean,
    of_cell,
    of_run,
    origins,
    passing,
    put,
    put_at,
    runs,
    shares,
    sinks,
    slow,
    slow_column,
    slow_scratch,
    sources,
    weighted_mean,
)

Array = NDArray[np.float64]

#: Cells handled together: their scratch stays in the first-level cache.
_BLOCK = 128


@compiled
def _advance_block(u: Array, start: int, stop: int, h: float, p: Any) -> None:
    """One step of h days for the local cells from start to stop.

    The rates of the final stage are the means of those at the old state and at the predicted one, the old losses as
    shares of the predicted state.
    """
    n, w = stop - start, runs(u, start, stop, p)
    local = of_run(p, start, n)
    exponentials, predicted_ones, v = slow_scratch(n, p), slow_scratch(n, p), np.empty((u.shape[0], n))
    for i in range(n):
        put(exponentials, i, slow(at(w, i), of_cell(local, i)))
    for i in range(n):
        old, q = at(w, i), of_cell(local, i)
        passes = passing(old, slow_column(exponentials, i, p), q)
        put(v, i, implicit(old, sources(old, q), sinks(old, q), passes, h, q))
    for i in range(n):
        put(predicted_ones, i, slow(column(v, i, p), of_cell(local, i)))
    for i in range(n):
        old, new, q = at(w, i), column(v, i, p), of_cell(local, i)
        share = shares(old, new)
        before, after = slow_column(exponentials, i, p), slow_column(predicted_ones, i, p)
        P = mean(sources(old, q), sources(new, q))
        L = weighted_mean(share, sinks(old, q), sinks(new, q))
        r = weighted_mean(origins(share, p), passing(old, before, q), passing(new, after, q))
        put_at(w, i, implicit(old, P, L, r, h, q))


@compiled_for_threads
def advance(u: Array, starts: NDArray[np.int64], length: int, h: float, steps: int, p: Any) -> None:
    """`steps` steps of h days each for the reactions of a model, in place and cell by cell.

    `u`, shape (fields, local cells); the cells are those of the runs `starts[r] : starts[r] + length`.
    """
    blocks = (length + _BLOCK - 1) // _BLOCK
    for number in numba.prange(starts.size * blocks):
        run, block = number // blocks, number % blocks
        start = starts[run] + block * _BLOCK
        stop = min(start + _BLOCK, starts[run] + length)
        for _ in range(steps):
            _advance_block(u, start, stop, h, p)
