"""How loops are compiled: numba without fast-math, so that results repeat to rounding, kept on disk between runs."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numba.extending

from .codecache import CodeCache, cache_folder

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: Callable[..., Any], parallel: bool = False) -> Any:
    """Compile a function of scalars or arrays; division by zero gives inf or nan as in numpy."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        function.py_func = function  # type: ignore[attr-defined]
        return function
    dispatcher: Any = numba.njit(function, error_model="numpy", parallel=parallel)
    if cache_folder():
        dispatcher._cache = CodeCache(function)  # what `cache=True` does with numba's own
    return dispatcher


def compiled_for_threads(function: Callable[..., Any]) -> Any:
    """As `compiled`; the threads share out what the function loops over with `numba.prange`."""
    return compiled(function, parallel=True)


def callable_from_both(function: F) -> F:
    """A plain Python function that compiled ones may call as well, so that their `.py_func` stays plain throughout."""
    return numba.extending.register_jitable(function)
