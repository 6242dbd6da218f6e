"""Diffusion and taxis of C in one system: its entries, its limits, its solver."""

import numpy as np
import pytest

from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, MODEL
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.solvers.migration import Migration
from carmodel.spaces import BoxSpace
from carmodel.spaces.fluxes import TAXIS_SCHEMES, bernoulli, migration_weights
from carmodel.spaces.stencils import Stage
from carmodel.tools.errors import NumericsError
from carmodel.tools.petsc import PETSc
from tests.conftest import without_reactions
from tests.meshes import BOX, graded, tetrahedra, uniform

#: Cell Peclet numbers of about one on the spaces below.
P = without_reactions()._replace(chi_0=0.5, alpha_A=0.7)
SPACES = {"box": lambda: BoxSpace((6, 7, 8), BOX), "uniform": uniform, "graded": graded, "tetrahedra": tetrahedra}


@pytest.fixture(scope="module", params=SPACES)
def space(request):
    made = SPACES[request.param]()
    yield made
    made.destroy()


def random_state(space, seed=1):
    """Rough fields and a D_C that varies a hundredfold, with valid ghosts."""
    rng = np.random.default_rng(seed)
    u, D_C = space.zeros(7), space.zeros()
    space.owned(u)[...] = rng.random(space.owned(u).shape)
    space.owned(D_C)[...] = P.D_C * 0.01 ** rng.random(space.owned(D_C).shape)
    space.exchange(u, range(7))
    space.exchange_field(D_C)
    return u, D_C


def renewed(migration, space, u, dt, p=P):
    """The migration of C with the velocity of a state."""
    (chi,) = space.sensitivities(u, Medium(p))
    migration.renew(dt, (u[4],), (chi,))
    return migration


def applied(space, D_C, taxis, u, dt):
    """A C of a migration, shape (n_owned,)."""
    migration = renewed(Migration(space, "C", D_C, taxis), space, u, dt)
    x, y = space.create_vector(), space.create_vector()
    x.array[:] = space.owned(u[0]).ravel()
    migration._matrix.mult(x, y)
    result = y.array.copy()
    for thing in (x, y, migration):
        thing.destroy()
    return result


@pytest.mark.parametrize("taxis", TAXIS_SCHEMES)
def test_the_system_holds_the_fluxes_of_the_explicit_scheme(space, taxis):
    """A C = V C - dt V (diffusion + taxis), both as the other integrators have them."""
    u, D_C = random_state(space)
    dt = 0.3
    rate, out = space.zeros(2, 7)
    space.exchange(u, MODEL.neighbours)
    space.explicit_stage(
        (u, u, rate, out), Stage(0.0, 0.0, store=True, clamp=False), Medium(P, {"D_C": D_C}), taxis, np.zeros(7)
    )
    matrix, x, y = space.diffusion_matrix(D_C, dt), space.create_vector(), space.create_vector()
    x.array[:] = space.owned(u[0]).ravel()
    matrix.mult(x, y)
    taxis_part = dt * np.ravel(space.relative_volumes * space.owned(rate[0]))
    assert np.abs(taxis_part).max() > 0.01
    assert np.abs(applied(space, D_C, taxis, u, dt) - (y.array - taxis_part)).max() < 1e-13 * np.abs(y.array).max()
    for thing in (matrix, x, y):
        thing.destroy()


def test_without_taxis_it_is_diffusion(space):
    u, D_C = random_state(space)
    migration = renewed(Migration(space, "C", D_C, "scharfetter-gummel"), space, u, 0.3, P._replace(chi_0=0.0))
    diffusion = KrylovDiffusion(space, [D_C, *Medium(P).diffusivities[1:]], FIELDS)
    plain, ours = (space.owned(u[0]).copy() for _ in range(2))
    migration.solve(ours)
    diffusion.solve_field(0, plain, 0.3)
    assert np.abs(ours - plain).max() < 1e-11
    migration.destroy()
    diffusion.destroy()


@pytest.mark.parametrize("taxis", ["upwind", "scharfetter-gummel"])
def test_a_step_of_any_length_keeps_the_total_and_gathers_cells_where_S_is(space, taxis):
    u, D_C = random_state(space)
    centres = np.broadcast_arrays(*space.centres)
    space.owned(u[4])[...] = np.exp(
        -20.0 * sum((c - 0.6 * length) ** 2 for c, length in zip(centres, BOX, strict=True))
    )
    space.exchange_field(u[4])
    volumes = np.broadcast_to(space.relative_volumes, space.owned_shape)
    for dt in (0.01, 1.0, 100.0):
        migration = renewed(Migration(space, "C", D_C, taxis), space, u, dt)
        C = space.owned(u[0]).copy()
        migration.solve(C)
        assert (C * volumes).sum() == pytest.approx((space.owned(u[0]) * volumes).sum(), rel=1e-14)
        migration.destroy()
    near = space.owned(u[4]) > 0.5
    assert (C * volumes)[near].sum() > 1.5 * (space.owned(u[0]) * volumes)[near].sum()


def test_weights_are_the_exponentially_fitted_ones_and_never_negative():
    """a = d B(-v/d) and b = d B(v/d); a constant C is carried with v."""
    rng = np.random.default_rng(2)
    for _ in range(2000):
        d, v = 10.0 ** rng.uniform(-6.0, 2.0), rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-6.0, 3.0)
        size = d + abs(v)
        a, b = migration_weights(TAXIS_SCHEMES["scharfetter-gummel"], v, d, 0.5)
        assert abs(a - d * bernoulli(-v / d)) < 1e-15 * size
        assert abs(b - d * bernoulli(v / d)) < 1e-15 * size
        for scheme, number in TAXIS_SCHEMES.items():
            a, b = migration_weights(number, v, d, 0.5)
            assert a - b == pytest.approx(v, abs=1e-15 * size)
            assert scheme == "central" or min(a, b) >= 0.0


def with_options(options, make):
    database = PETSc.Options()
    for key, value in options.items():
        database[key] = value
    try:
        return make()
    finally:
        for key in options:
            database.delValue(key)


def test_petsc_options_of_C_win_and_a_failed_solve_says_so():
    space = BoxSpace((6, 7, 8), BOX)
    u, D_C = random_state(space)
    results = []
    for options, method in (
        ({}, "gmres + bjacobi"),
        ({"C_ksp_type": "bcgs", "C_pc_type": "jacobi"}, "bcgs + jacobi"),
        ({"C_ksp_type": "preonly", "C_pc_type": "lu"}, "preonly + lu"),
    ):
        migration = with_options(options, lambda: Migration(space, "C", D_C, "upwind"))
        renewed(migration, space, u, 1.0)
        C = space.owned(u[0]).copy()
        migration.solve(C)
        assert migration.method == method
        results.append(C)
        migration.destroy()
    assert max(np.abs(C - results[0]).max() for C in results) < 1e-11
    migration = with_options({"C_ksp_max_it": 2, "C_pc_type": "none"}, lambda: Migration(space, "C", D_C, "upwind"))
    renewed(migration, space, u, 1.0)
    with pytest.raises(NumericsError, match=r"diffusion of C not solved: .* after 2 iterations"):
        migration.solve(space.owned(u[0]))
    migration.destroy()
    space.destroy()
