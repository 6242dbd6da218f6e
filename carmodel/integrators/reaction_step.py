"""The outer steps of the splitting: reactions, and taxis where it is explicit, by one of two schemes."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..model import Medium, Model
from ..solvers import patankar
from ..spaces import Space
from ..spaces.box import States
from ..spaces.stencils import Stage

Array = NDArray[np.float64]


class ReactionStep(Protocol):
    """Steps of the reactions, with or without taxis."""

    def advance(self, u: Array, duration: float, medium: Medium, clamped: Array) -> None:
        """Advance the state, shape (fields, n_local), by so many days in place; collective.

        `clamped`, shape (fields,), grows by what clamping adds to this rank's cells, summed over them.
        """


@dataclass(frozen=True)
class Heun:
    """Reactions and taxis by Heun's method, eqs (58)-(59): explicit, of second order, negative values set to zero.

    `substeps`: in each half step of the splitting.
    """

    substeps: int = 1
    #: Whether taxis is left to the diffusion step.
    leaves_taxis: ClassVar[bool] = False
    #: Share of a field that clamping may have made without a warning.
    negligible: ClassVar[float] = 0.01

    def build(self, space: Space, model: Model, taxis: str, clamp: bool) -> ReactionStep:
        """Its steps on a space."""
        return _HeunStep(space, model, taxis, clamp, self.substeps)


@dataclass(frozen=True)
class Patankar:
    """Reactions by MPRK22 (`solvers.patankar`): second order, positive for every step; taxis is left to diffusion.

    `substeps`: in each half step of the splitting.
    """

    substeps: int = 1
    leaves_taxis: ClassVar[bool] = True
    # Whoever asks for the positive scheme hears of any clamping beyond rounding.
    negligible: ClassVar[float] = 1e-6

    def build(self, space: Space, _model: Model, _taxis: str, _clamp: bool) -> ReactionStep:
        """Its steps on a space."""
        return _PatankarStep(space, self.substeps)


class _HeunStep:
    def __init__(self, space: Space, model: Model, taxis: str, clamp: bool, substeps: int) -> None:
        self.space, self.taxis, self.clamp, self.substeps = space, taxis, clamp, substeps
        self._neighbours = model.neighbours
        self._predictor, self._rate = space.zeros(2, len(model.names))
        self._uncounted = np.zeros(len(model.names))

    def advance(self, u: Array, duration: float, medium: Medium, clamped: Array) -> None:
        h = duration / self.substeps
        predict = Stage(0.0, h, store=True, clamp=self.clamp)
        correct = Stage(0.5 * h, 0.5 * h, store=False, clamp=self.clamp)
        for _ in range(self.substeps):
            self._stage((u, u, self._rate, self._predictor), predict, medium, self._uncounted)
            self._stage((self._predictor, u, self._rate, u), correct, medium, clamped)

    def _stage(self, states: States, stage: Stage, medium: Medium, clamped: Array) -> None:
        self.space.exchange(states[0], self._neighbours)
        self.space.explicit_stage(states, stage, medium, self.taxis, clamped)


class _PatankarStep:
    def __init__(self, space: Space, substeps: int) -> None:
        self.space, self.substeps, self._runs = space, substeps, space.runs

    def advance(self, u: Array, duration: float, medium: Medium, _clamped: Array) -> None:
        patankar.advance(u, *self._runs, duration / self.substeps, self.substeps, medium.in_loops)
        if self.space.outside is not None:
            self.space.owned(u)[:, self.space.outside] = 0.0
