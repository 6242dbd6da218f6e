"""Reactions by the modified Patankar-Runge-Kutta scheme MPRK22: second order, positive for every step.

Burchard, Deleersnijder and Meister (2003), doi 10.1016/S0168-9274(03)00101-6: the member alpha = 1 of the family
MPRK22(alpha) of Kopecz and Meister (2018), doi 10.1016/j.apnum.2017.09.004.  It is Heun's method with every loss
multiplied by the new value over the predicted one of the field that loses, so that each stage is a linear system with
a non-negative inverse.

Eqs (1)-(7) are not conservative.  Of the ways to split them, this one weights what is exchanged (C and E by exhaustion
and recovery, TA and TB by antigen switching) alike where it leaves and where it arrives: as many cells arrive as leave,
however long the step.  It costs a closed 2 x 2 system for each pair.  With all production taken as it comes, each field
would have an equation of its own, but in a long step E would gain more cells than C has.  Sources are explicit, sinks
weighted, as the rest terms of Torlo, Oeffner and Ranocha (arXiv 2108.07347).

Fields that are exactly zero: with losses written L u no stage divides by u, and the weight of the old loss in the final
stage, L(u) u / u_predicted, is zero where u is, whatever was predicted.  For alpha = 1 no small constant is needed; for
alpha > 1 the weights hold powers of u, and that paper finds order lost, or zero kept, from such data.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from .compiled import callable_from_both, compiled, compiled_for_threads
from .kinetics import Rates, antigen_recovery, exchange, sources_and_sinks
from .parameters import Parameters

Array = NDArray[np.float64]
Exchange = tuple[float, float, float, float]
AllRates = tuple[Rates, Rates, Exchange]

#: Cells handled together: their scratch stays in the first-level cache.
_BLOCK = 128
_LEAST = 1e-300
_ONES = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


@callable_from_both
def _pair(a: float, b: float, loss_a: float, loss_b: float, to_b: float, to_a: float) -> tuple[float, float]:
    """Solve (1 + loss_a + to_b) x - to_a y = a, (1 + loss_b + to_a) y - to_b x = b without a subtraction."""
    stay_a, stay_b = 1.0 + loss_a, 1.0 + loss_b
    determinant = stay_a * stay_b + to_b * stay_b + to_a * stay_a
    return ((stay_b + to_a) * a + to_a * b) / determinant, (to_b * a + (stay_a + to_b) * b) / determinant


@callable_from_both
def _implicit(u: Rates, rates: AllRates, h: float) -> Rates:
    """The new state v of v = u + h (sources - sinks v + what passes between the pairs at v)."""
    sources, sinks, passing = rates
    to_E, to_C, to_TB, to_TA = passing
    C, E = _pair(u[0] + h * sources[0], u[1] + h * sources[1], h * sinks[0], h * sinks[1], h * to_E, h * to_C)
    TA, TB = _pair(u[2] + h * sources[2], u[3] + h * sources[3], h * sinks[2], h * sinks[3], h * to_TB, h * to_TA)
    S = (u[4] + h * sources[4]) / (1.0 + h * sinks[4])
    A = (u[5] + h * sources[5]) / (1.0 + h * sinks[5])
    H = (u[6] + h * sources[6]) / (1.0 + h * sinks[6])
    return C, E, TA, TB, S, A, H


@callable_from_both
def _share(old: float, predicted: float) -> float:
    """Weight of the old loss in the final stage: old / predicted, at most 1 + h L, and 0 where the old value is 0."""
    return max(old, 0.0) / max(predicted, _LEAST)


@callable_from_both
def _mean(weight: Rates, before: Rates, after: Rates) -> Rates:
    return (
        0.5 * (weight[0] * before[0] + after[0]),
        0.5 * (weight[1] * before[1] + after[1]),
        0.5 * (weight[2] * before[2] + after[2]),
        0.5 * (weight[3] * before[3] + after[3]),
        0.5 * (weight[4] * before[4] + after[4]),
        0.5 * (weight[5] * before[5] + after[5]),
        0.5 * (weight[6] * before[6] + after[6]),
    )


@callable_from_both
def _rates(u: Rates, mu_BA: float, p: Parameters) -> AllRates:
    sources, sinks = sources_and_sinks(u[0], u[1], u[2], u[3], u[4], u[5], u[6], p)
    return sources, sinks, exchange(u[0], u[5], u[6], mu_BA, p)


@callable_from_both
def _final_rates(old: Rates, predicted: Rates, before: AllRates, after: AllRates) -> AllRates:
    """Means of the rates at the old state and at the predicted one, the old losses as shares of the predicted state."""
    share = (
        _share(old[0], predicted[0]),
        _share(old[1], predicted[1]),
        _share(old[2], predicted[2]),
        _share(old[3], predicted[3]),
        _share(old[4], predicted[4]),
        _share(old[5], predicted[5]),
        _share(old[6], predicted[6]),
    )
    x, y = before[2], after[2]
    passing = (
        0.5 * (share[0] * x[0] + y[0]),
        0.5 * (share[1] * x[1] + y[1]),
        0.5 * (share[2] * x[2] + y[2]),
        0.5 * (share[3] * x[3] + y[3]),
    )
    return _mean(_ONES, before[0], after[0]), _mean(share, before[1], after[1]), passing


@compiled
def _advance_block(u: Array, start: int, stop: int, h: float, p: Parameters) -> None:
    """One step of h days for the local cells from start to stop."""
    n = stop - start
    C, E, TA, TB = u[0, start:stop], u[1, start:stop], u[2, start:stop], u[3, start:stop]
    S, A, H = u[4, start:stop], u[5, start:stop], u[6, start:stop]
    mu_BA, mu_BA_predicted, v = np.empty(n), np.empty(n), np.empty((7, n))
    for i in range(n):
        mu_BA[i] = antigen_recovery(C[i], p)
    for i in range(n):
        old = (C[i], E[i], TA[i], TB[i], S[i], A[i], H[i])
        new = _implicit(old, _rates(old, mu_BA[i], p), h)
        v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i], v[6, i] = new
    for i in range(n):
        mu_BA_predicted[i] = antigen_recovery(v[0, i], p)
    for i in range(n):
        old = (C[i], E[i], TA[i], TB[i], S[i], A[i], H[i])
        predicted = (v[0, i], v[1, i], v[2, i], v[3, i], v[4, i], v[5, i], v[6, i])
        rates = _final_rates(old, predicted, _rates(old, mu_BA[i], p), _rates(predicted, mu_BA_predicted[i], p))
        new = _implicit(old, rates, h)
        C[i], E[i], TA[i], TB[i], S[i], A[i], H[i] = new


@compiled_for_threads
def advance(u: Array, starts: NDArray[np.int64], length: int, h: float, steps: int, p: Parameters) -> None:
    """`steps` steps of h days each for the reactions of eqs (1)-(7), in place and cell by cell.

    `u`, shape (7, local cells); the cells are those of the runs `starts[r] : starts[r] + length`.
    """
    blocks = (length + _BLOCK - 1) // _BLOCK
    for number in numba.prange(starts.size * blocks):
        run, block = number // blocks, number % blocks
        start = starts[run] + block * _BLOCK
        stop = min(start + _BLOCK, starts[run] + length)
        for _ in range(steps):
            _advance_block(u, start, stop, h, p)
