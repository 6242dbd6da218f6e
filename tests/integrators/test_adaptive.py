"""Step-size control: lengths of steps, the scale of errors, undershoots, and the loop that keeps or repeats a step."""

from math import inf

import numpy as np
import pytest

from carmodel.integrators import Exponential, Imex
from carmodel.integrators.adaptive import (
    NEGLIGIBLE,
    SHORTEST,
    Attempt,
    ErrorScale,
    StepSize,
    Undershoot,
    first_attempt,
    next_attempt,
    relative_undershoot,
)
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.spaces import BoxSpace
from carmodel.tools.errors import NumericsError
from tests.conftest import advance, smooth_state, without_reactions

RTOL = 1e-3


def depths(deepest):
    """Of all fields: `deepest` of TA, none of the others."""
    below = np.zeros(7)
    below[2] = deepest
    return below


@pytest.mark.parametrize(
    ("natural", "limit", "tried"),
    [
        (0.1, 10.0, 0.1),  # far away
        (1.0, 1.25, 0.75),  # the last two: the first takes its share
        (1.0, 1.0, 1.0),
        (1.0, 0.3, 0.3),
        (1.0, 1.0 + 1e-10, 1.0 + 1e-10),  # no step of 1e-10 days after it
    ],
)
def test_steps_land_on_a_limit_without_a_tiny_last_step(natural, limit, tried):
    assert first_attempt(natural, limit, 0.6) == pytest.approx(tried, rel=1e-15)


def test_only_a_step_cut_short_leaves_the_natural_one_as_it_was():
    assert next_attempt(proposed=0.95, made=1.0, natural=1.0) == 0.95
    assert next_attempt(proposed=3.0, made=1.0, natural=1.0) == 3.0
    assert next_attempt(proposed=0.2, made=0.1, natural=1.0) == 1.0
    assert next_attempt(proposed=1.2, made=0.5, natural=1.0) == 1.2


def test_errors_are_measured_by_the_field_or_its_first_rate_or_what_it_was():
    scale = ErrorScale(7)
    sizes, rates = np.zeros(7), np.zeros(7)
    sizes[0], rates[0], rates[1], sizes[2] = 2.0, 1.0, 3.0, 4.0
    assert scale.update(sizes, rates, 0.5).tolist() == [2.0, 1.5, 4.0, inf, inf, inf, inf]
    # Another attempt of the same step: nothing is left of the one before.
    assert scale.update(sizes, rates, 0.01).tolist() == [2.0, 0.03, 4.0, inf, inf, inf, inf]
    sizes[0] = sizes[2] = 1e-9
    assert scale.update(sizes, 0.0 * rates, 0.5)[[0, 2]].tolist() == [2.0 * NEGLIGIBLE, 4.0 * NEGLIGIBLE]


def test_an_undershoot_that_shorter_steps_avoid_is_not_accepted():
    policy = Undershoot(RTOL, FIELDS)
    policy.begin()
    assert not policy.accepts(depths(0.5), 1.0)
    assert not policy.accepts(depths(0.05), 0.25)  # less than half in a day
    assert not policy.accepts(depths(0.002), 0.0625)
    assert policy.accepts(depths(RTOL), 0.015625)
    policy.keep(depths(RTOL), 0.015625)
    assert policy.accepted.tolist() == depths(RTOL).tolist()
    policy.begin()
    assert not policy.accepts(depths(1.01 * RTOL), 0.1)


def test_an_undershoot_that_shorter_steps_do_not_avoid_is_accepted_until_the_equations_change():
    policy = Undershoot(RTOL, FIELDS)
    policy.begin()
    assert not policy.accepts(depths(0.5), 1.0)
    assert policy.accepts(depths(0.1), 0.25)  # more than half in a day
    policy.keep(depths(0.1), 0.25)
    policy.begin()
    assert policy.accepts(depths(0.39), 0.5)  # less than twice in a day
    assert not policy.accepts(depths(0.41), 0.5)
    policy.forget()
    policy.begin()
    assert not policy.accepts(depths(0.1), 0.25)


def test_the_deepest_undershoot_is_told():
    policy = Undershoot(RTOL, FIELDS)
    for depth in (2e-4, 9e-4, 0.0):
        policy.begin()
        policy.keep(depths(depth), 1.0)
    assert policy.accepted.tolist() == depths(9e-4).tolist()


def test_a_step_that_was_not_kept_leaves_nothing():
    """The error may reject what the undershoot would not: it is not counted, and loosens nothing."""
    policy = Undershoot(RTOL, FIELDS)
    policy.begin()
    assert not policy.accepts(depths(1.0), 1.0)
    assert policy.accepts(depths(1.0), 0.25)
    assert not policy.accepted.any()
    policy.begin()
    assert not policy.accepts(depths(0.1), 0.25)


def test_where_no_shorter_step_can_be_tried_the_field_is_named():
    policy = Undershoot(RTOL, FIELDS)
    policy.begin()
    with pytest.raises(NumericsError, match=r"TA undershoots by 0\.5 even in a step of 5e-13 days"):
        policy.accepts(depths(0.5), 0.5 * SHORTEST)
    policy.begin()
    assert not policy.accepts(np.full(7, inf), 1.0)
    with pytest.raises(NumericsError, match="C is no longer finite"):
        policy.accepts(np.full(7, inf), 0.5 * SHORTEST)


def test_undershoots_are_parts_of_the_largest_value():
    sizes, least, largest = np.ones(7), np.zeros(7), np.zeros(7)
    least[:3], largest[:3] = [-0.5, 0.1, -0.5], [2.0, 1.0, 0.0]
    assert relative_undershoot(sizes, least, largest).tolist() == [0.25, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    for wrong in (np.nan, inf):
        sizes[4] = wrong
        assert (relative_undershoot(sizes, least, largest) == inf).all()


@pytest.fixture
def box():
    space = BoxSpace((5, 4, 3), (1.0, 1.0, 1.0))
    yield space
    space.destroy()


@pytest.mark.parametrize("make", [Imex, Exponential])
def test_a_step_cut_short_does_not_shorten_the_next(box, make):
    integrator = make(box, Medium(without_reactions()), dt=0.5)
    u = box.zeros(7) + 0.5  # nothing happens: no step is too long
    assert integrator.step(u, 0.01) == 0.01
    assert integrator.step(u, 10.0) >= 0.5
    integrator.destroy()


@pytest.mark.parametrize(("make", "share"), [(Imex, 0.75), (Exponential, 0.5)])
def test_the_last_two_steps_share_what_is_left(box, make, share):
    integrator = make(box, Medium(without_reactions()), dt=1.0)
    u = box.zeros(7) + 0.5
    assert integrator.step(u, 1.25) == pytest.approx(share * 1.25)
    integrator.destroy()


@pytest.mark.parametrize("make", [Imex, Exponential])
def test_after_a_discontinuity_nothing_is_unavoidable(box, make):
    p = PRESETS["normalised"]
    integrator = make(box, Medium(p))
    integrator.step_size.undershoot.keep(depths(0.5), 1.0)
    integrator.restart(Medium(p))
    integrator.step_size.undershoot.begin()
    assert not integrator.step_size.undershoot.accepts(depths(0.5), 1.0)
    integrator.destroy()


def test_growth_too_fast_for_any_step_ends_the_run(box):
    """Nothing undershoots: the error alone has to say so."""
    u = box.zeros(7)
    u[6] = 1.0
    integrator = Exponential(box, Medium(without_reactions()._replace(lambda_H=-1e17)))
    with pytest.raises(NumericsError, match="no step is short enough for"), np.errstate(all="ignore"):
        integrator.step(u, 1.0)
    integrator.destroy()


@pytest.mark.parametrize("make", [Imex, Exponential])
def test_what_changes_between_steps_is_said_by_a_restart(box, make):
    """As infusions do: the integrator goes on from what the array holds then, as a new one would."""
    medium, u = Medium(PRESETS["normalised"]), smooth_state(box)
    integrator = make(box, medium, dt=0.01)
    advance(integrator, u, 0.5)
    u[0] += 1.0
    v = u.copy()
    integrator.restart(medium)
    integrator.step(u, 0.01)
    integrator.destroy()
    other = make(box, medium, dt=0.01)
    other.step(v, 0.01)
    other.destroy()
    assert np.abs(box.owned(u) - box.owned(v)).max() < 1e-12
    assert box.owned(u[0]).min() > 1.0


# ---- the loop ------------------------------------------------------------------------------------------------------


class Scripted:
    """A method with given attempts (days or 0 for all, undershoot, rejections) and proposals (days, whether kept)."""

    def __init__(self, attempts, proposals):
        self.attempts, self.proposals, self.tried = iter(attempts), iter(proposals), []

    def attempt(self, h):
        self.tried.append(h)
        made, deepest, rejections = next(self.attempts)
        return Attempt(made or h, depths(deepest), rejections)

    def proposed(self, _made):
        return next(self.proposals)


@pytest.mark.parametrize(
    ("attempts", "proposals", "limit", "tried", "made", "after", "rejected"),
    [
        ([(0, 0.0, 0)], [(0.3, True)], 9.0, [0.2], 0.2, 0.3, (0, 0)),
        # Cut short: the longer one that was due stays due.
        ([(0, 0.0, 0)], [(0.1, True)], 0.05, [0.05], 0.05, 0.2, (0, 0)),
        # An error too large: as long as proposed, and what was due is forgotten.
        ([(0, 0.0, 0)] * 2, [(0.1, False), (0.09, True)], 9.0, [0.2, 0.1], 0.1, 0.09, (1, 0)),
        # An undershoot too deep: a quarter; its error is not asked for.
        ([(0, 0.1, 0), (0, 0.0, 0)], [(0.06, True)], 9.0, [0.2, 0.05], 0.05, 0.06, (0, 1)),
        # The method itself rejected two and came out shorter: its proposal counts, not the length that was due.
        ([(0.02, 0.0, 2)], [(0.03, True)], 9.0, [0.2], 0.02, 0.03, (2, 0)),
        # Both causes in one step.
        ([(0, 0.1, 0), (0, 0.0, 0), (0, 0.0, 0)], [(0.02, False), (0.03, True)], 9.0, [0.2, 0.05, 0.02], 0.02, 0.03,
         (1, 1)),
    ],
)  # fmt: skip
def test_a_step_is_kept_when_neither_its_undershoot_nor_its_error_is_too_large(
    attempts, proposals, limit, tried, made, after, rejected
):
    sizes, method = StepSize(RTOL, FIELDS, dt=0.2, landing=0.5), Scripted(attempts, proposals)
    kept = sizes.accepted(limit, method)
    assert (kept.made, sizes.next) == (made, after)
    assert method.tried == tried
    assert tuple(sizes.rejected.values()) == rejected
    assert sizes.figures()["rejected_steps"] == sum(rejected)
    assert next(method.attempts, None) is next(method.proposals, None) is None


def test_errors_that_no_step_makes_small_end_the_loop():
    sizes = StepSize(RTOL, FIELDS, dt=0.2, landing=0.5)
    with pytest.raises(NumericsError, match=r"no step is short enough for integrator\.rtol = 0\.001"):
        sizes.accepted(1.0, Scripted([(0, 0.0, 0)] * 99, [(0.2 * 0.2**n, False) for n in range(1, 99)]))


def test_a_restart_begins_with_a_small_step_and_keeps_the_counts():
    sizes = StepSize(RTOL, FIELDS, dt=0.2, landing=0.5)
    sizes.accepted(9.0, Scripted([(0, 0.0, 1)], [(1.0, True)]))
    assert sizes.next == 1.0
    sizes.restart()
    assert sizes.next == 0.2
    assert sizes.rejected == {"error": 1, "undershoot": 0}
    sizes.next = 0.01
    sizes.restart()
    assert sizes.next == 0.01


def test_after_a_step_that_fails_the_array_holds_the_state_before_it(box):
    """Not a stage of the last attempt."""
    u = box.zeros(7)
    u[6] = 1.0
    start = box.owned(u).copy()
    integrator = Exponential(box, Medium(without_reactions()._replace(lambda_H=-1e17)))
    for _ in range(2):
        with pytest.raises(NumericsError, match="no step is short enough for"), np.errstate(all="ignore"):
            integrator.step(u, 1.0)
        assert np.abs(box.owned(u) - start).max() < 1e-14
    integrator.destroy()


def test_a_step_size_that_is_restored_chooses_the_same_steps():
    """After rejections, undershoots and fields that were larger once."""

    class Method:
        """Errors of a method of order 4 whose error falls with time; it undershoots now and then."""

        def __init__(self):
            self.made, self.scales = [], []

        def attempt(self, h):
            self.made.append(h)
            depth = 0.004 if len(self.made) % 5 == 2 else 0.0
            return Attempt(h, depths(depth))

        def proposed(self, made):
            size = np.full(7, 10.0 if len(self.made) < 4 else 1e-3)
            self.scales.append(self.size.scale.update(size, np.zeros(7), made).copy())
            factor = 0.3 if len(self.made) % 7 == 3 else 1.4
            return factor * made, factor > 0.9

    def go_on(size, method, steps):
        method.size = size
        return [size.accepted(5.0, method).made for _ in range(steps)]

    one, method = StepSize(RTOL, FIELDS, 0.01, 0.5), Method()
    go_on(one, method, 12)
    assert one.rejected["error"] > 0
    assert one.rejected["undershoot"] > 0
    other, again = StepSize(RTOL, FIELDS, 0.02, 0.5), Method()
    other.restore(one.state())
    again.made, again.scales = list(method.made), list(method.scales)
    assert go_on(one, method, 12) == go_on(other, again, 12)
    assert np.array_equal(method.scales, again.scales)
    assert one.figures() == other.figures()


def test_a_step_that_is_given_up_leaves_the_step_size_as_it_was():
    """What is kept after a failure is the state before it."""

    class Hopeless:
        def attempt(self, h):
            return Attempt(h, depths(0.0))

        def proposed(self, made):
            return 0.1 * made, False

    size = StepSize(RTOL, FIELDS, 0.01, 0.5)
    with pytest.raises(NumericsError, match="no step is short enough"):
        size.accepted(1.0, Hopeless())
    assert (size.next, size.rejected) == (0.01, {"error": 0, "undershoot": 0})
