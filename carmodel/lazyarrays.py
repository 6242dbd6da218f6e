"""Arrays that xarray reads from saved volumes as they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

Array = NDArray[np.float64]


class SavedField(BackendArray):
    """The field at place `f` of the volumes that `read(n)` gives: shape (times, nz, ny, nx) or (times, cells)."""

    def __init__(self, read: Callable[[int], Array], f: int, shape: tuple[int, ...], dtype: Any) -> None:
        self._read, self._f, self.shape, self.dtype = read, f, shape, dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._part)

    def _part(self, key: tuple[Any, ...]) -> Array:
        """Of whole numbers and slices, one for each dimension."""
        times, *places = key
        numbers = np.arange(self.shape[0])[times]
        part = np.broadcast_to(0.0, self.shape[1:])[tuple(places)].shape
        values = np.empty((numbers.size, *part), self.dtype)
        for row, n in zip(values, np.atleast_1d(numbers), strict=True):
            row[...] = self._read(int(n))[self._f][tuple(places)]
        return values if numbers.ndim else values[0]
