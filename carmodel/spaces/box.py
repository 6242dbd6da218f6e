"""`BoxSpace`: a uniform box of cells, split over MPI ranks by a PETSc DMDA."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from ..tools.errors import InputError
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from ..tools.ranks import gathered
from ..tools.threads import Threads
from . import stencils
from .fluxes import TAXIS_SCHEMES, harmonic_mean
from .halo import Halo
from .layout import Block, State
from .stencils import Mover, Stage

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
States = tuple[Array, Array, Array, Array]


def process_grid(cells: Sequence[int], ranks: int) -> tuple[int, int, int]:
    """Ranks along x, y and z with the least surface between them.

    Raises InputError where the box has fewer layers than the ranks would need.
    """
    choices = [
        (p, q, ranks // (p * q)) for p in range(1, ranks + 1) for q in range(1, ranks // p + 1) if ranks % (p * q) == 0
    ]
    fitting = [grid for grid in choices if all(p <= n for p, n in zip(grid, cells, strict=True))]
    if not fitting:
        raise InputError(
            f"space.cells: {list(cells)} cannot be split over {ranks} ranks; accepted: at least one layer of cells "
            "for each rank along some axis"
        )
    nx, ny, nz = cells

    def surface(grid: tuple[int, int, int]) -> float:
        # Cutting along z leaves whole planes of memory to exchange, so it wins a tie.
        p, q, r = grid
        return (p - 1) * ny * nz * 1.0002 + (q - 1) * nx * nz * 1.0001 + (r - 1) * nx * ny

    return min(fitting, key=surface)


def _rows(column: Integers) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Row starts and columns of a CSR matrix from columns by row, shape (rows, most entries), -1 where there is none.

    The third says which are there.
    """
    inside = column >= 0
    return np.concatenate([[0], np.cumsum(inside.sum(axis=1))]), column[inside], inside


class BoxSpace(Owner):
    """Cells of a uniform box, owned and ghost, with the operators that the integrators need.

    A state is an array of shape (fields, n_local): for each field the rank's cells with one layer of ghosts all round.
    `owned(u)` is the view without ghosts, shape (..., nz, ny, nx) of this rank.

    Parameters
    ----------
    cells: cells along x, y, z.
    lengths: edges in cm; the spacing is lengths / cells.
    nodes_on_boundary: the published program's grid: spacing lengths / (cells - 1), first centre at 0, walls half a
        cell outside.
    comm: communicator; `MPI.COMM_WORLD` unless given.
    origin: where x, y and z begin, in cm.

    Raises InputError when the box cannot be split over the ranks.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        cells: Sequence[int],
        lengths: Sequence[float],
        nodes_on_boundary: bool = False,
        comm: MPI.Intracomm | None = None,
        origin: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.comm = MPI.COMM_WORLD if comm is None else comm
        self.cells = tuple(int(n) for n in cells)
        self.lengths = tuple(float(length) for length in lengths)
        intervals = [n - 1 if nodes_on_boundary else n for n in self.cells]
        self.spacing = tuple(length / n for length, n in zip(self.lengths, intervals, strict=True))
        first = (0.0 if nodes_on_boundary else 0.5 * h for h in self.spacing)
        self.origin = tuple(float(x) for x in origin)
        self.first_centre = tuple(low + h for low, h in zip(self.origin, first, strict=True))
        self.cell_volume = float(np.prod(self.spacing))
        self.n_cells = int(np.prod(self.cells))
        #: Volumes of the cells over `cell_volume`, and their sum over all ranks: all are equal.
        self.relative_volumes: float | Array = 1.0
        self.whole = float(self.n_cells)
        #: Which of this rank's own cells hold nothing, shape (nz, ny, nx); None where all hold something.
        self.outside: NDArray[np.bool_] | None = None
        self.process_grid = process_grid(self.cells, self.comm.size)
        kind = PETSc.DM.BoundaryType.GHOSTED
        self._da = self.adopt(
            PETSc.DMDA().create(
                dim=3,
                dof=1,
                sizes=self.cells,
                proc_sizes=self.process_grid,
                boundary_type=(kind, kind, kind),
                stencil_type=PETSc.DMDA.StencilType.STAR,
                stencil_width=1,
                comm=self.comm,
            )
        )
        #: First and last-plus-one global index of this rank's cells along x, y, z.
        self.ranges: tuple[tuple[int, int], ...] = tuple(self._da.getRanges())
        self.owned_shape = tuple(stop - start for start, stop in reversed(self.ranges))
        self.ghosted_shape = tuple(n + 2 for n in self.owned_shape)
        self.n_local = int(np.prod(self.ghosted_shape))
        self.n_owned = int(np.prod(self.owned_shape))
        #: Which of the box's cells are this rank's own.
        self.layout = Block(
            tuple(reversed(self.cells)), tuple(start for start, _ in reversed(self.ranges)), self.owned_shape
        )
        #: For integrators: how many threads their loops over these cells are worth.
        self.threads = Threads(self.n_owned)
        self._walls = np.array(
            [wall for (start, stop), n in zip(self.ranges, self.cells, strict=True) for wall in (start == 0, stop == n)]
        )
        self._inverse_spacing = 1.0 / np.array(self.spacing)
        self._medium: Medium | None = None
        self._halo = Halo(self.comm, self.process_grid, self.ghosted_shape)

    # ---- where the cells are -------------------------------------------------------------------------------------

    def axis(self, direction: int) -> Array:
        """Centres along x, y or z (0, 1, 2) of all cells of the box, in cm."""
        return self.first_centre[direction] + self.spacing[direction] * np.arange(self.cells[direction], dtype=float)

    @property
    def centres(self) -> tuple[Array, Array, Array]:
        """x, y, z of this rank's own cells in cm, each of a shape that broadcasts to (nz, ny, nx)."""
        x, y, z = (self.axis(d)[slice(*self.ranges[d])] for d in range(3))
        return x[None, None, :], y[None, :, None], z[:, None, None]

    @property
    def middle(self) -> tuple[float, float, float]:
        """Centre of the box in cm."""
        a, b, c = (low + 0.5 * length for low, length in zip(self.origin, self.lengths, strict=True))
        return a, b, c

    @property
    def runs(self) -> tuple[Integers, int]:
        """Places among the local cells where runs of own cells start, and their length: rows along x."""
        places = np.arange(self.n_local).reshape(self.ghosted_shape)
        return places[1:-1, 1:-1, 1].ravel(), self.owned_shape[2]

    def state(self) -> State:
        """What `is_as` takes: the run file says all."""
        return {}

    def is_as(self, _state: State) -> bool:
        """Whether its cells are those of the space whose `state` that was; collective."""
        return True

    # ---- fields --------------------------------------------------------------------------------------------------

    def zeros(self, *leading: int) -> Array:
        """An array of zeros of shape (*leading, n_local)."""
        return np.zeros((*leading, self.n_local))

    def grid(self, u: Array) -> Array:
        """View of shape (..., nz + 2, ny + 2, nx + 2), ghosts included."""
        return u.reshape(*u.shape[:-1], *self.ghosted_shape)

    def owned(self, u: Array) -> Array:
        """View of shape (..., nz, ny, nx) on this rank's own cells."""
        return self.grid(u)[..., 1:-1, 1:-1, 1:-1]

    def exchange(self, u: Array, fields: Sequence[int]) -> None:
        """Make the ghosts of some fields of a state valid; collective."""
        of_cells = [self.grid(u[f]) for f in fields]
        self._halo.exchange(of_cells)
        for field in of_cells:
            stencils.mirror_walls(field, self._walls)

    def exchange_field(self, field: Array) -> None:
        """Make the ghosts of one field, shape (n_local,), valid; collective."""
        of_cells = self.grid(field)
        self._halo.exchange((of_cells,))
        stencils.mirror_walls(of_cells, self._walls)

    def sum_min_max(self, u: Array) -> tuple[Array, Array, Array]:
        """Sum over the cells, least and largest value of each field, over all ranks; collective."""
        return self._reduced(np.array([stencils.sum_min_max(field) for field in self.grid(u)]))

    def _reduced(self, local: Array) -> tuple[Array, Array, Array]:
        """Sums, least and largest values over all ranks of this rank's, shape (fields, 3)."""
        n = len(local)
        totals, extremes = np.empty(n), np.empty(2 * n)
        self.comm.Allreduce(np.ascontiguousarray(local[:, 0]), totals, MPI.SUM)
        self.comm.Allreduce(np.concatenate([-local[:, 1], local[:, 2]]), extremes, MPI.MAX)
        return totals, -extremes[:n], extremes[n:]

    def gather(self, u: Array) -> Array | None:
        """The whole box on rank 0, shape (fields, nz, ny, nx) in natural order, None elsewhere; collective."""
        pieces = self.comm.gather(self.ranges)
        whole = np.empty((len(u), *reversed(self.cells))) if pieces else None
        for f, field in enumerate(u):
            values = gathered(self.comm, self.owned(field).ravel())
            if pieces is None or whole is None or values is None:
                continue
            start = 0
            for x, y, z in pieces:
                piece = whole[f, slice(*z), slice(*y), slice(*x)]
                piece[...] = values[start : start + piece.size].reshape(piece.shape)
                start += piece.size
        return whole

    def across_faces(self, field: Array) -> Iterator[tuple[Array, Array]]:
        """Values of one field, shape (n_local,) with valid ghosts, on the left and the right of faces, axis by axis.

        The faces are those of this rank's own cells, walls among them.
        """
        whole = self.grid(field)
        inner = slice(1, -1)
        for axis in range(3):
            sides: list[list[slice]] = [[inner] * 3, [inner] * 3]
            sides[0][axis], sides[1][axis] = slice(None, -1), slice(1, None)
            yield whole[tuple(sides[0])], whole[tuple(sides[1])]

    # ---- operators -----------------------------------------------------------------------------------------------

    def explicit_stage(self, states: States, stage: Stage, medium: Medium, taxis: str, clamped: Array) -> None:
        """One pass of `stage`, r being the reactions and taxis at v; `states` are v, base, rate and out.

        `clamped`, shape (fields,), grows by what clamping adds to this rank's cells, summed over them.  Ghosts of the
        fields `model.neighbours` of v must be valid.
        """
        v, base, rate, out = (self.grid(state) for state in states)
        stencils.explicit_stage((v, base, rate, out), stage, self._transport(medium, taxis), medium.in_loops, clamped)

    def explicit_rate(self, v: Array, out: Array, medium: Medium, taxis: str) -> None:
        """Reactions and taxis at v; `out`, shape (fields, n_owned), is contiguous and has no ghosts.

        Ghosts of the fields `model.neighbours` of v must be valid.
        """
        out = out.reshape(-1, *self.owned_shape)
        stencils.explicit_rate(self.grid(v), out, self._transport(medium, taxis), medium.in_loops)

    def _transport(self, medium: Medium, taxis: str) -> stencils.Transport:
        """What taxis needs, kept until another medium comes."""
        if self._medium is not medium:
            model, D = medium.model, [self.zeros() + medium.diffusivities[f] for f in medium.model.movers]
            self._medium, self._mover_D = medium, self.grid(np.reshape(D, (len(D), self.n_local)))
            self._chi = np.empty((len(model.taxis), *self.ghosted_shape))
        scheme = TAXIS_SCHEMES[taxis]
        return stencils.Transport(scheme, medium.moving, self._chi, self._mover_D, self._inverse_spacing)

    def sensitivities(self, u: Array, medium: Medium) -> Array:
        """chi of each taxis at a state, shape (taxes, n_local): where the ghosts of u are valid, so are these."""
        chi = np.empty((len(medium.model.taxis), *self.ghosted_shape))
        stencils.sensitivity_fields(self.grid(u), medium.in_loops, chi)
        return chi.reshape(len(chi), -1)

    def subtract_diffusion(self, u: Array, out: Array, diffusivities: Sequence[float | Array]) -> None:
        """out -= div(D grad u), field by field; `out` as in `explicit_rate`, `diffusivities` as in `diffusion_matrix`.

        Ghosts of u must be valid.
        """
        for field, result, D in zip(self.grid(u), out.reshape(-1, *self.owned_shape), diffusivities, strict=True):
            if isinstance(D, float):
                stencils.subtract_diffusion(field, result, D, self._inverse_spacing)
            else:
                stencils.subtract_varying_diffusion(field, result, self.grid(D), self._inverse_spacing)

    def clamp(self, field: Array) -> float:
        """Set negative values of one field to zero; return the sum of what that added on this rank."""
        return float(stencils.clamp_field(self.grid(field)))

    def diffusion_matrix(self, diffusivity: Array | float, dt: float) -> Any:
        """The matrix of backward Euler, I - dt div(D grad), as a PETSc AIJ matrix that the caller destroys; collective.

        `diffusivity`: a number or a field of shape (n_local,) with valid ghosts; faces take the harmonic mean.
        Symmetric; rows and columns sum to one.
        """
        D = self.grid(np.array(np.broadcast_to(diffusivity, (self.n_local,)), float))
        column = self._columns()
        value = self._diffusion_rows(D, dt, column)
        starts, columns, inside = _rows(column)
        return PETSc.Mat().createAIJ(
            (self.matrix_size, self.matrix_size),
            csr=(starts.astype(PETSc.IntType), columns.astype(PETSc.IntType), value[inside]),
            comm=self.comm,
        )

    def _diffusion_rows(self, D: Array, dt: float, column: Integers) -> Array:
        """Entries of `diffusion_matrix` in the places of `column`, as of `_columns`."""
        value = np.zeros(column.shape)
        value[:, 0] = 1.0
        for side, neighbour in enumerate(self._neighbours(), 1):
            conductance = harmonic_mean.py_func(D[1:-1, 1:-1, 1:-1], D[neighbour]).ravel()
            conductance *= dt / self.spacing[(side - 1) // 2] ** 2
            conductance[column[:, side] < 0] = 0.0
            value[:, 0] += conductance
            value[:, side] = -conductance
        return value

    def migration_pattern(self) -> tuple[Integers, Integers]:
        """Row starts and global columns of the entries that `migration_rows` fills; collective."""
        starts, columns, _ = _rows(self._columns())
        return starts, columns

    def migration_rows(self, values: Array, dt: float, mover: Mover, taxis: str) -> None:
        """Entries, row by row, of backward Euler for a mover: I - dt (div(D grad) - div(taxis)).

        `values`: as many as `migration_pattern` has columns.  Ghosts of all that the mover consists of must be valid.
        """
        u, D, S, chi = mover
        on_grid = self.grid(u), self.grid(D), tuple(map(self.grid, S)), tuple(map(self.grid, chi))
        stencils.migration_rows(values, dt, TAXIS_SCHEMES[taxis], on_grid, self._inverse_spacing, self._walls)

    def jacobi_sweep(self, old: Array, b: Array, new: Array, diffusion_number: Array) -> float:
        """One Jacobi sweep of eq. (61) on one field, `diffusion_number` = dt D / h^2 by axis, shape (3,).

        Ghosts of `old` must be valid.  Returns the largest change over all ranks; collective.
        """
        change = stencils.jacobi_sweep(self.grid(old), self.grid(b), self.grid(new), diffusion_number)
        return float(self.comm.allreduce(change, MPI.MAX))

    @property
    def matrix_size(self) -> tuple[int, int]:
        """Rows of the matrices, one for each cell that holds something: on this rank, and on all."""
        return self.n_owned, self.n_cells

    def unknowns(self, values: Array | float) -> Array:
        """Values on this rank's own cells, or one for all, in the order of the matrices' rows."""
        return np.ravel(values)

    def take_unknowns(self, values: Array, unknowns: Array) -> None:
        """Set values on this rank's own cells to what `unknowns` would give."""
        values[...] = unknowns.reshape(values.shape)

    def create_vector(self) -> Any:
        """A PETSc vector over the rows of the matrices; the caller destroys it."""
        return PETSc.Vec().createMPI(self.matrix_size, comm=self.comm)

    def _neighbours(self) -> list[tuple[slice, ...]]:
        """Where among the local cells the own cells' neighbours at x-, x+, y-, y+, z-, z+ are."""
        return [
            tuple(
                slice(1 + shift, n - 1 + shift) if a == axis else slice(1, -1) for a, n in enumerate(self.ghosted_shape)
            )
            for axis in (2, 1, 0)
            for shift in (-1, 1)
        ]

    def _columns(self) -> Integers:
        """PETSc's numbers of each own cell and its six neighbours, shape (n_owned, 7); -1 beyond walls; collective."""
        number = self._global_numbers()
        parts = [number[1:-1, 1:-1, 1:-1], *(number[neighbour] for neighbour in self._neighbours())]
        return np.stack(parts, axis=-1).reshape(-1, 7)

    def _global_numbers(self) -> Integers:
        """PETSc's number of each local cell, ghosts included; -1 beyond the walls."""
        numbers = self.zeros()
        first = self.comm.exscan(self.n_owned) or 0
        self.owned(numbers)[...] = first + np.arange(self.n_owned).reshape(self.owned_shape)
        self.exchange_field(numbers)
        result = self.grid(numbers).astype(np.int64)
        for wall, (axis, end) in zip(self._walls, [(2, 0), (2, -1), (1, 0), (1, -1), (0, 0), (0, -1)], strict=True):
            if wall:
                result[(slice(None),) * axis + (end,)] = -1
        return result
