"""The box: cells, ghosts, the diffusion matrix, sums."""

import numpy as np
import pytest

from carmodel.spaces import BoxSpace
from carmodel.spaces.box import process_grid
from carmodel.tools.errors import InputError


@pytest.fixture
def space():
    box = BoxSpace((5, 4, 3), (1.0, 1.2, 0.6))
    yield box
    box.destroy()


def test_centres_are_half_a_cell_from_the_wall_or_on_it():
    middle = BoxSpace((4, 5, 6), (1.0, 1.0, 1.0))
    assert middle.axis(0) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    nodes = BoxSpace((5, 3, 2), (1.0, 1.0, 1.0), nodes_on_boundary=True)
    assert nodes.axis(0) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert nodes.cell_volume == pytest.approx(0.25 * 0.5 * 1.0)
    middle.destroy()
    nodes.destroy()


def test_process_grid_cuts_the_least_surface_and_refuses_more_ranks_than_layers():
    assert process_grid((10, 10, 40), 4) == (1, 1, 4)
    assert process_grid((40, 40, 40), 8) == (2, 2, 2)
    assert process_grid((1, 7, 1), 7) == (1, 7, 1)
    for cells, ranks in (((5, 5, 5), 7), ((1, 1, 1), 2), ((2, 3, 1), 12)):
        with pytest.raises(InputError, match=f"{ranks} ranks"):
            process_grid(cells, ranks)


def dense(matrix):
    return matrix.convert("dense").getDenseArray().copy()


def test_diffusion_matrix_is_the_seven_point_stencil(space):
    """Against the paper's (53) with clamped indices, cell by cell."""
    D, dt = 0.3, 0.05
    matrix = space.diffusion_matrix(D, dt)
    nx, ny, nz = space.cells
    expected = np.eye(space.n_cells)
    for k, j, i in np.ndindex(nz, ny, nx):
        row = (k * ny + j) * nx + i
        for (di, dj, dk), h in zip(np.eye(3, dtype=int), space.spacing, strict=True):
            for s in (-1, 1):
                ii, jj, kk = (
                    min(max(v + s * d, 0), n - 1) for v, d, n in zip((i, j, k), (di, dj, dk), space.cells, strict=True)
                )
                expected[row, (kk * ny + jj) * nx + ii] -= dt * D / h**2
                expected[row, row] += dt * D / h**2
    assert np.abs(dense(matrix) - expected).max() < 1e-14
    matrix.destroy()


def test_varying_diffusivity_takes_the_harmonic_mean_on_faces(space):
    rng = np.random.default_rng(3)
    D = space.zeros()
    space.owned(D)[...] = rng.uniform(0.01, 1.0, size=space.owned_shape)
    space.exchange_field(D)
    matrix = space.diffusion_matrix(D, 0.1)
    A, d = dense(matrix), space.owned(D).ravel()
    assert np.abs(A - A.T).max() < 1e-15
    assert np.abs(A.sum(axis=1) - 1.0).max() < 1e-13
    h = space.spacing[0]
    assert A[0, 1] == pytest.approx(-0.1 / h**2 * 2 / (1 / d[0] + 1 / d[1]), rel=1e-14)
    matrix.destroy()


def test_constant_field_gives_the_same_matrix_as_a_number(space):
    D = space.zeros() + 0.37
    from_field, from_number = space.diffusion_matrix(D, 0.2), space.diffusion_matrix(0.37, 0.2)
    assert np.abs(dense(from_field) - dense(from_number)).max() < 1e-14
    from_field.destroy()
    from_number.destroy()


def test_sums_and_extremes(space):
    u = space.zeros(2)
    rng = np.random.default_rng(4)
    space.grid(u)[...] = np.nan  # ghosts must not count
    values = rng.normal(size=(2, *space.owned_shape))
    space.owned(u)[...] = values
    total, least, largest = space.sum_min_max(u)
    assert total == pytest.approx(values.sum(axis=(1, 2, 3)), rel=1e-13)
    assert (least == values.min(axis=(1, 2, 3))).all()
    assert (largest == values.max(axis=(1, 2, 3))).all()
    assert (space.gather(u) == values).all()
