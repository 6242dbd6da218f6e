"""Ghosts of boxes on several ranks: the neighbours' values, in one message to each neighbour for all fields."""

import pytest

from tests.conftest import ROOT, mpirun

CHECK = """
import numpy as np
from mpi4py import MPI
from carmodel.spaces import BoxSpace

class Counting:
    def __init__(self, comm):
        self.comm, self.rank, self.sent, self.bytes = comm, comm.rank, 0, 0
    def Isend(self, buffer, rank, tag):
        self.sent += 1
        self.bytes += buffer.nbytes
        return self.comm.Isend(buffer, rank, tag)
    def Irecv(self, buffer, rank, tag):
        return self.comm.Irecv(buffer, rank, tag)

cells = {cells}
space = BoxSpace(cells, (1.0, 1.0, 1.0))
counting = space._halo._comm = Counting(space.comm)
u = space.zeros(3) - 1.0
x, y, z = (np.arange(*limits) for limits in space.ranges)
number = x[None, None, :] + cells[0] * (y[None, :, None] + cells[1] * z[:, None, None])
for f in range(3):
    space.owned(u)[f] = number + 1e6 * f
space.exchange(u, [0, 2])
nz, ny, nx = space.owned_shape
sides = [(2, 0, -1, space.ranges[0][0] > 0, ny * nz), (2, -1, 1, space.ranges[0][1] < cells[0], ny * nz),
         (1, 0, -cells[0], space.ranges[1][0] > 0, nx * nz), (1, -1, cells[0], space.ranges[1][1] < cells[1], nx * nz),
         (0, 0, -cells[0] * cells[1], space.ranges[2][0] > 0, nx * ny),
         (0, -1, cells[0] * cells[1], space.ranges[2][1] < cells[2], nx * ny)]
neighbours = area = 0
for axis, end, step, there, layer in sides:
    ghost, own = [slice(1, -1)] * 3, [slice(None)] * 3
    ghost[axis], own[axis] = end, end
    wanted = number[tuple(own)] + (step if there else 0)  # a wall mirrors
    for f in (0, 2):
        assert np.array_equal(space.grid(u[f])[tuple(ghost)], wanted + 1e6 * f), (f, axis, end)
    assert (space.grid(u[1])[tuple(ghost)] == -1.0).all()
    neighbours, area = neighbours + there, area + there * layer
assert (counting.sent, counting.bytes) == (neighbours, 2 * 8 * area)
space.destroy()
"""


@pytest.mark.parametrize(("ranks", "cells"), [(1, (3, 4, 5)), (2, (5, 3, 7)), (4, (1, 9, 7)), (8, (5, 7, 6))])
def test_ghosts_are_the_neighbours_values(tmp_path, ranks, cells):
    script = tmp_path / "check.py"
    script.write_text(CHECK.format(cells=cells))
    answer = mpirun(ranks, ROOT / ".venv/bin/python", script)
    assert answer.code == 0, answer.err
