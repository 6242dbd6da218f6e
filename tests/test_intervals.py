"""Bounds hold, and `zeros` misses none."""

import numpy as np
import pytest

from carmodel.intervals import Interval, zeros


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


def test_bounds_of_a_number_are_not_the_rounded_number():
    third = Interval.variable(np.array([1.0]), np.array([1.0])) / 3.0
    assert third.value[0][0] < 1.0 / 3.0 < third.value[1][0]


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


def test_zeros_at_the_ends_and_none():
    assert len(zeros(lambda x: x - 1.0, 0.0, 1.0).brackets) == 1
    nothing = zeros(lambda x: x * x + 1e-9, 0.0, 1.0)
    assert not nothing.brackets + nothing.open
