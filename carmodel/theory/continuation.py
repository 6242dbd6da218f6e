"""Branches of steady states along one parameter: pseudo-arclength continuation, with folds and Hopf points located.

H. B. Keller's method (Numerical solution of bifurcation and nonlinear eigenvalue problems, 1977): the unknowns are the
fields, in their reference levels, and the parameter, as a share of its range; each step goes along the tangent
and comes back to F = 0 at a right angle to it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..model import model_of, overflow
from ..tools.errors import InputError
from .ode import absent, jacobian, rates, reference_levels, sensitivity
from .spectra import spectrum
from .steady import SteadyState, phenotype

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Length of a step in the scaled unknowns: first, least and largest.
_FIRST, _LEAST, _LARGEST = 5e-3, 1e-10, 2e-2

#: Tangents of neighbouring points are at most this far apart (cosine).
_STRAIGHT = 0.98

_MOST_POINTS = 5000

#: A field this part of its reference level below zero has left the admissible region, less is rounding; from what level
#: the place is extrapolated.
_GONE, _SMALL = 1e-12, 1e-5


class _NotConvergedError(Exception):
    """Newton's iteration did not come back to the branch."""


@dataclass(frozen=True)
class Axis:
    """The parameters `names`, all equal to one value between low and high, and its share of the range, 0 to 1."""

    parameters: Any
    names: tuple[str, ...]
    low: float
    high: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        model = model_of(self.parameters)
        for name in self.names:
            if name not in model.parameter_names:
                raise InputError(f"parameter {name!r}: unknown; accepted: {', '.join(model.parameter_names)}")
        if not (np.isfinite([self.low, self.high]).all() and 0.0 <= self.low < self.high):
            raise InputError(f"range from {self.low:g} to {self.high:g}; accepted: 0 <= from < to")
        if self.low == 0.0 and (zero := model.positive.intersection(self.names)):
            raise InputError(f"range from 0 of {min(zero)}; accepted: greater than 0")
        if self.logarithmic and self.low == 0.0:
            raise InputError("range from 0 on a logarithmic scale; accepted: greater than 0")

    def value(self, share: float) -> float:
        """The parameter's value at a share of the range."""
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + (self.high - self.low) * share)

    def share(self, value: float) -> float:
        """Inverse of `value`."""
        if self.logarithmic:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)

    def slope(self, share: float) -> float:
        """d value / d share."""
        return self.value(share) * np.log(self.high / self.low) if self.logarithmic else self.high - self.low

    def at(self, share: float) -> Any:
        """The parameter set at a share of the range."""
        return self.parameters._replace(**dict.fromkeys(self.names, self.value(share)))


@dataclass(frozen=True)
class Special:
    """A fold, a Hopf point, a branch point (where another branch crosses) or an end on one."""

    kind: str  # "fold", "Hopf", "branch point"
    value: float
    state: Array
    eigenvalues: Complex
    #: False where the other branch has a negative field on both sides of a branch point.
    admissible: bool = True


@dataclass
class Branch:
    """Steady states along a curve, in its order; `ends` says why it stops on either side."""

    kind: str
    phenotype: str
    values: list[float] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    spectra: list[Complex] = field(default_factory=list)
    special: list[Special] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    @property
    def growth(self) -> Array:
        """Largest real part at each point, in 1/day."""
        return np.array([values[0].real for values in self.spectra])


class _Curve:
    """F(x) = 0 in the scaled unknowns x = (u / levels, share).

    States without some cells lie in planes that the equations do not leave.  `rest`, shape (fields,), are the fields
    that are zero there: they and their equations are left out, or other branches that cross would lead away.
    """

    def __init__(self, axis: Axis, levels: Array, rest: NDArray[np.bool_]) -> None:
        self.axis, self.levels, self.rest = axis, levels, rest
        self.moving: NDArray[np.int64] = np.flatnonzero(~np.append(rest, False))

    def residual(self, x: Array) -> Array:
        value: Array = rates(x[:-1] * self.levels, self.axis.at(x[-1])) / self.levels
        return value

    def matrix(self, x: Array) -> Array:
        """dF/dx, shape (fields, fields + 1)."""
        u, p = x[:-1] * self.levels, self.axis.at(x[-1])
        along = sensitivity(u, p, self.axis.names) * self.axis.slope(x[-1])
        return np.column_stack([jacobian(u, p) * self.levels, along]) / self.levels[:, None]

    def tangent(self, x: Array, before: Array) -> Array:
        """Unit tangent, in the direction of the one before."""
        tangent: Array = np.zeros_like(x)
        tangent[self.moving] = np.linalg.svd(self.matrix(x)[:, self.moving])[2][-1]
        return tangent if tangent @ before >= 0.0 else -tangent

    def correct(self, x: Array, normal: Array, target: float) -> Array:
        """The zero with normal . x = target nearest to x, by Newton's method.

        Raises _NotConvergedError where there is none nearby.
        """
        with suppress(FloatingPointError):
            return self._newton(x, normal, target)
        raise _NotConvergedError

    def _newton(self, x: Array, normal: Array, target: float) -> Array:
        rows = self.moving[:-1]
        for _ in range(8):
            F = np.append(self.residual(x)[rows], normal @ x - target)
            matrix = np.vstack([self.matrix(x)[rows], normal])[:, self.moving]
            step = np.zeros_like(x)
            try:
                step[self.moving] = np.linalg.solve(matrix, -F)
            except np.linalg.LinAlgError:
                break
            x = x + step
            if np.abs(step).max() <= 1e-13 * max(1.0, np.abs(x).max()):
                return x
            if not np.isfinite(x).all():
                break
        else:
            if np.abs(self.residual(x)).max() < 1e-12:
                return x
        raise _NotConvergedError

    def along(self, x: Array, tangent: Array, length: float) -> Array:
        """The point of the branch a length ahead along the tangent."""
        return self.correct(x + length * tangent, tangent, float(tangent @ x) + length)

    def spectrum(self, x: Array) -> Complex:
        return spectrum(jacobian(x[:-1] * self.levels, self.axis.at(x[-1])))


#: Test functions: each changes sign at a special point; of point and tangent.
_Test = Callable[[_Curve, Array, Array], float]


def _fold(curve: _Curve, x: Array, tangent: Array) -> float:
    return float(tangent[-1])


def _crossing(curve: _Curve, x: Array, tangent: Array) -> float:
    return float(np.linalg.det(np.vstack([curve.matrix(x), tangent])))


def _hopf(curve: _Curve, x: Array, tangent: Array) -> float:
    """The product of the sums of all pairs of eigenvalues: zero where a pair is +-i omega (or a, -a)."""
    values = curve.spectrum(x)
    product = np.prod([a + b for a, b in combinations(values, 2)])
    return float(product.real)


_TESTS: dict[str, _Test] = {"fold": _fold, "branch point": _crossing, "Hopf": _hopf}


def branch_through(state: SteadyState, share: float, axis: Axis) -> Branch:
    """The branch of steady states through one of them at a share of the parameter's range, followed both ways.

    It ends at the ends of the range, where a field that was positive reaches zero (a branch point: there it meets
    another kind of state), or where it closes on itself.
    """
    curve = _curve_of(state, share, axis)
    levels, start = curve.levels, np.append(state.state / curve.levels, share)
    # At an end of the range, where switching sets in, the state itself may be of one phenotype.
    result = Branch(state.kind, phenotype(model_of(axis.parameters), ~curve.rest))
    points: list[Array] = []
    for sign in (1.0, -1.0):
        direction = np.zeros_like(start)
        direction[-1] = sign
        leg, special, end = _follow(curve, start, direction)
        points = points + leg[1:] if sign > 0.0 else [*leg[:0:-1], start, *points]
        result.special = result.special + special if sign > 0.0 else special[::-1] + result.special
        if end == "closed":
            result.ends = [end, end]
            points = [start, *points]
            break
        result.ends = [*result.ends, end] if sign > 0.0 else [end, *result.ends]
    for x in points:
        result.values.append(axis.value(np.clip(x[-1], 0.0, 1.0)))
        result.states.append(np.maximum(x[:-1], 0.0) * levels)
        result.spectra.append(curve.spectrum(x))
    return result


def _curve_of(state: SteadyState, share: float, axis: Axis) -> _Curve:
    # In the middle of the range all that moves is positive; at its ends a source may be missing.
    return _Curve(axis, reference_levels(axis.at(share)), absent(state.state, axis.at(0.5)))


def _follow(curve: _Curve, start: Array, direction: Array) -> tuple[list[Array], list[Special], str]:
    """Points from `start` on, one way; the special points among them; why it ended."""
    x, points = start, [start]
    special: list[Special] = []
    tangent = curve.tangent(x, direction)
    length = _FIRST
    while len(points) < _MOST_POINTS:
        try:
            ahead = curve.along(x, tangent, length)
            next_tangent = curve.tangent(ahead, tangent)
            if next_tangent @ tangent < _STRAIGHT:
                raise _NotConvergedError
        except _NotConvergedError:
            length *= 0.5
            if length < _LEAST:
                return points, special, "lost"
            continue
        end = ""
        if not 0.0 <= ahead[-1] <= 1.0:
            wall = np.zeros_like(x)
            wall[-1] = 1.0
            try:
                ahead = curve.correct(ahead, wall, float(np.clip(ahead[-1], 0.0, 1.0)))
                if tangent @ (ahead - x) < -_LEAST:  # a sharp bend overshot: the end behind was met
                    raise _NotConvergedError
            except _NotConvergedError:
                length *= 0.5
                if length < _LEAST:
                    return points, special, "lost"
                continue
            next_tangent = curve.tangent(ahead, tangent)
            end = "end of the range"
        gone = np.flatnonzero(ahead[:-1] < -_GONE)
        if gone.size:
            try:
                ahead = _boundary(curve, x, tangent, gone)
            except (_NotConvergedError, FloatingPointError):
                return points, special, "lost"
            return [*points, ahead], [*special, _special("branch point", curve, ahead)], "a field reaches zero"
        special += _between(curve, x, tangent, ahead, next_tangent)
        points.append(ahead)
        if end:
            return points, special, end
        if len(points) > 10 and np.linalg.norm(ahead - start) < length and next_tangent @ (start - ahead) > 0.0:
            return [*points, start], special, "closed"
        x, tangent = ahead, next_tangent
        length = min(1.3 * length, _LARGEST)
    return points, special, f"{_MOST_POINTS} points"


def _boundary(curve: _Curve, x: Array, tangent: Array, gone: NDArray[np.int64]) -> Array:
    """Where the first of the fields `gone`, not negative at x, reaches zero.

    Two branches cross there and F has no unique tangent: the point is extrapolated from where the field still is 1, 2
    and 4 times some small value.
    """
    normal = np.zeros_like(x)
    normal[gone[0]] = 1.0
    small = min(_SMALL, 0.1 * max(float(x[gone[0]]), 0.0))
    near = [
        curve.correct(x + tangent * (level - x[gone[0]]) / tangent[gone[0]], normal, level)
        for level in (small, 2.0 * small, 4.0 * small)
    ]
    limit: Array = (8.0 * near[0] - 6.0 * near[1] + near[2]) / 3.0
    limit[gone] = 0.0
    return limit


def _between(curve: _Curve, x: Array, tangent: Array, ahead: Array, next_tangent: Array) -> Iterator[Special]:
    """Special points between two neighbouring points, located to rounding."""
    span = float(tangent @ (ahead - x))
    for kind, test in _TESTS.items():
        if test(curve, x, tangent) * test(curve, ahead, next_tangent) >= 0.0:
            continue

        def value(s: float, test: _Test = test) -> float:
            y = curve.along(x, tangent, s)
            return test(curve, y, curve.tangent(y, tangent))

        try:
            there = curve.along(x, tangent, brentq(value, 0.0, span, xtol=1e-14))
        except (_NotConvergedError, ValueError):
            continue  # at a branch point itself Newton's matrix is singular
        if kind == "Hopf" and not _is_hopf(curve.spectrum(there)):
            continue  # two real eigenvalues of opposite sign
        yield _special(kind, curve, there)


def _is_hopf(values: Complex) -> bool:
    critical = min(combinations(values, 2), key=lambda pair: abs(pair[0] + pair[1]))
    return abs(critical[0].imag) > 1e-6 * np.abs(values).max()


def _special(kind: str, curve: _Curve, x: Array) -> Special:
    admissible = kind != "branch point" or _leads_to_admissible(curve, x)
    return Special(
        kind, curve.axis.value(np.clip(x[-1], 0.0, 1.0)), x[:-1] * curve.levels, curve.spectrum(x), admissible
    )


def _leads_to_admissible(curve: _Curve, x: Array) -> bool:
    """Whether what leaves the plane of the fields at rest at a branch point has one sign in all of them."""
    if not curve.rest.any():
        return True
    _, sizes, directions = np.linalg.svd(curve.matrix(x)[np.ix_(curve.rest, np.append(curve.rest, False))])
    leaving = directions[-1]
    return bool(sizes[-1] > 1e-6 * sizes[0] or leaving.min() > -1e-6 or leaving.max() < 1e-6)


def diagram(axis: Axis, states: Callable[[Any], Iterable[SteadyState]], seeds: int = 9) -> list[Branch]:
    """All branches that pass through a steady state at one of `seeds` values spread over the range.

    `states` finds them for a parameter set (`theory.steady.search`, `paper.steady.steady_states`); one that already
    lies on a branch is not followed again.  Raises InputError where `states` does, and where parameters make numbers
    overflow.
    """
    found: list[Branch] = []
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            for share in map(float, np.linspace(0.0, 1.0, seeds)):
                for state in states(axis.at(share)):
                    if not any(_lies_on(branch, state, share, axis) for branch in found):
                        found.append(branch_through(state, share, axis))
    except (ArithmeticError, np.linalg.LinAlgError):
        raise overflow(axis.at(0.0), axis.at(1.0)) from None
    return found


def _lies_on(branch: Branch, state: SteadyState, share: float, axis: Axis) -> bool:
    if branch.kind != state.kind:
        return False
    curve = _curve_of(state, share, axis)
    levels = curve.levels
    shares = [axis.share(value) for value in branch.values]
    wall = np.append(np.zeros_like(levels), 1.0)
    for i, (a, b) in enumerate(pairwise(shares)):
        if not min(a, b) - 1e-12 <= share <= max(a, b) + 1e-12:
            continue
        part = (share - a) / (b - a) if b != a else 0.0
        guess = (1.0 - part) * branch.states[i] + part * branch.states[i + 1]
        if np.abs((guess - state.state) / levels).max() > 0.05:
            continue
        try:
            there = curve.correct(np.append(guess / levels, share), wall, share)
        except _NotConvergedError:
            continue
        if np.abs(there[:-1] - state.state / levels).max() < 1e-8:
            return True
    return False
