"""How the state advances."""

from .strang import Strang

__all__ = ["Strang"]
