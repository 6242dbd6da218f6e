"""The published program's diffusion solver: Jacobi sweeps, eq. (61)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..spaces import BoxSpace
from ..spaces.layout import State

Array = NDArray[np.float64]


class JacobiDiffusion:
    """Jacobi sweeps for backward Euler, (I - dt D Laplacian) u = b, from u = b; the last iterate is kept.

    A field's sweeps stop when its largest change is below `tolerance`, or after `most`, solved or not.  The neighbour
    beyond a wall is the cell itself, and the diagonal is not reduced there.

    `names`: of the fields.  `iterations`, shape (fields,), counts sweeps.
    """

    def __init__(self, space: BoxSpace, names: Sequence[str], most: int = 60, tolerance: float = 1e-8) -> None:
        self.space, self.most, self.tolerance = space, most, tolerance
        self.iterations = np.zeros(len(names), dtype=int)
        self.preconditioners = dict.fromkeys(names, f"at most {most} Jacobi sweeps")
        self._b, self._old, self._new = space.zeros(3)

    def solve(self, u: Array, dt: float, medium: Medium) -> None:
        """Advance all fields of the state, shape (fields, n_local), by one step of diffusion; collective.

        `medium`: its diffusivities are numbers.
        """
        for f, diffusivity in enumerate(medium.numbers):
            number = np.array([dt * diffusivity / (h * h) for h in self.space.spacing])
            old, new = self._old, self._new
            self._b[:] = u[f]
            old[:] = u[f]
            for _ in range(self.most):
                self.space.exchange_field(old)
                change = self.space.jacobi_sweep(old, self._b, new, number)
                old, new = new, old
                self.iterations[f] += 1
                if change < self.tolerance:
                    break
            u[f] = old

    def state(self) -> State:
        """What `restore` takes."""
        return {"iterations": self.iterations.copy()}

    def restore(self, state: State) -> None:
        """Count on from there."""
        self.iterations[:] = state["iterations"]

    def destroy(self) -> None:
        """Nothing to free: no PETSc objects here."""
