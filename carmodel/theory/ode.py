"""Eqs (9)-(15): the model without space, as an ordinary differential equation on the same kinetics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from .. import FIELDS, tuples
from ..model import model_of
from ..models.polyakov import Parameters
from ..tools.errors import NumericsError

Array = NDArray[np.float64]

#: Step of the complex-step derivative: its square is nothing beside 1, so nothing is cut off and nothing cancels.
_STEP = 1e-30

#: Evaluations of the right-hand side after which a solver is not getting anywhere.
_MOST_EVALUATIONS = 2_000_000


def balance(u: Sequence[Any], p: Parameters) -> tuple[Sequence[Any], Sequence[Any]]:
    """Production (field unit/day) and specific loss (1/day) of the seven fields at a state without gradients.

    Takes whatever numbers the plain kinetics take: floats, arrays, complex numbers, intervals.
    """
    fields = model_of(p).Fields(*u)
    rates: tuple[Sequence[Any], Sequence[Any]] = tuples.balance(fields, tuples.slow(fields, p), p)
    return rates


def rates(u: ArrayLike, p: Parameters) -> NDArray[Any]:
    """Right-hand sides of eqs (9)-(15) at states of shape (7, ...), real or complex; the same shape."""
    state = np.asarray(u)
    production, loss = balance(tuple(state), p)
    return np.array([P - L * v for P, L, v in zip(production, loss, state, strict=True)])


def jacobian(u: ArrayLike, p: Parameters) -> Array:
    """dF/du of eqs (9)-(15) at a state of shape (7,), in 1/day, shape (7, 7): row F_i, column u_j.

    By complex steps, Im F(u + i h e_j)/h with h = 1e-30 (doi 10.1145/838250.838251): the kinetics are analytic where
    no denominator vanishes, so this is the derivative to rounding.
    """
    state = np.asarray(u, dtype=float)
    derivative: Array = rates(state[:, None] + 1j * _STEP * np.eye(len(state)), p).imag / _STEP
    return derivative


def sensitivity(u: ArrayLike, p: Parameters, names: Sequence[str]) -> Array:
    """dF/dx where the parameters `names` all follow x with slope 1; shape (7,), by a complex step."""
    moved = p._replace(**{name: getattr(p, name) + 1j * _STEP for name in names})
    derivative: Array = rates(np.asarray(u, dtype=complex), moved).imag / _STEP
    return derivative


def reference_levels(p: Parameters) -> Array:
    """What fields are counted in where they are compared: K_T, and S, A, H as a tumour of K_T holds them; shape (7,).

    1 where that is zero.
    """
    H = p.eta * p.K_T / p.lambda_H if p.lambda_H else 1.0
    production, loss = balance((0.0, 0.0, p.K_T, 0.0, 0.0, 0.0, H), p)
    S, A = (production[f] / loss[f] if loss[f] else 1.0 for f in (4, 5))
    return np.array([level or 1.0 for level in (p.K_T, p.K_T, p.K_T, p.K_T, S, A, H)])


def residual(u: ArrayLike, p: Parameters) -> float:
    """Largest |F_i(u)| in scaled units: fields over their reference levels, time over 1/L_i where L_i > 1/day."""
    state = np.asarray(u, dtype=float)
    _, loss = balance(tuple(state), p)
    pace = np.maximum(np.array(loss, dtype=float), 1.0)
    return float(np.max(np.abs(rates(state, p)) / (pace * reference_levels(p))))


def solve(p: Parameters, initial: ArrayLike, times: ArrayLike, *, rtol: float = 1e-10, method: str = "LSODA") -> Array:
    """Eqs (9)-(15) from the state `initial`, shape (7,), at times[0]; states at all `times` (days), shape (7, times).

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

    evaluations = 0

    def derivative(time: float, v: Array) -> Array:
        nonlocal evaluations
        evaluations += 1
        if evaluations > _MOST_EVALUATIONS:
            raise NumericsError(f"eqs (9)-(15) by {method}: no end after {evaluations} evaluations; at t = {time:g}")
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
        raise NumericsError(f"eqs (9)-(15) by {method}: {found.message}; reached t = {reached:g} of {t[-1]:g}")
    states[moving] = found.y
    return states


def absent(u: ArrayLike, p: Parameters) -> NDArray[np.bool_]:
    """Fields that are zero and stay so, because nothing that is there makes them; shape (7,)."""
    zero: NDArray[np.bool_] = np.asarray(u) == 0.0
    while True:
        production, _ = balance(np.where(zero, 0.0, 1.0).tolist(), p)
        left = zero & (np.array(production) == 0.0)
        if (left == zero).all():
            return zero
        zero = left


def rates_at(u: Sequence[float], p: Parameters) -> list[float]:
    """`rates` of one state in plain floats: ten times faster than through arrays."""
    production, loss = balance(u, p)
    return [P - L * v for P, L, v in zip(production, loss, u, strict=True)]


def as_fields(u: ArrayLike) -> dict[str, float]:
    """A state by the fields' names."""
    return dict(zip(FIELDS, np.asarray(u, dtype=float).tolist(), strict=True))
