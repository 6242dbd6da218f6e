"""How the state advances."""

from .imex import Imex
from .strang import Strang

__all__ = ["Imex", "Strang"]
