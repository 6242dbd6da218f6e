"""Steady states of any model without space: Newton's method from many starting points.

It proves nothing about what it does not find.  For the paper's model `paper.steady` finds all states and proves it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..model import Model, model_of, overflow
from .ode import absent, balance, jacobian, rates, reference_levels, residual

Array = NDArray[np.float64]

#: Starting points in each plane that the equations do not leave.
STARTS = 40

#: Starting values, in reference levels: decades.
_DECADES = (-4.0, 0.5)

#: Sets of fields that are tried at zero: all, of up to twelve fields.
_MOST_SETS = 4096

#: States with a residual up to this are steady; the least that Newton's method lowers on is rounding.
_STEADY, _ROUNDING = 1e-9, 1e-15

#: Two states that differ by less than this part of the reference levels are one; so much of them is zero.
_SAME, _ZERO = 1e-6, 1e-12

#: How states are called by the cells that are there, E_CT for both; letters, not names of fields.
CART, TUMOUR = "CT"

#: What has to be said wherever the states are listed.
NOT_EXHAUSTIVE = "the search is not exhaustive: there may be others"


@dataclass(frozen=True)
class SteadyState:
    """A state of shape (fields,) that does not change.

    `kind`: "E_0" where all fields are zero, else "E_" and what is there: T for tumour, C for CAR-T cells, of a model
    that declares neither the names of the fields.
    """

    kind: str
    state: Array
    #: Which of its kind, of a model with two tumour fields or more; empty without a tumour.
    phenotype: str = ""


def search(p: Any, starts: int = STARTS, seed: int = 0) -> tuple[SteadyState, ...]:
    """Steady states that `starts` random starting points a plane lead to, by growing number of fields that are there.

    The planes are those of the fields that are zero and stay so.  Starting points spread over four decades and a half
    about the reference levels; the same `seed` gives the same points.  Of a line of states some points are listed.

    Raises InputError where numbers overflow.

    >>> from carmodel.models.polyakov import PRESETS
    >>> [state.kind for state in search(PRESETS["normalised"])]
    ['E_0', 'E_T', 'E_CT']
    """
    rng = np.random.default_rng(seed)
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            levels, found = reference_levels(p), list[Array]()
            for zero in _planes(p):
                for _ in range(starts if not zero.all() else 1):
                    start = np.where(zero, 0.0, levels * 10.0 ** rng.uniform(*_DECADES, levels.size))
                    state = _solved(start, ~zero, levels, p)
                    if state is not None and not any(_are_same(state, other, levels) for other in found):
                        found.append(state)
    except (ArithmeticError, np.linalg.LinAlgError):
        raise overflow(p) from None
    model = model_of(p)
    found.sort(key=lambda u: (np.count_nonzero(u), *u))
    return tuple(SteadyState(kind(model, u > 0.0), u, phenotype(model, u > 0.0)) for u in found)


def kind(model: Model, present: Sequence[bool] | NDArray[np.bool_]) -> str:
    """What a state is called whose fields are there or not."""
    there = {name for name, is_there in zip(model.names, present, strict=True) if is_there}
    if not there:
        return "E_0"
    if not model.tumour and not model.cart:
        return "E_" + "+".join(name for name in model.names if name in there)
    groups = {CART: model.cart, TUMOUR: model.tumour}
    cells = "".join(letter for letter, names in groups.items() if there & {*names})
    return f"E_{cells or '+'.join(name for name in model.names if name in there)}"


def phenotype(model: Model, present: Sequence[bool] | NDArray[np.bool_]) -> str:
    """Of a tumour whose fields are there or not: "mixed", "antigen-positive" (the first alone), "antigen-negative"."""
    kinds = [bool(present[model.place(name)]) for name in model.tumour]
    if len(kinds) < 2 or not any(kinds):
        return ""
    return "antigen-negative" if not kinds[0] else "mixed" if any(kinds[1:]) else "antigen-positive"


def _planes(p: Any) -> Iterator[NDArray[np.bool_]]:
    """Which fields are zero, for each plane that the equations do not leave; those with most of them first."""
    fields = len(model_of(p).names)
    sets = islice(product((True, False), repeat=fields), _MOST_SETS)
    planes = {tuple(bool(x) for x in absent(np.where(zeros, 0.0, 1.0), p)) for zeros in sets}
    yield from (np.array(plane) for plane in sorted(planes, key=lambda plane: (-sum(plane), plane)))


def _solved(start: Array, moving: NDArray[np.bool_], levels: Array, p: Any) -> Array | None:
    """The steady state that a starting point leads to, with no field below zero; None where it leads to none.

    Least squares with bounds find the way, Newton's method the digits.
    """
    if not moving.any():
        return start if residual(start, p) <= _STEADY else None
    places = np.flatnonzero(moving)

    def whole(x: Array) -> Array:
        u = np.zeros_like(start)
        u[places] = x * levels[places]
        return u

    def pace(u: Array) -> Array:
        return np.maximum(np.array(balance(tuple(u), p)[1], dtype=float), 1.0)[places] * levels[places]

    scale = pace(start)
    found = least_squares(
        lambda x: rates(whole(x), p)[places] / scale,
        start[places] / levels[places],
        lambda x: jacobian(whole(x), p)[np.ix_(places, places)] * levels[places] / scale[:, None],
        bounds=(0.0, np.inf),
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=150,
    )
    u = _polished(whole(found.x), places, p)
    return u if residual(u, p) <= _STEADY else None


def _polished(u: Array, places: NDArray[np.intp], p: Any) -> Array:
    """The state after Newton's steps, as long as they lower the residual and leave no field negative."""
    best = residual(u, p)
    for _ in range(20):
        if best <= _ROUNDING:
            break
        trial = u.copy()
        try:
            trial[places] -= np.linalg.solve(jacobian(u, p)[np.ix_(places, places)], rates(u, p)[places])
        except np.linalg.LinAlgError:
            break
        trial[np.abs(trial) <= _ZERO * reference_levels(p)] = 0.0
        if not (np.isfinite(trial).all() and trial.min() >= 0.0 and residual(trial, p) < best):
            break
        u, best = trial, residual(trial, p)
    u[u <= _ZERO * reference_levels(p)] = 0.0
    return u


def _are_same(one: Array, other: Array, levels: Array) -> bool:
    return bool(np.abs((one - other) / levels).max() <= _SAME)
