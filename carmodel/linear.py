"""The backward-Euler diffusion systems (I - dt div(D grad)) u = b of eq. (60), one per field.

Two solvers with one interface, `solve(u, dt)`: `KrylovDiffusion` solves the systems with PETSc, `JacobiDiffusion`
repeats the arithmetic of the published program.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from . import FIELDS
from .errors import InputError, NumericsError
from .spaces import BoxSpace, Space

Array = NDArray[np.float64]

#: Relative residual asked of PETSc.  Below the 1e-10 that a step needs, so that runs on different numbers of ranks,
#: whose multigrid hierarchies differ, stay within 1e-10 of one another over a whole run.
RELATIVE_RESIDUAL = 1e-12

#: dt D / h^2 from which multigrid is faster than Jacobi-preconditioned CG: docs/linear_solves.md.
MULTIGRID_FROM = 15.0


class KrylovDiffusion:
    """PETSc's conjugate gradients for each field; Jacobi or algebraic multigrid as preconditioner, by dt D / h^2.

    Options of a field carry its name as prefix (`-H_pc_type hypre`) and win over the choice made here.  A solve leaves
    a defect of the size of its tolerance in the field's total; because diffusion keeps mass, the defect is given back
    to the cells in proportion to what they hold.

    `diffusivities`: for each field a number or an array (n_local,) with valid ghosts.  `iterations`, shape (7,), counts
    Krylov iterations; `preconditioners` names what each field uses.
    """

    def __init__(self, space: Space, diffusivities: Sequence[float | Array]) -> None:
        """Raises InputError when PETSc does not accept the user's options."""
        self.space = space
        self.diffusivities = tuple(diffusivities)
        self.iterations = np.zeros(len(FIELDS), dtype=int)
        self.preconditioners: dict[str, str] = {}
        self._dt = 0.0
        self._b, self._x = space.create_vector(), space.create_vector()
        self._solvers = [self._new_solver(name) for name in FIELDS]
        self._matrices: list[Any] = []

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state by one step of diffusion; collective.

        Raises NumericsError when a solver does not converge.
        """
        try:
            if dt != self._dt:
                self._set_up(dt)
            for f, solver in enumerate(self._solvers):
                self._solve_field(f, solver, self.space.owned(u[f]))
        except PETSc.Error as error:
            raise NumericsError(f"diffusion not solved: PETSc says: {_reason(error)}") from None

    def _solve_field(self, f: int, solver: Any, field: Array) -> None:
        volumes = self.space.relative_volumes
        self._x.array[:] = field.ravel()
        self._b.array[:] = self._x.array * volumes
        solver.solve(self._b, self._x)
        self.iterations[f] += solver.getIterationNumber()
        reason = solver.getConvergedReason()
        if reason == PETSc.KSP.ConvergedReason.DIVERGED_NANORINF:
            raise NumericsError(f"{FIELDS[f]} is no longer finite")
        if reason < 0:
            raise NumericsError(
                f"diffusion of {FIELDS[f]} not solved: PETSc reason {reason} after {solver.getIterationNumber()} "
                f"iterations, residual {solver.getResidualNorm():.3g}, dt = {self._dt:g}"
            )
        field[...] = self._x.array.reshape(field.shape)
        self._x.array[:] *= volumes
        defect, size = self._b.sum() - self._x.sum(), self._x.norm(PETSc.NormType.NORM_1)
        if size > 0.0:
            field += np.abs(field) * (defect / size)

    def _set_up(self, dt: float) -> None:
        self._release_matrices()
        shared: dict[float, Any] = {}
        for name, diffusivity, solver in zip(FIELDS, self.diffusivities, self._solvers, strict=True):
            if isinstance(diffusivity, float) and diffusivity in shared:
                matrix = shared[diffusivity]
            else:
                matrix = self.space.diffusion_matrix(diffusivity, dt)
                self._matrices.append(matrix)
                if isinstance(diffusivity, float):
                    shared[diffusivity] = matrix
            solver.setOperators(matrix)
            multigrid = self._diffusion_number(matrix) >= MULTIGRID_FROM
            solver.getPC().setType(PETSc.PC.Type.GAMG if multigrid else PETSc.PC.Type.JACOBI)
            solver.setFromOptions()
            # A direct solve, `-ksp_type preonly`, takes no initial guess.
            solver.setInitialGuessNonzero(solver.getType() != PETSc.KSP.Type.PREONLY)
            self.preconditioners[name] = f"{solver.getType()} + {solver.getPC().getType()}"
        self._dt = dt

    def _new_solver(self, name: str) -> Any:
        """A field's solver with our choices and the user's; the user's options are read again with each matrix."""
        solver = PETSc.KSP().create(self.space.comm)
        solver.setOptionsPrefix(f"{name}_")
        solver.setType(PETSc.KSP.Type.CG)
        solver.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        # From a sharp field and with dt D / h^2 of a million the first residual is a million times the right-hand side.
        solver.setTolerances(rtol=RELATIVE_RESIDUAL, divtol=1e60, max_it=10_000)
        solver.getPC().setType(PETSc.PC.Type.JACOBI)
        take_options(solver, name)
        return solver

    def _diffusion_number(self, matrix: Any) -> float:
        """Largest dt D / h^2 of a matrix, from its diagonal: a cell with six neighbours has 1 + 6 dt D / h^2 there."""
        diagonal = matrix.getDiagonal()
        diagonal.array[:] /= self.space.relative_volumes
        largest = diagonal.max()[1]
        diagonal.destroy()
        return float((largest - 1.0) / 6.0)

    def _release_matrices(self) -> None:
        for matrix in self._matrices:
            matrix.destroy()
        self._matrices.clear()

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        for solver in self._solvers:
            solver.destroy()
        self._release_matrices()
        self._b.destroy()
        self._x.destroy()


def take_options(solver: Any, name: str) -> None:
    """Let the user's PETSc options for a field change its solver.

    Raises InputError when PETSc does not know one of their values.
    """
    try:
        solver.setFromOptions()
    except PETSc.Error as error:
        raise InputError(f"PETSc options for {name}: {_reason(error)}; accepted: what PETSc knows") from None


def _reason(error: Any) -> str:
    """The line of PETSc's traceback that says what is wrong."""
    lines = [line.split("] ", 1)[-1].strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("error code", "#")) and "() at " not in line]
    return told[0] if told else lines[0]


class JacobiDiffusion:
    """The published program's solver: Jacobi sweeps, eq. (61), from u = b, the last iterate kept.

    Stops when the largest change is below `tolerance` or after `most` sweeps, solved or not.  The neighbour beyond a
    wall is the cell itself, and the diagonal is not reduced there.  `iterations`, shape (7,), counts sweeps.
    """

    def __init__(
        self, space: BoxSpace, diffusivities: Sequence[float], most: int = 60, tolerance: float = 1e-8
    ) -> None:
        self.space = space
        self.diffusivities = tuple(diffusivities)
        self.most, self.tolerance = most, tolerance
        self.iterations = np.zeros(len(FIELDS), dtype=int)
        self.preconditioners = dict.fromkeys(FIELDS, f"at most {most} Jacobi sweeps")
        self._b, self._old, self._new = space.zeros(3)

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state by one step of diffusion; collective."""
        for f, diffusivity in enumerate(self.diffusivities):
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

    def destroy(self) -> None:
        """Nothing to free: no PETSc objects here."""
