"""The linear systems of FiPy's terms on PETSc: assembled once, renewed where they change, solved field by field."""

from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from ..spaces.layout import Numbered
from ..spaces.mesh import adjacent_cells
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from .diffusion import MULTIGRID_FROM
from .fipy_terms import Equations
from .krylov import take_options

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


#: PETSc's multigrid preconditioners.
MULTIGRID = (PETSc.PC.Type.GAMG, PETSc.PC.Type.HYPRE, PETSc.PC.Type.ML)


class FiPySpace(Protocol):
    """What is asked of a space: a FiPy mesh, whose cells (overlapping ones too) are the local cells."""

    comm: MPI.Intracomm
    mesh: Any
    n_local: int
    layout: Numbered


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
        self._rest: dict[int, Any] = {}
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
        for f, (solver, matrix, stiffness) in enumerate(
            zip(self._solvers, self.matrices, self._stiffness, strict=True)
        ):
            pc = solver.getPC()
            pc.setType(PETSc.PC.Type.JACOBI)  # another type is what makes PETSc forget a multigrid hierarchy
            if stiffness >= MULTIGRID_FROM * rate:
                pc.setType(PETSc.PC.Type.GAMG)
            solver.setFromOptions()
            # A direct solve, `-ksp_type preonly`, takes no initial guess.
            direct = solver.getType() == PETSc.KSP.Type.PREONLY
            solver.setInitialGuessNonzero(not direct)
            of_rest = pc.getType() in MULTIGRID and not direct
            solver.setOperators(matrix, self._at_rest(f) if of_rest else matrix)

    def _at_rest(self, f: int) -> Any:
        """The matrix of diffusion and time derivative alone, which multigrid is made of.

        It serves until the step changes, which spares many a set-up, and depends on nothing that happened before.
        """
        if f not in self._rest:
            self._rest[f] = self.adopt(self.matrices[f].duplicate(copy=True))
            if f in self._resting:
                self._rest[f].setValuesCSR(self._starts, self._columns, self._resting[f])
                self._rest[f].assemble()
        self._r.array[:] = self._diffusion[f] + self._rate * self._volumes
        self._rest[f].setDiagonal(self._r)
        return self._rest[f]

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
