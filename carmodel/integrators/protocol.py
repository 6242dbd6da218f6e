"""What a run asks of an integrator."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..model import Medium, Model
from ..spaces.layout import State

Array = NDArray[np.float64]


class Integrator(Protocol):
    """How the state advances.

    `order` is the order of accuracy in time; `adaptive`: it chooses its steps.  `clamped`, shape (fields,), is what
    clamping added to each field so far, summed over this rank's cells.  `negligible` is the share of a field that
    clamping may have made, and the share of its largest value that it may have been below zero, without a warning.

    An integrator may keep the state in a form of its own, and what it knows of earlier steps.  So who changes the state
    between two steps calls `restart`: otherwise the change may be lost.
    """

    order: int
    adaptive: bool
    taxis: str
    negligible: float
    model: Model
    medium: Medium
    clamped: Array
    seconds: dict[str, float]

    @property
    def deepest_undershoot(self) -> Array:
        """How far below zero each field was before it was clamped, relative to its largest value then, shape (fields,).

        Zeros where that is not measured.
        """

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days, or fewer if adaptive; how many.  Collective.

        The array is as the last step left it, unless `restart` was called or it is another array.
        """

    def restart(self, medium: Medium) -> None:
        """The state, the parameters or both were changed: go on with the next step's array and these; collective."""

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest, among them `rejected_steps`."""

    def state(self) -> State:
        """What it needs to go on, beside the array of the last step, as if it had never stopped."""

    def restore(self, state: State, u: Array) -> None:
        """Go on with the array `u` as the one whose `state` that was; collective."""

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
