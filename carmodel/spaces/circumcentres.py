"""Points of tetrahedra between which two-point fluxes are exact for linear fields: weighted circumcentres.

The line between the circumcentres of two tetrahedra is normal to their common face, so (u_2 - u_1) / d is the gradient
across it, d being the distance of the two along the normal.  Where a mesh is not Delaunay, as after Gmsh's optimiser,
some d are negative.  Circumcentres in the power of the vertices' weights w, |x - p|^2 - w alike for all four vertices p
of a cell, have the same property for any weights (Mullen et al. 2011, doi 10.1145/1964921.1964998), and d is linear in
the weights: they are chosen so that d is positive everywhere, and stay zero where it is so without them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, diags_array
from scipy.spatial import cKDTree

from ..tools.errors import InputError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Distances aimed at and those that will do, as parts of the size of the two cells.
WANTED, ENOUGH = 0.02, 0.01

#: Shorter ones, which no weights have mended, become this long.
LEAST = 1e-3

#: Share of the faces that may be so.  Fluxes through them are wrong, and the error does not fall with the cells' size.
MOST_CLIPPED = 0.02

#: Steps of the minimiser.
MOST_STEPS = 300

#: A cell whose volume is this part of that of a regular one with its longest edge is flat.
FLAT = 1e-9

_REGULAR = 6.0 * 2.0**0.5  # the cube of an edge over the volume


@dataclass(frozen=True)
class Points:
    """Where the values of a mesh's cells are taken, and what follows for its faces.

    `places`: shape (3, n_local), in cm.  `distances` between those of the two cells along each face's normal, and the
    `shares` of them on the side of cell 1, shape (faces,): from 0 to 1, as a point may lie beyond its cell's face.
    `clipped`: share of the inner faces with a distance that is not their points' own.
    """

    places: Array
    distances: Array
    shares: Array
    clipped: float


def corner_numbers(mesh: Any) -> Integers | None:
    """Vertices of each local cell, shape (4, n_local); None unless all cells are tetrahedra."""
    numbers = mesh._orderedCellVertexIDs
    if np.ma.is_masked(numbers) or len(numbers) != 4 or np.shape(mesh.cellFaceIDs)[0] != 4:
        return None
    return np.asarray(numbers, dtype=np.int64)


def circumcentres(corners: Array, weights: Array) -> Array:
    """Of tetrahedra, corners of shape (cells, 4, 3), with weights of their corners, (cells, 4): shape (cells, 3)."""
    edges = corners[:, 1:] - corners[:, :1]
    right = 0.5 * ((edges**2).sum(axis=2) - (weights[:, 1:] - weights[:, :1]))
    return np.asarray(corners[:, 0] + np.linalg.solve(edges, right[..., None])[..., 0])


def points_of(mesh: Any, sides: tuple[Integers, Integers], own: slice, comm: MPI.Intracomm) -> Points | None:
    """The points of a FiPy mesh of tetrahedra; None of another; collective.

    `sides`: local numbers of cells 1 and 2 of each face.  Raises InputError where cells are flat, or more faces have no
    positive distance than `MOST_CLIPPED`.
    """
    numbers = corner_numbers(mesh)
    if comm.allreduce(int(numbers is None)):
        return None
    assert numbers is not None
    vertices = np.asarray(mesh.vertexCoords, float).T
    corners = vertices[numbers.T]
    flat = comm.allreduce(int(_is_flat(corners[own]).sum()))
    if flat:
        raise InputError(f"space.mesh: {flat} tetrahedra are flat; accepted: cells with a volume")
    weights = _local_weights(vertices, corners[own], comm)[numbers.T]
    places = circumcentres(corners, weights)
    one, two = sides
    inner = np.flatnonzero(one != two)
    centroids, normals = corners.mean(axis=1), np.asarray(mesh.faceNormals).T[inner]
    one, two = one[inner], two[inner]
    normals *= np.sign(((centroids[two] - centroids[one]) * normals).sum(axis=1))[:, None]
    on_face = np.asarray(mesh.faceCenters).T[inner]
    of_one = ((on_face - places[one]) * normals).sum(axis=1)
    between = ((places[two] - places[one]) * normals).sum(axis=1)
    size = _sizes(np.asarray(mesh.cellVolumes, float))
    least = LEAST * 0.5 * (size[one] + size[two])
    clipped = _clipped_share(between < least, (one, two), own, comm)
    if clipped > MOST_CLIPPED:
        raise InputError(
            f"space.mesh: of {clipped:.1%} of the faces no circumcentres are on the sides of their cells; accepted: up "
            f"to {MOST_CLIPPED:.0%}, as in a mesh that is nearly Delaunay"
        )
    distances, shares = np.array(mesh._cellDistances, float), np.full(len(sides[0]), 0.5)
    distances[inner] = np.maximum(between, least)
    shares[inner] = np.clip(of_one / distances[inner], 0.0, 1.0)
    return Points(places.T, distances, shares, clipped)


def _clipped_share(clipped: NDArray[np.bool_], cells: tuple[Integers, Integers], own: slice, comm: Any) -> float:
    """Share of the mesh's inner faces, by half from each of their cells' ranks; collective."""
    halves = sum(0.5 * ((cell >= own.start) & (cell < own.stop)) for cell in cells)
    counts = np.array([(halves * clipped).sum(), np.sum(halves)])
    comm.Allreduce(MPI.IN_PLACE, counts, MPI.SUM)
    return float(counts[0] / max(counts[1], 1.0))


def _sizes(volumes: Array) -> Array:
    """Edges of regular tetrahedra with these volumes."""
    return np.asarray(np.cbrt(_REGULAR * volumes))


def _volumes(corners: Array) -> Array:
    return np.asarray(np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6.0)


def _is_flat(corners: Array) -> NDArray[np.bool_]:
    longest = np.linalg.norm(corners[:, :, None] - corners[:, None], axis=3).max(axis=(1, 2))
    return np.asarray(_REGULAR * _volumes(corners) <= FLAT * longest**3)


def _local_weights(vertices: Array, own_corners: Array, comm: MPI.Intracomm) -> Array:
    """Weights of a rank's vertices, shape (vertices,), from the corners of its own cells; collective.

    Rank 0 finds them for the whole mesh, which Gmsh has made there, in an order that does not depend on the ranks.
    """
    pieces = comm.gather(own_corners)
    chosen: tuple[Array, Array] = np.empty((0, 3)), np.empty(0)
    if pieces:
        corners = np.concatenate(pieces)
        points, numbers = _numbered(corners.reshape(-1, 3))
        cells = np.sort(numbers.reshape(-1, 4), axis=1)
        cells = cells[np.lexsort(cells.T)]
        weights = find_weights(points, cells)
        moved = np.flatnonzero(weights)
        chosen = points[moved], weights[moved]
    points, weights = comm.bcast(chosen)
    mine = np.zeros(len(vertices))
    if len(points):
        apart, nearest = cKDTree(points).query(vertices)
        mine[apart == 0.0] = weights[nearest[apart == 0.0]]
    return mine


def _numbered(points: Array) -> tuple[Array, Integers]:
    """The different ones of points, shape (n, 3), in order, and the number of each among them."""
    order = np.lexsort(points.T)
    in_order = points[order]
    new = np.concatenate([[True], (in_order[1:] != in_order[:-1]).any(axis=1)])
    numbers = np.empty(len(points), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return in_order[new], numbers


def find_weights(points: Array, cells: Integers) -> Array:
    """Weights of the vertices of a whole mesh, points (n, 3) and cells (cells, 4), for distances that are positive."""
    faces, one, two = _inner_faces(cells)
    weights = np.zeros(len(points))
    if not len(faces):
        return weights
    corners = points[cells]
    size = _sizes(_volumes(corners))
    size = 0.5 * (size[one] + size[two])
    normals = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    centroids, places = corners.mean(axis=1), circumcentres(corners, np.zeros(cells.shape))
    normals *= np.sign(((centroids[two] - centroids[one]) * normals).sum(axis=1))[:, None]
    unweighted = ((places[two] - places[one]) * normals).sum(axis=1) / size
    if unweighted.min() >= ENOUGH:
        return weights
    # The circumcentre moves by -1/2 inverse(edges) times the weights of the corners less that of the first.
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1])
    across = -0.5 * normals / size[:, None]
    entries = [sign * np.einsum("fd,fdk->fk", across, inverse[cell]) for cell, sign in ((one, -1.0), (two, 1.0))]
    values = np.concatenate([column for g in entries for column in (-g.sum(axis=1, keepdims=True), g)], axis=1)
    columns = np.concatenate([cells[one], cells[two]], axis=1)
    rows = np.repeat(np.arange(len(faces)), 8)
    change = csr_array((values.ravel(), (rows, columns.ravel())), shape=(len(faces), len(points)))
    unit = 1.0 / np.sqrt(np.asarray(change.multiply(change).sum(axis=0)).ravel() + 1e-300)
    scaled = csr_array(change @ diags_array(unit))
    return unit * _minimised(unweighted, scaled)


def _minimised(unweighted: Array, change: csr_array) -> Array:
    """w for which all of unweighted + change w are at least `ENOUGH`, or nearly, found as a least-squares problem."""
    transposed = csr_array(change.T)

    def lacking(w: Array) -> Array:
        return np.asarray(np.maximum(0.0, WANTED - unweighted - change @ w))

    def half_squares(w: Array) -> tuple[float, Array]:
        missing = lacking(w)
        return 0.5 * float(missing @ missing), -(transposed @ missing)

    def stop(w: Array) -> None:
        if lacking(w).max() <= WANTED - ENOUGH:
            raise StopIteration

    options = {"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "ftol": 0.0, "gtol": 0.0}
    start = np.zeros(change.shape[1])
    return np.asarray(minimize(half_squares, start, jac=True, method="L-BFGS-B", callback=stop, options=options).x)


def _inner_faces(cells: Integers) -> tuple[Integers, Integers, Integers]:
    """Vertices of the faces between two cells, shape (faces, 3), and the two cells."""
    faces = np.concatenate([np.delete(cells, k, axis=1) for k in range(4)])
    of_cell = np.tile(np.arange(len(cells)), 4)
    order = np.lexsort(faces.T)
    faces, of_cell = faces[order], of_cell[order]
    again = np.flatnonzero((faces[1:] == faces[:-1]).all(axis=1))
    return faces[again], of_cell[again], of_cell[again + 1]
