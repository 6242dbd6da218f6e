"""Order of accuracy in space of whole steps: both integrators, boxes and graded grids, all taxis schemes.

No reactions: C diffuses and follows S, S and the others diffuse.  Grids of n, 2n and 4n cells have their edges in
common, so the finer solution averages onto the coarser; differences of neighbours fall at the order.  Time steps
are the same on all.
"""

from itertools import pairwise

import numpy as np
import pytest

from carmodel.integrators import Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace
from tests.conftest import without_reactions

# FiPy chooses its matrices when it is first imported, which carmodel.spaces.mesh has seen to.
import fipy  # isort: skip

ORDERS = {"central": 2.0, "upwind": 1.0, "scharfetter-gummel": 2.0}
P = without_reactions()._replace(chi_0=0.3, D_C=0.05, D_S=0.02, D_E=0.05, D_T=0.05, D_A=0.05, D_H=0.3)


def widths(n, graded):
    edges = np.linspace(0.0, 1.0, n + 1)
    return np.diff(edges + (0.5 * np.sin(2.0 * np.pi * edges) / (2.0 * np.pi) if graded else 0.0))


def end(kind, n, taxis):
    """Fields after 0.5 days, shape (7, n), and the cells' widths."""
    integrator_kind, grid = kind
    dx = widths(n, grid == "graded")
    if grid == "box":
        space = BoxSpace((n, 1, 1), (1.0, 1.0, 1.0))
    else:
        space = MeshSpace(fipy.Grid3D(dx=dx, dy=np.ones(1), dz=np.ones(1)))
    integrator = (Strang if integrator_kind == "strang" else Coupled)(space, Medium(P), taxis=taxis)
    u = space.zeros(7)
    x = np.ravel(space.centres[0])
    for f in range(7):
        own = space.owned(u[f])
        own[...] = (1.0 + (0.5 if f == 0 else 0.3) * np.cos((1 + f % 2) * np.pi * x)).reshape(own.shape)
    for _ in range(10):
        integrator.step(u, 0.05)
    result = space.owned(u).reshape(7, n).copy()
    integrator.destroy()
    space.destroy()
    return result, dx


KINDS = [("strang", "box"), ("strang", "graded"), ("coupled", "uniform"), ("coupled", "graded")]


@pytest.mark.parametrize("taxis", ORDERS)
@pytest.mark.parametrize("kind", KINDS, ids=["-".join(kind) for kind in KINDS])
def test_order_in_space(kind, taxis):
    differences = []
    ends = [end(kind, n, taxis) for n in (16, 32, 64)]
    for (coarse, wide), (fine, narrow) in pairwise(ends):
        averaged = (fine * narrow).reshape(7, -1, 2).sum(axis=2) / wide
        differences.append(np.sqrt(((averaged - coarse) ** 2 * wide).sum(axis=1)))
    orders = np.log2(differences[0] / differences[1])
    assert orders[0] == pytest.approx(ORDERS[taxis], abs=0.25), orders
    assert orders[1:] == pytest.approx(2.0, abs=0.2), orders


@pytest.mark.parametrize("taxis", ORDERS)
@pytest.mark.parametrize("grid", ["uniform", "graded"])
def test_coupled_finds_the_exact_steady_state_of_taxis_against_diffusion(grid, taxis):
    """With S at rest and chi constant, C = K exp(chi S / D_C) carries no flux: eq. (1) solved by hand."""
    p = without_reactions()._replace(chi_0=0.1, alpha_A=0.0, D_C=0.05, D_S=0.0)
    errors = []
    for n in (16, 32, 64):
        dx = widths(n, grid == "graded")
        space = MeshSpace(fipy.Grid3D(dx=dx, dy=np.ones(1), dz=np.ones(1)))
        integrator = Coupled(space, Medium(p), taxis=taxis, scheme="backward-euler")
        x = space.centres[0]
        u = space.zeros(7)
        u[4] = np.cos(np.pi * x)
        exact = np.exp(p.chi_0 / p.D_C * u[4])
        u[0] = (exact * dx).sum()
        for _ in range(40):
            integrator.step(u, 1.0)
        errors.append(np.sqrt(((u[0] / exact - 1.0) ** 2 * dx).sum()))
        integrator.destroy()
        space.destroy()
    if taxis == "scharfetter-gummel":  # fitted to just this: exact on any grid, but for FiPy's rounding near rest
        assert max(errors) < 2e-4, errors
    else:
        order = np.log2(errors[1] / errors[2])
        assert order == pytest.approx(ORDERS[taxis], abs=0.2), (errors, order)
