"""`MeshSpace`: any FiPy mesh (uniform or graded grid, Gmsh tetrahedra), serial or partitioned by FiPy."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from ..tools.environment import environment
from ..tools.errors import InputError
from ..tools.fipy_petsc import fipy
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from ..tools.ranks import gathered
from ..tools.threads import Threads
from . import faces
from .box import States
from .circumcentres import points_of
from .fluxes import TAXIS_SCHEMES
from .layout import Numbered, Shared, State
from .meshfile import ACCEPTED, read_mesh_file, write_cut_mesh
from .stencils import Mover, Stage

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


#: Along it the centres of two cells of a mesh are never equally far, but for rounding.
DIRECTION = (0.5331, 0.3127, 0.1542)


def grid_mesh(cells: Sequence[int], lengths: Sequence[float]) -> Any:
    """FiPy's `Grid3D` of a box; on several ranks it is cut into slabs along z, of two layers at least."""
    (nx, ny, nz), (dx, dy, dz) = cells, (length / n for length, n in zip(lengths, cells, strict=True))
    return fipy.Grid3D(nx=nx, ny=ny, nz=nz, dx=dx, dy=dy, dz=dz)


def gmsh_mesh(path: Path, accept: Callable[[int], None] = lambda cells: None) -> Any:
    """FiPy's mesh of a Gmsh file, `.geo` or `.msh` of any version; Gmsh cuts it for the ranks; collective.

    Curved cells of higher order become straight ones.  `accept` is called with the number of cells before FiPy takes
    memory for them, on every rank, and may raise InputError on all.
    Raises InputError when the file does more than describe a mesh, Gmsh finds an error in it or takes too long or too
    much memory, or no mesh of solid cells comes of it.
    """
    comm = MPI.COMM_WORLD
    # FiPy asks the `gmsh` on the PATH for its version.
    path_with_gmsh = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with ExitStack() as stack:
        mesh_file, cells, found = Path(), 0, ""
        if comm.rank == 0:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="carmodel-"))
            try:
                mesh_file, cells = write_cut_mesh(read_mesh_file(path), Path(folder), comm.size)
            except ValueError as error:
                found = str(error)
        mesh_file, cells, found = comm.bcast((mesh_file, cells, found))
        mesh = None
        if not found:
            accept(cells)
            # FiPy reads .msh files of version 2 only, in as many parts as there are ranks: as Gmsh has written it.
            try:
                with environment(PATH=path_with_gmsh):
                    mesh = fipy.Gmsh3D(str(mesh_file))
            except Exception as error:  # whatever FiPy's parser meets
                found = (str(error) or type(error).__name__).splitlines()[0]
        comm.Barrier()  # all have read before the folder goes
    if found:
        raise InputError(f"space.mesh = '{path}': {found}; accepted: {ACCEPTED}")
    return mesh


def adjacent_cells(mesh: Any) -> tuple[Integers, Integers]:
    """Local numbers of cells 1 and 2 of each face, shapes (faces,); twice the same cell at a wall."""
    one, two = mesh._adjacentCellIDs
    return np.asarray(one), np.asarray(two)


def distance_share(mesh: Any) -> Array:
    """Distance from each face's centre to its cell 1 over the sum of those to both its cells, shape (faces,).

    Of tetrahedra the distances are those of their `circumcentres.Points`, along the face's normal.
    FiPy's own ratio changes with the order of the cells where a face's centre does not lie between theirs, hence with
    the partition.
    """
    if points := getattr(mesh, "points", None):
        return np.asarray(points.shares)
    centres, faces = np.asarray(mesh.cellCenters), np.asarray(mesh.faceCenters)
    one, two = (np.linalg.norm(centres[:, cells] - faces, axis=0) for cells in adjacent_cells(mesh))
    return np.asarray(one / (one + two))


def interpolation_share(mesh: Any) -> Array:
    """Weight of cell 2 in the mean of the two cells of each face, shape (faces,): the share of its distance.

    Between the points of tetrahedra it is a half: the face lies on one side of their middle as often as on the other.
    """
    return np.full(mesh.numberOfFaces, 0.5) if getattr(mesh, "points", None) else distance_share(mesh)


class MeshSpace(Owner):
    """Cells of a FiPy mesh, owned and ghost, with the operators that the integrators need.

    A state is an array of shape (fields, n_local): for each field FiPy's local cells in FiPy's order, ghosts included.
    `owned(u)` is the view on this rank's own cells, shape (..., n_owned).  Sums are weighted by the cells' volumes in
    units of their mean, `cell_volume`, so that they count cells where all are equal.

    `mesh`: made with FiPy's default communicator, whose ranks are those of `MPI.COMM_WORLD`.

    Raises InputError when FiPy leaves a rank without cells.
    """

    @destroyed_if_unfinished
    def __init__(self, mesh: Any) -> None:
        self.mesh = mesh
        self.comm = MPI.COMM_WORLD
        #: Whether the cells are the bricks of FiPy's `Grid3D`, uniform or graded.
        self.is_grid = hasattr(mesh, "nx")
        self.n_cells = int(mesh.globalNumberOfCells)
        self.n_local = int(mesh.numberOfCells)
        own = np.asarray(mesh._localNonOverlappingCellIDs)
        self.n_owned = len(own)
        if empty := self.comm.allreduce(int(self.n_owned == 0)):
            raise InputError(
                f"space: {empty} of {self.comm.size} ranks would have no cells; accepted: fewer ranks, or for FiPy's "
                "grid two layers of cells along z for each"
            )
        # FiPy keeps a rank's own cells together: a slice, so that `owned` is a view.
        self._own = slice(int(own[0]), int(own[-1]) + 1)
        self.owned_shape = (self.n_owned,)
        #: For integrators: how many threads their loops over these cells are worth.
        self.threads = Threads(self.n_owned)
        volumes = np.asarray(mesh.cellVolumes, float)
        self.cell_volume = self.comm.allreduce(volumes[self._own].sum()) / self.n_cells
        #: Volumes of this rank's own cells over the mean of all, shape (n_owned,), and their sum over all ranks.
        self.relative_volumes = volumes[self._own] / self.cell_volume
        self.whole = float(self.n_cells)
        #: As of `BoxSpace`: all cells hold something.
        self.outside: NDArray[np.bool_] | None = None
        corners = np.asarray(mesh.vertexCoords)
        #: Least and largest coordinates of the mesh, each of shape (3,), in cm.
        self.low, self.high = np.empty(3), np.empty(3)
        self.comm.Allreduce(corners.min(axis=1), self.low, MPI.MIN)
        self.comm.Allreduce(corners.max(axis=1), self.high, MPI.MAX)
        self._first_number = self.comm.exscan(self.n_owned) or 0
        #: Which of the mesh's cells are this rank's own, in an order that is the same for any number of ranks.
        self.layout = Numbered((self.n_cells,), self._numbers())
        self._inner_faces()
        self._ghosted = self.adopt(self._ghosted_vector())
        self._medium: Medium | None = None

    # ---- where the cells are -------------------------------------------------------------------------------------

    @property
    def centres(self) -> tuple[Array, Array, Array]:
        """x, y, z of this rank's own cells in cm, each of shape (n_owned,)."""
        x, y, z = np.asarray(self.mesh.cellCenters)[:, self._own]
        return x, y, z

    @property
    def middle(self) -> tuple[float, float, float]:
        """Centre of the box around the mesh, in cm."""
        a, b, c = 0.5 * (self.low + self.high)
        return float(a), float(b), float(c)

    @property
    def runs(self) -> tuple[Integers, int]:
        """Places among the local cells where runs of own cells start, and their length."""
        return np.array([self._own.start]), self.n_owned

    def state(self) -> State:
        """What `is_as` takes."""
        return {"centres": Shared(np.stack(self.centres), self.layout)}

    def is_as(self, state: State) -> bool:
        """Whether its cells are those of the space whose `state` that was; collective."""
        stored = state["centres"]
        if stored.shape[-1] != self.n_cells:
            return False
        apart = np.abs(stored.part(self.layout) - np.stack(self.centres)).max()
        return bool(self.comm.allreduce(float(apart), MPI.MAX) <= 1e-9 * float((self.high - self.low).max()))

    # ---- fields --------------------------------------------------------------------------------------------------

    def zeros(self, *leading: int) -> Array:
        """An array of zeros of shape (*leading, n_local)."""
        return np.zeros((*leading, self.n_local))

    def owned(self, u: Array) -> Array:
        """View of shape (..., n_owned) on this rank's own cells."""
        return u[..., self._own]

    def exchange(self, u: Array, fields: Sequence[int]) -> None:
        """Make the ghosts of some fields of a state valid; collective."""
        for f in fields:
            self.exchange_field(u[f])

    def exchange_field(self, field: Array) -> None:
        """Make the ghosts of one field, shape (n_local,), valid; collective."""
        if self.comm.size == 1:
            return
        self._ghosted.array[:] = self.owned(field)
        self._ghosted.ghostUpdate()
        with self._ghosted.localForm() as local:
            field[self._ghost_cells] = local.array[self.n_owned :]

    def sum_min_max(self, u: Array) -> tuple[Array, Array, Array]:
        """Volume-weighted sum, least and largest value of each field over all ranks; collective."""
        own = self.owned(u)
        totals, extremes = np.empty(len(u)), np.empty(2 * len(u))
        self.comm.Allreduce((own * self.relative_volumes).sum(axis=-1), totals, MPI.SUM)
        self.comm.Allreduce(np.concatenate([-own.min(axis=-1), own.max(axis=-1)]), extremes, MPI.MAX)
        return totals, -extremes[: len(u)], extremes[len(u) :]

    def gather(self, u: Array) -> Array | None:
        """The whole mesh on rank 0, shape (fields, cells) in the order of the ranks, None elsewhere; collective."""
        fields = [gathered(self.comm, np.ascontiguousarray(self.owned(field))) for field in u]
        return np.stack(fields) if self.comm.rank == 0 else None  # type: ignore[arg-type]

    def clamp(self, field: Array) -> float:
        """Set negative values of one field to zero; return the weighted sum of what that added on this rank."""
        return float(faces.clamp_field(self.owned(field), self.relative_volumes))

    def across_faces(self, field: Array) -> Iterator[tuple[Array, Array]]:
        """As `BoxSpace.across_faces`: all inner faces at once."""
        left, right = self._faces.cells.T
        yield field[left], field[right]

    # ---- operators -----------------------------------------------------------------------------------------------

    def explicit_stage(self, states: States, stage: Stage, medium: Medium, taxis: str, clamped: Array) -> None:
        """As `BoxSpace.explicit_stage`."""
        faces.explicit_stage(states, stage, self._with_taxis(states[0], medium, taxis), medium.in_loops, clamped)

    def explicit_rate(self, v: Array, out: Array, medium: Medium, taxis: str) -> None:
        """As `BoxSpace.explicit_rate`."""
        faces.explicit_rate(v, self._with_taxis(v, medium, taxis), medium.in_loops, out)

    def subtract_diffusion(self, u: Array, out: Array, diffusivities: Sequence[float | Array]) -> None:
        """As `BoxSpace.subtract_diffusion`: out -= div(D grad u), field by field."""
        for field, result, D in zip(u, out, diffusivities, strict=True):
            on_faces = D if isinstance(D, float) else self._face_mean(D)[self._inner]
            conductance = on_faces * self._transmissibility
            faces.subtract_diffusion(
                field, result, conductance, self._faces.cells, self.relative_volumes, self._own.start
            )

    def _with_taxis(self, v: Array, medium: Medium, taxis: str) -> faces.Own:
        """The own cells with the divergences of the taxis fluxes of v."""
        model = medium.model
        if self._medium is not medium:
            D = [self.zeros() + medium.diffusivities[f] for f in model.movers]
            self._mover_D = [self._face_mean(d)[self._inner] for d in D]
            self._medium, self._divergence = medium, self.zeros(len(D))
        if medium.moving.any():
            chi = self.sensitivities(v, medium)
        for n, (f, taxes) in enumerate(model.movers.items()):
            if medium.moving[n]:
                S = tuple(v[model.attractants[k]] for k in taxes)
                mover = v[f], self._mover_D[n], S, tuple(chi[k] for k in taxes)
                faces.taxis_divergence(TAXIS_SCHEMES[taxis], mover, self._faces, self._divergence[n])
        places = np.array([*model.movers], dtype=np.int64)
        return faces.Own(self._own.start, self.relative_volumes, places, self._divergence)

    def sensitivities(self, u: Array, medium: Medium) -> Array:
        """As `BoxSpace.sensitivities`."""
        chi = np.empty((len(medium.model.taxis), self.n_local))
        faces.sensitivity_fields(u, medium.in_loops, chi)
        return chi

    def diffusion_matrix(self, diffusivity: Array | float, dt: float) -> Any:
        """The symmetric matrix of backward Euler, V - dt V div(D grad), that the caller destroys; collective.

        V are the relative volumes.  FiPy assembles it from its terms; a field of diffusivities, shape (n_local,) with
        valid ghosts, is taken onto the faces by its harmonic mean.
        """
        D = self._face_mean(np.array(np.broadcast_to(diffusivity, (self.n_local,)), float))
        equation = fipy.TransientTerm() == fipy.DiffusionTerm(coeff=fipy.FaceVariable(mesh=self.mesh, value=D))
        unknown = fipy.CellVariable(mesh=self.mesh, value=0.0)
        system = equation._prepareLinearSystem(unknown, None, (), dt)
        assembled = system.matrix.matrix
        assembled.assemble()
        matrix = assembled.copy()
        matrix.scale(dt / self.cell_volume)
        return matrix

    def migration_pattern(self) -> tuple[Integers, Integers]:
        """Row starts and global columns of the entries that `migration_rows` fills; collective."""
        numbers = self.zeros()
        numbers[self._own] = self._first_number + np.arange(self.n_owned)
        self.exchange_field(numbers)
        number = numbers.astype(np.int64)
        cells = self._faces.cells - self._own.start
        own = (cells >= 0) & (cells < self.n_owned)
        of_left, of_right = np.flatnonzero(own[:, 0]), np.flatnonzero(own[:, 1])
        left, right = number[self._faces.cells].T
        rows = np.concatenate([np.arange(self.n_owned), cells[of_left, 0], cells[of_right, 1]])
        columns = np.concatenate([number[self._own], right[of_left], left[of_right]])
        entries, place = np.unique(rows * self.n_cells + columns, return_inverse=True)
        self._diagonal, beyond_left, beyond_right = np.split(place, [self.n_owned, self.n_owned + of_left.size])
        self._places = np.full((len(cells), 4), -1)
        self._places[of_left, 0], self._places[of_left, 1] = self._diagonal[cells[of_left, 0]], beyond_left
        self._places[of_right, 2], self._places[of_right, 3] = beyond_right, self._diagonal[cells[of_right, 1]]
        starts = np.searchsorted(entries, np.arange(self.n_owned + 1) * self.n_cells)
        return starts, entries % self.n_cells

    def migration_rows(self, values: Array, dt: float, mover: Mover, taxis: str) -> None:
        """As `BoxSpace.migration_rows`: V - dt V (div(D grad) - div(taxis)), V being the relative volumes."""
        u, D, S, chi = mover
        on_faces = u, self._face_mean(D)[self._inner], S, chi
        places = self._diagonal, self._places
        faces.migration_rows(values, dt, TAXIS_SCHEMES[taxis], on_faces, self._faces, self.relative_volumes, places)

    @property
    def matrix_size(self) -> tuple[int, int]:
        """As `BoxSpace.matrix_size`."""
        return self.n_owned, self.n_cells

    def unknowns(self, values: Array | float) -> Array:
        """As `BoxSpace.unknowns`."""
        return np.ravel(values)

    def take_unknowns(self, values: Array, unknowns: Array) -> None:
        """As `BoxSpace.take_unknowns`."""
        values[...] = unknowns

    def create_vector(self) -> Any:
        """As `BoxSpace.create_vector`."""
        return PETSc.Vec().createMPI(self.matrix_size, comm=self.comm)

    def _numbers(self) -> Integers:
        """Global numbers of this rank's own cells, shape (n_owned,), however the mesh is cut; collective.

        FiPy numbers a grid so.  The cells of Gmsh's files come in another order for each number of ranks: these are
        numbered along a direction that no symmetry of a mesh has.
        """
        if self.is_grid:
            return np.asarray(self.mesh._globalNonOverlappingCellIDs, dtype=np.int64)
        along = np.array(DIRECTION) @ ((np.stack(self.centres) - self.low[:, None]) / (self.high - self.low)[:, None])
        order = np.sort(along)
        before = np.zeros(self.n_owned, dtype=np.int64)
        for rank in range(self.comm.size):
            before += np.searchsorted(self.comm.bcast(order, rank), along)
        return before

    def _inner_faces(self) -> None:
        """Face lists for the taxis flux: inner faces that touch a cell of this rank's own."""
        left, right = adjacent_cells(self.mesh)
        #: Of tetrahedra, where their values are taken; FiPy's terms get the distances of these points too.
        self.points = points_of(self.mesh, (left, right), self._own, self.comm)
        if self.points:
            self.mesh.points = self.points
            self.mesh._cellDistances = self.points.distances
            self.mesh._faceToCellDistanceRatio = interpolation_share(self.mesh)
        own = np.zeros(self.n_local, dtype=bool)
        own[self._own] = True
        self._inner = np.flatnonzero((left != right) & (own[left] | own[right]))
        self._sides = left, right
        self._left_share = distance_share(self.mesh)
        self._faces = faces.Faces(
            np.column_stack([left, right])[self._inner].astype(np.int64),
            np.asarray(self.mesh._faceAreas, float)[self._inner] / self.cell_volume,
            1.0 / np.asarray(self.mesh._cellDistances, float)[self._inner],
            1.0 - interpolation_share(self.mesh)[self._inner],
        )
        self._transmissibility = self._faces.area * self._faces.inverse_distance

    def _face_mean(self, D: Array) -> Array:
        """Harmonic mean of a diffusivity, shape (n_local,), on all faces: the conductances of both sides in series."""
        left, right = (D[side] for side in self._sides)
        share = self._left_share
        return left * right / (share * right + (1.0 - share) * left + 1e-300)

    def _ghosted_vector(self) -> Any:
        """A PETSc vector with ghosts in the order of `_ghost_cells`."""
        mesh = self.mesh
        first = self._first_number
        numbers = np.empty(self.n_cells, dtype=np.int64)
        mine = (np.asarray(mesh._globalNonOverlappingCellIDs), np.arange(first, first + self.n_owned))
        for fipy_numbers, petsc_numbers in self.comm.allgather(mine):
            numbers[fipy_numbers] = petsc_numbers
        ghost = np.ones(self.n_local, dtype=bool)
        ghost[self._own] = False
        self._ghost_cells = np.flatnonzero(ghost)
        ghosts = numbers[np.asarray(mesh._globalOverlappingCellIDs)[self._ghost_cells]]
        return PETSc.Vec().createGhost(ghosts.astype(PETSc.IntType), (self.n_owned, self.n_cells), comm=self.comm)
