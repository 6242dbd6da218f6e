"""The paper's scheme: Strang splitting, two-stage Runge-Kutta for reactions and taxis, backward-Euler diffusion.

And what it becomes with other parts: second order, or positive for every step.
"""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.jacobi import JacobiDiffusion
from ..spaces import Space
from ..spaces.layout import OfRanks, State
from .diffusion_step import DiffusionStep, Heat, Jacobi, Krylov
from .reaction_step import Heun, Patankar

Array = NDArray[np.float64]

HEUN, KRYLOV = Heun(), Krylov()


class Strang:
    """Eqs (57)-(60): half a step of reactions and taxis, a step of diffusion, half a step of reactions and taxis.

    First order in time with backward-Euler diffusion, otherwise second: `order`.  Where values turn negative they are
    set to zero: the predictor, the Runge-Kutta result and the diffusion result, as the published program does.  What
    the last two add to the fields is counted in `clamped`.

    With `Patankar` the half steps are positive for every dt.  Explicit taxis is not: fields that move then migrate in
    the middle step, implicitly (`diffusion_step.DiffusionStep`).  With any taxis but "central", and backward Euler, no
    field turns negative, whatever dt, and nothing is clamped.

    Parameters
    ----------
    space: where the fields live.
    medium: a model's parameters, and diffusivities by cell.
    reactions: `Heun()` (the paper's) or `Patankar()`.
    diffusion: `Krylov()`, `Heat()` or `Jacobi()` (the published program's, with `Heun` only).
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".
    clamp: False leaves negative values as they come.

    Raises ValueError for what does not go together, InputError for PETSc options that PETSc refuses.
    """

    adaptive = False

    def __init__(
        self,
        space: Space,
        medium: Medium,
        *,
        reactions: Heun | Patankar = HEUN,
        diffusion: Krylov | Heat | Jacobi = KRYLOV,
        taxis: str = "central",
        clamp: bool = True,
    ) -> None:
        self.space, self.model, self.medium = space, medium.model, medium
        self.taxis, self.clamp = taxis, clamp
        n = len(self.model.names)
        #: Sum over this rank's cells of what clamping added to each field so far, shape (fields,).
        self.clamped: Array = np.zeros(n)
        self.deepest_undershoot: Array = np.zeros(n)
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"reaction_taxis": 0.0, "diffusion": 0.0}
        self.negligible = reactions.negligible
        #: Order of accuracy in time.
        self.order = diffusion.order
        self._chosen, self._implicit_taxis = diffusion, taxis if reactions.leaves_taxis else None
        self.reaction_step = reactions.build(space, self.model, taxis, clamp)
        self.diffusion_step: DiffusionStep | JacobiDiffusion = diffusion.build(space, medium, self._implicit_taxis)

    def restart(self, medium: Medium) -> None:
        """Go on with these parameters; a step remembers nothing of the state before it; collective."""
        before, self.medium = self.medium, medium
        if not medium.diffuses_as(before):
            old = self.diffusion_step
            self.diffusion_step = self._chosen.build(self.space, medium, self._implicit_taxis)
            self.diffusion_step.iterations += old.iterations
            old.destroy()

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days in place; returns dt.  Collective.

        Raises NumericsError when a linear solver fails.
        """
        with self.space.threads:
            start = perf_counter()
            self.reaction_step.advance(u, 0.5 * dt, self.medium, self.clamped)
            middle = perf_counter()
            self._diffuse(u, dt)
            end = perf_counter()
            self.reaction_step.advance(u, 0.5 * dt, self.medium, self.clamped)
        self.seconds["reaction_taxis"] += middle - start + perf_counter() - end
        self.seconds["diffusion"] += end - middle
        return dt

    def _diffuse(self, u: Array, dt: float) -> None:
        self.diffusion_step.solve(u, dt, self.medium)
        if self.clamp:
            for f, field in enumerate(u):
                self.clamped[f] += self.space.clamp(field)

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest."""
        return {
            "rejected_steps": 0,
            "linear_solvers": self.diffusion_step.preconditioners,
            "linear_iterations": dict(zip(self.model.names, self.diffusion_step.iterations.tolist(), strict=True)),
        }

    def state(self) -> State:
        """What `restore` takes, beside the array of the last step."""
        return {
            "clamped": OfRanks(self.clamped.copy()),
            "seconds": dict(self.seconds),
            "diffusion": self.diffusion_step.state(),
        }

    def restore(self, state: State, _u: Array) -> None:
        """Go on as the one whose `state` that was; collective."""
        self.clamped[:] = state["clamped"]
        self.seconds |= state["seconds"]
        self.diffusion_step.restore(state["diffusion"])

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.diffusion_step.destroy()
