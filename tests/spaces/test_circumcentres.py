"""Two-point fluxes on tetrahedra: second order, also where Gmsh's optimiser has left a mesh that is not Delaunay."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.linalg import eigvals
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigs

from carmodel.integrators import Krylov, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.spaces import BoxSpace
from carmodel.spaces.circumcentres import ENOUGH, circumcentres, find_weights
from carmodel.spaces.mesh import MeshSpace, gmsh_mesh
from tests.conftest import mpirun

P = PRESETS["normalised"]
SIZES = (0.1, 0.05, 0.033)
BAR = """
SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 0.3, 0.3};
Mesh.MeshSizeMin = SIZE; Mesh.MeshSizeMax = SIZE; Mesh.Optimize = OPTIMISED;
"""
#: Three volumes that share surfaces across the bar.
LAYERS = """
SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 0.4, 0.3, 0.3}; Box(2) = {0.4, 0, 0, 0.2, 0.3, 0.3}; Box(3) = {0.6, 0, 0, 0.4, 0.3, 0.3};
BooleanFragments{ Volume{1}; Delete; }{ Volume{2, 3}; Delete; }
Mesh.MeshSizeMin = SIZE; Mesh.MeshSizeMax = SIZE; Mesh.Optimize = OPTIMISED;
"""
#: Cells that grow threefold along the bar.
GRADED = """
SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 0.3, 0.3};
Field[1] = MathEval; Field[1].F = "SIZE * (0.4 + 0.8 * x)"; Background Field = 1;
Mesh.MeshSizeExtendFromBoundary = 0; Mesh.Optimize = OPTIMISED;
"""


CUBE = """
SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1.2, 1.2, 1.2};
Mesh.MeshSizeMin = SIZE; Mesh.MeshSizeMax = SIZE; Mesh.Optimize = OPTIMISED;
"""
SIDE, AMPLITUDES = 1.2, (0.3, 0.05, 0.6, 0.2, 0.3, 0.3, 0.4)


def mesh_space(folder, script, size, optimised):
    file = folder / f"mesh_{size}_{optimised}.geo"
    file.write_text(script.replace("SIZE", str(size)).replace("OPTIMISED", str(int(optimised))))
    return MeshSpace(gmsh_mesh(file))


def rate_of(space, S, taxis, D=1.0):
    """Rate of the slowest mode of migration that is not at rest, in 1/day; S on the local cells."""
    starts, columns = space.migration_pattern()
    values, one = np.zeros(columns.size), space.zeros() + 1.0
    space.migration_rows(values, 1.0, (one, one * D, (S,), (one,)), taxis)
    volumes = diags_array(space.relative_volumes).tocsc()
    rates = csr_array((values, columns, starts)).tocsc() - volumes
    found = eigs(rates, k=2, M=volumes, sigma=-0.5, v0=1.0 + 0.5 * np.cos(np.pi * space.centres[0]))[0]
    return np.sort(found.real)[1]


def rate_along_a_line(D, drift, n=1600):
    """The same on a line of length 1 for D(x) and the velocity drift(x): central differences, extrapolated."""

    def rate(n):
        h = 1.0 / n
        x = (np.arange(n) + 0.5) * h
        faces = np.arange(1, n) * h
        d = 2.0 / (1.0 / D(x[1:]) + 1.0 / D(x[:-1])) / h
        v = drift(faces)
        A = np.zeros((n, n))
        i = np.arange(n - 1)
        out, into = (d + 0.5 * v) / h, (d - 0.5 * v) / h
        A[i, i] += out
        A[i, i + 1] -= into
        A[i + 1, i] -= out
        A[i + 1, i + 1] += into
        return np.sort(eigvals(A).real)[1]

    coarse, fine = rate(n // 4), rate(n // 2)
    return (4.0 * fine - coarse) / 3.0


def order(errors, sizes=SIZES):
    return np.polyfit(np.log(sizes), np.log(np.abs(errors)), 1)[0]


@pytest.mark.parametrize(
    ("taxis", "optimised", "least"),
    [
        pytest.param(None, False, 1.8, marks=pytest.mark.slow),
        (None, True, 1.5),
        pytest.param("central", False, 1.8, marks=pytest.mark.slow),
        pytest.param("central", True, 1.5, marks=pytest.mark.slow),
        ("scharfetter-gummel", False, 1.8),
        pytest.param("scharfetter-gummel", True, 1.5, marks=pytest.mark.slow),
    ],
)
def test_order_of_migration(tmp_path, taxis, optimised, least):
    """Diffusion alone, and taxis up the slope of a cosine at Peclet numbers around one."""
    strength = 1.0 if taxis else 0.0
    exact = rate_along_a_line(np.ones_like, lambda x: -strength * np.pi * np.sin(np.pi * x))
    errors = []
    for size in SIZES:
        space = mesh_space(tmp_path, BAR, size, optimised)
        assert space.points.clipped <= 1e-4
        wave = np.cos(np.pi * space.points.places[0])
        errors.append(rate_of(space, strength * wave, taxis or "central") / exact - 1.0)
        space.destroy()
    assert abs(errors[-1]) < 1.5e-3, errors
    assert order(errors) > least, errors


def test_graded_meshes_converge(tmp_path):
    """Their order is seen on finer meshes only (docs/meshes.md): here the error falls, to below 0.1 %."""
    errors = []
    for size in SIZES[:2]:
        space = mesh_space(tmp_path, GRADED, size, True)
        errors.append(abs(rate_of(space, space.zeros(), "central") / np.pi**2 - 1.0))
        space.destroy()
    assert errors[1] < 0.5 * errors[0], errors
    assert errors[1] < 1e-3, errors


@pytest.mark.parametrize("contrast", [0.01, pytest.param(100.0, marks=pytest.mark.slow)])
def test_order_across_surfaces_where_diffusivity_jumps(tmp_path, contrast):
    """A layer of other tissue between two, whose surfaces the mesh shares."""

    def D(x):
        return np.where((x > 0.4) & (x < 0.6), contrast, 1.0)

    exact = rate_along_a_line(D, np.zeros_like)
    errors = []
    for size in SIZES:
        space = mesh_space(tmp_path, LAYERS, size, True)
        D_of_cells = D(np.asarray(space.mesh.cellCenters)[0])
        errors.append(rate_of(space, space.zeros(), "central", D_of_cells) / exact - 1.0)
        space.destroy()
    assert order(errors) > 1.5, errors


def test_the_line_between_the_points_of_two_cells_is_normal_to_their_face(tmp_path):
    space = mesh_space(tmp_path, BAR, 0.1, True)
    mesh, points = space.mesh, space.points
    faces = np.flatnonzero(np.asarray(mesh.interiorFaces))
    one, two = (np.asarray(cells)[faces] for cells in mesh._adjacentCellIDs)
    between = points.places[:, two] - points.places[:, one]
    normals = np.asarray(mesh.faceNormals)[:, faces]
    along = np.abs((between * normals).sum(axis=0))
    assert np.linalg.norm(between, axis=0) == pytest.approx(along, rel=1e-9, abs=1e-12)
    assert points.distances[faces] == pytest.approx(along, rel=1e-9, abs=1e-12)
    assert np.asarray(mesh._cellDistances)[faces] == pytest.approx(along, rel=1e-9, abs=1e-12)
    space.destroy()


def test_shares_say_where_the_face_is_between_the_points(tmp_path):
    space = mesh_space(tmp_path, BAR, 0.1, True)
    mesh, points = space.mesh, space.points
    inner = np.flatnonzero(np.asarray(mesh.interiorFaces))
    one = np.asarray(mesh._adjacentCellIDs[0])[inner]
    normals, on_face = np.asarray(mesh.faceNormals).T[inner], np.asarray(mesh.faceCenters).T[inner]
    to_face = np.abs(((on_face - points.places.T[one]) * normals).sum(axis=1))
    found = points.shares[inner] * points.distances[inner]
    between = (points.shares[inner] > 0.0) & (points.shares[inner] < 1.0)  # others have a point beyond the face
    assert between.mean() > 0.5
    assert found[between] == pytest.approx(to_face[between], rel=1e-9, abs=1e-12)
    assert np.ptp(points.shares[inner]) > 0.5
    space.destroy()


def test_weights_mend_what_is_not_delaunay_and_are_none_where_all_is(tmp_path):
    space = mesh_space(tmp_path, BAR, 0.1, True)
    points = np.asarray(space.mesh.vertexCoords).T
    cells = np.sort(np.asarray(space.mesh._orderedCellVertexIDs).T, axis=1).astype(np.int64)
    space.destroy()

    def least_distance(weights):
        """Along the normals of the faces, in edges of regular tetrahedra."""
        places, centroids = circumcentres(points[cells], weights[cells]), points[cells].mean(axis=1)
        by_face = {}
        for number, cell in enumerate(cells):
            for k in range(4):
                by_face.setdefault(tuple(np.delete(cell, k)), []).append(number)
        least = np.inf
        for face, both in by_face.items():
            if len(both) == 2:
                a, b, c = points[list(face)]
                normal = np.cross(b - a, c - a)
                normal *= np.sign(normal @ (centroids[both[1]] - centroids[both[0]])) / np.linalg.norm(normal)
                least = min(least, normal @ (places[both[1]] - places[both[0]]))
        return least / 0.1

    assert least_distance(np.zeros(len(points))) < -0.05
    assert least_distance(find_weights(points, cells)) > 0.5 * ENOUGH
    simple = np.array([[0.0, 0, 0], [1, 0, 0], [0.3, 1, 0], [0.4, 0.4, 1], [0.4, 0.4, -1]])
    assert not find_weights(simple, np.array([[0, 1, 2, 3], [0, 1, 2, 4]])).any()


def test_flat_cells_are_refused_in_one_line(carmodel, write, tmp_path):
    mesh = """$MeshFormat
2.2 0 8
$EndMeshFormat
$Nodes
5
1 0 0 0
2 1 0 0
3 0 1 0
4 0 0 1
5 0.5 0.5 1e-11
$EndNodes
$Elements
2
1 4 2 1 1 1 2 3 4
2 4 2 1 1 1 2 3 5
$EndElements
"""
    (tmp_path / "flat.msh").write_text(mesh)
    case = write(
        f"[space]\nkind = 'mesh'\nmesh = '{tmp_path / 'flat.msh'}'\n[time]\nend = 0.1\n[integrator]\nkind = 'strang'\n"
        "diffusion = 'ksp'\n"
    )
    answer = carmodel("run", case, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "tetrahedra are flat" in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.slow
def test_points_do_not_depend_on_the_ranks(tmp_path):
    script = tmp_path / "points.py"
    script.write_text(
        "import sys, numpy as np\nfrom pathlib import Path\nfrom carmodel.spaces.mesh import MeshSpace, gmsh_mesh\n"
        "space = MeshSpace(gmsh_mesh(Path(sys.argv[1])))\n"
        "mine = np.vstack([np.stack(space.centres), space.owned(space.points.places)])\n"
        "whole = space.comm.gather(mine)\n"
        "if space.comm.rank == 0:\n    np.save(sys.argv[2], np.hstack(whole))\n    print(space.points.clipped)\n"
    )
    file = tmp_path / "bar.geo"
    file.write_text(BAR.replace("SIZE", "0.1").replace("OPTIMISED", "1"))
    found = []
    for ranks in (1, 3):
        answer = mpirun(ranks, "python", script, file, tmp_path / f"{ranks}.npy")
        assert answer.code == 0, answer.err
        whole = np.load(tmp_path / f"{ranks}.npy")
        found.append(whole[:, np.lexsort(np.round(whole[:3], 9))])
    assert np.abs(found[0] - found[1]).max() < 1e-9


def test_coupled_and_face_lists_have_one_diffusion_matrix(tmp_path):
    space = mesh_space(tmp_path, LAYERS, 0.15, True)
    D = space.zeros() + P.D_C
    D[np.asarray(space.mesh.cellCenters)[0] > 0.6] *= 0.1
    coupled = Coupled(space, Medium(P, {"D_C": D}), taxis="scharfetter-gummel")
    starts, columns, values, _ = coupled.equations.diffusion_rows(0)
    ours = space.diffusion_matrix(D, 1.0)
    ours.scale(space.cell_volume)
    dense = np.zeros((space.n_cells, space.n_cells))
    rows = np.repeat(np.arange(space.n_cells), np.diff(starts))
    dense[rows, columns] = -values
    dense += np.diag(space.relative_volumes * space.cell_volume)
    assert np.abs(ours[:, :] - dense).max() < 1e-12 * np.abs(dense).max()
    ours.destroy()
    coupled.destroy()
    space.destroy()


def smooth_start(x, y, z):
    """Seven fields, each a wave that has no slope at the walls of the cube."""
    rng = np.random.default_rng(3)
    waves = [
        np.prod([np.cos(k * np.pi * s / SIDE) for k, s in zip(rng.integers(0, 3, 3), (x, y, z), strict=True)], axis=0)
        for _ in range(7)
    ]
    return [amplitude * (1.0 + 0.6 * wave) for amplitude, wave in zip(AMPLITUDES, waves, strict=True)]


def after_a_day(space, places):
    """The whole model, `strang` of second order with central taxis: fields on the own cells, shape (7, n_owned)."""
    u, t = space.zeros(7), 0.0
    for field, values in zip(u, smooth_start(*places), strict=True):
        field[:] = values
    integrator = Strang(space, Medium(P), taxis="central", diffusion=Krylov("sdirk2"))
    while t < 1.0 - 1e-9:
        t += integrator.step(u, 0.0125)
    integrator.destroy()
    return space.owned(u).reshape(7, -1).copy()


@pytest.mark.slow
@pytest.mark.parametrize(("optimised", "least"), [(False, 1.8), (True, 1.5)])
def test_the_whole_model_converges(tmp_path, optimised, least):
    """Against a box of 48^3 with the same steps: error of all fields at the cells' points, relative to their norms."""
    box = BoxSpace((48, 48, 48), (SIDE, SIDE, SIDE))
    axes = [box.first_centre[d] + box.spacing[d] * np.arange(-1, 49) for d in range(3)]
    grid = [axis.ravel() for axis in np.broadcast_arrays(axes[0], axes[1][:, None], axes[2][:, None, None])]
    fine = after_a_day(box, grid).reshape(7, 48, 48, 48)
    centres, walls = box.axis(0)[0] + box.spacing[0] * np.arange(-8, 56), ((0, 0), (8, 8), (8, 8), (8, 8))
    box.destroy()
    exact = [
        RegularGridInterpolator((centres,) * 3, field, method="cubic") for field in np.pad(fine, walls, "symmetric")
    ]
    sizes, errors = [], []
    for size in (0.17, 0.12, 0.085):
        space = mesh_space(tmp_path, CUBE, size, optimised)
        found, places = after_a_day(space, space.points.places), space.points.places[::-1, : space.n_owned].T
        volumes = np.ravel(space.relative_volumes)
        squares = []
        for field, interpolated in zip(found, exact, strict=True):
            wanted = interpolated(places)
            squares.append((volumes * (field - wanted) ** 2).sum() / (volumes * wanted**2).sum())
        sizes.append(space.n_cells ** (-1.0 / 3.0))
        errors.append(np.sqrt(np.mean(squares)))
        space.destroy()
    assert errors[-1] < 1e-3, errors
    assert order(errors, sizes) > least, errors
