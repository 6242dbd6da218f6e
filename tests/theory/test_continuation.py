"""Branches, folds, Hopf and branch points."""

import dataclasses

import numpy as np
import pytest

from carmodel.models.polyakov import PRESETS
from carmodel.paper.propositions import CE, block
from carmodel.paper.steady import coexistence, growth_roots, steady_states, tumour_states
from carmodel.theory import continuation
from carmodel.theory.continuation import Axis, branch_through, diagram
from carmodel.theory.ode import jacobian, reference_levels, residual
from carmodel.theory.spectra import growth_rate, spectrum
from carmodel.tools.errors import InputError
from tests.parameter_sets import OSCILLATING, THREE

P = PRESETS["normalised"]


def specials(branches, kind):
    return [s for b in branches for s in b.special if s.kind == kind]


@pytest.mark.parametrize(
    "axis",
    [Axis(P, ("rho_C",), 0.1, 0.9), Axis(THREE, ("d_C",), 5e-4, 0.02), Axis(P, ("K_C",), 0.1, 40.0, logarithmic=True)],
)
def test_every_point_is_a_steady_state_and_none_is_missing(axis):
    branches = diagram(axis, steady_states)
    for branch in branches:
        assert len(branch.values) == len(branch.states) == len(branch.spectra)
        for value, u in zip(branch.values, branch.states, strict=True):
            p = axis.at(axis.share(value))
            assert residual(u, p) < 1e-11
            assert axis.low * (1 - 1e-12) <= value <= axis.high * (1 + 1e-12)
            assert u.min() >= 0.0
    for share in (0.05, 0.33, 0.77):
        p, value = axis.at(share), axis.value(share)
        for state in steady_states(p):
            on = 0
            for branch in branches:
                if branch.kind != state.kind:
                    continue
                for i in range(len(branch.values) - 1):
                    ends = branch.values[i : i + 2]
                    if min(ends) <= value < max(ends):
                        part = (value - ends[0]) / (ends[1] - ends[0])
                        guess = branch.states[i] + part * (branch.states[i + 1] - branch.states[i])
                        on += np.allclose(guess, state.state, atol=2e-3)
            assert on == 1, (share, state)


def test_coexistence_leaves_the_tumour_state_where_CART_cells_invade():
    """The branch point on E_T, the end of E_CT and det J_CE = 0 are one value of rho_C."""
    branches = diagram(Axis(P, ("rho_C",), 0.1, 0.9), steady_states)
    values = [s.value for s in specials(branches, "branch point")]
    assert len(values) == 2
    assert values[0] == pytest.approx(values[1], rel=1e-8)
    p = P._replace(rho_C=values[0])
    tumour = tumour_states(p)[0]
    assert abs(block(tumour.state, p, CE).determinant) < 1e-10
    ends = {b.kind: b.ends for b in branches}
    assert ends["E_CT"] == ["a field reaches zero", "end of the range"]
    for branch in branches:
        below = np.array(branch.values) < values[0]
        if branch.kind == "E_T":
            assert (branch.growth[below] < 0.0).all()
            assert (branch.growth[~below] > 0.0).all()


def test_tumour_state_leaves_the_healthy_one_where_growth_outruns_death():
    branches = diagram(Axis(P, ("r_T",), 0.01, 0.25), steady_states)
    threshold = growth_roots(P)[0]
    (end,) = [b for b in branches if b.kind == "E_T"]
    assert min(end.values) == pytest.approx(threshold, rel=1e-6)
    crossing = [s.value for b in branches if b.kind == "E_0" for s in b.special]
    assert crossing[0] == pytest.approx(threshold, rel=1e-9)
    assert crossing[1] == pytest.approx(growth_roots(P)[1], rel=1e-9), "where the inadmissible root crosses"


def test_folds():
    """Three states E_CT on a curve with two folds: their number changes there by two."""
    axis = Axis(THREE, ("d_C",), 5e-4, 0.02)
    branches = diagram(axis, steady_states)
    (curve,) = [b for b in branches if b.kind == "E_CT"]
    folds = specials(branches, "fold")
    assert len(folds) == 2
    for fold in folds:
        assert abs(fold.eigenvalues[0]) < 1e-8
        assert residual(fold.state, THREE._replace(d_C=fold.value)) < 1e-12
        counts = [len(coexistence(THREE._replace(d_C=fold.value * f)).states) for f in (1 - 1e-4, 1 + 1e-4)]
        assert abs(counts[0] - counts[1]) == 2
    low, high = sorted(f.value for f in folds)
    inside = (np.array(curve.values) > low) & (np.array(curve.values) < high)
    assert (curve.growth[inside] > 0.0).any()
    assert (curve.growth[~inside] < 0.0).all()


@pytest.mark.parametrize(
    ("name", "low", "high", "n"), [("r_T", 0.005, 0.3, 1), ("p_r", 0.3, 10.0, 2), ("lambda_H", 0.02, 1.0, 1)]
)
def test_hopf_points(name, low, high, n):
    axis = Axis(OSCILLATING, (name,), low, high, logarithmic=True)
    found = specials(diagram(axis, steady_states), "Hopf")
    assert len(found) == n
    for point in found:
        pair = point.eigenvalues[:2]
        assert np.abs(pair.real).max() < 1e-10
        assert pair[0].imag == -pair[1].imag != 0.0
        signs = []
        for f in (1 - 1e-3, 1 + 1e-3):
            p = OSCILLATING._replace(**{name: point.value * f})
            (state,) = coexistence(p).states
            signs.append(growth_rate(jacobian(state.state, p)) > 0.0)
        assert signs[0] != signs[1]


def test_neutral_saddles_are_no_hopf_points():
    """A pair a, -a of real eigenvalues makes the test function zero too."""
    axis = Axis(P, ("rho_C",), 0.1, 0.9)
    for branch in diagram(axis, steady_states):
        signs = np.sign([np.prod([a + b for i, a in enumerate(s) for b in s[:i]]).real for s in branch.spectra])
        if branch.kind == "E_T":
            assert (signs[1:] != signs[:-1]).any(), "the test shows nothing"
        assert not [s for s in branch.special if s.kind == "Hopf"]


def test_parameters_that_move_together():
    axis = Axis(P, ("delta_CT", "gamma"), 0.1, 1.0)
    (curve,) = [b for b in diagram(axis, steady_states, seeds=3) if b.kind == "E_CT"]
    for value, u in zip(curve.values, curve.states, strict=True):
        assert residual(u, P._replace(delta_CT=value, gamma=value)) < 1e-11


def test_spectra_are_those_of_the_points():
    axis = Axis(P, ("rho_C",), 0.3, 0.9)
    (state,) = coexistence(axis.at(0.5)).states
    branch = branch_through(state, 0.5, axis)
    assert branch.values == sorted(branch.values)
    for i in (0, -1):
        expected = spectrum(jacobian(branch.states[i], P._replace(rho_C=branch.values[i])))
        assert np.abs(branch.spectra[i] - expected).max() < 1e-10


def test_raw_units():
    axis = Axis(PRESETS["table1"], ("r_T",), 0.02, 0.25)
    (curve,) = [b for b in diagram(axis, steady_states, seeds=3) if b.kind == "E_T"]
    assert curve.ends == ["end of the range"] * 2
    assert curve.states[-1][2:4].sum() == pytest.approx(2.4e8 * (1 - 0.01 / 0.25), rel=1e-10)


def told(branches):
    """Kind, phenotype, first and last value and ends of branches."""
    return [(b.kind, b.phenotype, b.values[0], b.values[-1], *b.ends) for b in branches]


OUT = ("end of the range",) * 2


def test_crossing_branches_do_not_lead_away():
    """At mu_0 = 1.727 E_CT leaves E_T; a range that squeezes this into its first hundred-thousandth."""
    branches = diagram(Axis(P, ("mu_0",), 1.0, 1e5), steady_states)
    assert told(branches)[:2] == [
        ("E_0", "", 1.0, pytest.approx(1e5), *OUT),
        ("E_T", "mixed", 1.0, pytest.approx(1e5), *OUT),
    ]
    ((kind, _, *values, here, there),) = told(branches)[2:]
    assert kind == "E_CT"
    assert values == pytest.approx([1.0, 1.727134669])
    assert (here, there) == ("end of the range", "a field reaches zero")
    assert [s.value for s in specials(branches, "branch point")] == pytest.approx([1.727134669] * 2)


def test_fields_far_below_rounding_are_not_gone():
    """mu_1 = 1e-16 leaves a share of 1e-15 of antigen-positive cells, which is not zero."""
    axis = Axis(P, ("mu_1",), 1e-16, 0.1, logarithmic=True)
    branches = diagram(axis, steady_states)
    assert told(branches)[1] == ("E_T", "mixed", pytest.approx(1e-16), pytest.approx(0.1), *OUT)
    assert [b.kind for b in branches] == ["E_0", "E_T", "E_CT"]
    for branch in branches:
        assert min(s.value for s in branch.special) > 1e-4
        assert axis.low * (1 - 1e-12) <= min(branch.values)


def test_pure_tumours_without_switching():
    """With one death rate every ratio is stationary: the pure states are followed in their planes."""
    branches = diagram(Axis(P._replace(mu_0=0.0, mu_1=0.0, nu=0.0), ("gamma",), 0.1, 0.9), steady_states)
    tumours = [entry for entry in told(branches) if entry[0] == "E_T"]
    assert tumours == [
        ("E_T", phenotype, 0.1, pytest.approx(0.9), *OUT) for phenotype in ("antigen-positive", "antigen-negative")
    ]


@pytest.mark.parametrize(("name", "others"), [("mu_0", {"nu": 0.0}), ("mu_1", {})])
def test_a_branch_is_named_after_its_inside(name, others):
    """At mu_0 = 0 or mu_1 = 0 its first state is pure."""
    branches = diagram(Axis(P._replace(**others), (name,), 0.0, 0.2), steady_states)
    assert ("E_T", "mixed", 0.0, pytest.approx(0.2), *OUT) in told(branches)
    assert {b.phenotype for b in branches} == {"", "mixed"}


def test_branch_points_of_inadmissible_states_are_told_apart():
    """On E_0 the root R_2 of eq. (28) crosses too, with TB/TA < 0."""
    for name, low, high in (("mu_0", 0.0, 0.2), ("r_T", 0.01, 0.25)):
        (healthy,) = [b for b in diagram(Axis(P, (name,), low, high), steady_states) if b.kind == "E_0"]
        for special in healthy.special:
            one, two = growth_roots(P._replace(**{name: special.value}))
            r_T = special.value if name == "r_T" else P.r_T
            assert r_T == pytest.approx(one if special.admissible else two, rel=1e-9)
        assert [s.admissible for s in healthy.special] == ([False] if name == "mu_0" else [True, False])
    assert all(s.admissible for b in diagram(Axis(P, ("rho_C",), 0.1, 0.9), steady_states) for s in b.special)


@pytest.mark.parametrize(
    ("p", "name", "low", "high"),
    [(P._replace(mu_0=1e200), "rho_C", 0.1, 0.9), (P, "mu_0", 0.1, 1e200), (P, "rho_C", 0.1, 1e308)],
)
def test_numbers_that_overflow(p, name, low, high):
    with np.errstate(all="ignore"), pytest.raises(InputError, match=r"overflow; the most extreme is (mu_0|rho_C) = 1e"):
        diagram(Axis(p, (name,), low, high), steady_states)


def test_end_that_cannot_be_located_is_lost(monkeypatch):
    def never(*_):
        raise continuation._NotConvergedError

    monkeypatch.setattr(continuation, "_boundary", never)
    axis = Axis(P, ("rho_C",), 0.1, 0.9)
    (state,) = coexistence(axis.at(0.5)).states
    assert branch_through(state, 0.5, axis).ends == ["lost", "end of the range"]


def test_points_lie_close():
    """At most a fiftieth of the range, or of the fields' levels, apart."""
    axis = Axis(P, ("rho_C",), 0.1, 0.9)
    for branch in diagram(axis, steady_states):
        x = np.column_stack([np.array(branch.states) / reference_levels(P), [axis.share(v) for v in branch.values]])
        assert np.linalg.norm(np.diff(x, axis=0), axis=1).max() < 0.021


class Circle(continuation._Curve):
    """C and the share of the range on a circle, all other fields 1/2."""

    def residual(self, x):
        return np.append((x[0] - 0.5) ** 2 + (x[7] - 0.5) ** 2 - 0.09, x[1:7] - 0.5)

    def matrix(self, x):
        matrix = np.eye(7, 8)
        matrix[0] = [2.0 * (x[0] - 0.5), *[0.0] * 6, 2.0 * (x[7] - 0.5)]
        return matrix


def test_closed_curve_is_followed_once():
    curve = Circle(Axis(P, ("rho_C",), 0.1, 0.9), np.ones(7), np.zeros(7, dtype=bool))
    start = np.array([0.8, *[0.5] * 7])
    points, special, end = continuation._follow(curve, start, np.eye(8)[7])
    assert end == "closed"
    assert (points[-1] == start).all()
    x = np.array(points)
    assert np.hypot(x[:, 0] - 0.5, x[:, 7] - 0.5) == pytest.approx(0.3, rel=1e-10)
    assert np.linalg.norm(np.diff(x, axis=0), axis=1).sum() == pytest.approx(0.6 * np.pi, rel=1e-2)
    assert [s.kind for s in special].count("fold") == 2


def test_only_states_on_a_branch_lie_on_it():
    axis = Axis(P, ("rho_C",), 0.3, 0.9)
    (state,) = coexistence(axis.at(0.5)).states
    branch = branch_through(state, 0.5, axis)
    assert continuation._lies_on(branch, state, 0.5, axis)
    near = dataclasses.replace(state, state=state.state * (1.0 + 1e-4))
    assert not continuation._lies_on(branch, near, 0.5, axis)
    assert not continuation._lies_on(branch, dataclasses.replace(state, kind="E_T"), 0.5, axis)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("rhoC",), 0.1, 0.2), "rhoC"),
        ((("rho_C",), 0.3, 0.2), "from < to"),
        ((("rho_C",), 0.0, 0.2, True), "logarithmic"),
        ((("rho_C", "K_C"), 0.0, 0.2), "range from 0 of K_C"),
    ],
)
def test_wrong_ranges(arguments, message):
    with pytest.raises(InputError, match=message):
        Axis(P, *arguments)
