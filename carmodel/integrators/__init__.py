"""How the state advances."""

from .exponential import Exponential
from .imex import Imex
from .strang import Strang

__all__ = ["Exponential", "Imex", "Strang"]
