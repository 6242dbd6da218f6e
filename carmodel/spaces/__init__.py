"""Where the fields live: cells, ghosts, and the operators on them."""

from .box import BoxSpace

__all__ = ["BoxSpace"]
