"""Eqs (1)-(8) as production and loss."""

import numpy as np
import pytest

from carmodel.models.polyakov import PRESETS, Fields, Parameters, passing, sinks, slow, sources
from carmodel.theory.ode import balance
from carmodel.tools.compiled import compiled
from carmodel.tuples import balance as compiled_balance
from carmodel.tuples import slow as compiled_slow


def paper(u, p):
    """Reaction terms of eqs (1)-(7), typed in from the paper once more, in its own order."""
    C, E, TA, TB, S, A, H = u
    k_e = p.k_e0 * (1 + p.beta_A * A + p.beta_H * H)
    mu_AB, mu_BA = p.mu_0 + p.nu * C, p.mu_1 * np.exp(-p.xi * C)
    growth = p.r_T * (1 - (TA + TB) / p.K_T)
    f = H / (p.K_H + H)
    return np.array(
        [
            p.rho_C * C * TA / (p.K_C + C) - p.delta_CT * C * TA - k_e * C + p.p_r / (1 + A) * E - p.d_C * C,
            k_e * C - p.p_r / (1 + A) * E - p.d_E * E,
            growth * TA - p.gamma * C * TA - mu_AB * TA + mu_BA * TB - p.d_TA * TA,
            growth * TB + mu_AB * TA - mu_BA * TB - p.d_TB * TB,
            p.sigma_S * TA - p.lambda_S * S,
            p.sigma_A * (TA + TB) + p.sigma_M * f - p.lambda_A * A,
            p.eta * (TA + TB) - p.lambda_H * H,
        ]
    )


def random_parameters(rng):
    return Parameters(*(value * rng.uniform(0.5, 2.0) for value in PRESETS["normalised"]))


def test_production_minus_loss_is_the_paper_s_right_hand_side():
    rng = np.random.default_rng(1)
    for _ in range(100):
        p, u = random_parameters(rng), rng.uniform(0.0, 2.0, size=7)
        production, loss = map(np.array, balance(u, p))
        assert np.abs(production - loss * u - paper(u, p)).max() < 1e-14
        assert (production >= 0.0).all()
        assert (loss >= 0.0).all()


def test_plain_functions_take_arrays_and_complex_numbers():
    """The same rates serve field arrays and complex-step derivatives."""
    rng = np.random.default_rng(2)
    p, u = PRESETS["normalised"], rng.uniform(0.1, 1.0, size=(7, 5)) + 1e-3j
    production, loss = balance(u, p)
    ours = np.array([P - L * v for P, L, v in zip(production, loss, u, strict=True)])
    assert np.abs(ours - paper(u, p)).max() < 1e-14


def test_compiled_loops_have_the_same_rates():
    """Every operation in the same order: the same numbers to the last digit."""

    @compiled
    def rates(u, p):
        return compiled_balance(u, compiled_slow(u, p), p)

    rng = np.random.default_rng(4)
    for _ in range(20):
        p, u = random_parameters(rng), Fields(*rng.uniform(0.0, 2.0, size=7))
        assert np.allclose(rates(u, p), balance(u, p), rtol=1e-15, atol=0.0)


def test_exchange_moves_and_neither_makes_nor_destroys():
    """What is left of production and loss without sources and sinks: eq. (8)'s rates, the pairs' sums unchanged."""
    rng = np.random.default_rng(3)
    p, u = random_parameters(rng), rng.uniform(0.1, 2.0, size=7)
    C, _, _, _, _, A, H = u
    production, loss = map(np.array, balance(u, p))
    fields = Fields(*u)
    made, lost = np.array(sources(fields, p)), np.array(sinks(fields, p))
    moved = (production - made) - (loss - lost) * u
    assert (made >= 0.0).all()
    assert (lost >= 0.0).all()
    assert passing(fields, slow(fields, p), p) == pytest.approx(
        [p.k_e0 * (1 + p.beta_A * A + p.beta_H * H), p.p_r / (1 + A), p.mu_0 + p.nu * C, p.mu_1 * np.exp(-p.xi * C)]
    )
    assert np.abs(moved[:4]).min() > 1e-3
    assert moved[0] + moved[1] == pytest.approx(0.0, abs=1e-15)
    assert moved[2] + moved[3] == pytest.approx(0.0, abs=1e-15)
    assert np.abs(moved[4:]).max() == 0.0
