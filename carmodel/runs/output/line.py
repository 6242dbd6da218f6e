"""`line.csv`: the fields along a line through the box at every output, for space-time maps."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...scenario.choices import Line
from ...spaces import BoxSpace, Space
from ...spaces.layout import State
from ..directory import LINE
from ..simulation import Observer, Simulation
from .table import TableFile

if TYPE_CHECKING:
    from ...spaces.mesh import MeshSpace

Array = NDArray[np.float64]

#: A point so close to a cell, in lengths of the mesh, lies in it: rounding may not tear holes between cells.
NEAR = 1e-9


class LineProfile(Observer):
    """Box: at the cell centres along the axis, linearly interpolated across it, constant beyond the last centre; of a
    cut one, from the cells that hold something, not a number where they have less than half of the weight.

    Mesh: evenly along the axis, a mean cell size apart, each in its nearest cell; not a number outside the mesh.
    """

    def __init__(self, folder: Path, line: Line) -> None:
        self._path, self._line = folder / LINE, line
        self._file: TableFile | None = None
        self._size: int | None = None
        self._sampler: BoxLine | MeshLine

    def start(self, run: Simulation) -> None:
        """Open the file; a new one gets its header."""
        self._sampler = sampler(self._line, run.space)
        if run.space.comm.rank == 0:
            self._file = TableFile(self._path, ["t", "s", *run.names], self._size)

    def output(self, run: Simulation) -> None:
        """Add the profile of this time; collective."""
        values = self._sampler.sample(run.u)
        if self._file:
            for row in np.column_stack([self._sampler.s, values.T]):
                self._file.add([run.t, *row])
            self._file.flush()

    def state(self) -> State:
        """Where the table stands."""
        return {"size": self._file.keep() if self._file else 0}

    def restore(self, state: State) -> None:
        """Go on after that row."""
        self._size = state["size"]

    def finish(self, run: Simulation, status: str) -> None:
        """Close."""
        if self._file:
            self._file.close()


def sampler(line: Line, space: Space) -> "BoxLine | MeshLine":
    """What samples fields along a line; collective."""
    return BoxLine(line, space) if isinstance(space, BoxSpace) else MeshLine(line, space)


def _axes(line: Line, middle: tuple[float, float, float]) -> tuple[int, list[int], list[float]]:
    """The direction along the line, the two across it, and where the line passes those."""
    along = "xyz".index(line.axis)
    across = [axis for axis in range(3) if axis != along]
    return along, across, list(line.through or (middle[axis] for axis in across))


class BoxLine:
    """Points of a line through a box, at `s`, shape (points,), in cm."""

    def __init__(self, line: Line, space: BoxSpace) -> None:
        self._space = space
        self._along, across, through = _axes(line, space.middle)
        self.s = space.axis(self._along)
        self._across = across
        own = []
        for axis, position in zip(across, through, strict=True):
            start, stop = space.ranges[axis]
            near = _neighbours(space, axis, position)
            own.append([(cell - start, weight) for cell, weight in near if start <= cell < stop])
        # This rank's share of the four lines of cells around the line: places across, each with its weight.
        self._lines = list(product(*own))
        #: Weight of the cells that hold something; None where all do.
        self._held: Array | None = None
        if space.outside is not None:
            holds = space.zeros(1)
            space.owned(holds[0])[...] = ~space.outside
            self._held = self._sums(holds)[0]

    def sample(self, u: Array) -> Array:
        """The fields at the points, shape (fields, points), on every rank; collective."""
        profile = self._sums(u)
        if self._held is None:
            return profile
        return np.divide(profile, self._held, out=np.full_like(profile, np.nan), where=self._held >= 0.5)

    def _sums(self, u: Array) -> Array:
        profile = np.zeros((len(u), len(self.s)))
        own = profile[:, slice(*self._space.ranges[self._along])]
        first, second = self._across
        for (i, weight), (j, other) in self._lines:
            place: list[int | slice] = [slice(None)] * 4  # field, z, y, x
            place[3 - first], place[3 - second] = i, j
            own += weight * other * self._space.owned(u)[tuple(place)]
        self._space.comm.Allreduce(MPI.IN_PLACE, profile, MPI.SUM)
        return profile


def _neighbours(space: BoxSpace, axis: int, position: float) -> list[tuple[int, float]]:
    """The cells along an axis that interpolate linearly at a position, and their weights."""
    place = (position - space.first_centre[axis]) / space.spacing[axis]
    place = min(max(place, 0.0), space.cells[axis] - 1.0)
    cell = int(place)
    beyond = place - cell
    return [(cell, 1.0 - beyond), (cell + 1, beyond)] if beyond > 0.0 else [(cell, 1.0)]


class MeshLine:
    """Points of a line through a mesh, at `s`, shape (points,), in cm."""

    def __init__(self, line: Line, space: "MeshSpace") -> None:
        self._space = space
        along, across, through = _axes(line, space.middle)
        length = space.high[along] - space.low[along]
        n = max(1, round(length / space.cell_volume ** (1 / 3)))
        self.s = space.low[along] + (np.arange(n) + 0.5) * length / n
        points = np.empty((n, 3))
        points[:, along] = self.s
        points[:, across] = through
        distance, self._cell = cKDTree(np.column_stack(space.centres)).query(points)
        # The rank that holds the nearest cell; the first of them where it is a tie to rounding.
        nearest = np.empty_like(distance)
        space.comm.Allreduce(distance, nearest, MPI.MIN)
        close = np.where(distance <= nearest * (1.0 + 1e-12), space.comm.rank, space.comm.size)
        first = np.empty_like(close)
        space.comm.Allreduce(close, first, MPI.MIN)
        self._mine = np.flatnonzero(first == space.comm.rank)
        self._outside = ~self._inside(points[0], along)

    def sample(self, u: Array) -> Array:
        """The fields at the points, shape (fields, points), on every rank; collective."""
        profile = np.zeros((len(u), len(self.s)))
        profile[:, self._mine] = self._space.owned(u)[:, self._cell[self._mine]]
        self._space.comm.Allreduce(MPI.IN_PLACE, profile, MPI.SUM)
        profile[:, self._outside] = np.nan
        return profile

    def _inside(self, start: Array, along: int) -> NDArray[np.bool_]:
        """Which points lie in a cell of the mesh or on its surface, shape (points,); collective.

        `start` is one of the points.  A cell is what lies behind all its faces, and cuts an interval out of the line.
        """
        space, mesh = self._space, self._space.mesh
        ids = mesh.cellFaceIDs
        there, faces = ~np.ma.getmaskarray(ids), np.ma.filled(ids, 0)
        outward = np.asarray(mesh.faceNormals)[:, faces] * np.ma.filled(mesh._cellToFaceOrientations, 0)
        # How far each face lies ahead of the start along its normal, and how fast the line comes nearer to it.
        ahead = ((np.asarray(mesh.faceCenters)[:, faces] - start[:, None, None]) * outward).sum(axis=0)
        ahead += NEAR * float(np.linalg.norm(space.high - space.low))
        rate = outward[along]
        parallel = np.abs(rate) < 1e-12
        way = ahead / np.where(parallel, 1.0, rate)
        low = np.where(there & ~parallel & (rate < 0.0), way, -np.inf).max(axis=0)
        high = np.where(there & ~parallel & (rate > 0.0), way, np.inf).min(axis=0)
        beside = (there & parallel & (ahead < 0.0)).any(axis=0)
        low, high = low[~beside & (low <= high)], high[~beside & (low <= high)]
        s = self.s - start[along]
        inside = np.array([((low <= x) & (x <= high)).any() for x in s])
        space.comm.Allreduce(MPI.IN_PLACE, inside, MPI.LOR)
        return inside
