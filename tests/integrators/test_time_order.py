"""Order in time of every integrator, against an explicit solver of order 8 on the same cells."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from carmodel.integrators import Exponential, Heat, Heun, Imex, Jacobi, Krylov, Patankar, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import MODEL, PRESETS
from carmodel.spaces import BoxSpace
from carmodel.spaces.stencils import Stage
from tests.conftest import petsc_options, smooth_state
from tests.meshes import BOX, graded, smooth

#: Taxis five times as strong as in the preset, so that its part of the error shows.
P = PRESETS["normalised"]._replace(chi_0=0.4)
#: Hypoxia a hundred times slower: the methods of order 3 to 5 show their order where steps resolve the stiffest mode.
MILD = P._replace(D_H=0.015)
END = 0.2
STEPS = (80, 160)
#: What `strang` is made with, by name, and the order that is known of it.
STRANG = {
    "backward-euler": (1, {}),
    "sdirk2": (2, {"diffusion": Krylov("sdirk2")}),
    "exact": (2, {"diffusion": Heat()}),
    "jacobi": (1, {"diffusion": Jacobi(10_000, 1e-14)}),
    "mprk22": (1, {"reactions": Patankar()}),
    "mprk22, sdirk2": (2, {"reactions": Patankar(), "diffusion": Krylov("sdirk2")}),
    "mprk22, exact": (2, {"reactions": Patankar(), "diffusion": Heat()}),
}
#: Methods of `imex` with their orders and the numbers of steps that show them above rounding.
IMEX = {"2e": (2, (16, 32)), "3": (3, (8, 16)), "4": (4, (8, 16)), "5": (5, (8, 16))}


def right_hand_side(space, p, taxis, D_C=None):
    """du/dt of eqs (1)-(7) on a space, as a function of (t, own values in a row)."""
    state, rate, out = space.zeros(3, 7)
    D_C = space.zeros() + p.D_C if D_C is None else D_C
    matrices = []
    for D in (D_C, *Medium(p).diffusivities[1:]):
        matrix = space.diffusion_matrix(D, 1.0)
        matrices.append(matrix.convert("dense").getDenseArray().copy())
        matrix.destroy()
    volumes = np.broadcast_to(space.relative_volumes, (space.n_owned,))

    def du_dt(_t, v):
        own = space.owned(state)
        own[...] = v.reshape(own.shape)
        space.exchange(state, MODEL.neighbours)
        space.explicit_stage(
            (state, state, rate, out),
            Stage(0.0, 0.0, store=True, clamp=False),
            Medium(p, {"D_C": D_C}),
            taxis,
            np.zeros(7),
        )
        flat = v.reshape(7, -1)
        diffused = [(volumes * u - M @ u) / volumes for u, M in zip(flat, matrices, strict=True)]
        return space.owned(rate).ravel() + np.ravel(diffused)

    return du_dt


def exact(space, start, p, taxis, D_C=None):
    """The own cells' state at `END`, to 1e-11."""
    v = space.owned(start).ravel()
    return solve_ivp(right_hand_side(space, p, taxis, D_C), (0.0, END), v, method="DOP853", rtol=1e-12, atol=1e-13).y[
        :, -1
    ]


def measured_order(space, start, reference, make, numbers=STEPS):
    """Order by halving the step, and the declared one."""
    errors = []
    for steps in numbers:
        integrator, u = make(), start.copy()
        for _ in range(steps):
            assert integrator.step(u, END / steps) == END / steps
        errors.append(np.linalg.norm(space.owned(u).ravel() - reference))
        declared = integrator.order
        integrator.destroy()
    return np.log2(errors[0] / errors[1]), declared


@pytest.fixture(scope="module", params=["central", "scharfetter-gummel"])
def problem(request):
    """A box, smooth fields, the taxis scheme, and where the fields are at `END` with `P` and with `MILD`."""
    space = BoxSpace((6, 5, 4), BOX)
    start = smooth_state(space)
    yield space, start, request.param, {p: exact(space, start, p, request.param) for p in (P, MILD)}
    space.destroy()


@pytest.mark.parametrize("name", [*STRANG, "exponential", *(f"imex {method}" for method in IMEX)])
def test_order_in_time_is_the_declared_one(problem, name):
    """All seven fields, taxis and reactions.  (`coupled` has its own test, on meshes.)"""
    space, start, taxis, references = problem
    if name in STRANG:
        p, numbers, (known, choices) = P, STEPS, STRANG[name]
        order, declared = measured_order(
            space, start, references[p], lambda: Strang(space, Medium(p), taxis=taxis, **choices), numbers
        )
    elif name == "exponential":
        p, known = MILD, 4
        order, declared = measured_order(
            space,
            start,
            references[p],
            lambda: Exponential(space, Medium(p), taxis=taxis, dt=1.0, adapt=False),
            (8, 16),
        )
    else:
        p, method = MILD, name.split()[1]
        known, numbers = IMEX[method]
        with petsc_options({"ts_arkimex_type": method, "ts_adapt_type": "none", "ts_dt": 1.0}):
            order, declared = measured_order(
                space, start, references[p], lambda: Imex(space, Medium(p), taxis=taxis, rtol=1.0), numbers
            )
    assert declared == known
    assert order == pytest.approx(declared, abs=0.05 if name in STRANG else 0.15)


@pytest.mark.parametrize("reactions", [Heun(), Patankar()], ids=str)
def test_sdirk2_is_of_second_order_on_a_mesh_with_a_varying_diffusivity(reactions):
    space = graded()
    start = smooth(space)
    D_C = P.D_C * (1.5 + np.cos(5.0 * np.asarray(space.mesh.cellCenters)[0]))

    def make():
        return Strang(
            space, Medium(P, {"D_C": D_C}), taxis="scharfetter-gummel", reactions=reactions, diffusion=Krylov("sdirk2")
        )

    order, declared = measured_order(space, start, exact(space, start, P, "scharfetter-gummel", D_C), make)
    assert declared == 2
    assert order == pytest.approx(2.0, abs=0.05)
    space.destroy()
