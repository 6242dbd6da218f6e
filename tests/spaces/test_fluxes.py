"""Face fluxes: limits, consistency, order of accuracy of the taxis divergence."""

import numpy as np
import pytest

from carmodel.model import Medium
from carmodel.models.polyakov import MODEL
from carmodel.spaces import BoxSpace
from carmodel.spaces.fluxes import bernoulli, central, harmonic_mean, hybrid, scharfetter_gummel, upwind
from carmodel.spaces.stencils import Stage
from tests.conftest import smooth_state, without_reactions

ORDERS = {"central": 2, "upwind": 1, "scharfetter-gummel": 2}


def test_bernoulli_function_keeps_its_digits():
    x = np.concatenate([-np.logspace(-12, 2.8, 60), np.logspace(-12, 2.8, 60)])
    ours = np.array([bernoulli(v) for v in x])
    # In extended precision, where expm1 has no cancellation left.
    exact = (x.astype(np.longdouble) / np.expm1(x.astype(np.longdouble))).astype(float)
    assert np.abs(ours / np.where(exact > 0, exact, 1.0) - 1.0).max() < 1e-13
    assert bernoulli(0.0) == 1.0
    assert bernoulli(800.0) == 0.0
    assert bernoulli(-800.0) == 800.0


def test_scharfetter_gummel_goes_from_central_to_upwind():
    C = (0.3, 0.8)
    assert scharfetter_gummel(*C, 1e-6, 1.0) == pytest.approx(central(*C, 1e-6, 0.5), rel=1e-5)
    for v in (5.0, -5.0):
        assert scharfetter_gummel(*C, v, 1e-3) == pytest.approx(upwind(*C, v), rel=1e-3)
        assert scharfetter_gummel(*C, v, 0.0) == upwind(*C, v)


@pytest.mark.parametrize("v", [-300.0, -2.0, -1e-5, 0.0, 1e-5, 2.0, 300.0])
def test_scharfetter_gummel_with_diffusion_is_exact_for_steady_one_dimensional_transport(v):
    """C(x) = exp(v x / D) carries no flux, the constant carries v: both to rounding."""
    d, C = 0.7, 0.4
    steady = C * np.exp(v / d) if v / d < 50 else None
    if steady is not None:
        total = scharfetter_gummel(C, steady, v, d) + d * (C - steady)
        assert abs(total) < 1e-13 * max(abs(v) * steady, d * steady, d * C)
    assert scharfetter_gummel(C, C, v, d) == pytest.approx(v * C, rel=1e-14)


@pytest.mark.parametrize("weight", [0.5, 0.3])
def test_hybrid_is_central_until_its_sum_with_diffusion_would_not_be_positive(weight):
    """To the last bit; beyond, the sum is the upwind flux alone."""
    C, d = (0.3, 0.8), 0.7
    for v in (1.9 * d, -1.9 * d) if weight == 0.5 else (d, -d):
        assert hybrid(*C, v, d, weight) == central(*C, v, weight)
    for v in (20.0, -20.0):
        assert hybrid(*C, v, d, weight) + d * (C[0] - C[1]) == pytest.approx(upwind(*C, v), rel=1e-14)
        assert hybrid(*C, v, 0.0, weight) == pytest.approx(upwind(*C, v), rel=1e-14)


def test_harmonic_mean_lets_nothing_through_a_wall():
    assert harmonic_mean(2.0, 2.0) == 2.0
    assert harmonic_mean(1.0, 3.0) == 1.5
    assert harmonic_mean(0.0, 3.0) == 0.0
    assert harmonic_mean(0.0, 0.0) == 0.0


def taxis_divergence(space, u, p, taxis):
    """-div(chi C grad S) by the compiled stage, on the owned cells."""
    rate, out = space.zeros(7), space.zeros(7)
    space.exchange(u, MODEL.neighbours)
    space.explicit_stage(
        (u, u, rate, out),
        Stage(0.0, 0.0, store=True, clamp=False),
        Medium(p, {"D_C": space.zeros() + p.D_C}),
        taxis,
        np.zeros(7),
    )
    return space.owned(rate)


def manufactured(space, p):
    """Fields with zero normal gradient, and -div(chi(A) C grad S) of them, differentiated by hand."""
    x, y, z = (np.broadcast_to(c, space.owned_shape) for c in space.centres)
    k = np.pi
    C = 1.0 + 0.5 * np.cos(k * x) * np.cos(k * y)
    S = np.cos(k * x) + 0.5 * np.cos(k * y) * np.cos(k * z)
    A = 0.6 + 0.4 * np.cos(k * y)
    dC = [-0.5 * k * np.sin(k * x) * np.cos(k * y), -0.5 * k * np.cos(k * x) * np.sin(k * y), 0.0 * z]
    dS = [-k * np.sin(k * x), -0.5 * k * np.sin(k * y) * np.cos(k * z), -0.5 * k * np.cos(k * y) * np.sin(k * z)]
    lap_S = -(k**2) * np.cos(k * x) - k**2 * np.cos(k * y) * np.cos(k * z)
    chi = p.chi_0 / (1.0 + p.alpha_A * A)
    dchi_dy = -p.chi_0 * p.alpha_A / (1.0 + p.alpha_A * A) ** 2 * (-0.4 * k * np.sin(k * y))
    exact = -(chi * sum(a * b for a, b in zip(dC, dS, strict=True)) + dchi_dy * C * dS[1] + chi * C * lap_S)
    u = space.zeros(7)
    for f, field in ((0, C), (4, S), (5, A)):
        space.owned(u[f])[...] = field
    return u, exact


@pytest.mark.parametrize("taxis", ORDERS)
def test_taxis_divergence_converges_at_its_order(taxis):
    # Strong chemotaxis, so that upwind and Scharfetter-Gummel differ from central.
    p = without_reactions()._replace(chi_0=0.5, alpha_A=0.8)
    errors = []
    for n in (12, 24, 48):
        space = BoxSpace((n, n, n), (1.0, 1.0, 1.0))
        u, exact = manufactured(space, p)
        error = taxis_divergence(space, u, p, taxis)[0] - exact
        errors.append(np.sqrt((error**2).mean()))
        space.destroy()
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(ORDERS[taxis], abs=0.25), (errors, orders)


@pytest.mark.parametrize("taxis", ORDERS)
def test_taxis_keeps_mass_and_leaves_other_fields_alone(taxis):
    space = BoxSpace((9, 8, 7), (1.0, 1.2, 0.8))
    rate = taxis_divergence(space, smooth_state(space), without_reactions(), taxis)
    assert np.abs(rate[0]).max() > 1e-2
    assert abs(rate[0].sum()) < 1e-12 * np.abs(rate[0]).sum()
    assert np.abs(rate[1:]).max() == 0.0
    space.destroy()
