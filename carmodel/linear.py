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
from .errors import NumericsError
from .spaces import BoxSpace

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

    def __init__(self, space: BoxSpace, diffusivities: Sequence[float | Array]) -> None:
        self.space = space
        self.diffusivities = tuple(diffusivities)
        self.iterations = np.zeros(len(FIELDS), dtype=int)
        self.preconditioners: dict[str, str] = {}
        self._dt = 0.0
        self._b, self._x = space.create_vector(), space.create_vector()
        self._solvers = [PETSc.KSP().create(space.comm) for _ in FIELDS]
        self._matrices: list[Any] = []

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state by one step of diffusion; collective.

        Raises NumericsError when a solver does not converge.
        """
        if dt != self._dt:
            self._set_up(dt)
        for f, solver in enumerate(self._solvers):
            self._solve_field(f, solver, self.space.owned(u[f]))

    def _solve_field(self, f: int, solver: Any, field: Array) -> None:
        self._b.array[:] = field.ravel()
        self._b.copy(self._x)
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
        defect, size = self._b.sum() - self._x.sum(), self._x.norm(PETSc.NormType.NORM_1)
        if size > 0.0:
            self._x.array[:] += np.abs(self._x.array) * (defect / size)
        field[...] = self._x.array.reshape(field.shape)

    def _set_up(self, dt: float) -> None:
        self._release_matrices()
        inverse_square = float(np.mean([1.0 / h**2 for h in self.space.spacing]))
        shared: dict[float, Any] = {}
        for name, diffusivity, solver in zip(FIELDS, self.diffusivities, self._solvers, strict=True):
            if isinstance(diffusivity, float) and diffusivity in shared:
                matrix = shared[diffusivity]
            else:
                matrix = self.space.diffusion_matrix(diffusivity, dt)
                self._matrices.append(matrix)
                if isinstance(diffusivity, float):
                    shared[diffusivity] = matrix
            largest = self.space.largest(diffusivity)
            solver.setOptionsPrefix(f"{name}_")
            solver.setOperators(matrix)
            solver.setType(PETSc.KSP.Type.CG)
            solver.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
            solver.setInitialGuessNonzero(True)
            solver.setTolerances(rtol=RELATIVE_RESIDUAL, max_it=10_000)
            multigrid = dt * largest * inverse_square >= MULTIGRID_FROM
            solver.getPC().setType(PETSc.PC.Type.GAMG if multigrid else PETSc.PC.Type.JACOBI)
            solver.setFromOptions()
            self.preconditioners[name] = f"{solver.getType()} + {solver.getPC().getType()}"
        self._dt = dt

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
