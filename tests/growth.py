"""Growth rates measured in runs of the 3-D solvers."""

import numpy as np

from carmodel.integrators import Exponential, Imex, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS, Parameters
from carmodel.paper.steady import steady_states
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.theory.dispersion import linearisation
from carmodel.theory.ode import reference_levels
from tests.conftest import advance
from tests.parameter_sets import CART_DIE_OUT, TAXIS_DRIVEN

P = PRESETS["normalised"]

#: Space, integrator and longest step by name; another integrator is tested by being listed.
INTEGRATORS = {
    "imex": (lambda *box: BoxSpace(*box), lambda space, p: Imex(space, Medium(p), rtol=1e-6, clamp=False), 0.5),
    "exponential": (
        lambda *box: BoxSpace(*box),
        lambda space, p: Exponential(space, Medium(p), rtol=1e-6, clamp=False),
        0.5,
    ),
    "strang": (lambda *box: BoxSpace(*box), lambda space, p: Strang(space, Medium(p), clamp=False), 0.02),
    "coupled": (
        lambda *box: MeshSpace(grid_mesh(*box)),
        lambda space, p: Coupled(space, Medium(p), tolerance=1e-12),
        0.025,
    ),
}

CASES = {
    "E_0, unstable": (P, "E_0", (1, 0, 0), 4.0),
    "E_0, stable": (P._replace(D_T=0.05), "E_0", (1, 1, 0), 3.0),
    "E_T, CAR-T cells invade": (P, "E_T", (1, 0, 0), 2.0),
    "E_T, stable": (CART_DIE_OUT, "E_T", (0, 1, 0), 4.0),
    "E_CT, stable": (P, "E_CT", (1, 0, 0), 4.0),
    "E_CT, unstable by taxis": (P._replace(chi_0=20.0), "E_CT", (2, 0, 0), 2.0),
    "E_CT, unstable by taxis at its own chi_0": (TAXIS_DRIVEN, "E_CT", (1, 0, 0), 4.0),
}
CELLS, LENGTHS = (24, 8, 3), (1.2, 0.9, 0.3)


def state_named(kind: str, p: Parameters) -> np.ndarray:
    """The first steady state of a kind."""
    return next(s.state for s in steady_states(p) if s.kind == kind)


def measured(name, p, u, k2, mode, duration, cells=CELLS):
    """The complex growth rate of the leading eigenvector times a cosine: exactly followed by its left eigenvector."""
    make_space, make_integrator, longest = INTEGRATORS[name]
    values, vectors = np.linalg.eig(linearisation(u, p, k2))
    lead = values.real.argmax()
    left = np.linalg.inv(vectors)[lead]
    space = make_space(cells, LENGTHS)
    cosine = np.ones(space.owned(space.zeros()).shape)
    for x, n, length in zip(space.centres, mode, LENGTHS, strict=True):
        cosine = cosine * np.cos(np.pi * n * x / length)
    shape = vectors[:, lead].real
    shape = shape / np.abs(shape / reference_levels(p)).max()
    state = space.zeros(7)
    for f in range(7):
        space.owned(state[f])[...] = u[f] + 1e-5 * shape[f] * cosine

    def amplitude():
        fields = (space.owned(state[f]) - u[f] for f in range(7))
        return left @ np.array([(field * cosine).sum() / (cosine**2).sum() for field in fields])

    integrator, before = make_integrator(space, p), amplitude()
    steps = int(np.ceil(duration / longest))
    for _ in range(steps):
        advance(integrator, state, duration / steps)
    after = amplitude()
    integrator.destroy()
    space.destroy()
    return np.log(after / before) / duration, values[lead]
