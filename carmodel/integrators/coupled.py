"""All equations advanced together and implicitly: BDF2 or backward Euler, swept to nonlinear convergence."""

import logging
from itertools import compress
from math import ceil, log2
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.fipy_systems import FiPySpace, Systems
from ..solvers.fipy_terms import Equations
from ..solvers.krylov import petsc_reason
from ..spaces.layout import Shared, State
from ..tools.errors import NumericsError
from ..tools.petsc import PETSc
from ..tuples import balance, slow

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Order in time of each scheme, by the name of the run file.
SCHEMES = {"backward-euler": 1, "bdf2": 2}

#: A step is at most this times the one before it: BDF2 with growing steps is stable below 1 + sqrt(2)
#: (Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section III.5).
LARGEST_GROWTH = 2.0

#: Parts of the first step: 1, 2, 4 and 8 fifteenths of it.
STARTING_STEPS = 4

#: Tolerance of the linear solves as part of the nonlinear one, so that a field once solved need not be solved again.
LINEAR_SHARE = 0.01

_log = logging.getLogger(__name__)


class _NotConvergedError(Exception):
    """Why a step did not converge."""


class Coupled:
    """Eqs (1)-(7), each u_t = P - L u + div(D grad u) - div(taxis), with every term at the new time.

    The derivative is (lead (u - u_n) - w^2/(1 + w) (u_n - u_{n-1})) / dt with w = dt / dt_n: variable-step BDF2 for
    lead = (1 + 2w)/(1 + w), backward Euler for lead = 1 without the second term.  BDF2 starts with a backward-Euler
    step of dt/15, one step of local error dt^2, which leaves the second order whole; then steps at most double.  It
    starts afresh after `restart`, which who changes the state between two steps calls, and with another array than the
    last.

    A sweep solves the fields one after the other, each with the latest values of the others (Gauss-Seidel), and passes
    over those whose residual ||A u - b|| is below `tolerance` ||b||, b holding the earlier states and the production,
    or, where dt D / h^2 is above some 1e5, below what rounding leaves of it.  A step is done when a sweep had nothing
    to solve: then all residuals are that small at one and the same state.

    Nothing is clamped.  "scharfetter-gummel" and "upwind" with "backward-euler" keep every field non-negative, to the
    tolerance; BDF2, like any method of second order, does so for small steps only.

    Parameters
    ----------
    space: where the fields live: a FiPy mesh.
    medium: a model's parameters, and diffusivities by cell, valid in overlapping cells.
    taxis: "central", "upwind" or "scharfetter-gummel".
    scheme: "bdf2" or "backward-euler".
    tolerance: of the nonlinear residual of each equation, relative to its right-hand side.
    most_sweeps: in a step; then the step is halved.
    least_step: in days; a step that would become shorter fails.

    `sweeps`, `halvings` count since the start, `iterations`, shape (fields,), the Krylov iterations.  PETSc options of
    a field carry its name as prefix (`-H_pc_type hypre`) and win over the choice made here.

    Raises ValueError for an unknown scheme.
    """

    def __init__(
        self,
        space: FiPySpace,
        medium: Medium,
        *,
        taxis: str = "central",
        scheme: str = "bdf2",
        tolerance: float = 1e-10,
        most_sweeps: int = 40,
        least_step: float = 1e-6,
    ) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"scheme: {scheme!r} is unknown; accepted: {', '.join(SCHEMES)}")
        self.order = SCHEMES[scheme]
        self.adaptive, self.negligible = False, 0.01
        self.space, self.taxis = space, taxis
        self.tolerance, self.most_sweeps, self.least_step = tolerance, most_sweeps, least_step
        self.model = medium.model
        #: Nothing is clamped: zeros of shape (fields,).
        self.clamped: Array = np.zeros(len(self.model.names))
        self.deepest_undershoot: Array = np.zeros(len(self.model.names))
        self.sweeps, self.halvings = 0, 0
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"assembly": 0.0, "solve": 0.0}
        self._set_up(medium)
        self._earlier: Array | None = None
        #: The array that the last step left the state in.
        self._field: Array | None = None
        self._last_dt = 0.0

    def _set_up(self, medium: Medium) -> None:
        start = perf_counter()
        self.medium = medium
        self.equations = Equations(self.space.mesh, self.medium, taxis=self.taxis)
        self.systems = Systems(self.space, self.equations, self.medium, LINEAR_SHARE * self.tolerance)
        #: Of each field that moves, those that its velocity depends on.
        self._carriers = {
            f: self.model.carriers(taxes) for f, taxes in compress(self.model.movers.items(), medium.moving)
        }
        self._old_taxis = set(self._carriers)
        self.seconds["assembly"] += perf_counter() - start

    def restart(self, medium: Medium) -> None:
        """Go on with these parameters from a backward-Euler step; collective.

        Where they are others, FiPy makes all its terms anew: nothing of the old coefficients stays in a stencil.
        """
        if not medium.is_as(self.medium):
            old = self.systems
            self._set_up(medium)
            self.systems.iterations += old.iterations
            old.destroy()
        self._earlier = self._field = None

    @property
    def iterations(self) -> Integers:
        """Krylov iterations of each field so far, shape (fields,)."""
        return self.systems.iterations

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days, overlapping cells too; returns dt.  Collective.

        Raises NumericsError when a step of `least_step` does not converge.
        """
        v = u[:, self.systems.own]
        if self._field is not u:
            self._earlier = None
        self._field = None  # until all of the step is made
        todo = self._parts(dt)[::-1]
        while todo:
            h = todo.pop()
            if self._grows_too_much(h):  # the steps before it have been halved
                todo += [0.5 * h, 0.5 * h]
                continue
            try:
                new = self._advance(v, h)
            except _NotConvergedError as reason:
                self._halve(h, str(reason))
                todo += [0.5 * h, 0.5 * h]
            else:
                self._earlier, self._last_dt, v = v, h, new
        self._field = u
        for f, values in enumerate(v):
            u[f] = self.systems.with_overlap(values)
        return dt

    def _parts(self, dt: float) -> list[float]:
        """Steps that add up to dt, each at most twice the one before."""
        if self.order == 1:
            return [dt]
        if self._earlier is None:
            n = STARTING_STEPS
        else:
            growth = dt / self._last_dt * (1.0 - 1e-9)
            n = 1 if growth <= LARGEST_GROWTH else ceil(log2(growth / LARGEST_GROWTH + 1.0))
        return [dt * 2.0**k / (2.0**n - 1.0) for k in range(n)]

    def _grows_too_much(self, h: float) -> bool:
        two_step = self.order == 2 and self._earlier is not None
        return two_step and h > LARGEST_GROWTH * self._last_dt * (1.0 + 1e-6)

    def _halve(self, h: float, reason: str) -> None:
        if 0.5 * h < self.least_step:
            raise NumericsError(f"{reason}; dt = {h:g} cannot be halved: the least step is {self.least_step:g} days")
        self.halvings += 1
        if self.space.comm.rank == 0:
            _log.warning("%s; step of %g days halved", reason, h)

    def _advance(self, old: Array, dt: float) -> Array:
        """The state, shape (fields, n_own), one step after `old`."""
        new = old.copy()
        lead, memory = 1.0, np.zeros_like(old)
        if self.order == 2 and self._earlier is not None:
            w = dt / self._last_dt
            lead = (1.0 + 2.0 * w) / (1.0 + w)
            memory = (old - self._earlier) * (w * w / ((1.0 + w) * dt))
            new += (old - self._earlier) * w
        self.systems.begin(lead / dt, lead / dt * old + memory)
        self._old_taxis = set(self._carriers)
        for _ in range(self.most_sweeps):
            self.sweeps += 1
            worst = self._sweep(new)
            if not worst:
                return new
        raise _NotConvergedError(f"{worst} after {self.most_sweeps} sweeps")

    def _sweep(self, v: Array) -> str:
        """Solve each equation that is not yet; what the worst of them lacked, nothing if none was solved."""
        worst, largest = "", 0.0
        for f, name in enumerate(self.model.names):
            start = perf_counter()
            residual, scale, rounding = self._assemble(f, v)
            middle = perf_counter()
            self.seconds["assembly"] += middle - start
            if not np.isfinite(residual + scale):
                raise _NotConvergedError(f"{name} is no longer finite")
            if residual <= max(self.tolerance * scale, rounding):
                continue
            relative = residual / max(scale, 1e-300)
            if relative > largest:
                worst, largest = f"residual of {name} is {relative:.1e} of its right-hand side", relative
            try:
                reason = self.systems.solve(f, v[f], enough=0.5 * rounding)
            except PETSc.Error as error:  # a shorter step would not help
                raise NumericsError(f"system of {name} not solved: PETSc says: {petsc_reason(error)}") from None
            if reason < 0:
                raise _NotConvergedError(f"system of {name} not solved: PETSc reason {reason}")
            self._old_taxis |= {moved for moved, carriers in self._carriers.items() if f in carriers}
            self.seconds["solve"] += perf_counter() - middle
        return worst

    def _assemble(self, f: int, v: Array) -> tuple[float, float, float]:
        """Bring the system of field f up to date with the state; what `Systems.residual` says of it."""
        p, systems = self.medium.local, self.systems
        with np.errstate(over="ignore", invalid="ignore"):  # where an iteration diverges; the caller looks
            u = self.model.Fields(*v)
            production, loss = balance(u, slow(u, p), p)
            if f in self._old_taxis:
                systems.renew_taxis(f, {place: v[place] for place in self._carriers[f]})
                self._old_taxis.discard(f)
            systems.renew(f, production[f], loss[f])
            return systems.residual(f, v[f])

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest."""
        return {
            "sweeps": self.sweeps,
            "rejected_steps": self.halvings,
            "linear_iterations": {name: int(n) for name, n in zip(self.model.names, self.iterations, strict=True)},
        }

    def state(self) -> State:
        """What `restore` takes, beside the array of the last step: the state before it."""
        state: State = {
            "seconds": dict(self.seconds),
            "sweeps": self.sweeps,
            "halvings": self.halvings,
            "iterations": self.iterations.copy(),
            "last_dt": self._last_dt,
        }
        if self._field is not None and self._earlier is not None:
            state["earlier"] = Shared(self._earlier, self.space.layout)
        return state

    def restore(self, state: State, u: Array) -> None:
        """Go on with the array `u` as the one whose `state` that was; collective."""
        self.seconds |= state["seconds"]
        self.sweeps, self.halvings, self._last_dt = state["sweeps"], state["halvings"], state["last_dt"]
        self.iterations[:] = state["iterations"]
        if "earlier" in state:
            self._earlier, self._field = state["earlier"].part(self.space.layout), u

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.systems.destroy()
