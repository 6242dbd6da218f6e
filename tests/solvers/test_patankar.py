"""MPRK22 by itself: order, positivity, what is exchanged, fields that are zero."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.solvers.patankar import advance
from carmodel.theory.ode import balance
from tests.models.test_kinetics import paper, random_parameters

P = PRESETS["normalised"]
STARTS = {
    "all fields": [0.3, 0.2, 0.7, 0.1, 0.4, 0.5, 0.6],
    "a fresh run: E, TB, S, A, H are zero": [0.5, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0],
    "exhausted cells alone": [0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0],
    "antigen-negative tumour alone": [0.0, 0.0, 0.0, 0.6, 0.0, 0.0, 0.0],
}


def after(start, end, steps, p=P):
    """The state, shape (7,), after equal steps."""
    u = np.array(start, float)[:, None].copy()
    advance(u, np.array([0]), 1, end / steps, steps, p)
    return u[:, 0]


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_second_order_from_zero_fields_too(start):
    exact = solve_ivp(lambda _t, v: paper(v, P), (0.0, 2.0), start, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
    coarse, fine = (np.abs(after(start, 2.0, n) - exact) for n in (200, 400))
    present = exact > 0.0
    assert present.sum() >= 2
    assert np.log2(coarse[present] / fine[present]) == pytest.approx(2.0, abs=0.1)
    assert (after(start, 2.0, 200)[~present] == 0.0).all()


def test_a_first_step_from_zero_is_of_third_order_already():
    """Order is not lost where a field starts, though its predicted and its old value have nothing in common."""
    start = STARTS["a fresh run: E, TB, S, A, H are zero"]
    errors = []
    for h in (0.02, 0.01):
        exact = solve_ivp(lambda _t, v: paper(v, P), (0.0, h), start, method="DOP853", rtol=1e-13, atol=1e-16).y[:, -1]
        errors.append(np.abs(after(start, h, 1) - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(3.0, abs=0.2), dict(zip(FIELDS, errors[1], strict=True))


@pytest.mark.parametrize("h", [1e-3, 1.0, 1e3, 1e9])
def test_states_stay_non_negative_for_every_step(h):
    rng = np.random.default_rng(9)
    for _ in range(200):
        start = rng.uniform(0.0, 2.0, 7) * (rng.random(7) > 0.3) * 10.0 ** rng.uniform(-310.0, 2.0, 7)
        u = after(start, 2.0 * h, 2, random_parameters(rng))
        assert np.isfinite(u).all()
        assert (u >= 0.0).all()


def test_what_leaves_one_field_arrives_in_the_other():
    """Exhaustion, recovery and antigen switching alone: C + E and TA + TB stay, for steps far beyond the rates' own."""
    sources_and_sinks = ("rho_C", "delta_CT", "d_C", "d_E", "r_T", "gamma", "d_TA", "d_TB")
    p = P._replace(**dict.fromkeys(sources_and_sinks, 0.0))
    start = np.array([0.9, 0.05, 0.7, 0.1, 0.4, 0.5, 0.6])
    for h in (0.1, 10.0, 1e4):
        u = after(start, h, 1, p)
        assert np.abs(u[:4] - start[:4]).min() > 1e-3
        assert u[0] + u[1] == pytest.approx(start[0] + start[1], rel=1e-14)
        assert u[2] + u[3] == pytest.approx(start[2] + start[3], rel=1e-14)


def test_steady_states_are_kept():
    """A zero of the reactions is a fixed point of every step."""
    u = solve_ivp(lambda _t, v: paper(v, P), (0.0, 4000.0), STARTS["all fields"], method="LSODA", rtol=1e-10).y[:, -1]
    for _ in range(50):  # on to rounding: P = L u
        production, loss = map(np.array, balance(u, P))
        u = np.where(loss > 0.0, 0.5 * u + 0.5 * production / loss, u)
    assert np.abs(paper(u, P)).max() < 1e-12
    for h in (0.1, 1.0):
        assert after(u, h, 1) == pytest.approx(u, rel=1e-10, abs=1e-12)


def test_cells_outside_the_runs_are_left_alone_and_blocks_cover_the_runs():
    rng = np.random.default_rng(11)
    u = rng.random((7, 1000))
    alone = np.array([after(v, 0.3, 3) for v in u.T]).T
    starts, length = np.array([3, 420, 710]), 290
    inside = np.zeros(1000, dtype=bool)
    for start in starts:
        inside[start : start + length] = True
    v = u.copy()
    advance(v, starts, length, 0.1, 3, P)
    assert (v[:, ~inside] == u[:, ~inside]).all()
    assert np.abs(v[:, inside] - alone[:, inside]).max() < 1e-15
