"""Intervals with derivatives: bounds on a function of one number, and on its slope, over many intervals at once.

Every operation is rounded outwards by one unit in the last place (`exp` by four, as numpy's is not correctly rounded),
so that what the bounds exclude is excluded, rounding included.  Forward differentiation gives the slope; together they
decide where a function has no zero, or one (R. E. Moore, Interval Analysis, 1966).
"""

import operator
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[Array, Array]


def _down(x: Array, steps: int = 1) -> Array:
    for _ in range(steps):
        x = np.nextafter(x, -np.inf)
    return x


def _up(x: Array, steps: int = 1) -> Array:
    for _ in range(steps):
        x = np.nextafter(x, np.inf)
    return x


def _hull(*values: Array) -> Bounds:
    """Outward-rounded bounds of some products or quotients; what is undefined (0 times inf) may be anything."""
    stack = np.array(values)
    undefined = np.isnan(stack).any(axis=0)
    low, high = _down(stack.min(axis=0)), _up(stack.max(axis=0))
    return np.where(undefined, -np.inf, low), np.where(undefined, np.inf, high)


def _add(a: Bounds, b: Bounds) -> Bounds:
    return _down(a[0] + b[0]), _up(a[1] + b[1])


def _negative(a: Bounds) -> Bounds:
    return -a[1], -a[0]


def _multiply(a: Bounds, b: Bounds) -> Bounds:
    return _hull(a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])


def _scaled(a: Bounds, factor: float) -> Bounds:
    low, high = (a[0] * factor, a[1] * factor) if factor >= 0.0 else (a[1] * factor, a[0] * factor)
    low, high = _down(low), _up(high)
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _divide(a: Bounds, b: Bounds) -> Bounds:
    low, high = _hull(a[0] / b[0], a[0] / b[1], a[1] / b[0], a[1] / b[1])
    unbounded = (b[0] <= 0.0) & (b[1] >= 0.0)
    return np.where(unbounded, -np.inf, low), np.where(unbounded, np.inf, high)


def _clipped(a: Bounds) -> Bounds:
    return np.maximum(a[0], 0.0), np.maximum(a[1], 0.0)


class Interval:
    """Bounds `value` and `slope` of a quantity that depends on one number, over n intervals of it.

    The other operand of a product or sum may be a plain number, which counts as exact.  Division by an interval that
    holds zero gives (-inf, inf).  Operations must run inside `np.errstate(all="ignore")`, as `zeros` sees to.
    """

    __slots__ = ("slope", "value")

    def __init__(self, value: Bounds, slope: Bounds) -> None:
        self.value, self.slope = value, slope

    @classmethod
    def variable(cls, low: Array, high: Array) -> Self:
        """The number itself, between low and high."""
        return cls((low, high), (np.ones_like(low), np.ones_like(low)))

    def __add__(self, other: "Interval | float") -> "Interval":
        if isinstance(other, Interval):
            return Interval(_add(self.value, other.value), _add(self.slope, other.slope))
        return Interval((_down(self.value[0] + other), _up(self.value[1] + other)), self.slope)

    def __neg__(self) -> "Interval":
        return Interval(_negative(self.value), _negative(self.slope))

    def __sub__(self, other: "Interval | float") -> "Interval":
        return self + (-other)

    def __rsub__(self, other: float) -> "Interval":
        return -self + other

    def __mul__(self, other: "Interval | float") -> "Interval":
        if isinstance(other, Interval):
            slope = _add(_multiply(self.slope, other.value), _multiply(self.value, other.slope))
            return Interval(_multiply(self.value, other.value), slope)
        return Interval(_scaled(self.value, other), _scaled(self.slope, other))

    def __truediv__(self, other: "Interval | float") -> "Interval":
        if isinstance(other, Interval):
            quotient = _divide(self.value, other.value)
            numerator = _add(self.slope, _negative(_multiply(quotient, other.slope)))
            return Interval(quotient, _divide(numerator, other.value))
        return self / Interval.constant(other, self)

    def __rtruediv__(self, other: float) -> "Interval":
        return Interval.constant(other, self) / self

    __radd__, __rmul__ = __add__, __mul__

    @classmethod
    def constant(cls, number: float, like: "Interval") -> Self:
        """A plain number, over as many intervals as another."""
        value, nothing = np.full_like(like.value[0], number), np.zeros_like(like.value[0])
        return cls((value, value), (nothing, nothing))

    def exp(self) -> "Interval":
        """Exponential; numpy's `exp` of an Interval comes here."""
        bounds = np.maximum(_down(np.exp(self.value[0]), 4), 0.0), _up(np.exp(self.value[1]), 4)
        return Interval(bounds, _multiply(bounds, self.slope))

    def sqrt(self) -> "Interval":
        """Square root of what is known to be not negative."""
        low, high = _clipped(self.value)
        root = np.maximum(_down(np.sqrt(low)), 0.0), _up(np.sqrt(high))
        return Interval(root, _divide(self.slope, (2.0 * root[0], 2.0 * root[1])))

    def squared(self) -> "Interval":
        """The square: tighter than a product with itself."""
        low, high = self.value
        inside = (low < 0.0) & (high > 0.0)
        least = np.where(inside, 0.0, np.minimum(low * low, high * high))
        product = _multiply(self.value, self.slope)
        return Interval(
            (np.maximum(_down(least), 0.0), _up(np.maximum(low * low, high * high))),
            (2.0 * product[0], 2.0 * product[1]),
        )

    def positive_part(self) -> "Interval":
        """max(x, 0)."""
        low, high = self.value
        certain, never = low >= 0.0, high <= 0.0
        slope = (
            np.where(certain, self.slope[0], np.where(never, 0.0, np.minimum(self.slope[0], 0.0))),
            np.where(certain, self.slope[1], np.where(never, 0.0, np.maximum(self.slope[1], 0.0))),
        )
        return Interval(_clipped(self.value), slope)

    def within(self, low: float, high: float) -> "Interval":
        """The same quantity, known to lie between two numbers."""
        return Interval((np.clip(self.value[0], low, high), np.clip(self.value[1], low, high)), self.slope)

    def intersected(self, other: "Interval") -> "Interval":
        """The same quantity by two formulas."""
        (a, b), (c, d) = self.value, other.value
        (e, f), (g, h) = self.slope, other.slope
        return Interval((np.maximum(a, c), np.minimum(b, d)), (np.maximum(e, g), np.minimum(f, h)))


class Zeros:
    """What `zeros` found.

    `brackets` hold exactly one zero each: the values at the ends have opposite signs, the slope has one; in `open`
    intervals the number of zeros was not settled.  Both are growing and apart from each other.  `boxes` counts the
    intervals looked at.
    """

    def __init__(self) -> None:
        self.brackets: list[tuple[float, float]] = []
        self.open: list[tuple[float, float]] = []
        self.boxes = 0


def zeros(
    function: Callable[[Interval], Interval],
    low: float,
    high: float,
    *,
    parts: int = 64,
    smallest: float = 1e-12,
    most: int = 200_000,
) -> Zeros:
    """All zeros of a continuous function, differentiable but for kinks, between low and high.

    Intervals are halved until on each the bounds exclude a zero, or the slope has one sign and the ends tell whether
    there is a zero.  One no longer than `smallest` (high - low) is left open, as at a double zero; and all that are not
    settled when `most` have been looked at, as where numbers overflow and bounds say nothing.  So is a zero that is
    `low` or `high` to rounding: it may lie on either side.
    """
    found = Zeros()
    edges = np.linspace(low, high, parts + 1)
    a, b = edges[:-1], edges[1:]
    with np.errstate(all="ignore"):
        while a.size:
            found.boxes += a.size
            middle = 0.5 * (a + b)
            result = function(Interval.variable(np.r_[a, a, b, middle], np.r_[b, a, b, middle]))
            (below, left, right, centre), (above, left_up, right_up, centre_up) = (
                bound.reshape(4, -1) for bound in result.value
            )
            falls, rises = (bound[: a.size] for bound in result.slope)
            # The mean-value form is tighter on short intervals.
            reach = _multiply((falls, rises), (_down(a - middle), _up(b - middle)))
            centred = _add((centre, centre_up), reach)
            nothing = (below > 0.0) | (above < 0.0) | (centred[0] > 0.0) | (centred[1] < 0.0)
            monotone = ~nothing & ((falls > 0.0) | (rises < 0.0))
            same = ((left > 0.0) & (right > 0.0)) | ((left_up < 0.0) & (right_up < 0.0))
            opposite = ((left_up < 0.0) & (right > 0.0)) | ((left > 0.0) & (right_up < 0.0))
            found.brackets += [(float(a[i]), float(b[i])) for i in np.flatnonzero(monotone & opposite)]
            # Of the others an end is zero to rounding.
            undecided = ~nothing & ~(monotone & (same | opposite))
            short = undecided & ((b - a <= smallest * (high - low)) | (found.boxes > most))
            found.open += [(float(a[i]), float(b[i])) for i in np.flatnonzero(short)]
            undecided &= ~short
            a, b = (
                np.concatenate([a[undecided], middle[undecided]]),
                np.concatenate([middle[undecided], b[undecided]]),
            )
        _settle_edges(function, found, low, high)
    return found


def _settle_edges(function: Callable[[Interval], Interval], found: Zeros, low: float, high: float) -> None:
    """A simple zero where two intervals met is left open on both: wider bounds around it make it a bracket."""
    open_ones, found.open = _joined(found.open, operator.le), []
    for a, b in open_ones:
        left, right = np.array([max(low, a - (b - a))]), np.array([min(high, b + (b - a))])
        result = function(Interval.variable(np.r_[left, left, right], np.r_[right, left, right]))
        (_, first, last), (_, first_up, last_up) = result.value
        rises = result.slope[0][0] > 0.0 and first_up < 0.0 < last
        falls = result.slope[1][0] < 0.0 and last_up < 0.0 < first
        if rises or falls:
            found.brackets.append((float(left[0]), float(right[0])))
        else:
            found.open.append((a, b))
    # Two that overlap hold the same zero, as the slope has one sign on both.
    found.brackets = _joined(found.brackets, operator.lt)


def _joined(pieces: list[tuple[float, float]], touch: Callable[[float, float], bool]) -> list[tuple[float, float]]:
    """Intervals in growing order; those of which the next begin and the last end `touch` as one."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(pieces):
        if joined and touch(low, joined[-1][1]):
            low, last = joined.pop()
            high = max(high, last)
        joined.append((low, high))
    return joined


def point(function: Callable[[Interval], Interval], x: float) -> float:
    """The function's value at a number, as a float: the middle of its bounds."""
    with np.errstate(all="ignore"):
        low, high = function(Interval.variable(np.array([x]), np.array([x]))).value
    return float(0.5 * (low[0] + high[0]))
