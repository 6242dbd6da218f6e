"""A model without space: du/dt = P(u) - L(u) u with the production P and the specific loss L of its own equations.

The type of the parameters says which model it is.  States are arrays of shape (fields,) in the order of its `Fields`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from .. import tuples
from ..model import model_of
from ..tools.errors import NumericsError

Array = NDArray[np.float64]

#: Step of the complex-step derivative: its square is nothing beside 1, so nothing is cut off and nothing cancels.
_STEP = 1e-30

#: How often `reference_levels` sets fields to what the others make of them: through a chain of as many.
_PASSES = 3

#: Evaluations of the right-hand side after which a solver is not getting anywhere.
_MOST_EVALUATIONS = 2_000_000


def balance(u: Sequence[Any], p: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Production (field unit/day) and specific loss (1/day) of each field at a state without gradients.

    Takes whatever numbers the plain kinetics take: floats, arrays, complex numbers, intervals.
    """
    fields = model_of(p).Fields(*u)
    rates: tuple[Sequence[Any], Sequence[Any]] = tuples.balance(fields, tuples.slow(fields, p), p)
    return rates


def rates(u: ArrayLike, p: Any) -> NDArray[Any]:
    """Right-hand sides, field unit/day, at states of shape (fields, ...), real or complex; the same shape."""
    state = np.asarray(u)
    production, loss = balance(tuple(state), p)
    return np.array([P - L * v for P, L, v in zip(production, loss, state, strict=True)])


def jacobian(u: ArrayLike, p: Any) -> Array:
    """dF/du at a state, in 1/day, shape (fields, fields): row F_i, column u_j.

    By complex steps, Im F(u + i h e_j)/h with h = 1e-30 (doi 10.1145/838250.838251): the kinetics are analytic where
    no denominator vanishes, so this is the derivative to rounding.
    """
    state = np.asarray(u, dtype=float)
    derivative: Array = rates(state[:, None] + 1j * _STEP * np.eye(len(state)), p).imag / _STEP
    return derivative


def sensitivity(u: ArrayLike, p: Any, names: Sequence[str]) -> Array:
    """dF/dx where the parameters `names` all follow x with slope 1; shape (fields,), by a complex step."""
    moved = p._replace(**{name: getattr(p, name) + 1j * _STEP for name in names})
    derivative: Array = rates(np.asarray(u, dtype=complex), moved).imag / _STEP
    return derivative


def reference_levels(p: Any) -> Array:
    """What fields are counted in where they are compared, shape (fields,).

    The carrying capacity for tumour and CAR-T cells; for other fields what a tumour of that size, all of it of the
    first kind, holds them at.  Of a model without a capacity or without a tumour: what each field is held at where all
    are 1.  1 where that is zero.
    """
    model = model_of(p)
    level = dict.fromkeys(model.names, 1.0)
    cells: dict[str, float] = {}
    if model.capacity and model.tumour:
        capacity = getattr(p, model.capacity)
        cells = dict.fromkeys((*model.tumour, *model.cart), 0.0) | {model.tumour[0]: capacity}
        level = dict.fromkeys(model.names, 0.0) | cells
    for _ in range(_PASSES):
        production, loss = balance(tuple(level.values()), p)
        held = {f: P / L if L else 1.0 for f, P, L in zip(model.names, production, loss, strict=True)}
        level = held | cells
    if cells:
        level |= dict.fromkeys(cells, capacity)
    return np.array([level[f] or 1.0 for f in model.names])


def residual(u: ArrayLike, p: Any) -> float:
    """Largest |F_i(u)| in scaled units: fields over their reference levels, time over 1/L_i where L_i > 1/day."""
    state = np.asarray(u, dtype=float)
    _, loss = balance(tuple(state), p)
    pace = np.maximum(np.array(loss, dtype=float), 1.0)
    return float(np.max(np.abs(rates(state, p)) / (pace * reference_levels(p))))


def solve(p: Any, initial: ArrayLike, times: ArrayLike, *, rtol: float = 1e-10, method: str = "LSODA") -> Array:
    """The ODE from the state `initial` at times[0]; states at all `times` (days), shape (fields, times).

    A stiff solver of scipy's with the exact Jacobian; the absolute tolerance is 1e-6 rtol of the reference levels.
    Fields that are zero and have no source stay zero to the digit: a solver's rounding would grow where they can.
    Raises NumericsError when the solver gives up, or does not get on.
    """
    t = np.asarray(times, dtype=float)
    start = np.asarray(initial, dtype=float)
    moving = np.flatnonzero(~absent(start, p))
    states: Array = np.zeros((start.size, t.size))
    states[:, 0] = start
    if t.size == 1 or not moving.size:
        return states

    def whole(v: Array) -> Array:
        u: Array = np.zeros(start.size)
        u[moving] = v
        return u

    evaluations, name = 0, model_of(p).name

    def derivative(time: float, v: Array) -> Array:
        nonlocal evaluations
        evaluations += 1
        if evaluations > _MOST_EVALUATIONS:
            raise NumericsError(
                f"{name} without space, by {method}: no end after {evaluations} evaluations; at t = {time:g}"
            )
        return np.array(rates_at(whole(v).tolist(), p))[moving]

    found = solve_ivp(
        derivative,
        (t[0], t[-1]),
        start[moving],
        method=method,
        t_eval=t,
        jac=lambda _t, v: jacobian(whole(v), p)[np.ix_(moving, moving)],
        rtol=rtol,
        atol=1e-6 * rtol * reference_levels(p)[moving],
    )
    if not found.success:
        reached = found.t[-1] if found.t.size else t[0]
        raise NumericsError(f"{name} without space, by {method}: {found.message}; reached t = {reached:g} of {t[-1]:g}")
    states[moving] = found.y
    return states


def absent(u: ArrayLike, p: Any) -> NDArray[np.bool_]:
    """Fields that are zero and stay so, because nothing that is there makes them; shape (fields,)."""
    zero: NDArray[np.bool_] = np.asarray(u) == 0.0
    while True:
        production, _ = balance(np.where(zero, 0.0, 1.0).tolist(), p)
        left = zero & (np.array(production) == 0.0)
        if (left == zero).all():
            return zero
        zero = left


def rates_at(u: Sequence[float], p: Any) -> list[float]:
    """`rates` of one state in plain floats: ten times faster than through arrays."""
    production, loss = balance(u, p)
    return [P - L * v for P, L, v in zip(production, loss, u, strict=True)]


def as_fields(u: ArrayLike, p: Any) -> dict[str, float]:
    """A state by the names of the fields."""
    return dict(zip(model_of(p).names, np.asarray(u, dtype=float).tolist(), strict=True))
