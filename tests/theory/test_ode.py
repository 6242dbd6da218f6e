"""Eqs (9)-(15): right-hand side, Jacobian and solution."""

import mpmath
import numpy as np
import pytest

from carmodel import tuples
from carmodel.models.polyakov import FIELDS, PRESETS, Fields
from carmodel.paper.sampling import random_parameters
from carmodel.theory import ode as homogeneous
from carmodel.theory.ode import absent, balance, jacobian, rates, reference_levels, residual, sensitivity, solve
from carmodel.tools.errors import NumericsError
from tests.models.test_kinetics import paper

P = PRESETS["normalised"]
START = np.array([0.167965789517609, 0.0, 0.8790711384295582, 0.0, 0.0, 0.0, 0.0])


def high_precision_rates(u, p):
    """F(u) in mpmath numbers, from the plain kinetics."""
    p = type(p)(*map(mpmath.mpf, p))
    fields = Fields(*u)
    production, loss = tuples.balance(fields, (p.mu_1 * mpmath.exp(-p.xi * fields.C),), p)
    return [P - L * v for P, L, v in zip(production, loss, u, strict=True)]


def test_rates_are_the_paper_s_for_many_states_at_once():
    rng = np.random.default_rng(1)
    for _ in range(20):
        p, u = random_parameters(rng), rng.uniform(0.0, 2.0, size=(7, 5))
        assert np.abs(rates(u, p) - paper(u, p)).max() < 1e-14


def test_jacobian_agrees_with_high_precision_differences():
    """200 parameter sets inside Table 1's ranges: central differences in 50 digits."""
    rng = np.random.default_rng(2)
    worst = 0.0
    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -20
        for _ in range(200):
            p, u = random_parameters(rng), rng.uniform(0.0, 1.5, size=7)
            J = jacobian(u, p)
            for j in range(7):
                ends = []
                for sign in (1, -1):
                    v = list(map(mpmath.mpf, u))
                    v[j] += sign * h
                    ends.append(high_precision_rates(v, p))
                exact = [float((a - b) / (2 * h)) for a, b in zip(*ends, strict=True)]
                worst = max(worst, np.abs(J[:, j] - exact).max())
    assert worst < 1e-10
    assert worst < 1e-14, "a complex step loses nothing"


def test_jacobian_is_exact_where_fields_vanish_and_in_table_1_s_raw_units():
    J = jacobian(np.zeros(7), P)
    assert J[0, 1] == P.p_r
    assert J[2, 2] == pytest.approx(P.r_T - P.d_TA - P.mu_0, rel=1e-15)
    p = PRESETS["table1"]
    u = np.array([1e7, 1e6, 1e8, 3e7, 1e5, 1e5, 0.2])
    with mpmath.workdps(60):
        for j in range(7):
            v = list(map(mpmath.mpf, u))
            v[j] += mpmath.mpf(10) ** -20
            shifted, here = high_precision_rates(v, p), high_precision_rates(list(map(mpmath.mpf, u)), p)
            exact = np.array([float((a - b) * mpmath.mpf(10) ** 20) for a, b in zip(shifted, here, strict=True)])
            assert jacobian(u, p)[:, j] == pytest.approx(exact, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("name", ["xi", "K_C", "K_H", "mu_0", "d_TA", "K_T"])
def test_sensitivity_is_the_derivative_with_respect_to_a_parameter(name):
    u, h = np.random.default_rng(3).uniform(0.1, 1.0, size=7), 1e-6
    up, down = (rates(u, P._replace(**{name: getattr(P, name) + s * h})) for s in (1, -1))
    assert sensitivity(u, P, [name]) == pytest.approx((up - down) / (2 * h), rel=1e-7, abs=1e-9)


def test_parameters_that_move_together_add_up():
    u = np.full(7, 0.3)
    together = sensitivity(u, P, ["d_TA", "d_TB"])
    assert together == pytest.approx(sensitivity(u, P, ["d_TA"]) + sensitivity(u, P, ["d_TB"]), rel=1e-15)


@pytest.mark.parametrize("method", ["LSODA", "Radau"])
def test_solution_is_accurate(method):
    """Claims' homogeneous run, T = 100, against Radau at a thousandth of the tolerance."""
    times = np.linspace(0.0, 100.0, 2001)
    found = solve(P, START, times, method=method)
    exact = solve(P, START, times, method="Radau", rtol=1e-13)
    assert found.shape == (7, 2001)
    assert np.abs(found - exact).max() < 2e-9
    assert found[3, -1] > 0.7


def test_solution_in_table_1_s_raw_units_is_that_of_the_scaled_equations():
    """Killing rates of 1e8 per day: stiff, and the same model."""
    p = PRESETS["table1"]
    S = p.sigma_S / p.lambda_S * p.K_T
    unit = np.array([p.K_T] * 4 + [S, 1.0, 1.0])
    times = np.linspace(0.0, 50.0, 11)
    start = np.array([1e7, 0.0, 2.4e7, 0.0, 0.0, 0.0, 0.0])
    raw = solve(p, start, times)
    scaled = solve(p.rescaled(p.K_T, S), start / unit, times)
    assert raw[2:] / unit[2:, None] == pytest.approx(scaled[2:], rel=1e-7, abs=1e-9)


def test_one_time_gives_the_initial_state():
    assert (solve(P, START, [3.0])[:, 0] == START).all()


def test_a_solver_that_does_not_get_on_is_stopped(monkeypatch):
    monkeypatch.setattr(homogeneous, "_MOST_EVALUATIONS", 100)
    with pytest.raises(NumericsError, match="no end after 101 evaluations; at t = "):
        solve(P, START, [0.0, 100.0])


@pytest.mark.parametrize(
    ("change", "start", "gone"),
    [
        ({}, [0, 0, 0.3, 0.3, 0, 0, 0], ["C", "E"]),
        ({}, [0, 0.1, 0.3, 0, 0, 0, 0], []),
        ({}, [0.1, 0, 0, 0, 0.2, 0.3, 0], ["TA", "TB", "H"]),
        ({"mu_0": 0.0, "nu": 0.0}, [0.1, 0, 0.5, 0, 0, 0, 0], ["TB"]),
        ({"mu_0": 0.0}, [0.0, 0, 0.5, 0, 0, 0, 0], ["C", "E", "TB"]),
        ({"mu_1": 0.0}, [0.1, 0, 0.0, 0.5, 0, 0, 0], ["TA", "S"]),
        ({}, [0, 0, 0, 0, 0, 0, 0], list(FIELDS)),
    ],
)
def test_fields_without_a_source_stay_zero_to_the_digit(change, start, gone):
    p = P._replace(**change)
    assert [f for f, is_gone in zip(FIELDS, absent(start, p), strict=True) if is_gone] == gone
    states = solve(p, start, np.linspace(0.0, 1000.0, 11))
    for name, values in zip(FIELDS, states, strict=True):
        assert (values[1:] == 0.0).all() == (name in gone)


def test_reference_levels_make_residuals_independent_of_units():
    p = PRESETS["table1"]
    S = p.sigma_S / p.lambda_S * p.K_T
    q = p.rescaled(p.K_T, S)
    unit = np.array([p.K_T] * 4 + [S, 1.0, 1.0])
    u = np.array([0.1, 0.05, 0.4, 0.3, 0.4, 3e5, 0.2])
    assert reference_levels(p) == pytest.approx(reference_levels(q) * unit, rel=1e-12)
    assert reference_levels(q)[:5] == pytest.approx(np.ones(5), rel=1e-12)
    assert residual(u * unit, p) == pytest.approx(residual(u, q), rel=1e-10)
    production, loss = balance(tuple(u), q)
    largest = np.abs((np.array(production) - np.array(loss) * u) / reference_levels(q) / np.maximum(loss, 1.0)).max()
    assert residual(u, q) == largest > 1e-3


@pytest.mark.parametrize(("gone", "fields"), [("sigma_S", [4]), ("eta", [6]), ("sigma_A", [5])])
def test_reference_levels_of_what_nothing_makes_are_one(gone, fields):
    p = P._replace(**{gone: 0.0}, sigma_M=0.0 if gone == "sigma_A" else P.sigma_M)
    levels = reference_levels(p)
    assert (levels[fields] == 1.0).all()
    assert (levels > 0.0).all()
    assert np.isfinite(residual(np.full(7, 0.3), p))


def test_small_fields_are_solved_for_to_their_own_digits():
    """1e-9 CAR-T cells dying out beside a tumour: the absolute tolerance stands far below them."""
    start = np.array([1e-9, 0.0, 0.5, 0.3, 0.0, 0.0, 0.0])
    times = np.linspace(0.0, 20.0, 5)
    found, exact = solve(P, start, times), solve(P, start, times, method="Radau", rtol=1e-13)
    assert found[:2, 1:] == pytest.approx(exact[:2, 1:], rel=1e-8)
