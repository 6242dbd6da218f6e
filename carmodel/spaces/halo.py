"""Ghosts of a box's blocks: one message to each neighbour for all fields."""

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Where a layer of cells is in a block.
Plane = tuple[slice | int, ...]

#: Tag of the messages.
_TAG = 71


class Halo:
    """The neighbours of a block, and what is exchanged with them: one layer of cells, without edges and corners.

    Parameters
    ----------
    comm: the ranks, numbered along x, then y, then z.
    grid: ranks along x, y, z.
    shape: of the block, ghosts included: (nz, ny, nx).
    """

    def __init__(self, comm: MPI.Intracomm, grid: Sequence[int], shape: Sequence[int]) -> None:
        self._comm = comm
        strides = (1, grid[0], grid[0] * grid[1])
        place = [comm.rank // stride % n for stride, n in zip(strides, grid, strict=True)]
        #: By neighbour its rank, the layer that it is sent, and where the layer that it sends is put.
        self._sides: list[tuple[int, Plane, Plane]] = []
        for axis in range(3):
            for step, own, ghost in ((-1, 1, 0), (1, -2, -1)):
                if 0 <= place[axis] + step < grid[axis]:
                    rank = comm.rank + step * strides[axis]
                    self._sides.append((rank, _plane(2 - axis, own), _plane(2 - axis, ghost)))
        self._buffers: dict[int, list[tuple[Array, Array]]] = {}
        self._shape = tuple(shape)

    def exchange(self, fields: Sequence[Array]) -> None:
        """Make the ghosts of fields, each of the block's shape, valid towards other ranks; collective."""
        if not self._sides:
            return
        buffers = self._room(len(fields))
        requests = [
            self._comm.Irecv(got, rank, _TAG) for (rank, _, _), (_, got) in zip(self._sides, buffers, strict=True)
        ]
        for (rank, plane, _), (sent, _) in zip(self._sides, buffers, strict=True):
            for layer, field in zip(sent, fields, strict=True):
                layer[...] = field[plane]
            requests.append(self._comm.Isend(sent, rank, _TAG))
        MPI.Request.Waitall(requests)
        for (_, _, plane), (_, got) in zip(self._sides, buffers, strict=True):
            for layer, field in zip(got, fields, strict=True):
                field[plane] = layer

    def _room(self, n: int) -> list[tuple[Array, Array]]:
        """For what is sent and got of n fields, by neighbour; kept for the next time."""
        if n not in self._buffers:
            shapes = [np.empty(self._shape)[plane].shape for _, plane, _ in self._sides]
            self._buffers[n] = [(np.empty((n, *shape)), np.empty((n, *shape))) for shape in shapes]
        return self._buffers[n]


def _plane(axis: int, place: int) -> Plane:
    """The cells at a place along one axis, without those at the ends of the others."""
    return tuple(place if a == axis else slice(1, -1) for a in range(3))
