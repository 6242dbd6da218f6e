"""What a rank holds of a global array: checkpoints keep arrays whole, so that any number of ranks can go on with them.

Boxes and their cosines are blocks of an array in natural order, cells of a mesh are numbered.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """A block of an array of shape `whole`: of this `shape`, from `start` on."""

    whole: tuple[int, ...]
    start: tuple[int, ...]
    shape: tuple[int, ...]

    def place(self) -> Any:
        """MPI's type for where the values stand in the whole, to be committed and freed by the caller.

        None where this rank has none.
        """
        if not prod(self.shape):
            return None
        return MPI.DOUBLE.Create_subarray(self.whole, self.shape, self.start)

    def in_order(self, values: Array) -> Array:
        """A copy of the values in the order in which they stand in the whole, shape (n,)."""
        return np.array(values).reshape(-1)

    def from_order(self, values: Array) -> Array:
        """The inverse of `in_order`, of this `shape`."""
        return values.reshape(self.shape)


@dataclass(frozen=True)
class Numbered:
    """Cells of an array of shape `whole`, (cells,), each at the place of its global number, shape (n,)."""

    whole: tuple[int, ...]
    numbers: Integers

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values that this rank holds."""
        return self.numbers.shape

    def place(self) -> Any:
        """As `Block.place`."""
        if not self.numbers.size:
            return None
        return MPI.DOUBLE.Create_indexed_block(1, np.sort(self.numbers).tolist()).Create_resized(0, 8 * self.whole[0])

    def in_order(self, values: Array) -> Array:
        """As `Block.in_order`."""
        return np.array(values[np.argsort(self.numbers)])

    def from_order(self, values: Array) -> Array:
        """As `Block.from_order`."""
        result = np.empty(self.shape)
        result[np.argsort(self.numbers)] = values
        return result


Layout = Block | Numbered


class Shared(NamedTuple):
    """Part of an object's state: fields of shape (*leading, *layout.shape), shared out among the ranks."""

    values: Array
    layout: Layout


class OfRanks(NamedTuple):
    """Part of an object's state: this rank's share of a sum over ranks, alike in shape on all of them."""

    values: Array


#: What an object needs to go on as if it had never stopped: numbers, words, lists and tables of them, the same on all
#: ranks, small arrays of those, `Shared` and `OfRanks`.
State = dict[str, Any]
