"""The paper's blocks of the Jacobian, and its propositions 1 and 2 held against the full spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.polyakov import Parameters
from ..theory.ode import jacobian
from ..theory.spectra import growth_rate, verdict
from .steady import SteadyState, growth_roots

Array = NDArray[np.float64]

#: Places of the blocks' fields in the state.
CE, TATB = (0, 1), (2, 3)


@dataclass(frozen=True)
class Block:
    """A 2x2 diagonal block of a Jacobian: eqs (32), (35) or (41)."""

    matrix: Array

    @property
    def trace(self) -> float:
        """Of eq. (36) or (46), in 1/day."""
        return float(self.matrix[0, 0] + self.matrix[1, 1])

    @property
    def determinant(self) -> float:
        """Of eq. (37) or (47), in 1/day^2."""
        (a, b), (c, d) = self.matrix
        return float(a * d - b * c)

    @property
    def holds(self) -> bool:
        """Conditions (38) and (48): trace < 0 and determinant > 0."""
        return self.trace < 0.0 < self.determinant

    @property
    def growth(self) -> float:
        """Largest real part of its eigenvalues, in 1/day."""
        return growth_rate(self.matrix)


def block(u: ArrayLike, p: Parameters, fields: tuple[int, int]) -> Block:
    """The block of the full Jacobian at a state that belongs to two fields, `CE` or `TATB`."""
    return Block(jacobian(u, p)[np.ix_(fields, fields)])


# ---- propositions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proposition:
    """What a proposition says about one steady state, and what the full spectrum says."""

    number: int
    #: Conditions (38) or (48).
    conditions: bool
    #: Largest real part of the proposition's block and of the full Jacobian, in 1/day.
    block_growth: float
    growth: float
    #: Whether the proposition's claim agrees with the full spectrum.
    agrees: bool
    statement: str


def proposition_1(p: Parameters) -> Proposition:
    """E_0: conditions (38) against the spectrum of the 7x7 Jacobian at zero."""
    u = np.zeros(7)
    J = jacobian(u, p)
    part, growth = block(u, p, TATB), growth_rate(J)
    says_stable = part.holds
    found = verdict(growth, J)
    margin = p.r_T - growth_roots(p)[0]
    return Proposition(
        1,
        says_stable,
        part.growth,
        growth,
        (found == "stable") if says_stable else (found == "unstable"),
        f"E_0 is {found}: r_T - R_1 = {margin:.6g} per day is the rate at which few tumour cells grow",
    )


def proposition_2(state: SteadyState, p: Parameters) -> Proposition:
    """A tumour state E_T: conditions (48) against the spectrum of the 7x7 Jacobian there."""
    J = jacobian(state.state, p)
    part, growth = block(state.state, p, CE), growth_rate(J)
    tumour = np.array([2, 3, 4, 5, 6])
    rest = growth_rate(J[np.ix_(tumour, tumour)])
    premise = rest < 0.0
    found = verdict(growth, J)
    invades = part.growth > 0.0
    agrees = (not premise) or (found == "stable" if part.holds else not invades or found == "unstable")
    text = "cannot invade" if part.holds else "invade"
    return Proposition(
        2,
        part.holds,
        part.growth,
        growth,
        agrees,
        f"few CAR-T cells {text} (growth {part.growth:.6g} per day); along the tumour's own coordinates E_T is "
        f"{'stable' if premise else 'not stable'} ({rest:.6g} per day)",
    )
