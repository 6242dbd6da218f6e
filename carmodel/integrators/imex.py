"""High order without splitting: PETSc's ARKIMEX, diffusion implicit, reactions and taxis explicit, steps by error."""

from math import inf
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.diffusion import KrylovDiffusion
from ..solvers.krylov import petsc_reason
from ..spaces import Space
from ..spaces.layout import OfRanks, State
from ..tools.errors import InputError, NotFiniteError, NumericsError
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from .adaptive import Attempt, StepSize, measure, relative_undershoot

Array = NDArray[np.float64]

#: Order of each of PETSc's methods, by its name in `-ts_arkimex_type`.
ORDERS = {
    "1bee": 1, "a2": 2, "l2": 2, "ars122": 2, "2c": 2, "2d": 2, "2e": 2, "prssp2": 2, "3": 3, "ars443": 3, "bpr3": 3,
    "4": 4, "5": 5,
}  # fmt: skip

#: Those without an embedded error: PETSc makes all their steps alike.
WITHOUT_ERROR = ("ars443", "bpr3", "prssp2")

#: PETSc's options for where steps end and when a run is over; here the run file says so.
ENDS = ("ts_max_time", "ts_max_steps", "ts_exact_final_time")

#: Rates of change of this size, in the 2-norm, end an attempt: PETSc would find its norms infinite later on, and an
#: error inside PETSc leaves its objects unusable.
OVERFLOW = 1e100

#: Share of the first of the last two steps before a time to land on.  What a long step leaves in the stiffest modes
#: (the order reduction of stiff problems) a short one after it damps: the state is then several times as accurate.
LANDING = 0.75

#: The embedded error is held below rtol to this power.  On these stiff equations it falls more slowly with the step
#: than the error does: held below rtol itself, a run would be ever more accurate than asked for (docs/tolerance.md).
CALIBRATION = 0.93


class _Failure(NamedTuple):
    """Why an attempt was given up, its length in days, and how often PETSc had rejected steps by then."""

    error: NumericsError
    dt: float
    rejections: int


class Imex(Owner):
    """Eqs (1)-(7) by additive Runge-Kutta methods (Kennedy and Carpenter 2003, doi 10.1016/S0168-9274(02)00138-1).

    PETSc's TS makes the steps: u' = G(u) + L u, with L the diffusion of each field, implicit and linear, and G the
    reactions and taxis, explicit.  Steps are as long as the embedded error allows: its root mean square over cells and
    fields, each field's in units of its own root mean square, against `rtol` calibrated so that the error at the end is
    of the size of `rtol`.  PETSc's `-ts_...` options hold, except those for another method or another end of the run;
    `-ts_rtol` and `-ts_atol` have PETSc's meaning; the method is `-ts_arkimex_type`, 4 unless given.

    Diffusion and taxis together are positive in all schemes but "central"; high order is not: steps that undershoot are
    repeated shorter (`adaptive.Undershoot`).  What is accepted below zero becomes zero and counts in `clamped`.

    Parameters
    ----------
    space: where the fields live.
    medium: a model's parameters, and diffusivities by cell.
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".
    rtol: error to aim at, relative to each field's size.
    dt: first step, also after a discontinuity, in days.
    clamp: False leaves negative values as they come.

    Raises InputError when PETSc does not accept the user's options.
    """

    adaptive = True

    def __init__(
        self,
        space: Space,
        medium: Medium,
        *,
        taxis: str = "hybrid",
        rtol: float = 1e-4,
        dt: float = 0.01,
        clamp: bool = True,
    ) -> None:
        self.space, self.taxis, self.rtol, self.clamp = space, taxis, rtol, clamp
        self.model = medium.model
        self._n = len(self.model.names)
        #: Sum over this rank's cells of what clamping added to each field so far, shape (fields,).
        self.clamped: Array = np.zeros(self._n)
        self.step_size = StepSize(rtol, self.model.names, dt, LANDING)
        self.negligible = rtol  # clamping more than this is a larger error than `rtol`
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"reaction_taxis": 0.0, "diffusion": 0.0, "time_stepper": 0.0}
        self._t = 0.0
        self._largest: Array = np.zeros(self._n)
        self._tolerance_of = 0.0  # days of the attempt that `_tolerance` is for
        self._shift, self._setting_up = 1.0, False
        self._failure: _Failure | None = None
        self._before: Array = np.empty(0)  # what an attempt starts from
        self._kept = 0  # steps so far, without those that were repeated
        self._ghosted = space.zeros(self._n)
        self._ghosted_of = self._diffused_of = (0, 0)
        self._set(medium)
        self._make_stepper()

    def _set(self, medium: Medium) -> None:
        self.medium = medium
        self._diffusion = KrylovDiffusion(self.space, self.medium.diffusivities, self.model.names)

    @destroyed_if_unfinished
    def _make_stepper(self) -> None:
        size = self._n * self.space.n_owned, self._n * self.space.n_cells
        comm = self.space.comm
        self._u = self.adopt(PETSc.Vec().createMPI(size, comm=comm))
        self._residual, self._tolerance, self._diffused = (self.adopt(self._u.duplicate()) for _ in range(3))
        self._operator = self.adopt(PETSc.Mat().createPython((size, size), context=SimpleNamespace(), comm=comm))
        self._operator.setUp()
        ts = self._ts = self.adopt(PETSc.TS().create(comm=comm))
        ts.setType(PETSc.TS.Type.ARKIMEX)
        ts.setARKIMEXType(PETSc.TS.ARKIMEXType.ARKIMEX4)
        ts.setIFunction(self._implicit_residual, self._residual)
        ts.setIJacobian(self._keep_shift, self._operator)
        ts.setRHSFunction(self._explicit_rate)
        ts.setExactFinalTime(PETSc.TS.ExactFinalTime.STEPOVER)  # the caller says where steps end
        ts.setMaxTime(1e300)
        ts.setMaxSNESFailures(-1)
        snes = self.adopt(ts.getSNES())  # a handle that outlived TS would keep it from being freed
        snes.setOptionsPrefix("imex_")
        snes.setType(PETSc.SNES.Type.PYTHON)
        snes.setPythonContext(SimpleNamespace(solve=self._solve_stage))
        try:
            ts.setFromOptions()
            ts.setSolution(self._u)
            ts.setUp()
        except PETSc.Error as error:
            raise InputError(f"PETSc options for TS: {petsc_reason(error)}; accepted: what PETSc knows") from None
        ts.setErrorIfStepFails(False)  # `_attempt` looks
        self._take_options()

    def _take_options(self) -> None:
        """Read what the user's options made of the stepper; InputError where that is another method."""
        ts, given = self._ts, PETSc.Options()
        if ts.getType() != PETSc.TS.Type.ARKIMEX:
            raise InputError(f"PETSc option -ts_type {ts.getType()}; accepted: arkimex")
        if (kind := ts.getSNES().getType()) != PETSc.SNES.Type.PYTHON:
            raise InputError(f"PETSc option -imex_snes_type {kind}; accepted: none, the stages are linear")
        if given.getBool("ts_arkimex_fully_implicit", False):
            raise InputError("PETSc option -ts_arkimex_fully_implicit; accepted: not set, only diffusion is implicit")
        #: PETSc's name of the method, and its order of accuracy.
        self.method = str(ts.getARKIMEXType())
        if self.method not in ORDERS:
            raise InputError(f"PETSc option -ts_arkimex_type {self.method}; accepted: {', '.join(ORDERS)}")
        self.order = ORDERS[self.method]
        if self.method in WITHOUT_ERROR and given.getString("ts_adapt_type", "") != "none":
            raise InputError(
                f"PETSc option -ts_arkimex_type {self.method}: this method has no embedded error; accepted with "
                "-ts_adapt_type none and the step in -ts_dt"
            )
        for option in ENDS:
            if given.hasName(option):
                raise InputError(f"PETSc option -{option}; accepted: not set, time and output in the run file count")
        if not (given.hasName("ts_rtol") or given.hasName("ts_atol")):
            ts.setTolerances(rtol=0.0, atol=self._tolerance)
        if given.hasName("ts_dt"):
            self.step_size.start_with(ts.getTimeStep())
            if not 0.0 < ts.getTimeStep() < inf:
                raise InputError(f"PETSc option -ts_dt {ts.getTimeStep():g}; accepted: a positive number of days")

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), in place by at most dt days; return the days made.  Collective.

        Raises NumericsError when no step is short enough for the tolerance, or a linear solver fails.
        """
        start, inside = perf_counter(), self._seconds_inside()
        own = self.space.owned(u)
        with self.space.threads:
            self._before = own
            made = self.step_size.accepted(dt, self).made
        own[...] = self._fields_of(self._u)
        if self.clamp:
            for f, field in enumerate(u):
                self.clamped[f] += self.space.clamp(field)
        self._t += made
        self._kept = self._ts.getStepNumber()
        self._ts.monitor(self._kept, self._t, self._u)
        self.seconds["time_stepper"] += perf_counter() - start - (self._seconds_inside() - inside)
        return made

    def restart(self, medium: Medium) -> None:
        """The state or the equations have changed at once: go on with these, from a small step; collective."""
        if not medium.diffuses_as(self.medium):
            iterations = self._diffusion.iterations
            self._diffusion.destroy()
            self._set(medium)
            self._diffusion.iterations += iterations
        else:
            self.medium = medium
        self.step_size.restart()
        self._ts.restartStep()

    @property
    def deepest_undershoot(self) -> Array:
        """How far below zero accepted steps left each field, relative to its largest value then, shape (fields,)."""
        return self.step_size.undershoot.accepted

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest."""
        return {
            "method": f"ARKIMEX {self.method}",
            **self.step_size.figures(),
            "linear_solvers": self._diffusion.preconditioners,
            "linear_iterations": dict(zip(self.model.names, self._diffusion.iterations.tolist(), strict=True)),
        }

    def state(self) -> State:
        """What `restore` takes, beside the array of the last step: PETSc's methods remember nothing else."""
        return {
            "clamped": OfRanks(self.clamped),
            "step_size": self.step_size.state(),
            "seconds": dict(self.seconds),
            "t": self._t,
            "steps": self._kept,
            "diffusion": self._diffusion.state(),
        }

    def restore(self, state: State, _u: Array) -> None:
        """Go on as the one whose `state` that was; collective."""
        self.clamped[:] = state["clamped"]
        self.step_size.restore(state["step_size"])
        self.seconds |= state["seconds"]
        self._t, self._kept = state["t"], state["steps"]
        self._diffusion.restore(state["diffusion"])

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        super().destroy()
        self._diffusion.destroy()

    # ---- one step ------------------------------------------------------------------------------------------------

    def attempt(self, h: float) -> Attempt:
        """A step of PETSc's of h days or, where its error is too large, fewer, from the state before; collective."""
        ts = self._ts
        ts.setStepNumber(self._kept)
        self._fields_of(self._u)[...] = self._before
        rejections = ts.getStepRejections()
        ts.setTime(self._t)
        ts.setTimeStep(h)
        self._tolerance_of, self._failure = 0.0, None
        try:
            ts.step()
        except PETSc.Error as error:
            raise NumericsError(f"no step is short enough: PETSc says: {petsc_reason(error)}") from None
        if self._failure:
            if not isinstance(self._failure.error, NotFiniteError):
                raise self._failure.error
            return Attempt(self._failure.dt, np.full(self._n, inf), self._failure.rejections - rejections)
        if (reason := ts.getConvergedReason()) < 0:
            names = {number: name for name, number in vars(PETSc.TS.ConvergedReason).items()}
            raise NumericsError(f"no step is short enough: PETSc says: {names.get(reason, reason)}")
        by_error = ts.getStepRejections() - rejections
        return Attempt(ts.getTime() - self._t if by_error else h, self._below_zero(), by_error)

    def proposed(self, made: float) -> tuple[float, bool]:
        """The length of the next step after PETSc has accepted this one of `made` days for its error."""
        return self._ts.getTimeStep(), True

    def _give_up(self, error: NumericsError) -> None:
        """Let PETSc end its step without a result.

        An exception would leave the functions of PETSc that called us with vectors in use: no other step could follow.
        """
        self._failure = _Failure(error, self._ts.getTimeStep(), self._ts.getStepRejections())
        self._ts.setConvergedReason(PETSc.TS.ConvergedReason.DIVERGED_NONLINEAR_SOLVE)

    def _below_zero(self) -> Array:
        """How far each field of `_u` reaches below zero, relative to its largest value before or after the step."""
        sizes, least, largest = measure(self.space, self._by_field(self._u))
        return relative_undershoot(sizes, least, np.maximum(largest, self._largest))

    def _set_tolerance(self, rate: Any, dt: float) -> None:
        """Tell PETSc what error is too much in each field; `rate` is that at the start of a step of dt days."""
        sizes, _, self._largest = measure(self.space, self._by_field(self._u))
        rates = measure(self.space, self._by_field(rate))[0]
        scale = np.minimum(self.step_size.scale.update(sizes, rates, dt), 1e300)  # PETSc takes no infinity
        self._fields_of(self._tolerance)[...] = self.rtol**CALIBRATION * scale.reshape(
            -1, *[1] * len(self.space.owned_shape)
        )
        self._tolerance_of = dt

    # ---- what PETSc calls ----------------------------------------------------------------------------------------

    def _explicit_rate(self, _ts: Any, _t: float, u: Any, rate: Any) -> None:
        """G(u): reactions and taxis."""
        start = perf_counter()
        self.space.explicit_rate(self._with_ghosts(u), self._by_field(rate), self.medium, self.taxis)
        if not rate.norm() < OVERFLOW:
            rate.set(0.0)
            self._give_up(NotFiniteError("the rate of change is no longer finite"))
        elif (dt := self._ts.getTimeStep()) != self._tolerance_of:
            self._set_tolerance(rate, dt)
        self.seconds["reaction_taxis"] += perf_counter() - start

    def _implicit_residual(self, _ts: Any, _t: float, u: Any, u_dot: Any, residual: Any) -> None:
        """F(u, u') = u' - L u; u' alone while a stage is being set up."""
        start = perf_counter()
        u_dot.copy(residual)
        if _version(u) == self._diffused_of:
            residual.axpy(-1.0, self._diffused)
        elif not self._setting_up:
            self.space.subtract_diffusion(self._with_ghosts(u), self._by_field(residual), self.medium.diffusivities)
        self.seconds["diffusion"] += perf_counter() - start

    def _keep_shift(self, _ts: Any, _t: float, _u: Any, _u_dot: Any, shift: float, _a: Any, _p: Any) -> bool:
        """The operator of a stage is shift - L."""
        self._shift = shift
        return True

    def _solve_stage(self, snes: Any, _b: Any, y: Any) -> None:
        """Solve F(y, shift (y - z)) = 0 for y, that is (shift - L) y = shift z; z is TS's, known from u' at any y.

        The solution gives L y = shift (y - z) without another look at the cells' neighbours.
        """
        snes.setConvergedReason(PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE)
        if self._failure:
            return
        start, z = perf_counter(), self._diffused
        self._setting_up = True
        snes.computeFunction(y, z)
        self._setting_up = False
        snes.computeJacobian(y, self._operator)
        z.aypx(-1.0 / self._shift, y)
        z.copy(y)
        try:
            self._diffusion.solve_fields(self._fields_of(y), 1.0 / self._shift)
        except NumericsError as error:
            self._give_up(error)
            return
        z.aypx(-1.0, y)
        z.scale(self._shift)
        self._diffused_of = _version(y)
        snes.setConvergedReason(PETSc.SNES.ConvergedReason.CONVERGED_ITS)
        self.seconds["diffusion"] += perf_counter() - start

    def _by_field(self, vector: Any) -> Array:
        return np.asarray(vector.array).reshape(self._n, -1)

    def _fields_of(self, vector: Any) -> Array:
        return np.asarray(vector.array).reshape(self._n, *self.space.owned_shape)

    def _with_ghosts(self, u: Any) -> Array:
        """The state of a PETSc vector with valid ghosts, shape (fields, n_local); kept until the vector changes."""
        if _version(u) != self._ghosted_of:
            self.space.owned(self._ghosted)[...] = np.asarray(u.array_r).reshape(self._n, *self.space.owned_shape)
            self.space.exchange(self._ghosted, range(self._n))
            self._ghosted_of = _version(u)
        return self._ghosted

    def _seconds_inside(self) -> float:
        return self.seconds["reaction_taxis"] + self.seconds["diffusion"]


def _version(vector: Any) -> tuple[int, int]:
    """Changes whenever a PETSc vector does."""
    return vector.handle, vector.stateGet()
