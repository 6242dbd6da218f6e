"""Whether a model's functions can be compiled, and then give what they give uncompiled."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from ..model import Model
from ..tools.compiled import compiled
from ..tools.errors import InputError
from ..tuples import balance, inlined, sensitivities, slow

#: Lines of numba's messages that say where it was and what to read, not what is wrong.
_ABOUT = ("File ", "During", "This error", "This is", "To see", "For more", "http", "<source", "Overload", "Rejected")


@compiled
def _all(u: Any, p: Any) -> Any:
    return balance(u, slow(u, p), p), sensitivities(u, p)


def check_compilation(model: Model) -> None:
    """Raise InputError that names the function that numba cannot compile, or that gives other numbers then."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    u, p = model.Fields(*(1.0 for _ in model.names)), next(iter(model.presets.values()))
    try:
        (P, L), chi = _all(u, p)
    except Exception as error:  # numba raises many kinds
        raise InputError(_culprit(model, u, p, error)) from None
    with np.errstate(all="ignore"):
        (plain_P, plain_L), plain_chi = _all.py_func(u, p)
    for what, given, expected in (("sources", P, plain_P), ("sinks", L, plain_L), ("taxis", chi, plain_chi)):
        if not np.allclose(given, expected, rtol=1e-9, atol=0.0):
            raise InputError(f"{what}: {given} compiled, {expected} by Python; accepted: the same")


def _culprit(model: Model, u: Any, p: Any, error: Exception) -> str:
    """Which function numba cannot compile, and its reason."""
    functions: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        name: (getattr(model, name), (u, p)) for name in ("sources", "sinks", "slow")
    }
    functions["passing"] = model.passing, (u, model.slow(u, p), p)
    functions |= {f"taxis {n}: sensitivity": (t.sensitivity, (u, p)) for n, t in enumerate(model.taxis)}
    for name, (plain, arguments) in functions.items():
        try:
            numba.njit(inlined(plain))(*arguments)
        except Exception as own:
            return f"{name}: {_reason(own, plain)}"
    return _reason(error, model.sources)


def _reason(error: Exception, function: Callable[..., Any]) -> str:
    """The line of the function and the line of numba's message that says most."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    file = function.__code__.co_filename
    places = [int(line) for name, line in re.findall(r'File "([^"]+)", line (\d+)', text) if name == file]
    lines = [line.strip(" >-") for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(_ABOUT) and not set(line) <= set("^~ ")]
    where = f"{Path(file).name}, line {places[-1]}: " if places else ""
    return f"{where}cannot be compiled by numba: {said[0] if said else type(error).__name__}"
