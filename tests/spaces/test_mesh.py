"""FiPy meshes: the same numbers as the box, conservation, order of accuracy, ranks, output."""

import subprocess

import numpy as np
import pytest
import pyvista
from vtkmodules.vtkIOXML import vtkXMLPUnstructuredGridReader

from carmodel.commands.compare import compare
from carmodel.integrators import Strang
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, MODEL, PRESETS
from carmodel.results import RunDirectory
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.spaces import BoxSpace
from carmodel.spaces.fluxes import TAXIS_SCHEMES
from carmodel.spaces.mesh import MeshSpace, gmsh_mesh, grid_mesh
from carmodel.spaces.stencils import Stage
from tests.conftest import ODD_CELLS, ROOT, mpirun, petsc_options, without_reactions

# FiPy chooses its matrices when it is first imported, which carmodel.spaces.mesh has seen to.
import fipy  # isort: skip

P = PRESETS["normalised"]
LENGTHS = (1.0, 0.9, 0.6)
CARMODEL = ROOT / ".venv/bin/carmodel"


def graded(n: int, stretch: float = 0.5) -> np.ndarray:
    """Widths of n cells of the unit interval, wide and narrow in turn smoothly; second-order methods stay so."""
    edges = np.linspace(0.0, 1.0, n + 1)
    return np.diff(edges + stretch * np.sin(2.0 * np.pi * edges) / (2.0 * np.pi))


def waves(space, lengths=LENGTHS):
    """Seven smooth fields with no gradient at the walls."""
    rng = np.random.default_rng(11)
    u = space.zeros(7)
    for f in range(7):
        numbers = rng.integers(1, 3, size=3)
        product = 0.3
        for x, k, length in zip(space.centres, numbers, lengths, strict=True):
            product = product * np.cos(k * np.pi * x / length)
        space.owned(u[f])[...] = 0.5 + product
    return u


@pytest.fixture(scope="module")
def pair():
    """A box and FiPy's grid of the same cells."""
    box, mesh = BoxSpace(ODD_CELLS, LENGTHS), MeshSpace(grid_mesh(ODD_CELLS, LENGTHS))
    yield box, mesh
    box.destroy()
    mesh.destroy()


@pytest.fixture(scope="module")
def tetrahedra():
    """A cube of a few hundred tetrahedra of different sizes."""
    space = MeshSpace(gmsh_mesh(ROOT / "tests/data/cube.geo"))
    yield space
    space.destroy()


def varying_diffusivity(space):
    D = space.zeros()
    x, y, _ = space.centres
    space.owned(D)[...] = P.D_C * (1.0 + 0.8 * np.sin(7.0 * x) * np.cos(5.0 * y))
    space.exchange_field(D)
    return D


@pytest.mark.parametrize("varying", [False, True])
def test_diffusion_matrix_is_the_box_s(pair, varying):
    dense = []
    for space in pair:
        matrix = space.diffusion_matrix(varying_diffusivity(space) if varying else 0.3, 0.7)
        dense.append(matrix.convert("dense").getDenseArray().copy())
        matrix.destroy()
    assert np.abs(dense[0] - dense[1]).max() < 1e-12 * np.abs(dense[0]).max()


def test_face_between_unlike_cells_takes_their_resistances_in_series():
    """Cells of 1 and 3 cm, D of 0.1 and 0.7 cm^2/day: half of each in the way, whichever comes first."""
    for widths, D in (((1.0, 3.0), (0.1, 0.7)), ((3.0, 1.0), (0.7, 0.1))):
        space = MeshSpace(fipy.Grid3D(dx=np.array(widths), dy=np.ones(1), dz=np.ones(1)))
        matrix = space.diffusion_matrix(np.array(D), 0.5)
        flux = -matrix.getValue(0, 1) * space.cell_volume / 0.5
        assert flux == pytest.approx(1.0 / (0.5 / 0.1 + 1.5 / 0.7), rel=1e-12)
        matrix.destroy()
        space.destroy()


def explicit_rate(space, u, p, taxis, D_C):
    rate, out = space.zeros(7), space.zeros(7)
    space.exchange(u, MODEL.neighbours)
    space.explicit_stage(
        (u, u, rate, out), Stage(0.0, 0.0, store=True, clamp=False), Medium(p, {"D_C": D_C}), taxis, np.zeros(7)
    )
    return space.owned(rate).reshape(7, -1).copy()


@pytest.mark.parametrize("taxis", TAXIS_SCHEMES)
def test_taxis_divergence_and_reactions_are_the_box_s(pair, taxis):
    p = P._replace(chi_0=1.5)
    box, mesh = (explicit_rate(space, waves(space), p, taxis, varying_diffusivity(space)) for space in pair)
    assert np.abs(box - mesh).max() < 1e-12 * np.abs(box).max()
    still = explicit_rate(pair[1], waves(pair[1]), p._replace(chi_0=0.0), taxis, varying_diffusivity(pair[1]))
    assert np.abs(mesh[0] - still[0]).max() > 1e-2


def test_another_D_C_reaches_the_faces(pair):
    """D_C changes at an intervention: values on faces that were kept for the old array would be stale."""
    p, u = P._replace(chi_0=1.5), waves(pair[1])
    kept, fresh = pair[1], MeshSpace(pair[1].mesh)
    constant = kept.zeros() + P.D_C
    explicit_rate(kept, u, p, "scharfetter-gummel", constant)
    rates = [explicit_rate(s, u, p, "scharfetter-gummel", varying_diffusivity(s)) for s in (kept, fresh)]
    assert (rates[0] == rates[1]).all()
    assert (rates[0] != explicit_rate(kept, u, p, "scharfetter-gummel", constant)).any()
    fresh.destroy()


@pytest.mark.parametrize("taxis", TAXIS_SCHEMES)
def test_strang_s_trajectory_is_the_box_s(pair, taxis):
    """With the same linear solver to rounding; the box's own, which solves more exactly, to the mesh's tolerance."""

    def end(space, options):
        u = waves(space)
        with petsc_options(options):
            integrator = Strang(space, Medium(P, {"D_C": varying_diffusivity(space)}), taxis=taxis)
            for _ in range(40):
                integrator.step(u, 0.05)
            integrator.destroy()
        return space.owned(u).reshape(7, -1).copy()

    box, mesh = pair
    of_mesh = end(mesh, {})
    assert np.abs(end(box, {f"{name}_pc_type": "jacobi" for name in FIELDS}) - of_mesh).max() < 1e-12
    assert np.abs(end(box, {}) - of_mesh).max() < 1e-10


def meshes(tetrahedra):
    yield "uniform", MeshSpace(grid_mesh((6, 5, 4), LENGTHS))
    yield "graded", MeshSpace(fipy.Grid3D(dx=graded(6), dy=graded(5, -0.4), dz=0.25 * np.ones(4)))
    yield "tetrahedra", tetrahedra


def test_totals_are_kept_without_reactions_on_every_kind_of_mesh(tetrahedra):
    """1,000 steps with taxis on; the volumes of the cells count."""
    for kind, space in meshes(tetrahedra):
        u = waves(space, (1.0, 1.0, 1.0))
        before, start = space.sum_min_max(u)[0], u.copy()
        integrator = Strang(space, Medium(without_reactions()))
        for _ in range(1000):
            integrator.step(u, 0.01)
        assert np.abs(integrator.clamped).max() == 0.0
        assert np.abs(u - start).max(axis=1).min() > 1e-4, "every field must have moved"
        assert np.abs(space.sum_min_max(u)[0] / before - 1.0).max() < 1e-11, kind
        integrator.destroy()


def test_clamped_mass_is_weighted_by_volume(tetrahedra):
    for kind, space in meshes(tetrahedra):
        u = waves(space, (1.0, 1.0, 1.0)) - 0.5
        before = space.sum_min_max(u)[0]
        added = np.array([space.clamp(field) for field in u])
        assert added.min() > 1.0
        assert space.sum_min_max(u)[0] == pytest.approx(before + added, rel=1e-12), kind
        assert space.sum_min_max(u)[1].min() == 0.0


def test_stage_counts_what_it_clamps_by_volume():
    space = MeshSpace(fipy.Grid3D(dx=graded(6), dy=graded(5, -0.4), dz=0.25 * np.ones(4)))
    u = waves(space, (1.0, 1.0, 1.0)) - 0.5
    out, clamped = space.zeros(7), np.zeros(7)
    space.explicit_stage(
        (u, u, space.zeros(7), out),
        Stage(0.0, 0.0, store=True, clamp=True),
        Medium(without_reactions(), {"D_C": space.zeros() + 1.0}),
        "central",
        clamped,
    )
    assert clamped.min() > 1.0
    assert space.sum_min_max(out)[0] == pytest.approx(space.sum_min_max(u)[0] + clamped, rel=1e-12)
    space.destroy()


def test_diffusion_is_second_order_on_graded_grids():
    """Backward Euler of a manufactured field: u - dt D lap u = b with u = cos cos cos."""
    D, dt, errors = 0.3, 0.1, []
    for n in (8, 16, 32):
        space = MeshSpace(fipy.Grid3D(dx=graded(n), dy=graded(n, -0.5), dz=graded(n)))
        x, y, z = space.centres
        exact = np.cos(np.pi * x) * np.cos(2 * np.pi * y) * np.cos(np.pi * z)
        u = space.zeros(7)
        space.owned(u[0])[...] = exact * (1.0 + dt * D * 6.0 * np.pi**2)
        solver = KrylovDiffusion(space, [D] * 7, FIELDS)
        solver.solve(u, dt)
        errors.append(np.sqrt(((space.owned(u[0]) - exact) ** 2 * space.relative_volumes).mean()))
        solver.destroy()
        space.destroy()
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(2.0, abs=0.15), (errors, orders)


@pytest.mark.parametrize(("taxis", "order"), [("central", 2), ("upwind", 1), ("scharfetter-gummel", 2), ("hybrid", 2)])
def test_taxis_has_its_order_on_graded_grids(taxis, order):
    """Integrals of the divergence over blocks of cells: fluxes are what must converge, whatever the cells' widths.

    One-dimensional in x: -d/dx(chi C dS/dx) integrated from 0 to a cell's edge is minus the flux there.
    """
    p = without_reactions()._replace(chi_0=0.5, alpha_A=0.0)
    errors = []
    for n in (16, 32, 64):
        widths = graded(n)
        space = MeshSpace(fipy.Grid3D(dx=widths, dy=np.ones(1), dz=np.ones(1)))
        x = space.centres[0]
        u = space.zeros(7)
        space.owned(u[0])[...] = 1.0 + 0.5 * np.cos(np.pi * x)
        space.owned(u[4])[...] = np.cos(np.pi * x)
        rate = explicit_rate(space, u, p, taxis, space.zeros() + 0.05)[0]
        edges = np.cumsum(widths)[:-1]
        flux = -np.cumsum(rate * widths)[:-1]
        exact = 0.5 * (1.0 + 0.5 * np.cos(np.pi * edges)) * (-np.pi * np.sin(np.pi * edges))
        errors.append(np.sqrt(((flux - exact) ** 2).mean()))
        space.destroy()
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(order, abs=0.25), (errors, orders)


CASE = """
title = "mesh"
[space]
kind = "mesh"
SPACE
[initial]
tumour = { shape = "ball", radius = 0.25, value = 0.9, edge = 0.1, negative_fraction = 0.1 }
cart = { shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5, edge = 0.1 }
[time]
end = 0.5
[integrator]
dt = 0.1
[output]
every = 0.25
"""
GRID = "cells = [7, 6, 9]\nlengths = [1.0, 0.9, 0.6]"
CUBE = f"mesh = '{ROOT / 'tests/data/cube.geo'}'"


@pytest.mark.parametrize("space", [pytest.param(GRID, marks=pytest.mark.slow), CUBE], ids=["grid", "gmsh"])
def test_ranks_do_not_change_the_fields(write, tmp_path, space):
    case = write(CASE.replace("SPACE", space))
    for ranks in (1, 2, 4):
        answer = mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / str(ranks), "--quiet")
        assert answer.code == 0, answer
        difference = compare(tmp_path / str(ranks), tmp_path / "1")
        assert difference.times == [0.0, 0.25, 0.5]
        if space is GRID:  # Gmsh cuts a partitioned mesh anew, but the cells are the same
            assert difference.how == "cell by cell"
        assert difference.relative_max.max() < 1e-10, (ranks, difference)
    one, four = (RunDirectory(tmp_path / n) for n in "14")
    for name in ("total_C", "total_TB", "max_H"):
        assert four.series[name] == pytest.approx(one.series[name], rel=1e-10)
    for name, column in one.line.items():
        assert four.line[name] == pytest.approx(column, rel=1e-9, abs=1e-15), name


@pytest.mark.slow
def test_coupled_runs_from_a_run_file_and_agrees_with_strang(write, tmp_path):
    """The same scenario with a D_C of space, both integrators, one and two ranks."""
    image = pyvista.ImageData(dimensions=(8, 7, 10), spacing=(1.0 / 7, 0.9 / 6, 0.6 / 9))
    image.cell_data["D_C"] = P.D_C * np.random.default_rng(14).uniform(0.01, 2.0, image.n_cells)
    image.save(tmp_path / "mask.vti")
    masked = "[parameters]\nD_C = { mask = 'mask.vti' }\n"
    case = write(CASE.replace("SPACE", GRID).replace("dt = 0.1", "dt = 0.025") + masked)
    coupled = ("--set", "integrator.kind=coupled")
    for name, ranks, options in (("strang", 1, ()), ("coupled", 1, coupled), ("coupled2", 2, coupled)):
        answer = mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / name, "--quiet", *options)
        assert answer.code == 0, answer
    assert compare(tmp_path / "coupled2", tmp_path / "coupled").relative_max.max() < 1e-8
    apart = compare(tmp_path / "strang", tmp_path / "coupled").relative_l2
    assert apart[:6].max() < 0.01, apart
    assert apart[6] < 0.1, apart  # H settles within hours, where splitting is at its worst
    wrong = mpirun(1, CARMODEL, "run", case, "--out", tmp_path / "wrong", *coupled, "--", "-H_pc_type", "nosuch")
    assert wrong.code == 2
    assert wrong.err.startswith("PETSc options for H")
    assert not (tmp_path / "wrong").exists()
    manifest = RunDirectory(tmp_path / "coupled").manifest
    assert manifest["sweeps"] > manifest["steps"]
    assert {"assembly", "solve", "output", "checkpoints", "total"} == set(manifest["wall_seconds"])


def test_parallel_volume_is_read_back_by_vtk(write, tmp_path):
    case = write(CASE.replace("SPACE", GRID))
    assert mpirun(3, CARMODEL, "run", case, "--out", tmp_path / "out", "--quiet").code == 0
    reader = vtkXMLPUnstructuredGridReader()
    reader.SetFileName(str(tmp_path / "out/fields/t00001.pvtu"))
    reader.Update()
    grid = pyvista.wrap(reader.GetOutput())
    assert grid.n_cells == 7 * 6 * 9
    assert grid.bounds == pytest.approx((0.0, 1.0, 0.0, 0.9, 0.0, 0.6))
    assert grid.compute_cell_sizes()["Volume"] == pytest.approx(np.full(grid.n_cells, 0.54 / grid.n_cells))
    run = RunDirectory(tmp_path / "out")
    assert run.volumes.times == [0.0, 0.25, 0.5]
    means = [grid.cell_data[field].mean() for field in FIELDS]
    row = int(np.flatnonzero(run.series["t"] == 0.25)[0])
    assert means == pytest.approx([run.series[f"mean_{field}"][row] for field in FIELDS], rel=1e-12)


@pytest.mark.parametrize("space", [pytest.param(GRID, marks=pytest.mark.slow), CUBE], ids=["grid", "gmsh"])
def test_values_sit_in_their_cells(carmodel, write, tmp_path, space):
    """The initial ball, evaluated at the centres that VTK computes from the written corners."""
    case = write(CASE.replace("SPACE", space))
    assert carmodel("run", case, "--out", tmp_path / "out", "--quiet", "--set", "time.end=0.1").code == 0
    grid = pyvista.read(tmp_path / "out/fields/t00000.vtu")
    centres = grid.cell_centers().points
    middle = [0.5, 0.45, 0.3] if space is GRID else [0.5, 0.5, 0.5]
    r = np.linalg.norm(centres - middle, axis=1)
    ball = 0.9 * 0.9 * 0.5 * (1.0 - np.tanh((r - 0.25) / 0.1))
    assert grid.cell_data["TA"] == pytest.approx(ball, abs=1e-9)
    volumes = grid.compute_cell_sizes()["Volume"]
    assert volumes.min() > 0.0
    run = RunDirectory(tmp_path / "out")
    assert run.series["total_TA"][0] == pytest.approx((volumes * ball).sum(), rel=1e-9)


def test_wall_delays_the_cart_front_alike_on_box_and_mesh(carmodel, tmp_path):
    """runs/barrier.toml: day on which C reaches 0.05 at x = 0.7, with the wall and without."""
    delays = {}
    for name in ("barrier", "barrier_mesh"):
        arrival = {}
        for wall, options in (("wall", ()), ("free", ("--set", "parameters.D_C=0.014"))):
            out = tmp_path / f"{name}-{wall}"
            short = ("--set", "integrator.dt=0.1", "--set", "time.end=8")
            answer = carmodel("run", ROOT / f"runs/{name}.toml", "--out", out, "--quiet", *short, *options)
            assert answer.code == 0, answer.err
            line = RunDirectory(out).line
            C = np.array([np.interp(0.7, line["s"], profile) for profile in line["C"]])
            later = int(np.argmax(C >= 0.05))
            arrival[wall] = np.interp(0.05, C[later - 1 : later + 1], line["t"][later - 1 : later + 1])
        delays[name] = arrival["wall"] - arrival["free"]
    assert delays["barrier"] > 1.0, delays
    assert delays["barrier_mesh"] == pytest.approx(delays["barrier"], rel=0.05), delays


def test_spheroid_mesh_is_fine_at_the_rim():
    space = MeshSpace(gmsh_mesh(ROOT / "meshes/spheroid.geo"))
    assert space.n_cells * space.cell_volume == pytest.approx(1.2**3, rel=1e-9)
    x, y, z = space.centres
    rim = abs(np.sqrt((x - 0.6) ** 2 + (y - 0.6) ** 2 + (z - 0.6) ** 2) - 0.5)
    assert space.relative_volumes[rim < 0.05].mean() < 0.5 * space.relative_volumes[rim > 0.3].mean()
    space.destroy()


def test_mesh_files_of_every_version_are_read_on_any_number_of_ranks(write, tmp_path):
    """FiPy by itself reads text of version 2, cells of first order, already cut for as many ranks."""
    mesh = tmp_path / "würfel 1.msh"
    for options in ("-order 2", "-format msh22", "-format msh41", "-format msh41 -bin"):
        gmsh = [str(ROOT / ".venv/bin/gmsh"), "-3", str(ROOT / "tests/data/cube.geo"), "-v", "0", "-o", str(mesh)]
        subprocess.run(gmsh + options.split(), check=True, timeout=60)
        space = MeshSpace(gmsh_mesh(mesh))
        assert space.n_cells * space.cell_volume == pytest.approx(1.0), options
        assert (np.ma.filled(space.mesh._orderedCellVertexIDs, -1) >= 0).sum(axis=0).max() == 4
        space.destroy()
    case = write(CASE.replace("SPACE", f"mesh = '{mesh}'").replace("end = 0.5", "end = 0.1"))
    for ranks in (1, 2):
        answer = mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / str(ranks), "--quiet")
        assert answer.code == 0, answer
    difference = compare(tmp_path / "2", tmp_path / "1")
    assert difference.how == "cell by cell"
    assert difference.relative_max.max() < 1e-10


# FiPy leaves the file open that it could not read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_wrong_meshes_are_refused_in_one_line(carmodel, write, tmp_path):
    (tmp_path / "broken.geo").write_text("Box(1) = {0, 0;")
    (tmp_path / "flat.geo").write_text("Point(1) = {0,0,0};\nPoint(2) = {1,0,0};\nLine(1) = {1,2};\n")
    # Gmsh takes these bytes for a script, and reads for ever.
    for name in ("noise.msh", "noise.geo"):
        (tmp_path / name).write_bytes((ROOT / "tests/data/noise.msh").read_bytes())
    # FiPy by itself takes what Gmsh could make of the first of these, and reads the second for ever.
    (tmp_path / "half.geo").write_text((ROOT / "tests/data/cube.geo").read_text() + "Sphere(2) = {0, 0;\n")
    (tmp_path / "torn.msh").write_text("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n3\n1 0 0 0\n")
    for name in ("broken.geo", "flat.geo", "noise.msh", "noise.geo", "half.geo", "torn.msh", "none.geo"):
        case = write(CASE.replace("SPACE", f"mesh = '{name}'"))
        answer = carmodel("run", case, "--out", tmp_path / "out")
        assert answer.code == 2, (name, answer)
        assert answer.err.count("\n") == 1, answer.err
        assert name in answer.err
        assert not (tmp_path / "out").exists()
    assert carmodel("check", case).code == 2  # the last, which is not there
    for layers in (2, 4):
        case = write(CASE.replace("SPACE", GRID.replace("9]", f"{layers}]")))
        answer = mpirun(3, CARMODEL, "run", case, "--out", tmp_path / "out", timeout=60)
        assert answer.code == 2
        assert "of 3 ranks would have no cells" in answer.err
        assert answer.err.count("\n") == 1, answer.err
    for override, complaint in (
        ("integrator.diffusion=jacobi", "box of cells"),
        ("output.formats=['csv']", "for boxes"),
        ("space.nodes_on_boundary=true", "unknown key"),
        ("space.mesh='x.geo'", "cells and lengths are those of the file"),
    ):
        answer = carmodel("check", write(CASE.replace("SPACE", GRID)), "--set", override)
        assert answer.code == 2
        assert complaint in answer.err


def test_mask_must_cover_the_mesh(carmodel, write, tmp_path):
    image = pyvista.ImageData(dimensions=(3, 3, 3), spacing=(0.2, 0.2, 0.2))
    image.cell_data["D_C"] = np.full(8, 0.01)
    image.save(tmp_path / "small.vti")
    case = write(CASE.replace("SPACE", GRID) + "[parameters]\nD_C = { mask = 'small.vti' }\n")
    answer = carmodel("run", case, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "covers" in answer.err
