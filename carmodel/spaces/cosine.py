"""The cosine transform of a box: diffusion with a constant diffusivity to rounding, on any number of ranks.

The Laplacian of equal cells with zero flux through the walls is diagonal in the discrete cosines (DCT-II), with
eigenvalues -sum_axis (2 - 2 cos(pi j / n)) / h^2 (Strang 1999, doi 10.1137/S0036144598336745).  scipy transforms.  An
axis that is split over ranks is collected first: among the ranks along it, each gets whole lines of its share, of all
fields that are transformed together in one message.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.fft
from mpi4py import MPI
from numpy.typing import NDArray

from ..tools.compiled import compiled
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.threads import thread_count
from .box import BoxSpace
from .layout import Block

Array = NDArray[np.float64]
Offsets = tuple[int, ...]

#: Cells from which threads gain by transforming a field together: below, meeting after every axis costs them more than
#: one of them alone.
TOGETHER = 100_000


@compiled
def divide(values: Array, dt_D: float, x: Array, y: Array, z: Array) -> None:
    """values / (1 + dt D eigenvalue), the solution of backward Euler among cosines."""
    for k in range(values.shape[0]):
        for j in range(values.shape[1]):
            both = 1.0 + dt_D * (z[k] + y[j])
            for i in range(values.shape[2]):
                values[k, j, i] /= both + dt_D * x[i]


@compiled
def decay(values: Array, dt_D: float, x: Array, y: Array, z: Array) -> None:
    """values * exp(-dt D eigenvalue), the heat semigroup among cosines."""
    along_x = np.exp(-dt_D * x)
    for k in range(values.shape[0]):
        for j in range(values.shape[1]):
            both = np.exp(-dt_D * (z[k] + y[j]))
            for i in range(values.shape[2]):
                values[k, j, i] *= both * along_x[i]


class CosineTransform(Owner):
    """Functions of the Laplacian of a box.

    `space`: the box.  Fields are arrays of its `owned_shape`; their cosines, of `modes_shape`, are what this rank holds
    of them.  All methods are collective.
    """

    @destroyed_if_unfinished
    def __init__(self, space: BoxSpace) -> None:
        #: Shape of the fields: this rank's own cells, (nz, ny, nx).
        self.shape = space.owned_shape
        split = [axis for axis in range(3) if list(reversed(space.process_grid))[axis] > 1]
        #: Axes of arrays of fields, (k, nz, ny, nx), that no other rank has a part of.
        self._whole = tuple(axis + 1 for axis in range(3) if axis not in split)
        self._lines = [self.adopt(_Lines(space, axis)) for axis in split]
        # What is done to single cosines is done where the last axis is whole: no way back and forth before it.
        self._last = self._lines[-1] if split else None
        #: Shape of this rank's share of the cosines, the same as `shape` where no axis is split.
        self.modes_shape = self._last.shape if self._last else self.shape
        #: Which of the box's cosines are this rank's.
        self.layout = Block(space.layout.whole, self._last.first if self._last else (0, 0, 0), tuple(self.modes_shape))
        #: Whether cosines may take the place of their field in memory.
        self.in_place = not split
        first = self._last.first if self._last else (0, 0, 0)
        #: -Laplacian of this rank's cosines, in 1/cm^2: the sum of what belongs to their places along x, y and z.
        self.eigenvalues = tuple(
            ((2.0 - 2.0 * np.cos(np.pi * np.arange(n) / n)) / h**2)[start : start + share]
            for n, h, start, share in zip(
                space.cells, space.spacing, reversed(first), reversed(self.modes_shape), strict=True
            )
        )
        self._workers = thread_count(space.n_cells)
        self._threads = ThreadPoolExecutor(self._workers)  # none is started before it is needed
        self.adopt(self._threads, self._threads.shutdown)
        self._block: Array = np.empty((1, *space.owned_shape))

    def backward_euler(self, field: Array, dt_D: float) -> None:
        """Solve (I - dt D Laplacian) new = field in place; `dt_D` in cm^2."""
        self._apply(divide, field, dt_D)

    def backward_euler_of_all(self, fields: Array, dt_D: Sequence[float]) -> None:
        """The same for fields, shape (k, *shape), contiguous; a number for each."""
        modes = self._forward(fields)
        for cosines, number in zip(modes, dt_D, strict=True):
            divide(cosines, number, *self.eigenvalues)
        self._backward(modes, fields)

    def heat(self, field: Array, dt_D: float) -> None:
        """Multiply by exp(dt D Laplacian) in place; `dt_D` in cm^2."""
        self._apply(decay, field, dt_D)

    def to_modes(self, fields: Array, modes: Array) -> None:
        """The orthonormal cosines of fields, shapes (k, *shape) and (k, *modes_shape), contiguous.

        `fields` is overwritten; where no axis is split it may be `modes` itself.
        """
        if not self._last:
            if fields is not modes:
                modes[...] = fields
            self._share_out(scipy.fft.dctn, modes)
            return
        modes[...] = self._forward(fields, "ortho")

    def to_fields(self, modes: Array, fields: Array) -> None:
        """The fields of orthonormal cosines, the inverse of `to_modes`; `modes` is overwritten, and may be `fields`."""
        if not self._last:
            if fields is not modes:
                fields[...] = modes
            self._share_out(scipy.fft.idctn, fields)
            return
        cosines = self._last.room(len(modes))
        cosines[...] = modes
        self._backward(cosines, fields, "ortho")

    def _share_out(self, transform: Callable[..., Array], fields: Array) -> None:
        """Transform whole fields, each thread its share of them: scipy's own threads meet after every axis.

        Of large boxes the fields that are left over, when all have as many, are transformed by all threads together.
        """
        left_over = len(fields) % self._workers if fields[0].size >= TOGETHER else 0
        alone, together = np.split(fields, [len(fields) - left_over])

        def transform_share(share: Array, workers: int) -> None:
            _in_place(transform, share, axes=(1, 2, 3), norm="ortho", workers=workers)

        if len(alone):
            shares = np.array_split(alone, min(self._workers, len(alone)))
            threads_each = self._workers // len(shares)
            others = [self._threads.submit(transform_share, share, threads_each) for share in shares[1:]]
            transform_share(shares[0], threads_each)
            for other in others:
                other.result()
        if len(together):
            transform_share(together, self._workers)

    def _apply(self, multiply: Callable[..., Any], field: Array, dt_D: float) -> None:
        block = field[None] if field.flags.c_contiguous else self._block
        if block is self._block:
            block[0] = field
        modes = self._forward(block)
        multiply(modes[0], dt_D, *self.eigenvalues)
        self._backward(modes, block)
        if block is self._block:
            field[...] = block[0]

    def _forward(self, fields: Array, norm: str | None = None) -> Array:
        """The cosines of contiguous fields, (k, *shape), which are overwritten, and may be the array returned."""
        if self._whole:
            _in_place(scipy.fft.dctn, fields, axes=self._whole, norm=norm, workers=self._workers)
        modes = fields
        for lines in self._lines:
            modes = lines.collect(fields)
            _in_place(scipy.fft.dctn, modes, axes=(lines.axis,), norm=norm)
            if lines is not self._last:
                lines.give_back(fields)
        return modes

    def _backward(self, modes: Array, fields: Array, norm: str | None = None) -> None:
        """The fields of the array that `_forward` returned."""
        for lines in reversed(self._lines):
            if lines is not self._last:
                modes = lines.collect(fields)
            _in_place(scipy.fft.idctn, modes, axes=(lines.axis,), norm=norm)
            lines.give_back(fields)
        if self._whole:
            _in_place(scipy.fft.idctn, fields, axes=self._whole, norm=norm, workers=self._workers)


def _in_place(transform: Callable[..., Array], values: Array, **how: Any) -> None:
    """Transform contiguous values in their own memory, as scipy does with doubles though it does not promise to."""
    result = transform(values, overwrite_x=True, **how)
    if not np.may_share_memory(result, values):
        values[...] = result


class _Lines(Owner):
    """Whole lines along one split axis (1, 2, 3 for z, y, x of arrays of fields), exchanged among the ranks that hold
    parts of them.
    """

    @destroyed_if_unfinished
    def __init__(self, space: BoxSpace, axis: int) -> None:
        self.axis = axis + 1
        extents = list(reversed(space.ranges))
        others = [a for a in range(3) if a != axis]
        block = list(space.owned_shape)
        # The ranks of a line share out the longer of the two other axes among themselves.
        shared = max(others, key=lambda a: block[a])
        (start, _), (other, _) = (extents[a] for a in others)
        self._comm = space.comm.Split(start * max(space.cells) + other, extents[axis][0])
        self.adopt(self._comm, self._comm.Free)
        blocks = self._comm.allgather(extents[axis])
        parts = np.array_split(np.arange(block[shared]), self._comm.size)
        shares = [(int(part[0]), len(part)) if len(part) else (0, 0) for part in parts]
        shape = list(block)
        shape[axis] = blocks[-1][1]
        offset, shape[shared] = shares[self._comm.rank]
        #: Global index of the first of this rank's lines' cells along z, y, x.
        self.first: Offsets = tuple(
            0 if a == axis else extents[a][0] + (offset if a == shared else 0) for a in range(3)
        )
        #: Shape of this rank's lines of one field.
        self.shape: tuple[int, ...] = tuple(shape)
        self._block, self._shared, self._shares, self._blocks = block, shared + 1, shares, blocks
        self._rooms: dict[int, tuple[Array, list[Any], list[Any]]] = {}

    def room(self, k: int) -> Array:
        """Where the lines of k fields are collected, shape (k, *shape)."""
        return self._room(k)[0]

    def _room(self, k: int) -> tuple[Array, list[Any], list[Any]]:
        """The same, with MPI's types of the parts of k blocks, and of their lines; kept for the next time."""
        if k not in self._rooms:
            block, lines = [k, *self._block], [k, *self.shape]
            of_block = [self._part(block, self._shared, *share) for share in self._shares]
            of_lines = [self._part(lines, self.axis, low, high - low) for low, high in self._blocks]
            self._rooms[k] = np.empty(lines), of_block, of_lines
        return self._rooms[k]

    def collect(self, fields: Array) -> Array:
        """Lines from the ranks' blocks of fields, contiguous; collective."""
        lines, of_block, of_lines = self._room(len(fields))
        self._comm.Alltoallw(_message(fields, of_block), _message(lines, of_lines))
        return lines

    def give_back(self, fields: Array) -> None:
        """The ranks' blocks from the lines that were collected; collective."""
        lines, of_block, of_lines = self._room(len(fields))
        self._comm.Alltoallw(_message(lines, of_lines), _message(fields, of_block))

    def _part(self, shape: list[int], axis: int, start: int, length: int) -> Any:
        """MPI's type for a part along one axis of an array of doubles; None for an empty one."""
        part = list(shape)
        part[axis] = length
        if min(part) == 0:
            return None
        starts = [start if a == axis else 0 for a in range(len(shape))]
        kind = MPI.DOUBLE.Create_subarray(shape, part, starts)
        return self.adopt(kind, kind.Free).Commit()


def _message(array: Array, parts: list[Any]) -> list[Any]:
    counts = [int(part is not None) for part in parts]
    return [array, counts, [0] * len(parts), [part or MPI.DOUBLE for part in parts]]
