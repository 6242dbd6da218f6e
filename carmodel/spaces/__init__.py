"""Where the fields live: cells, ghosts, and the operators on them."""

from typing import TYPE_CHECKING, TypeAlias

from .box import BoxSpace

if TYPE_CHECKING:  # FiPy takes a second to import, and runs on boxes do without it
    from .mesh import MeshSpace

#: What integrators work on: both offer the same fields and operators.
Space: TypeAlias = "BoxSpace | MeshSpace"

__all__ = ["BoxSpace", "Space"]
