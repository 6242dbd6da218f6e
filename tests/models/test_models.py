"""What holds of every model: rates, orders, positivity, conserved pairs, two spaces, several integrators."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from carmodel.integrators import Exponential, Heat, Imex, Jacobi, Krylov, Patankar, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models import dual_target, polyakov
from carmodel.solvers.patankar import advance
from carmodel.spaces import BoxSpace
from carmodel.spaces.fluxes import TAXIS_SCHEMES
from carmodel.theory.ode import balance
from tests.meshes import uniform
from tests.models import twelve_fields, two_fields

CELLS, LENGTHS = (6, 7, 8), (1.0, 0.9, 0.8)


def each(*models, slow):
    """A test for each model; loops are compiled for every one, so the larger ones are slow."""
    quick = [pytest.param(model, id=model.name) for model in models]
    rest = [pytest.param(model, id=model.name, marks=pytest.mark.slow) for model in slow]
    return pytest.mark.parametrize("model", quick + rest)


EACH = each(polyakov.MODEL, two_fields.MODEL, slow=[dual_target.MODEL, twelve_fields.MODEL])


def parameters(model):
    """The default set, every taxis on and strong enough to matter."""
    p = next(iter(model.presets.values()))
    return p._replace(**{t.strength: max(0.02, getattr(p, t.strength)) for t in model.taxis})


def state(space, n, seed=3):
    """Smooth positive fields without a gradient at the walls, shape (n, n_local)."""
    rng = np.random.default_rng(seed)
    u = space.zeros(n)
    x, y, z = (np.pi * c / length for c, length in zip(space.centres, LENGTHS, strict=True))
    for f in range(n):
        a, b, c = rng.integers(0, 3, size=3)
        space.owned(u[f])[...] = 0.5 + 0.05 * f / n + 0.3 * np.cos(a * x) * np.cos(b * y) * np.cos(c * z)
    space.exchange(u, range(n))
    return u


def rate(space, u, medium, taxis="central"):
    """Reactions and taxis, shape (fields, cells)."""
    out = np.zeros((len(u), space.n_owned))
    space.explicit_rate(u, out, medium, taxis)
    return out


def advanced(space, integrator, u, days, dt=np.inf):
    """The fields after some days, shape (fields, cells)."""
    u, t = u.copy(), 0.0
    while t < days * (1.0 - 1e-12):
        t += integrator.step(u, min(dt, days - t))
    integrator.destroy()
    return space.owned(u).reshape(len(u), -1).copy()


def relative(a, b):
    return (np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max()


@pytest.fixture(scope="module")
def box():
    space = BoxSpace(CELLS, LENGTHS)
    yield space
    space.destroy()


@pytest.fixture(scope="module")
def grid():
    space = uniform(CELLS, LENGTHS)
    yield space
    space.destroy()


@EACH
def test_loops_have_the_rates_that_the_functions_give(model, box, grid):
    """Without taxis, which is a field's own business: P - L u in every cell, on a box and on a mesh."""
    p = parameters(model)._replace(**{t.strength: 0.0 for t in model.taxis})
    for space in (box, grid):
        u = state(space, len(model.names))
        own = space.owned(u).reshape(len(u), -1)
        P, L = (np.array(np.broadcast_arrays(*rates, own[0])[:-1]) for rates in balance(own, p))
        assert np.abs(rate(space, u, Medium(p)) - (P - L * own)).max() < 1e-14


@EACH
@pytest.mark.parametrize("taxis", TAXIS_SCHEMES)
def test_box_and_grid_have_the_same_fluxes(model, box, grid, taxis):
    """Every field that moves does, keeps its total, and as on the other space."""
    p = parameters(model)
    still = Medium(p._replace(**{t.strength: 0.0 for t in model.taxis}))
    rates = [
        rate(s, state(s, len(model.names)), Medium(p), taxis) - rate(s, state(s, len(model.names)), still, taxis)
        for s in (box, grid)
    ]
    moved = [f for f in range(len(model.names)) if np.abs(rates[0][f]).max() > 1e-6]
    assert moved == [*model.movers]
    assert np.abs(rates[0].sum(axis=1)).max() < 1e-11
    assert np.abs(rates[0] - rates[1]).max() < 1e-12


@pytest.mark.slow
def test_velocities_of_one_field_add_up(box):
    """Two attractants that are the same field move a field as one of twice the sensitivity would."""
    model = twelve_fields.MODEL
    p = parameters(model)._replace(chi_K=0.0, chi_S=0.03, chi_R=0.03)
    u = state(box, len(model.names))
    S, R, P, F = map(model.place, "SRPF")
    u[R], u[F] = u[S], u[P]
    for taxis in TAXIS_SCHEMES:
        both = rate(box, u, Medium(p), taxis)
        one = rate(box, u, Medium(p._replace(chi_S=0.06, chi_R=0.0)), taxis)
        assert np.abs(both - one).max() < 1e-13


@EACH
def test_positive_reactions_are_of_second_order_and_keep_what_passes(model):
    """MPRK22 against the same equations solved to rounding; and, for any step, no less and no more than there was."""
    p, n = parameters(model), len(model.names)
    start = np.random.default_rng(1).uniform(0.1, 1.0, n)

    def right_hand_side(_t, u):
        P, L = balance(u, p)
        return np.array([*P]) - np.array([*L]) * u

    exact = solve_ivp(right_hand_side, (0.0, 1.0), start, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    errors = []
    for steps in (40, 80):
        u = start[:, None].copy()
        advance(u, np.array([0]), 1, 1.0 / steps, steps, p)
        errors.append(np.linalg.norm(u[:, 0] - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.15)
    for h in (0.1, 10.0, 1e6):
        u = start[:, None].copy()
        u[::3] = 0.0
        advance(u, np.array([0]), 1, h, 3, p)
        assert np.isfinite(u).all()
        assert (u >= 0.0).all()


@pytest.mark.slow
def test_what_passes_round_a_ring_is_kept():
    """Groups of more than two, arrows that do not come in pairs."""
    model = twelve_fields.MODEL
    p = parameters(model)._replace(kill=0.0, growth=0.0, make=0.0, decay=0.0)
    ring = [model.place(name) for name in twelve_fields.RING]
    for h in (0.1, 10.0, 1e6):
        u = np.random.default_rng(2).uniform(0.1, 1.0, (12, 1))
        before = u[ring].sum()
        advance(u, np.array([0]), 1, h, 3, p)
        assert u[ring].sum() == pytest.approx(before, rel=1e-13)


@each(polyakov.MODEL, two_fields.MODEL, slow=[dual_target.MODEL, twelve_fields.MODEL])
def test_integrators_agree_and_converge(model, box, grid):
    """Eight ways to the same fields after half a day, at the orders that they declare."""
    n, medium = len(model.names), Medium(parameters(model))
    on_box, on_grid = state(box, n), state(grid, n)
    exact = advanced(box, Exponential(box, medium, rtol=1e-9), on_box, 0.5)
    assert relative(advanced(box, Imex(box, medium, rtol=1e-8), on_box, 0.5), exact) < 1e-6
    assert relative(advanced(grid, Imex(grid, medium, rtol=1e-8), on_grid, 0.5), exact) < 1e-6
    for make, u, order in (
        (lambda: Strang(box, medium, diffusion=Heat(), taxis="hybrid"), on_box, 2),
        (lambda: Strang(grid, medium, diffusion=Krylov("sdirk2"), taxis="hybrid"), on_grid, 2),
        (lambda: Strang(box, medium, diffusion=Jacobi(5000), taxis="hybrid"), on_box, 1),
        (lambda: Strang(box, medium, reactions=Patankar(), diffusion=Heat(), taxis="hybrid"), on_box, 2),
        (
            lambda: Strang(grid, medium, reactions=Patankar(), diffusion=Krylov("sdirk2"), taxis="hybrid"),
            on_grid,
            2,
        ),
    ):
        space = box if u is on_box else grid
        errors = [relative(advanced(space, make(), u, 0.5, dt), exact) for dt in (0.05, 0.025)]
        assert errors[0] < 0.02
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)
    central = advanced(box, Exponential(box, medium, rtol=1e-9, taxis="central"), on_box, 0.5)
    errors = [relative(advanced(grid, Coupled(grid, medium), on_grid, 0.5, dt), central) for dt in (0.05, 0.025)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.5)


def test_a_second_product_that_is_not_there_changes_nothing(box):
    """`dual_target` with D = 0 is `polyakov`."""
    p = parameters(polyakov.MODEL)
    q = dual_target.MODEL.presets["normalised"]._replace(**p._asdict())
    u = state(box, 7)
    v = np.concatenate([u, box.zeros(1)])
    one, other = (advanced(box, Exponential(box, Medium(x), dt=0.1, adapt=False), w, 1.0) for x, w in ((p, u), (q, v)))
    assert np.abs(other[7]).max() == 0.0
    assert np.abs(other[:7] - one).max() < 1e-12
