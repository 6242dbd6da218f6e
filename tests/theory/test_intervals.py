"""Bounds hold, and `zeros` misses none."""

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from carmodel.theory.intervals import Interval, zeros


def formulas():
    """Functions of a number or an interval, with their derivatives."""
    return {
        "polynomial": (lambda x: (x - 1.0) * (x - 2.0) * 3.0 + 1.0, lambda x: 3.0 * (2.0 * x - 3.0)),
        "quotient": (lambda x: x / (x + 0.7) - 0.2 / (x + 1.0), lambda x: 0.7 / (x + 0.7) ** 2 + 0.2 / (x + 1.0) ** 2),
        "exponential": (lambda x: np.exp(-1.3 * x) * x, lambda x: np.exp(-1.3 * x) * (1.0 - 1.3 * x)),
        "root": (lambda x: root(x * x + 0.5), lambda x: x / np.sqrt(x * x + 0.5)),
        "division by a number": (lambda x: (2.0 - x) / 3.0, lambda x: -1.0 / 3.0 + 0.0 * x),
    }


def root(x):
    return x.sqrt() if isinstance(x, Interval) else np.sqrt(x)


@pytest.mark.parametrize("name", formulas())
def test_bounds_hold_values_and_slopes(name):
    function, derivative = formulas()[name]
    rng = np.random.default_rng(1)
    low = rng.uniform(0.0, 3.0, size=200)
    high = low + rng.uniform(0.0, 0.5, size=200)
    bounds = function(Interval.variable(low, high))
    for part in np.linspace(0.0, 1.0, 11):
        x = low + part * (high - low)
        assert (bounds.value[0] <= function(x)).all()
        assert (function(x) <= bounds.value[1]).all()
        assert (bounds.slope[0] <= derivative(x) + 1e-15).all()
        assert (derivative(x) - 1e-15 <= bounds.slope[1]).all()
    tight = function(Interval.variable(low, low))
    assert (tight.value[1] - tight.value[0]).max() < 1e-13


EXACT = {
    "sum": (lambda x, y: x + y, lambda x, y: x + y),
    "difference": (lambda x, y: x - y, lambda x, y: x - y),
    "product": (lambda x, y: x * y, lambda x, y: x * y),
    "quotient": (lambda x, y: x / y, lambda x, y: x / y),
    "square": (lambda x, y: x.squared(), lambda x, y: x * x),
    "sum with a number": (lambda x, y: x + 0.1, lambda x, y: x + Fraction(0.1)),
    "product with a number": (lambda x, y: x * 0.1, lambda x, y: x * Fraction(0.1)),
    "quotient by a number": (lambda x, y: x / 3.0, lambda x, y: x / 3),
}


@pytest.mark.parametrize("name", EXACT)
def test_bounds_hold_what_rounding_would_lose(name):
    """Of single numbers, against rational arithmetic: the exact value lies within, and seldom is a floating one."""
    bounds, exact = EXACT[name]
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0.1, 3.0, size=(2, 200))
    found = bounds(Interval.variable(x, x), Interval.variable(y, y))
    for low, high, a, b in zip(*found.value, x, y, strict=True):
        value = exact(Fraction(a), Fraction(b))
        assert Fraction(low) < value < Fraction(high)
        assert high - low < 1e-14


def test_bounds_of_roots_and_exponentials():
    x = np.random.default_rng(3).uniform(0.1, 3.0, size=200)
    root, power = Interval.variable(x, x).sqrt(), Interval.variable(x, x).exp()
    with mpmath.workdps(40):
        for number, a, b, c, d in zip(x, *root.value, *power.value, strict=True):
            assert a < mpmath.sqrt(number) < b
            assert c < mpmath.exp(number) < d
            assert max(b - a, d - c) < 1e-13


def test_squares_and_positive_parts_on_both_sides_of_zero():
    x = Interval.variable(np.array([-1.0, -2.0, 0.5]), np.array([2.0, -1.0, 1.0]))
    square, positive = x.squared(), x.positive_part()
    assert square.value[0] == pytest.approx([0.0, 1.0, 0.25])
    assert square.value[1] == pytest.approx([4.0, 4.0, 1.0])
    assert positive.value[0] == pytest.approx([0.0, 0.0, 0.5])
    assert positive.value[1] == pytest.approx([2.0, 0.0, 1.0])
    assert positive.slope[0] == pytest.approx([0.0, 0.0, 1.0])
    assert positive.slope[1] == pytest.approx([1.0, 0.0, 1.0])


def test_division_by_zero_says_nothing():
    x = Interval.variable(np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
    with np.errstate(all="ignore"):
        quotient = 1.0 / x
    assert (quotient.value[0][0], quotient.value[1][0]) == (-np.inf, np.inf)
    assert (quotient.value[0][1], quotient.value[1][1]) == pytest.approx((0.5, 1.0))


def test_zero_times_infinity_may_be_anything():
    x = Interval.variable(np.zeros(1), np.ones(1))
    with np.errstate(all="ignore"):
        product = Interval.constant(0.0, x) * (1.0 / x)
    assert (product.value[0][0], product.value[1][0]) == (-np.inf, np.inf)


def test_zeros_finds_close_ones_and_each_once():
    found = zeros(lambda x: (x - 1.0 / 3.0) * (x - 0.7) * (x - 0.70001) * np.exp(-x), 0.0, 1.0)
    assert not found.open
    assert len(found.brackets) == 3
    for (low, high), zero in zip(sorted(found.brackets), (1.0 / 3.0, 0.7, 0.70001), strict=True):
        assert low <= zero <= high


def test_zeros_leaves_a_double_zero_open():
    found = zeros(lambda x: (x - 1.0 / 3.0).squared(), 0.0, 1.0)
    assert not found.brackets
    assert found.open
    for low, high in found.open:
        assert abs(0.5 * (low + high) - 1.0 / 3.0) < 1e-6
    assert all(high < low for (_, high), (low, _) in pairwise(found.open))


def test_zeros_gives_up_where_bounds_say_nothing():
    """Overflow on the upper half: the zero below is found, all of the rest is one open interval."""
    found = zeros(lambda x: (x - 0.2) / (x - 0.75).positive_part().within(0.0, 1.0), 0.0, 1.0, most=5000)
    assert len(found.open) == 1
    assert found.open[0][0] <= 0.2
    assert 5000 < found.boxes < 20_000
    assert len(zeros(lambda x: (x - 0.2) * (x + 1.0), 0.0, 1.0, most=64).brackets) == 1


def test_zeros_where_intervals_meet():
    """1/2 is an end of two of the parts looked at, to rounding."""
    for slope in (1.0, -1.0):
        found = zeros(lambda x, slope=slope: (x - 0.5) * slope, 0.0, 1.0)
        assert not found.open
        ((low, high),) = found.brackets
        assert low < 0.5 < high
    nothing = zeros(lambda x: x * x + 1e-9, 0.0, 1.0)
    assert not nothing.brackets + nothing.open


def test_zero_at_an_end_is_left_open():
    """Whether it is inside the range is not known."""
    for zero in (0.0, 1.0):
        found = zeros(lambda x, zero=zero: (x - zero) * (x + 1.0), 0.0, 1.0)
        assert not found.brackets
        ((low, high),) = found.open
        assert low <= zero <= high
        assert high - low < 1e-10


def test_brackets_prove_their_zeros():
    """Opposite signs at the ends of each, and apart: no zero is counted twice."""
    rng = np.random.default_rng(4)
    for _ in range(100):
        places = np.sort(np.r_[rng.integers(1, 64, size=2) / 64.0, rng.uniform(size=2)])
        if np.diff(places).min() < 1e-3:
            continue
        a, b, c, d = places
        found = zeros(lambda x, a=a, b=b, c=c, d=d: (x - a) * (x - b) * (x - c) * (x - d), 0.0, 1.0)
        assert not found.open
        assert len(found.brackets) == 4
        assert all(low < zero < high for zero, (low, high) in zip(places, found.brackets, strict=True))
        assert all(high <= low for (_, high), (low, _) in pairwise(found.brackets))
