"""How loops are compiled: numba without fast-math, so that results repeat to rounding, kept on disk between runs.

Numba's own cache does not notice when a function that a kernel calls changes in another file.  The folder is therefore
named after a checksum of every module that holds compiled code.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numba.extending

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent
_SETTING = "CACHE_DIR"  # numba makes its settings at run time
_COMPILED = (
    "compiled.py",
    "parameters.py",
    "kinetics.py",
    "patankar.py",
    "transport.py",
    "spaces/stencils.py",
    "spaces/faces.py",
    "spaces/cosine.py",
    "integrators/phi.py",
)


@functools.cache
def _cache_folder() -> str | None:
    """A writable folder for this version of the compiled code, or None (compile anew in each process)."""
    checksum = hashlib.sha256(b"".join((_PACKAGE / name).read_bytes() for name in _COMPILED)).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(home, "carmodel")
    folder = os.path.join(os.path.expanduser(root), checksum)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def compiled(function: Callable[..., Any], parallel: bool = False) -> Any:
    """Compile a function of scalars or arrays; division by zero gives inf or nan as in numpy."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        function.py_func = function  # type: ignore[attr-defined]
        return function
    folder, others = _cache_folder(), getattr(numba.config, _SETTING)
    if folder:
        setattr(numba.config, _SETTING, folder)
    try:
        return numba.njit(function, cache=folder is not None, error_model="numpy", parallel=parallel)
    finally:
        setattr(numba.config, _SETTING, others)


def compiled_for_threads(function: Callable[..., Any]) -> Any:
    """As `compiled`; the threads share out what the function loops over with `numba.prange`."""
    return compiled(function, parallel=True)


def callable_from_both(function: F) -> F:
    """A plain Python function that compiled ones may call as well, so that their `.py_func` stays plain throughout."""
    return numba.extending.register_jitable(function)
