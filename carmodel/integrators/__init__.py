"""How the state advances."""

from .diffusion_step import Heat, Jacobi, Krylov
from .exponential import Exponential
from .imex import Imex
from .reaction_step import Heun, Patankar
from .strang import Strang

__all__ = ["Exponential", "Heat", "Heun", "Imex", "Jacobi", "Krylov", "Patankar", "Strang"]
