"""Parameters that differ from cell to cell, in every loop over cells: box, cut box, mesh, every integrator."""

import numpy as np
import pytest

from carmodel.integrators import Exponential, Heun, Imex, Krylov, Patankar, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.spaces import BoxSpace
from carmodel.spaces.cutbox import CutBoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.spaces.peclet import largest_peclet_numbers
from tests.spaces.test_cutbox import ball

P = PRESETS["normalised"]
CELLS, LENGTHS = (9, 8, 7), (1.2, 1.2, 1.2)
#: Of reactions, of a number that takes an exponential's place, of taxis, and one that divides.
NAMES = ("r_T", "gamma", "k_e0", "chi_0", "alpha_A", "K_T", "K_H", "nu")
WAYS = {
    "heun": lambda space, medium: Strang(space, medium),
    "patankar": lambda space, medium: Strang(space, medium, reactions=Patankar()),
    "sdirk2": lambda space, medium: Strang(space, medium, reactions=Heun(2), diffusion=Krylov("sdirk2")),
    "imex": lambda space, medium: Imex(space, medium, rtol=1e-6),
    "exponential": lambda space, medium: Exponential(space, medium, rtol=1e-6),
    "coupled": lambda space, medium: Coupled(space, medium),
}
SPACES = {
    "box": lambda: BoxSpace(CELLS, LENGTHS),
    "cut box": lambda: CutBoxSpace(CELLS, LENGTHS, ball),
    "mesh": lambda: MeshSpace(grid_mesh(CELLS, LENGTHS)),
}
#: Those that always run: each integrator and each space once.
ALWAYS = [("heun", "cut box"), ("patankar", "cut box"), ("imex", "mesh"), ("exponential", "box"), ("coupled", "mesh")]
PAIRS = [
    pytest.param(way, kind, marks=[] if (way, kind) in ALWAYS else pytest.mark.slow)
    for way in WAYS
    for kind in SPACES
    if (way != "coupled" or kind == "mesh") and (way != "exponential" or kind == "box")
]


def after(space, medium, way, u, steps=3, dt=0.05):
    u = u.copy()
    integrator, t = WAYS[way](space, medium), 0.0
    while t < steps * dt - 1e-12:
        t += integrator.step(u, min(dt, steps * dt - t))
    integrator.destroy()
    return space.owned(u).copy()


def start(space):
    rng, u = np.random.default_rng(0), space.zeros(7)
    for f in range(7):
        waves = [np.cos(rng.integers(0, 3) * np.pi * x / side) for x, side in zip(space.centres, LENGTHS, strict=True)]
        space.owned(u)[f] = 0.3 + 0.1 * f + 0.2 * waves[0] * waves[1] * waves[2]
    if space.outside is not None:
        space.owned(u)[:, space.outside] = 0.0
    space.exchange(u, range(7))
    return u


@pytest.mark.parametrize(("way", "kind"), PAIRS)
def test_the_same_value_in_every_cell_is_a_number(way, kind):
    space = SPACES[kind]()
    u = start(space)
    plain, changed = Medium(P), P._replace(**{name: 2.0 * getattr(P, name) for name in NAMES})
    by_cell = Medium(P, {name: space.zeros() + getattr(changed, name) for name in NAMES})
    found, wanted = after(space, by_cell, way, u), after(space, Medium(changed), way, u)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
    assert np.abs(found - after(space, plain, way, u)).max() > 1e-3
    space.destroy()


@pytest.mark.parametrize(("way", "kind"), PAIRS)
def test_cells_without_migration_have_their_own_parameters(way, kind):
    """Each half as if all were like it; tumour growth, killing, exhaustion and capacity differ by half."""
    space = SPACES[kind]()
    u = start(space)
    rests = P._replace(**{name: 0.0 for name in P._fields if name.startswith("D_")}, chi_0=0.0)
    left = rests._replace(r_T=0.1, gamma=0.9, k_e0=0.02, K_T=1.0)
    right = rests._replace(r_T=0.6, gamma=0.2, k_e0=0.2, K_T=2.0)
    x = space.zeros()
    space.owned(x)[...] = space.centres[0]
    space.exchange_field(x)
    names = ("r_T", "gamma", "k_e0", "K_T")
    given = {name: np.where(x < 0.5, getattr(left, name), getattr(right, name)) for name in names}
    # Steps as long as those of each half alone: an adaptive one would choose others.
    steps, dt = (1, 1e-3) if way in ("imex", "exponential") else (3, 0.05)
    found = after(space, Medium(left, given), way, u, steps, dt)
    halves = [after(space, Medium(p), way, u, steps, dt) for p in (left, right)]
    wanted = np.where(space.owned(x) < 0.5, *halves)
    assert np.abs(halves[0] - halves[1]).max() > 1e-5
    # `coupled` iterates to its own tolerance.
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-8 if way == "coupled" else 1e-10)
    space.destroy()


@pytest.mark.parametrize("kind", SPACES)
def test_sensitivity_by_cell_moves_cells_and_keeps_their_total(kind):
    space = SPACES[kind]()
    u = start(space)
    x = space.zeros()
    space.owned(x)[...] = space.centres[0]
    space.exchange_field(x)
    p = P._replace(**{name: 0.0 for name in P._fields if not name.startswith(("K_", "alpha"))})
    medium = Medium(p, {"chi_0": np.where(x < 0.5, 0.0, 0.2)})
    assert medium.moving.all()
    found = after(space, medium, "heun", u)
    change = found - space.owned(u)
    still = space.owned(x) < 0.3
    assert np.abs(change[0][still]).max() < 1e-14
    assert np.abs(change[0]).max() > 1e-3
    assert np.sum(space.relative_volumes * change[0]) == pytest.approx(0.0, abs=1e-11)
    assert largest_peclet_numbers(space, u, Medium(P, {"chi_0": medium.given["chi_0"]}))["C"] > 0.0
    space.destroy()


def test_diffusivities_by_cell_leave_the_loops_as_they_are():
    space = SPACES["box"]()
    D = space.zeros() + 0.1
    assert Medium(P, {"D_C": D}).in_loops is P
    assert not Medium(P, {"D_C": D}).diffuses_evenly
    assert Medium(P, {"r_T": D}).diffuses_evenly
    assert Medium(P, {"r_T": D}).is_as(Medium(P, {"r_T": D}))
    assert not Medium(P, {"r_T": D}).is_as(Medium(P, {"r_T": D.copy()}))
    space.destroy()
