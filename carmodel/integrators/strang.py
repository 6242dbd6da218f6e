"""The paper's scheme: Strang splitting, two-stage Runge-Kutta for reactions and taxis, backward-Euler diffusion.

And what it becomes with better halves: second order, or positive for every step.
"""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import FIELDS, patankar
from ..kinetics import CHEMOTAXIS_FIELDS
from ..linear import JacobiDiffusion
from ..parameters import Parameters
from ..spaces import BoxSpace, Space
from .diffusion import SCHEMES, Diffusion

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
    parameters: values of eqs (1)-(8).
    D_C: diffusivity of C by cell, shape (n_local,) with valid ghosts; `parameters.D_C` everywhere unless given.
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
        parameters: Parameters,
        *,
        D_C: Array | None = None,
        taxis: str = "central",
        substeps: int = 1,
        reaction: str = "rk2",
        diffusion: str = "ksp",
        diffusion_scheme: str = "backward-euler",
        jacobi_iterations: int = 60,
        jacobi_tolerance: float = 1e-8,
        clamp: bool = True,
    ) -> None:
        self.space = space
        self.parameters = parameters
        self.taxis, self.substeps, self.clamp = taxis, substeps, clamp
        # Whoever asks for the positive scheme hears of any clamping beyond rounding.
        self.negligible = 1e-6 if reaction == "mprk22" else 0.01
        if reaction not in REACTIONS:
            raise ValueError(f"reaction: {reaction!r} is unknown; accepted: {', '.join(REACTIONS)}")
        self.reaction, self._scheme = reaction, diffusion_scheme
        self._jacobi = None if diffusion == "ksp" else (jacobi_iterations, jacobi_tolerance)
        #: Sum over this rank's cells of what clamping added to each field so far, shape (7,).
        self.clamped: Array = np.zeros(len(FIELDS))
        self.deepest_undershoot: Array = np.zeros(len(FIELDS))
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"reaction_taxis": 0.0, "diffusion": 0.0}
        self._given_D_C = D_C
        self._D_C = space.zeros() + parameters.D_C if D_C is None else D_C
        if reaction == "mprk22":
            self._runs = space.runs
        else:
            self._predictor, self._rate = space.zeros(2, len(FIELDS))
        self._uncounted = np.zeros(len(FIELDS))
        self.diffusion = self._make_diffusion(parameters, D_C)
        #: Order of accuracy in time.
        self.order = SCHEMES[diffusion_scheme]

    def _make_diffusion(self, parameters: Parameters, D_C: Array | None) -> Diffusion | JacobiDiffusion:
        if self._jacobi is None:
            implicit = self.taxis if self.reaction == "mprk22" else None
            return Diffusion(self.space, parameters, D_C=D_C, scheme=self._scheme, taxis=implicit)
        if (self.reaction, self._scheme) != ("rk2", "backward-euler"):
            raise ValueError("the published program's Jacobi solver goes with rk2 and backward Euler")
        if D_C is None and isinstance(self.space, BoxSpace):
            return JacobiDiffusion(self.space, parameters.diffusivities, *self._jacobi)
        raise ValueError("the published program's Jacobi solver has a box of cells and a constant D_C")

    def restart(self, parameters: Parameters, D_C: Array | None) -> None:
        """Go on with these parameters; a step remembers nothing of the state before it; collective."""
        if D_C is not self._given_D_C or parameters.diffusivities != self.parameters.diffusivities:
            old, self.diffusion = self.diffusion, self._make_diffusion(parameters, D_C)
            self.diffusion.iterations += old.iterations
            old.destroy()
            self._given_D_C = D_C
            self._D_C = self.space.zeros() + parameters.D_C if D_C is None else D_C
        self.parameters = parameters

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (7, n_local), by dt days in place; returns dt.  Collective.

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
            patankar.advance(u, *self._runs, h, self.substeps, self.parameters)
            return
        for _ in range(self.substeps):
            self._stage(u, u, self._predictor, self._uncounted, weight=h, store=True)
            self._stage(self._predictor, u, u, self.clamped, weight=0.5 * h, weight_stored=0.5 * h)

    def _stage(
        self,
        v: Array,
        base: Array,
        out: Array,
        clamped: Array,
        *,
        weight: float,
        weight_stored: float = 0.0,
        store: bool = False,
    ) -> None:
        self.space.exchange(v, CHEMOTAXIS_FIELDS)
        self.space.explicit_stage(
            v,
            base,
            self._rate,
            out,
            weight=weight,
            weight_stored=weight_stored,
            store=store,
            parameters=self.parameters,
            taxis=self.taxis,
            D_C=self._D_C,
            clamp=self.clamp,
            clamped=clamped,
        )

    def _diffuse(self, u: Array, dt: float) -> None:
        if isinstance(self.diffusion, Diffusion) and self.reaction == "mprk22" and self.parameters.chi_0 != 0.0:
            self.diffusion.solve_with_taxis(u, dt, self.parameters)
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
            "linear_iterations": dict(zip(FIELDS, self.diffusion.iterations.tolist(), strict=True)),
        }

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.diffusion.destroy()
