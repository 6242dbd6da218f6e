"""Taxis that is not central with `mprk22`: nothing turns negative or is clamped, whatever model, state and step."""

import numpy as np
import pytest

from carmodel.integrators import Patankar, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, TABLE_1, Parameters
from carmodel.spaces import BoxSpace
from carmodel.spaces.cutbox import CutBoxSpace
from tests.meshes import graded, tetrahedra

#: Ranges in units of K_T where Table 1's are not, or where it gives none.
SCALED = {
    "K_T": (1.0, 1.0),
    "K_C": (0.417, 41.7),
    "sigma_S": (0.4, 0.8),
    "sigma_A": (0.1, 1.0),
    "sigma_M": (0.04, 0.4),
    "eta": (0.024, 0.24),
    "gamma": (0.3, 0.6),
    "nu": (0.0024, 0.24),
    "xi": (0.024, 2.7),
    "K_H": (0.05, 5.0),
    "alpha_A": (0.1, 10.0),
    "beta_A": (0.1, 10.0),
    "beta_H": (0.1, 10.0),
}
#: The ranges are taken wider by this factor on both sides.
BEYOND = 5.0
PECLET = (0.1, 50.0)
STEPS = (1e-3, 10.0)


def box():
    return BoxSpace((6, 5, 4), (1.0, 0.9, 0.8))


def cut_box():
    """A ball in a box."""

    def level(x, y, z):
        points = np.meshgrid(x - 0.5, y - 0.45, z - 0.4, indexing="ij")
        return (np.sqrt(sum(axis**2 for axis in points)) - 0.38).transpose(2, 1, 0)

    return CutBoxSpace((9, 8, 7), (1.0, 0.9, 0.8), level)


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_parameters(rng, S):
    """Any of the ranges' values; the largest difference of S makes a cell Peclet number chi_0 dS / D_C in `PECLET`."""
    ranges = {name: (entry.low, entry.high) for name, entry in TABLE_1.items()} | SCALED | {"chi_0": (1.0, 1.0)}
    p = Parameters(**{name: log_uniform(rng, low / BEYOND, high * BEYOND) for name, (low, high) in ranges.items()})
    return p._replace(chi_0=log_uniform(rng, *PECLET) * p.D_C / np.ptp(S))


def random_state(rng, space):
    """Fields that are noise, or have a sharp edge, a single cell, holes, or nothing at all; S has something."""
    u = space.zeros(7)
    for f in range(7):
        own = space.owned(u[f])
        noise = rng.random(own.shape) * (1.0 if space.outside is None else ~space.outside)
        kind = rng.integers(5 if f != 4 else 4)
        if kind == 0:
            own[...] = noise
        elif kind == 1:
            own[...] = noise * (noise > 0.6)
        elif kind == 2:
            own[...] = (np.broadcast_to(space.centres[rng.integers(3)], own.shape) > 0.4) * (noise > 0.0)
        elif kind == 3:
            own[...] = noise == noise.max()
        own *= log_uniform(rng, 1e-3, 10.0)
    return u


def random_diffusivity(rng, space, p):
    """D_C by cell: falls a thousandfold, and is zero in places; None in half of all cases."""
    if rng.random() < 0.5:
        return None
    D = space.zeros()
    own = space.owned(D)
    own[...] = p.D_C * 1e-3 ** rng.random(own.shape) * (rng.random(own.shape) > 0.1)
    space.exchange_field(D)
    return D


def least_after(rng, space, taxis):
    """Least value of the fields over three steps of one length and the mass that clamping added, shape (7,)."""
    u = random_state(rng, space)
    p = random_parameters(rng, space.owned(u[4]))
    D_C = random_diffusivity(rng, space, p)
    integrator = Strang(space, Medium(p, {"D_C": D_C}), taxis=taxis, reactions=Patankar())
    dt, least = log_uniform(rng, *STEPS), np.full(7, np.inf)
    for _ in range(3):
        integrator.step(u, dt)
        assert np.isfinite(space.owned(u)).all()
        least = np.minimum(least, space.sum_min_max(u)[1])
    clamped = integrator.clamped.copy()
    integrator.destroy()
    return least, clamped


@pytest.mark.parametrize(
    ("make", "taxis", "cases"),
    [
        (box, "scharfetter-gummel", 160),
        (graded, "scharfetter-gummel", 20),
        (tetrahedra, "scharfetter-gummel", 20),
        (box, "upwind", 20),
        (box, "hybrid", 40),
        (tetrahedra, "hybrid", 10),
        (cut_box, "scharfetter-gummel", 30),
        (cut_box, "hybrid", 10),
    ],
)
def test_no_field_turns_negative_and_nothing_is_clamped(make, taxis, cases):
    space = make()
    rng = np.random.default_rng(22)
    for case in range(cases):
        least, clamped = least_after(rng, space, taxis)
        assert (least >= 0.0).all(), (case, dict(zip(FIELDS, least, strict=True)))
        assert (clamped == 0.0).all(), (case, dict(zip(FIELDS, clamped, strict=True)))
    space.destroy()
