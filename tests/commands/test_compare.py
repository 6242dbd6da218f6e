"""Runs on different grids: conservative averaging between boxes, sampling with meshes."""

import numpy as np
import pytest

from carmodel.commands.compare import common_cells, compare
from carmodel.results import RunDirectory
from carmodel.runs.volumes import BoxCells, MeshCells, Volumes
from tests.conftest import ROOT
from tests.fuzz import time_limit


def volumes(cells, field):
    """One time of seven equal fields on some cells."""
    return Volumes([0.0], lambda _n: np.stack([field] * 7), lambda: cells)


def box(n, field=None, low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0)):
    cells = BoxCells(n, np.array(low), np.array(high))
    return volumes(cells, np.random.default_rng(12).random(tuple(reversed(n))) if field is None else field)


@pytest.mark.parametrize(("fine", "coarse"), [((6, 4, 8), (3, 2, 2)), ((7, 5, 4), (3, 5, 2)), ((4, 9, 3), (6, 3, 3))])
def test_averaging_keeps_integrals_over_every_common_cell(fine, coarse):
    A, B = box(fine), box(coarse)
    meeting = common_cells(A, B)
    common = tuple(map(min, fine, coarse))
    assert meeting.how == "averaged to {} x {} x {} cells".format(*common)
    a, b = A.read(0), B.read(0)
    for volume, averaged in ((a, meeting.a(a)), (b, meeting.b(b))):
        assert averaged.shape == (7, np.prod(common))
        assert averaged.mean(axis=1) == pytest.approx(volume.mean(axis=(1, 2, 3)), rel=1e-13)
    assert meeting.a(np.full_like(a, 3.0)) == pytest.approx(3.0)


def test_averaging_of_nested_cells_is_their_mean():
    A, B = box((6, 4, 2)), box((3, 2, 2))
    means = A.read(0)[0].reshape(2, 2, 2, 3, 2).mean(axis=(2, 4))
    assert common_cells(A, B).a(A.read(0))[0] == pytest.approx(means.ravel())


def test_long_boxes_are_averaged_in_little_memory():
    """The shares of all pairs of cells would take 320 GB."""
    A, B = box((200_000, 1, 1)), box((199_999, 1, 1))
    means = common_cells(A, B).a(A.read(0))
    assert means.shape == (7, 199_999)
    assert means.mean(axis=1) == pytest.approx(A.read(0).mean(axis=(1, 2, 3)), rel=1e-12)


def test_many_times_are_matched_at_once(tmp_path, monkeypatch):
    """All pairs of them would be ten thousand million."""
    times = np.arange(100_000.0)
    cells = BoxCells((1, 1, 1), np.zeros(3), np.ones(3))
    sets = {
        "a": Volumes(times.tolist(), lambda _n: np.ones((7, 1, 1, 1)), lambda: cells),
        "b": Volumes([7.0, *(times[::-1] + 0.5), 3.0 + 1e-5], lambda _n: np.ones((7, 1, 1, 1)), lambda: cells),
    }
    monkeypatch.setattr("carmodel.commands.compare.open_volumes", lambda path: sets[path.name])
    with time_limit(20.0):
        found = compare(tmp_path / "a", tmp_path / "b")
    assert found.times == [3.0, 7.0]


def test_boxes_that_are_not_the_same_box_are_refused():
    with pytest.raises(ValueError, match="different regions"):
        common_cells(box((4, 4, 4)), box((4, 4, 4), high=(1.0, 1.0, 1.5)))


def test_the_same_mesh_in_another_order_is_compared_cell_by_cell():
    rng = np.random.default_rng(13)
    centres, sizes, field = rng.random((50, 3)), rng.uniform(0.5, 1.0, 50), rng.random(50)
    low, high = np.zeros(3), np.ones(3)
    order = rng.permutation(50)
    A = volumes(MeshCells(centres[order], sizes[order], low, high), field[order])
    B = volumes(MeshCells(centres, sizes, low, high), field)
    meeting = common_cells(A, B)
    assert meeting.how == "cell by cell"
    assert (meeting.a(A.read(0)) == B.read(0)).all()
    assert meeting.volumes == pytest.approx(sizes / sizes.mean())


def test_cells_of_a_mesh_count_by_volume(tmp_path, monkeypatch):
    """A difference of 1 in a cell of volume 3, none in one of volume 1, of a field of ones: sqrt(3/4)."""
    cells = MeshCells(np.array([[0.2, 0.5, 0.5], [0.7, 0.5, 0.5]]), np.array([3.0, 1.0]), np.zeros(3), np.ones(3))
    sets = {"a": volumes(cells, np.array([2.0, 1.0])), "b": volumes(cells, np.ones(2))}
    monkeypatch.setattr("carmodel.commands.compare.open_volumes", lambda path: sets[path.name])
    assert compare(tmp_path / "a", tmp_path / "b").relative_l2 == pytest.approx(np.sqrt(0.75))


def test_a_box_is_sampled_where_the_mesh_s_cells_are():
    centres = np.array([[0.1, 0.1, 0.1], [0.9, 0.1, 0.6], [0.6, 0.95, 0.4]])
    A = box((2, 4, 2))
    B = volumes(MeshCells(centres, np.ones(3), np.zeros(3), np.ones(3)), np.zeros(3))
    meeting = common_cells(A, B)
    assert meeting.how == "A sampled at the centres of B's cells"
    u = A.read(0)
    assert meeting.a(u)[0].tolist() == [u[0, 0, 0, 0], u[0, 1, 0, 1], u[0, 0, 3, 1]]


@pytest.mark.slow
def test_refined_runs_come_closer(carmodel, tmp_path):
    """Box against finer box, and FiPy's grid against the box of the same cells by the same method."""
    settings = ("time.end=0.5", "integrator.dt=0.1", "integrator.method=arkimex")
    short = ("--quiet", *(word for setting in settings for word in ("--set", setting)))
    for n in (8, 16, 32):
        cells = f"space.cells=[{n},{n},{n}]"
        carmodel("run", ROOT / "runs/quickstart.toml", "--out", tmp_path / str(n), *short, "--set", cells)
    far, near = (compare(tmp_path / n, tmp_path / "32") for n in ("8", "16"))
    assert near.how == "averaged to 16 x 16 x 16 cells"
    assert (near.relative_l2[[0, 1, 2, 4]] < 0.6 * far.relative_l2[[0, 1, 2, 4]]).all(), (far, near)
    mesh = "space={kind='mesh', cells=[8,8,8], lengths=[1.2,1.2,1.2]}"
    assert carmodel("run", ROOT / "runs/quickstart.toml", "--out", tmp_path / "mesh", *short, "--set", mesh).code == 0
    for pair in (("mesh", "8"), ("8", "mesh")):
        answer = carmodel("compare", *(tmp_path / name for name in pair), "--tol", "1e-10")
        assert answer.code == 0, answer.out
        assert "cell by cell" in answer.out
    assert RunDirectory(tmp_path / "mesh").volumes.read(1).shape == (7, 512)
