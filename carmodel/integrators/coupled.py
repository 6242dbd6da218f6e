"""All equations advanced together and implicitly: BDF2 or backward Euler, swept to nonlinear convergence."""

import logging
from itertools import compress
from math import ceil, log2
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.diffusion import MULTIGRID_FROM, petsc_reason, take_options
from ..solvers.fipy_terms import Equations
from ..spaces.mesh import adjacent_cells
from ..tools.errors import NumericsError
from ..tools.owner import Owner, destroyed_if_unfinished
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


class FiPySpace(Protocol):
    """What this integrator asks of a space: a FiPy mesh, whose cells (overlapping ones too) are the local cells."""

    comm: MPI.Intracomm
    mesh: Any
    n_local: int


class _NotConvergedError(Exception):
    """Why a step did not come out."""


class Coupled:
    """Eqs (1)-(7), each u_t = P - L u + div(D grad u) - div(taxis), with every term at the new time.

    The derivative is (lead (u - u_n) - w^2/(1 + w) (u_n - u_{n-1})) / dt with w = dt / dt_n: variable-step BDF2 for
    lead = (1 + 2w)/(1 + w), backward Euler for lead = 1 without the second term.  BDF2 starts with a backward-Euler
    step of dt/15, one step of local error dt^2, which leaves the second order whole; then steps at most double.  It
    starts afresh after `restart`, and wherever it is handed a state that it did not leave behind.

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
        self._left: Array | None = None
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
        if medium.parameters != self.medium.parameters or not medium.diffuses_as(self.medium):
            old = self.systems
            self._set_up(medium)
            self.systems.iterations += old.iterations
            old.destroy()
        self._earlier = self._left = None

    @property
    def iterations(self) -> Integers:
        """Krylov iterations of each field so far, shape (fields,)."""
        return self.systems.iterations

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), by dt days, overlapping cells too; returns dt.  Collective.

        Raises NumericsError when a step of `least_step` does not converge.
        """
        v = u[:, self.systems.own]
        if self.order == 2 and not self._is_left_behind(v):
            self._earlier = None
        self._left = None
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
        self._left = v
        for f, values in enumerate(v):
            u[f] = self.systems.with_overlap(values)
        return dt

    def _is_left_behind(self, v: Array) -> bool:
        same = self._left is not None and np.array_equal(v, self._left)
        return bool(self.space.comm.allreduce(same, MPI.LAND))

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
        p, systems = self.medium.parameters, self.systems
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

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.systems.destroy()


class Systems(Owner):
    """The linear systems A u = b of a step: what FiPy makes of `Equations`, kept and renewed where it changes.

    Diffusion is FiPy's matrix, assembled once; taxis comes from FiPy's coefficients on faces; time derivative and
    losses stand on the diagonal.  Rows are integrals over cells, in cm^3/day times the field, as FiPy's are.

    `matrices` and `right_sides` are A and b by field; `own` and `overlapping` the places of the rank's own and other
    cells among its local cells; `tolerance` is that of the linear solves, relative to b.
    """

    @destroyed_if_unfinished
    def __init__(self, space: FiPySpace, equations: Equations, medium: Medium, tolerance: float) -> None:
        self.equations, self._names = equations, medium.model.names
        n = len(self._names)
        mesh = space.mesh
        rows = [equations.diffusion_rows(f) for f in range(n)]
        self._starts, self._columns, _, ghosts = rows[0]
        mine = np.zeros(space.n_local, dtype=bool)
        mine[mesh._localNonOverlappingCellIDs] = True
        self.own, self.overlapping = np.flatnonzero(mine), np.flatnonzero(~mine)
        self._volumes = np.array(mesh.cellVolumes)[self.own]
        size = (self.own.size, mesh.globalNumberOfCells)
        self.matrices = [
            self.adopt(PETSc.Mat().createAIJ((size, size), csr=(starts, columns, -values), comm=space.comm))
            for starts, columns, values, _ in rows
        ]
        self._x, self._b, self._r = (self.adopt(PETSc.Vec().createMPI(size, comm=space.comm)) for _ in range(3))
        self._ghosted = self.adopt(PETSc.Vec().createGhost(ghosts.astype(PETSc.IntType), size, comm=space.comm))
        self.right_sides = np.zeros((n, self.own.size))
        self.iterations = np.zeros(n, dtype=np.int64)
        self._places(ghosts)
        #: Diffusion's share of each diagonal, and all of it where a field moves, both positive on the diagonal.
        self._diffusion = np.array([-values[self._diagonal_places] for _, _, values, _ in rows])
        self._resting = {f: -rows[f][2] for f in equations.taxis}
        self._moving = dict(self._resting)
        stiffness = (self._diffusion / self._volumes).max(axis=1, initial=0.0)
        space.comm.Allreduce(MPI.IN_PLACE, stiffness, MPI.MAX)
        self._stiffness = stiffness / 6.0  # D/h^2 on a uniform grid
        self._rate = 0.0
        self._history: Array = np.zeros_like(self.right_sides)
        self._diagonals = np.zeros_like(self.right_sides)
        self._constant: list[float | None] = [None] * n
        self._solvers = [self._solver(f, tolerance) for f in range(n)]

    def _solver(self, f: int, tolerance: float) -> Any:
        solver = self.adopt(PETSc.KSP().create(self.matrices[f].comm))
        solver.setOptionsPrefix(f"{self._names[f]}_")
        solver.setOperators(self.matrices[f])
        solver.setType(PETSc.KSP.Type.GMRES if f in self._moving else PETSc.KSP.Type.CG)  # taxis makes it unsymmetric
        solver.setPCSide(PETSc.PC.Side.RIGHT if f in self._moving else PETSc.PC.Side.LEFT)
        solver.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        # The first residual of a stiff system may be dt D / h^2 times b: that alone is no divergence.
        solver.setTolerances(rtol=tolerance, divtol=1e30, max_it=10_000)
        solver.getPC().setType(PETSc.PC.Type.JACOBI)
        take_options(solver, self._names[f])
        return solver

    def _places(self, ghosts: Integers) -> None:
        """Where in the rows of C the diagonal and each face's taxis belong."""
        mesh = self.equations.mesh
        first, n = self.matrices[0].getOwnershipRange()[0], mesh.globalNumberOfCells
        number = np.empty(self.own.size + self.overlapping.size, dtype=np.int64)
        number[self.own], number[self.overlapping] = first + np.arange(self.own.size), ghosts
        keys = np.repeat(np.arange(self.own.size), np.diff(self._starts)) * n + self._columns
        order = np.argsort(keys)

        def place(row: Integers, column: Integers) -> Integers:
            return order[np.searchsorted(keys[order], (row - first) * n + column)]

        self._diagonal_places = place(number[self.own], number[self.own])
        faces = np.flatnonzero(np.asarray(mesh.interiorFaces))
        one, two = (number[cells[faces]] for cells in adjacent_cells(mesh))
        in_one, in_two = ((cell >= first) & (cell < first + self.own.size) for cell in (one, two))
        self._faces_out, self._faces_in = faces[in_one], faces[in_two]
        self._taxis_places = np.concatenate(
            [place(row[mine], column[mine]) for row, mine in ((one, in_one), (two, in_two)) for column in (one, two)]
        )

    def begin(self, rate: float, history: Array) -> None:
        """A step with time derivative rate u - history, in 1/day and field unit/day, shape (fields, n_own)."""
        self._history = history
        if rate == self._rate:
            return
        self._rate = rate
        for solver, stiffness in zip(self._solvers, self._stiffness, strict=True):
            multigrid = stiffness >= MULTIGRID_FROM * rate
            solver.getPC().setType(PETSc.PC.Type.GAMG if multigrid else PETSc.PC.Type.JACOBI)
            solver.getPC().setReusePreconditioner(False)
            solver.setFromOptions()
            # A direct solve, `-ksp_type preonly`, takes no initial guess.
            solver.setInitialGuessNonzero(solver.getType() != PETSc.KSP.Type.PREONLY)

    def renew_taxis(self, f: int, fields: dict[int, Array]) -> None:
        """Take taxis of field f for these values, shape (n_own,), of what carries it; collective."""
        carriers = {place: self.with_overlap(values) for place, values in fields.items()}
        into_one, into_two = self.equations.taxis_outflow(f, carriers)
        out, into = self._faces_out, self._faces_in
        entries = np.concatenate([into_one[out], into_two[out], -into_one[into], -into_two[into]])
        still = self._resting[f]
        self._moving[f] = still + np.bincount(self._taxis_places, entries, minlength=still.size)

    def renew(self, f: int, production: Array, loss: Array | float) -> None:
        """Take reactions P - L u of field f, shape (n_own,) or one L for all; collective."""
        self.right_sides[f] = self._volumes * (self._history[f] + production)
        diagonal = self._volumes * (self._rate + loss)
        self._diagonals[f] = self._diffusion[f] + diagonal
        matrix = self.matrices[f]
        if f in self._moving:
            values = self._moving[f].copy()
            values[self._diagonal_places] += diagonal
            matrix.setValuesCSR(self._starts, self._columns, values)
            matrix.assemble()
        elif np.ndim(loss) > 0 or self._constant[f] != self._rate:  # known alike on all ranks
            self._constant[f] = None if np.ndim(loss) > 0 else self._rate
            self._r.array[:] = self._diagonals[f]
            matrix.setDiagonal(self._r)

    def residual(self, f: int, u: Array) -> tuple[float, float, float]:
        """Norms of A u - b, of b and of the rounding in A u, for u of shape (n_own,); collective."""
        self._r.array[:] = self._diagonals[f] * u
        rounding = 2.0 * np.finfo(float).eps * self._r.norm()
        self._x.array[:], self._b.array[:] = u, self.right_sides[f]
        self.matrices[f].mult(self._x, self._r)
        self._r.axpy(-1.0, self._b)
        return self._r.norm(), self._b.norm(), rounding

    def solve(self, f: int, u: Array, enough: float) -> int:
        """Solve A u = b from u, shape (n_own,), in place; PETSc's reason to stop, negative if it failed; collective.

        A residual below `enough` will do, however small b.
        """
        self._x.array[:], self._b.array[:] = u, self.right_sides[f]
        solver = self._solvers[f]
        solver.setTolerances(atol=enough)
        solver.solve(self._b, self._x)
        self.iterations[f] += solver.getIterationNumber()
        # A multigrid hierarchy serves until the step changes: setting one up costs more than a few iterations.
        # As a direct solve of its own it would be that of another system.
        direct = solver.getType() == PETSc.KSP.Type.PREONLY
        solver.getPC().setReusePreconditioner(not direct and solver.getPC().getType() != PETSc.PC.Type.JACOBI)
        u[:] = self._x.array
        return int(solver.getConvergedReason())

    def with_overlap(self, values: Array) -> Array:
        """Values of all local cells, shape (n_local,), from each rank's own, shape (n_own,); collective."""
        self._ghosted.array[:] = values
        self._ghosted.ghostUpdate()
        whole = np.empty(self.own.size + self.overlapping.size)
        whole[self.own] = values
        with self._ghosted.localForm() as local:
            whole[self.overlapping] = local.array[self.own.size :]
        return whole
