"""The cosine transform on any number of ranks against scipy's on one."""

import sys

import numpy as np
import pytest
import scipy.fft

from carmodel.spaces import BoxSpace
from carmodel.spaces.cosine import TOGETHER, CosineTransform
from tests.conftest import mpirun
from tests.oracles import backward_euler_by_cosines

#: Odd sides, fewer layers than ranks along some axis, and a line of cells.
BOXES = ((13, 11, 7), (5, 4, 9), (2, 3, 40), (40, 1, 2))

PROGRAM = """
import sys
from tests.spaces.test_cosine import BOXES, largest_error
for cells in BOXES:
    assert largest_error(cells) < 1e-14, cells
"""


def largest_error(cells) -> float:
    """Of both functions of the Laplacian on this rank's part of a random field."""
    space = BoxSpace(cells, (1.0, 1.2, 0.7))
    transform = CosineTransform(space)
    whole = np.random.default_rng(0).random(cells[::-1])
    own = tuple(slice(*extent) for extent in reversed(space.ranges))
    solved, heated = whole[own].copy(), whole[own].copy()
    transform.backward_euler(solved, 0.3)
    transform.heat(heated, 0.003)
    eigenvalues = [
        (2.0 - 2.0 * np.cos(np.pi * np.arange(n) / n)) / h**2
        for n, h in zip(cells[::-1], space.spacing[::-1], strict=True)
    ]
    z, y, x = np.meshgrid(*eigenvalues, indexing="ij")
    exact = scipy.fft.idctn(np.exp(-0.003 * (x + y + z)) * scipy.fft.dctn(whole))
    errors = [solved - backward_euler_by_cosines(whole, 0.3, 1.0, space.spacing)[own], heated - exact[own]]
    transform.destroy()
    space.destroy()
    return float(np.abs(errors).max())


@pytest.mark.parametrize("ranks", [1, 3, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_functions_of_the_laplacian_are_exact_on_any_number_of_ranks(ranks):
    answer = mpirun(ranks, sys.executable, "-c", PROGRAM)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("cells", [(9, 8, 7), (60, 50, 40)])
def test_threads_do_not_change_a_digit(monkeypatch, workers, cells):
    """However they share out seven fields, left-over ones of large boxes together."""
    assert np.prod((9, 8, 7)) < TOGETHER < np.prod((60, 50, 40))
    monkeypatch.setattr("carmodel.spaces.cosine.thread_count", lambda _cells: workers)
    space = BoxSpace(cells, (1.0, 1.2, 0.7))
    transform = CosineTransform(space)
    fields = np.random.default_rng(2).random((7, *cells[::-1]))
    modes, back = np.empty_like(fields), np.empty_like(fields)
    transform.to_modes(fields.copy(), modes)
    assert np.array_equal(modes, scipy.fft.dctn(fields, axes=(1, 2, 3), norm="ortho"))
    transform.to_fields(modes.copy(), back)
    assert np.array_equal(back, scipy.fft.idctn(modes, axes=(1, 2, 3), norm="ortho"))
    transform.destroy()
    space.destroy()
