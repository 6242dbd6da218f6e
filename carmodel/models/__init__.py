"""The models that come with carmodel, a file each; a run file says which by its name."""

from importlib import import_module
from pkgutil import iter_modules

from ..model import Model

#: The model of run files that name none.
DEFAULT = "polyakov"

#: Of the shipped models.
NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))


def named(name: str) -> Model:
    """A shipped model.  Raises KeyError where there is none of that name."""
    if name not in NAMES:
        raise KeyError(name)
    model: Model = import_module(f".{name}", __name__).MODEL
    return model
