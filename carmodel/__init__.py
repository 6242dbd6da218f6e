"""CAR-T cell therapy of solid tumours in 3-D (model of Polyakov 2026, doi 10.20944/preprints202603.0742.v1).

    >>> import carmodel
    >>> run = carmodel.simulate(carmodel.case(space={"cells": [8, 8, 8]}, time={"end": 0.1}))
    >>> run.status
    'finished'

`case`, `simulate`, `open`, `Run`, `Observer`, `models`, `InputError` and `NumericsError` are loaded when they are first
asked for: importing the package imports nothing else, and changes nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import models
    from .datasets import Run
    from .interface import case, simulate
    from .interface import open_run as open
    from .runs.simulation import Observer
    from .tools.errors import InputError, NumericsError

__version__ = "0.1.0"

__all__ = ["InputError", "NumericsError", "Observer", "Run", "__version__", "case", "models", "open", "simulate"]

#: Where each public name is, and under which name there.
_PLACES = {
    "InputError": ("tools.errors", "InputError"),
    "NumericsError": ("tools.errors", "NumericsError"),
    "Observer": ("runs.simulation", "Observer"),
    "Run": ("datasets", "Run"),
    "case": ("interface", "case"),
    "models": ("models", ""),
    "open": ("interface", "open_run"),
    "simulate": ("interface", "simulate"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = import_module(f".{module}", __name__)
    value = globals()[name] = getattr(found, attribute) if attribute else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
