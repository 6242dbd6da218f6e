"""A steady state of the homogeneous system is one of the 3-D solvers, and stays so under noise."""

import numpy as np
import pytest

from carmodel.integrators import Exponential, Imex, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.paper.steady import coexistence, tumour_states
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from tests.conftest import advance
from tests.parameter_sets import CART_DIE_OUT

BOX = ((7, 6, 5), (1.0, 0.8, 0.6))

#: Space, integrator and step by name; another integrator is tested by being listed.
INTEGRATORS = {
    "imex": (lambda: BoxSpace(*BOX), lambda space, p: Imex(space, Medium(p), rtol=1e-10), 4.0),
    "exponential": (lambda: BoxSpace(*BOX), lambda space, p: Exponential(space, Medium(p), rtol=1e-10), 4.0),
    "strang": (lambda: BoxSpace(*BOX), lambda space, p: Strang(space, Medium(p)), 0.5),
    "coupled": (lambda: MeshSpace(grid_mesh(*BOX)), lambda space, p: Coupled(space, Medium(p), tolerance=1e-12), 4.0),
}
STATES = {
    "E_T": (CART_DIE_OUT, tumour_states(CART_DIE_OUT)[0].state),
    "E_CT": (PRESETS["normalised"], coexistence(PRESETS["normalised"]).states[0].state),
}


def largest_difference(name, case, noise, duration, longest=None):
    """From the state plus noise, advanced: the largest difference from the state."""
    (make_space, make_integrator, step), (p, expected) = INTEGRATORS[name], STATES[case]
    space = make_space()
    u = space.zeros(7)
    own = space.owned(u)
    rng = np.random.default_rng(1)
    for f in range(7):
        # Upwards where a field is zero: a density is not negative.
        low = -1.0 if expected[f] > 0.0 else 0.0
        own[f] = expected[f] + noise * rng.uniform(low, 1.0, size=own[f].shape)
    integrator = make_integrator(space, p)
    steps = round(duration / (longest or step))
    for _ in range(steps):
        advance(integrator, u, duration / steps)
    difference = max(float(np.abs(space.owned(u)[f] - expected[f]).max()) for f in range(7))
    clamped = float(np.abs(integrator.clamped).max())
    integrator.destroy()
    space.destroy()
    assert clamped == 0.0
    return difference


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("name", INTEGRATORS)
def test_steady_state_stays(name, case):
    """Uniform fields have no flux, so each substep leaves them: splitting has the same fixed points."""
    assert largest_difference(name, case, 0.0, 40.0) < 1e-12


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("name", INTEGRATORS)
def test_noise_decays_and_the_same_numbers_are_left(name, case):
    """1e-6 of noise: never more than that is left, and after ten times 1/|growth| less than 1e-8."""
    early = largest_difference(name, case, 1e-6, 2.0, 0.5)
    late = largest_difference(name, case, 1e-6, 240.0)
    assert 1e-8 < early < 3e-6
    assert late < 1e-8
