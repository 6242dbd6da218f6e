"""Migration of CAR-T cells: diffusion and taxis of C in one backward-Euler system, as eq. (1) has them together."""

import numpy as np
from numpy.typing import NDArray

from . import FIELDS
from .errors import NumericsError
from .linear import RELATIVE_RESIDUAL, petsc_reason, solve_in_place, take_options
from .owner import Owner, destroyed_if_unfinished
from .parameters import Parameters
from .petsc import PETSc
from .spaces import Space

Array = NDArray[np.float64]


class Migration(Owner):
    """(V - dt V (div(D_C grad) - div(chi grad S))) C_new = V C, with the velocity chi(A) grad S of given S and A.

    Taxis schemes other than central make this an M-matrix with columns that sum to the volumes V: for every dt the
    solution is non-negative and the total kept.  Solved by GMRES; incomplete LU of each rank's rows, which exists for
    M-matrices, preconditions better than the cosine transform where cell Peclet numbers are above one.  PETSc options
    with the prefix `C_` win.

    Parameters
    ----------
    space: where C lives.
    D_C: by cell in cm^2/day, shape (n_local,), with valid ghosts.
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".

    Raises InputError when PETSc does not accept the user's options.
    """

    @destroyed_if_unfinished
    def __init__(self, space: Space, D_C: Array, taxis: str) -> None:
        self.space, self.D_C, self.taxis = space, D_C, taxis
        starts, columns = space.migration_pattern()
        self._starts, self._columns = starts.astype(PETSc.IntType), columns.astype(PETSc.IntType)
        self._values: Array = np.zeros(columns.size)
        size = (space.n_owned, space.n_cells)
        csr = (self._starts, self._columns, self._values)
        self._matrix = self.adopt(PETSc.Mat().createAIJ((size, size), csr=csr, comm=space.comm))
        self._x, self._b = (self.adopt(space.create_vector()) for _ in range(2))
        self._dt = 0.0
        self._ksp = self.adopt(PETSc.KSP().create(space.comm))
        self._ksp.setOptionsPrefix(f"{FIELDS[0]}_")
        self._ksp.setType(PETSc.KSP.Type.GMRES)
        self._ksp.setPCSide(PETSc.PC.Side.RIGHT)
        self._ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        self._ksp.setTolerances(rtol=RELATIVE_RESIDUAL, divtol=1e60, max_it=10_000)
        self._ksp.setOperators(self._matrix)
        self._ksp.getPC().setType(PETSc.PC.Type.BJACOBI)
        take_options(self._ksp, FIELDS[0])
        # A direct solve, `-C_ksp_type preonly`, takes no initial guess.
        self._ksp.setInitialGuessNonzero(self._ksp.getType() != PETSc.KSP.Type.PREONLY)

    @property
    def method(self) -> str:
        """Krylov method and preconditioner."""
        return f"{self._ksp.getType()} + {self._ksp.getPC().getType()}"

    def renew(self, dt: float, S: Array, A: Array, parameters: Parameters) -> None:
        """Take steps of dt with the velocity of these S and A, shape (n_local,), with valid ghosts; collective."""
        self._dt = dt
        self.space.migration_rows(self._values, dt, S, A, parameters=parameters, taxis=self.taxis, D_C=self.D_C)
        self._matrix.setValuesCSR(self._starts, self._columns, self._values)
        self._matrix.assemble()

    def solve(self, C: Array) -> int:
        """A step in place, C being a view as `space.owned` gives; the number of Krylov iterations; collective.

        Raises NumericsError when the solver does not converge.
        """
        try:
            return solve_in_place(self.space, self._ksp, self._x, self._b, C, self._dt, FIELDS[0])
        except PETSc.Error as error:
            raise NumericsError(f"diffusion of C not solved: PETSc says: {petsc_reason(error)}") from None
