"""Diffusion on cut boxes, solved for every second cell: the solution of the matrix, in half of Jacobi's iterations."""

import numpy as np
import pytest
from scipy.sparse.linalg import splu

from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.spaces.cosine import CosineTransform
from carmodel.spaces.cutbox import CutBoxSpace
from carmodel.tools.petsc import PETSc
from tests.spaces.test_cutbox import as_scipy, ball, brick, waves

LENGTHS = (1.2, 1.2, 1.2)


def diffusivity_field(space):
    """A factor of 100 from one end of the box to the other."""
    x, _, _ = space.centres
    D = space.zeros()
    space.owned(D)[...] = 0.02 * 100.0 ** (x / LENGTHS[0])
    space.exchange_field(D)
    return D


@pytest.mark.parametrize("dt", [1e-6, 0.02, 3.0, 1e4])
@pytest.mark.parametrize("varies", [False, True], ids=["constant", "varying"])
@pytest.mark.parametrize(("cells", "surface"), [((11, 12, 13), ball), ((7, 16, 10), brick)])
def test_the_solution_is_the_matrix_s(cells, surface, varies, dt):
    space = CutBoxSpace(cells, LENGTHS, surface)
    D = diffusivity_field(space) if varies else 0.3
    u = space.owned(waves(space)[3]).copy()
    wanted = splu(as_scipy(space.diffusion_matrix(D, dt))).solve(
        space.unknowns(u) * space.unknowns(space.relative_volumes)
    )
    before = (u * space.own_shares).sum()
    wanted *= before / (wanted @ space.unknowns(space.own_shares))  # rounding of a direct solve at dt D / h^2 of 1e6
    solver = KrylovDiffusion(space, [D], ["a"])
    solver.solve_field(0, u, dt)
    assert solver.preconditioners == {"a": "cg + red-black elimination"}
    np.testing.assert_allclose(space.unknowns(u), wanted, atol=1e-10 * np.abs(wanted).max(), rtol=0.0)
    assert (u * space.own_shares).sum() == pytest.approx(before, rel=1e-13)
    assert not u[space.outside].any()
    solver.destroy()


def test_a_box_without_a_wall_is_solved_as_by_the_transform():
    space = CutBoxSpace((9, 8, 11), LENGTHS, lambda x, y, z: -np.ones((z.size, y.size, x.size)))
    u = np.random.default_rng(5).random(space.owned_shape)
    exact = u.copy()
    transform = CosineTransform(space)
    transform.backward_euler(exact, 0.1)
    solver = KrylovDiffusion(space, [0.5], ["a"])
    solver.solve_field(0, u, 0.2)
    np.testing.assert_allclose(u, exact, rtol=1e-11)
    solver.destroy()
    transform.destroy()


@pytest.mark.parametrize("number", [0.3, 3.0, 30.0])
def test_half_of_jacobi_s_iterations(number):
    space = CutBoxSpace((20, 20, 20), LENGTHS, ball)
    dt = number * space.spacing[0] ** 2
    values = np.random.default_rng(7).random(space.owned_shape) * (space.own_shares > 0.0)
    options = PETSc.Options("jacobi_")
    options["pc_type"] = "jacobi"
    try:
        solver = KrylovDiffusion(space, [1.0, 1.0], ["jacobi", "ours"])
        for f in range(2):
            solver.solve_field(f, values.copy(), dt)
    finally:
        options.delValue("pc_type")
    assert solver.preconditioners == {"jacobi": "cg + jacobi", "ours": "cg + red-black elimination"}
    assert solver.iterations[1] <= 0.6 * solver.iterations[0]
    solver.destroy()


def test_steps_of_many_lengths_and_fields_that_share_a_diffusivity():
    """What one solve leaves behind is nothing that another one feels."""
    space = CutBoxSpace((11, 12, 13), LENGTHS, ball)
    shared = KrylovDiffusion(space, [0.3, 0.3, 0.05], ["a", "b", "c"])
    rng = np.random.default_rng(3)
    for dt in (0.1, 0.1, 5.0, 1e-3, 0.1):
        for f, D in enumerate((0.3, 0.3, 0.05)):
            values = rng.random(space.owned_shape) * (space.own_shares > 0.0)
            alone, other = KrylovDiffusion(space, [D], ["a"]), values.copy()
            alone.solve_field(0, other, dt)
            shared.solve_field(f, values, dt)
            assert np.array_equal(values, other)
            alone.destroy()
    shared.destroy()
