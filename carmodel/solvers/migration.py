"""Migration: diffusion and taxis of a field that moves in one backward-Euler system, as eq. (1) has them together."""

import numpy as np
from numpy.typing import NDArray

from ..spaces import Space
from ..tools.errors import NumericsError
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from .krylov import RELATIVE_RESIDUAL, petsc_reason, solve_in_place, take_options

Array = NDArray[np.float64]


class Migration(Owner):
    """(V - dt V (div(D grad) - div(velocity))) u_new = V u, with the velocity sum of chi grad S at given chi and S.

    Taxis schemes other than central make this an M-matrix with columns that sum to the volumes V: for every dt the
    solution is non-negative and the total kept.  Solved by GMRES; incomplete LU of each rank's rows, which exists for
    M-matrices, preconditions better than the cosine transform where cell Peclet numbers are above one.  PETSc options
    with the field's name as prefix win.

    Parameters
    ----------
    space: where the fields live.
    name: of the field.
    D: its diffusivity by cell in cm^2/day, shape (n_local,), with valid ghosts.
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".

    Raises InputError when PETSc does not accept the user's options.
    """

    @destroyed_if_unfinished
    def __init__(self, space: Space, name: str, D: Array, taxis: str) -> None:
        self.space, self.name, self.D, self.taxis = space, name, D, taxis
        starts, columns = space.migration_pattern()
        self._starts, self._columns = starts.astype(PETSc.IntType), columns.astype(PETSc.IntType)
        self._values: Array = np.zeros(columns.size)
        csr = (self._starts, self._columns, self._values)
        self._matrix = self.adopt(
            PETSc.Mat().createAIJ((space.matrix_size, space.matrix_size), csr=csr, comm=space.comm)
        )
        self._x, self._b = (self.adopt(space.create_vector()) for _ in range(2))
        self._dt = 0.0
        self._ksp = self.adopt(PETSc.KSP().create(space.comm))
        self._ksp.setOptionsPrefix(f"{name}_")
        self._ksp.setType(PETSc.KSP.Type.GMRES)
        self._ksp.setPCSide(PETSc.PC.Side.RIGHT)
        self._ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        self._ksp.setTolerances(rtol=RELATIVE_RESIDUAL, divtol=1e60, max_it=10_000)
        self._ksp.setOperators(self._matrix)
        self._ksp.getPC().setType(PETSc.PC.Type.BJACOBI)
        take_options(self._ksp, name)
        # A direct solve, `-C_ksp_type preonly`, takes no initial guess.
        self._ksp.setInitialGuessNonzero(self._ksp.getType() != PETSc.KSP.Type.PREONLY)

    @property
    def method(self) -> str:
        """Krylov method and preconditioner."""
        return f"{self._ksp.getType()} + {self._ksp.getPC().getType()}"

    def renew(self, dt: float, S: tuple[Array, ...], chi: tuple[Array, ...]) -> None:
        """Take steps of dt with these attractants and sensitivities, each (n_local,) with valid ghosts; collective."""
        self._dt = dt
        self.space.migration_rows(self._values, dt, (self.D, self.D, S, chi), self.taxis)
        self._matrix.setValuesCSR(self._starts, self._columns, self._values)
        self._matrix.assemble()

    def solve(self, u: Array) -> int:
        """A step in place, u being a view as `space.owned` gives; the number of Krylov iterations; collective.

        Raises NumericsError when the solver does not converge.
        """
        try:
            return solve_in_place(self.space, self._ksp, self._x, self._b, u, self._dt, self.name)
        except PETSc.Error as error:
            raise NumericsError(f"diffusion of {self.name} not solved: PETSc says: {petsc_reason(error)}") from None
