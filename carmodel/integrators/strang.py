"""The paper's scheme: Strang splitting, two-stage Runge-Kutta for reactions and taxis, backward-Euler diffusion.

And what it becomes with better halves: second order, or positive for every step.
"""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers import patankar
from ..solvers.diffusion import JacobiDiffusion
from ..spaces import BoxSpace, Space
from ..spaces.box import States
from ..spaces.stencils import Stage
from .diffusion_step import SCHEMES, Diffusion

Array = NDArray[np.float64]

REACTIONS = ("rk2", "mprk22")


class Strang:
    """Eqs (57)-(60): half a step of reactions and taxis, a step of diffusion, half a step of reactions and taxis.

    First order in time with backward-Euler diffusion, otherwise second: `order`.  Where values turn negative they are
    set to zero: the predictor, the Runge-Kutta result and the diffusion result, as the published program does.  What
    the last two add to the fields is counted in `clamped`.

    With reaction = "mprk22" the half steps are positive for every dt (`patankar`).  Explicit taxis is not: C then
    migrates in the middle step, implicitly (`diffusion.Diffusion`).  With any taxis but "central" and "backward-euler"
    no field turns negative, whatever dt, and nothing is clamped.

    Parameters
    ----------
    space: where the fields live.
    medium: a model's parameters, and diffusivities by cell.
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".
    substeps: explicit substeps in each half step.
    reaction: "rk2" (the paper's) or "mprk22".
    diffusion: "ksp" (PETSc) or "jacobi" (the published program's sweeps).
    diffusion_scheme: "backward-euler" (the paper's), "sdirk2" or "exact"; with "jacobi" the first only.
    jacobi_iterations, jacobi_tolerance: its sweeps and stopping rule.
    clamp: False leaves negative values as they come.

    Raises ValueError for unknown names and for what does not go together, InputError for PETSc options that PETSc
    refuses.
    """

    adaptive = False

    def __init__(
        self,
        space: Space,
        medium: Medium,
        *,
        taxis: str = "central",
        substeps: int = 1,
        reaction: str = "rk2",
        diffusion: str = "ksp",
        diffusion_scheme: str = "backward-euler",
        jacobi_iterations: int = 60,
        jacobi_tolerance: float = 1e-8,
        clamp: bool = True,
    ) -> None:
        self.space, self.model, self.medium = space, medium.model, medium
        self.taxis, self.substeps, self.clamp = taxis, substeps, clamp
        # Whoever asks for the positive scheme hears of any clamping beyond rounding.
        self.negligible = 1e-6 if reaction == "mprk22" else 0.01
        if reaction not in REACTIONS:
            raise ValueError(f"reaction: {reaction!r} is unknown; accepted: {', '.join(REACTIONS)}")
        self.reaction, self._scheme = reaction, diffusion_scheme
        self._jacobi = None if diffusion == "ksp" else (jacobi_iterations, jacobi_tolerance)
        n = len(self.model.names)
        #: Sum over this rank's cells of what clamping added to each field so far, shape (fields,).
        self.clamped: Array = np.zeros(n)
        self.deepest_undershoot: Array = np.zeros(n)
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"reaction_taxis": 0.0, "diffusion": 0.0}
        if reaction == "mprk22":
            self._runs = space.runs
        else:
            self._predictor, self._rate = space.zeros(2, n)
        self._uncounted = np.zeros(n)
        self.diffusion = self._make_diffusion()
        #: Order of accuracy in time.
        self.order = SCHEMES[diffusion_scheme]

    def _make_diffusion(self) -> Diffusion | JacobiDiffusion:
        medium = self.medium
        if self._jacobi is None:
            implicit = self.taxis if self.reaction == "mprk22" else None
            return Diffusion(self.space, medium, scheme=self._scheme, taxis=implicit)
        if (self.reaction, self._scheme) != ("rk2", "backward-euler"):
            raise ValueError("the published program's Jacobi solver goes with rk2 and backward Euler")
        if not medium.by_cell and isinstance(self.space, BoxSpace):
            return JacobiDiffusion(self.space, medium.numbers, *self._jacobi, names=self.model.names)
        raise ValueError("the published program's Jacobi solver has a box of cells and a constant D_C")

    def restart(self, medium: Medium) -> None:
        """Go on with these parameters; a step remembers nothing of the state before it; collective."""
        before, self.medium = self.medium, medium
        if not medium.diffuses_as(before):
            old, self.diffusion = self.diffusion, self._make_diffusion()
            self.diffusion.iterations += old.iterations
            old.destroy()

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days in place; returns dt.  Collective.

        Raises NumericsError when a linear solver fails.
        """
        with self.space.threads:
            start = perf_counter()
            self._react(u, 0.5 * dt)
            middle = perf_counter()
            self._diffuse(u, dt)
            end = perf_counter()
            self._react(u, 0.5 * dt)
        self.seconds["reaction_taxis"] += middle - start + perf_counter() - end
        self.seconds["diffusion"] += end - middle
        return dt

    def _react(self, u: Array, duration: float) -> None:
        """Eqs (58)-(59), or the reactions of them by MPRK22, in substeps."""
        h = duration / self.substeps
        if self.reaction == "mprk22":
            patankar.advance(u, *self._runs, h, self.substeps, self.medium.parameters)
            return
        for _ in range(self.substeps):
            predict = Stage(0.0, h, store=True, clamp=self.clamp)
            correct = Stage(0.5 * h, 0.5 * h, store=False, clamp=self.clamp)
            self._stage((u, u, self._rate, self._predictor), predict, self._uncounted)
            self._stage((self._predictor, u, self._rate, u), correct, self.clamped)

    def _stage(self, states: States, stage: Stage, clamped: Array) -> None:
        self.space.exchange(states[0], self.model.neighbours)
        self.space.explicit_stage(states, stage, self.medium, self.taxis, clamped)

    def _diffuse(self, u: Array, dt: float) -> None:
        if isinstance(self.diffusion, Diffusion) and self.reaction == "mprk22" and self.medium.moving.any():
            self.diffusion.solve_with_taxis(u, dt, self.medium)
        else:
            self.diffusion.solve(u, dt)
        if self.clamp:
            for f, field in enumerate(u):
                self.clamped[f] += self.space.clamp(field)

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest."""
        return {
            "rejected_steps": 0,
            "linear_solvers": self.diffusion.preconditioners,
            "linear_iterations": dict(zip(self.model.names, self.diffusion.iterations.tolist(), strict=True)),
        }

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.diffusion.destroy()
