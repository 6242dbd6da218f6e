"""The tumour and the CAR-T front in 3-D: boxes of one and of several ranks, meshes, animations; the ParaView script."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import pyvista
from PIL import Image

from carmodel.models.polyakov import FIELDS
from carmodel.results import RunDirectory
from tests.conftest import ROOT, mpirun
from tests.experiments import run_file, simulate

sys.path.append(str(ROOT / "postprocess"))

import scene
import volume
from colours import COLOURS

SCRIPT = ROOT / "postprocess/paraview/view.py"

CASE = run_file(output={"every": 0.5})

KINDS = ("box", "mesh", "later")


@pytest.fixture(scope="module")
def draws():
    """Skip where nothing can be rendered."""
    if not volume.can_draw():
        pytest.skip("no OpenGL here")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A run on a box with antigen escape."""
    return RunDirectory(simulate(CASE, tmp_path_factory.mktemp("box") / "run"))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """A run on a FiPy mesh."""
    space = {"kind": "mesh", "mesh": "grid", "cells": [8, 8, 8], "lengths": [1.2, 1.2, 1.2]}
    return RunDirectory(simulate(CASE | {"space": space}, tmp_path_factory.mktemp("mesh") / "run"))


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """A run on a box that has no CAR-T cells at the start: they come on day 0.5."""
    initial = CASE["initial"] | {"cart": CASE["initial"]["cart"] | {"value": 0.0}}
    infusion = [{"time": 0.5, "add": CASE["initial"]["cart"]}]
    case = CASE | {"initial": initial, "infusion": infusion}
    return RunDirectory(simulate(case, tmp_path_factory.mktemp("later") / "run"))


@pytest.fixture(scope="module")
def on_two_ranks(box, mesh, later):
    """The same runs on two ranks, all in one job."""
    files = [run.folder.with_name("run.toml") for run in (box, mesh, later)]
    script = (
        "import sys; from pathlib import Path; from carmodel.commands.run import Wishes, launch; "
        "sys.exit(any(launch(Path(file), Wishes(Path(file).with_name('two'), [], [], True)) for file in sys.argv[1:]))"
    )
    done = mpirun(2, ROOT / ".venv/bin/python", "-c", script, *files)
    assert done.code == 0, done.err
    return {name: RunDirectory(file.with_name("two")) for name, file in zip(KINDS, files, strict=True)}


@pytest.fixture(scope="module")
def two_ranks(on_two_ranks):
    """The run on a box on two ranks."""
    return on_two_ranks["box"]


def coloured(picture, name):
    """Share of the pixels that are of a field's hue."""
    pixels = picture[..., :3].astype(float)
    colour = np.array([int(COLOURS[name][n : n + 2], 16) for n in (1, 3, 5)], dtype=float)
    tint = 255.0 - colour
    lack = 255.0 - pixels
    along = lack @ tint / np.linalg.norm(tint)
    return float(((along > 60.0) & (along > 0.95 * np.linalg.norm(lack, axis=-1))).mean())


@pytest.mark.usefixtures("draws")
@pytest.mark.parametrize("clouds", [False, True])
@pytest.mark.parametrize("kind", ["box", "two_ranks", "mesh"])
def test_pictures_show_tumour_and_front(kind, clouds, request, tmp_path):
    run = request.getfixturevalue(kind)
    volume.draw(run, [0.0, 1.0], tmp_path / "a.png", clouds=clouds)
    picture = np.array(Image.open(tmp_path / "a.png"))
    width, height = volume.SIZE
    assert picture.shape[:2] == (height, 2 * width)
    first, last = picture[:, :width], picture[:, width:]
    assert coloured(first, "TA") > 0.05
    # By the end a tenth of the tumour is antigen-negative: no longer all of one hue.
    assert coloured(last, "TA") < coloured(first, "TA")
    assert (last != 255).any(axis=-1).mean() > 0.1
    assert coloured(first, "C") > 0.002
    assert coloured(last, "C") > 0.002


@pytest.mark.usefixtures("draws")
def test_picture_does_not_depend_on_ranks(box, two_ranks, tmp_path):
    pictures = []
    for name, run in (("one", box), ("two", two_ranks)):
        volume.draw(run, [0.5], tmp_path / f"{name}.png")
        pictures.append(np.array(Image.open(tmp_path / f"{name}.png")).astype(int))
    assert (abs(pictures[0] - pictures[1]).max(axis=-1) > 16).mean() < 0.002


@pytest.mark.usefixtures("draws")
def test_animation_has_a_picture_for_each_saved_time(box, tmp_path):
    for suffix in (".gif", ".webp"):
        file = tmp_path / f"a{suffix}"
        volume.animate(box, None, file, rate=5.0)
        with Image.open(file) as film:
            assert film.n_frames == len(box.volumes.times) == 3
            shots = []
            for n in range(3):
                film.seek(n)
                shots.append(np.array(film.convert("RGB")).astype(int))
        assert all(np.ptp(shot, axis=-1).max() > 60 for shot in shots)
        assert abs(shots[2] - shots[0]).max() > 60


@pytest.mark.parametrize("kind", ["box", "two_ranks"])
def test_frames_are_the_saved_volumes(kind, request):
    run = request.getfixturevalue(kind)
    (frame,) = volume.frames(run, [0.6])
    assert frame.t == 0.5
    saved = dict(zip(FIELDS, run.volumes.read(1), strict=True))
    for name, values in ((volume.CART, saved["C"]), (volume.BURDEN, saved["TA"] + saved["TB"])):
        # VTK puts the mean of the eight cells around it on an inner point.
        inner = sum(values[i : i + 7, j : j + 7, k : k + 7] for i, j, k in np.ndindex(2, 2, 2)) / 8.0
        assert frame.data.point_data[name].reshape(9, 9, 9)[1:-1, 1:-1, 1:-1] == pytest.approx(inner, rel=1e-12)


def test_composition_mixes_the_fields_colours():
    data = pyvista.PolyData(np.zeros((4, 3)))
    data.point_data[volume.POSITIVE] = np.array([0.0, 2.0, 0.0, 0.5])
    data.point_data[volume.NEGATIVE] = np.array([0.0, 0.0, 2.0, 0.5])
    none, positive, negative, mixed = volume.composition(data, 2.0)
    for found, name in ((positive, "TA"), (negative, "TB")):
        assert "#{:02X}{:02X}{:02X}".format(*(round(255 * c) for c in found)) == COLOURS[name]
    assert (none == 1.0).all()
    assert mixed == pytest.approx(1.0 - 0.25 * ((1.0 - positive) + (1.0 - negative)))


def cut_after_header(volume):
    os.truncate(volume, volume.read_bytes().index(b"<AppendedData") + 200)


def test_volume_refuses_what_it_cannot_draw(draws, box, tmp_path, monkeypatch, capsys):
    simulate(CASE | {"output": {"every": 0.0, "formats": ["csv"]}}, tmp_path / "csv")
    for name, harm in (
        ("cut", lambda run: cut_after_header(run / "fields/t00002.vti")),
        ("lost", lambda run: (run / "fields/t00002.vti").unlink()),
        ("index", lambda run: (run / "fields.pvd").write_text("<x")),
    ):
        harm(shutil.copytree(box.folder, tmp_path / name))
    (tmp_path / "folder.png").mkdir()
    for arguments, told in (
        ([tmp_path], "not a run directory"),
        ([tmp_path / "csv"], "fields.pvd"),
        ([box.folder, tmp_path / "a.mp4"], ".gif"),
        ([box.folder, tmp_path / "none/a.png"], "folder"),
        ([box.folder, tmp_path / "a.gif", "--rate", "0"], "--rate"),
        ([box.folder, tmp_path / "a.png", "--times", "0", "nan"], "--times 0.0 nan; accepted"),
        ([tmp_path / "cut", tmp_path / "a.png"], "t00002.vti: 'C' is cut off"),
        ([tmp_path / "lost", tmp_path / "a.png"], "t00002.vti: no such file"),
        ([tmp_path / "index", tmp_path / "a.png"], "fields.pvd: cannot be read"),
        ([box.folder, tmp_path / "folder.png"], "folder.png: cannot be written"),
    ):
        monkeypatch.setattr(sys, "argv", ["volume.py", *map(str, arguments)])
        assert volume.main() == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(("longest", "length"), [(1.2, 0.5), (1.0, 0.5), (0.99, 0.2), (3.0, 1.0), (0.02, 0.01)])
def test_scale_bars_have_round_lengths(longest, length):
    assert scene.round_length(longest) == length


class Proxy(SimpleNamespace):
    """What ParaView gives for a filter, view or display: remembers what was set and called."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "ClipType":
            self.ClipType = Proxy()
            return self.ClipType
        return lambda *arguments, **keywords: self.calls.append((name, arguments)) if "calls" in vars(self) else None


class FakeParaView(ModuleType):
    """Stands for paraview.simple: every function makes and remembers a proxy; the reader knows its file's bounds."""

    def __init__(self):
        super().__init__("paraview.simple")
        self.made = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def function(*arguments, **keywords):
            proxy = Proxy(kind=name, arguments=arguments, calls=[], **keywords)
            if isinstance(keywords.get("ClipType"), str):
                proxy.chosen = proxy.ClipType
                proxy.ClipType = Proxy()
            if name == "PVDReader":
                data = pyvista.get_reader(proxy.FileName).read()[0]
                proxy.GetDataInformation = lambda: SimpleNamespace(
                    GetBounds=lambda: tuple(data.bounds), GetDataSetTypeAsString=lambda: type(data).__mro__[1].__name__
                )
            if name == "GetActiveViewOrCreate":
                proxy.AxesGrid, proxy.CameraViewAngle = Proxy(), 30.0
            self.made.append(proxy)
            return proxy

        return function

    def of(self, kind):
        """What was made of a kind."""
        return [proxy for proxy in self.made if proxy.kind == kind]


@pytest.fixture
def paraview(monkeypatch):
    """The script under a stand-in for ParaView: view(argument, ...) gives the code and what was built."""

    def run(*arguments):
        simple, package = FakeParaView(), ModuleType("paraview")
        package.simple = simple
        monkeypatch.setitem(sys.modules, "paraview", package)
        monkeypatch.setitem(sys.modules, "paraview.simple", simple)
        monkeypatch.setattr(sys, "argv", ["view.py", *map(str, arguments)])
        spec = importlib.util.spec_from_file_location("paraview_view", SCRIPT)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        return script.main(), simple

    return run


def test_paraview_script_builds_the_scene(box, paraview, tmp_path):
    code, simple = paraview(box.folder, "--time", "0.5", "--screenshot", tmp_path / "a.png")
    assert code == 0
    (reader,) = simple.of("PVDReader")
    arrays = set(pyvista.get_reader(reader.FileName).read()[0].cell_data.keys())
    assert set(reader.CellArrays) == set(FIELDS) <= arrays

    burden, colour = simple.of("Calculator")
    for calculator, functions in ((burden, set()), (colour, {"min", "max", "iHat", "jHat", "kHat"})):
        named = {node.id for node in ast.walk(ast.parse(calculator.Function)) if isinstance(node, ast.Name)}
        assert named - functions == {"TA", "TB"} <= arrays

    series = box.series
    most = (series["max_TA"] + series["max_TB"]).max()
    front, crossing = simple.of("Contour")
    for contour in (front, crossing):
        assert contour.ContourBy == ["POINTS", "C"]
        assert contour.Isosurfaces == [0.25 * series["max_C"].max()]
    solid, *cut = simple.of("Clip")
    assert (solid.chosen, solid.Scalars, solid.Invert) == ("Scalar", ["POINTS", burden.ResultArrayName], 0)
    assert solid.Value == pytest.approx(0.1 * most, rel=1e-15)
    assert [half.Input for half in cut] == [solid, front]
    assert crossing.Input in simple.of("Slice")
    for half in cut:
        assert half.ClipType.Origin == pytest.approx([0.6, 0.6, 0.6])
        assert half.ClipType.Normal == [0.0, 1.0, 0.0]
    assert [scene.AnimationTime for scene in simple.of("GetAnimationScene") if "AnimationTime" in vars(scene)] == [0.5]
    surface, line = (shown for shown in simple.of("Show") if vars(shown).get("DiffuseColor") == list(scene.rgb("C")))
    assert surface.ColorArrayName == line.ColorArrayName == [None, ""]
    bars = [bar for bar in simple.of("GetScalarBar") if bar.Visibility]
    assert [bar.Title[:2] for bar in bars] == ["TA", "TB"]
    for bar, name in zip(bars, ("TA", "TB"), strict=True):
        (table,) = (table for table in simple.of("GetColorTransferFunction") if table is bar.arguments[0])
        assert table.RGBPoints == [0.0, 1.0, 1.0, 1.0, pytest.approx(most), *scene.rgb(name)]
    assert simple.of("SaveScreenshot")
    assert not simple.of("SaveAnimation")


@pytest.fixture(scope="module")
def display():
    """An X server of its own for ParaView; its name."""
    ends = os.pipe()
    with subprocess.Popen(["Xvfb", "-displayfd", str(ends[1]), "-screen", "0", "1280x1024x24"], pass_fds=ends[1:]) as x:
        os.close(ends[1])
        with os.fdopen(ends[0]) as told:
            yield f":{told.readline().strip()}"
        x.terminate()


@pytest.fixture(scope="module")
def paraview_pictures(box, mesh, later, on_two_ranks, display, tmp_path_factory):
    """What ParaView draws of each kind of run on one and two ranks, in one start: pixels by kind, ranks, day."""
    folder = tmp_path_factory.mktemp("paraview")
    runs = {1: dict(zip(KINDS, (box, mesh, later), strict=True)), 2: on_two_ranks}
    shots = [(kind, ranks, 0.0 if kind == "later" else 0.5) for kind in KINDS for ranks in (1, 2)]
    shots.append(("later", 1, 1.0))
    lines = [
        "import runpy",
        "from paraview import simple",
        f"view = runpy.run_path({str(SCRIPT)!r}, run_name='view')",
    ]
    for n, (kind, ranks, day) in enumerate(shots):
        arguments = [str(runs[ranks][kind].folder), f"--time={day}", f"--screenshot={folder}/{n}.png"]
        lines.append(f"assert view['main']({arguments}) == 0; simple.Disconnect(); simple.Connect()")
    (folder / "all.py").write_text("\n".join(lines), encoding="utf-8")
    environment = os.environ | {"DISPLAY": display}
    done = subprocess.run(
        ["pvbatch", folder / "all.py"], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return {
        shot: np.asarray(Image.open(folder / f"{n}.png").convert("RGB")).astype(int) for n, shot in enumerate(shots)
    }


#: Columns of the domain and, right of it, of the legend; rows of the day.
DOMAIN, BETWEEN, LEGEND, DAY = slice(0, 870), slice(880, 900), slice(910, 1200), slice(0, 90)


def like(pixels, name, tolerance=6):
    """Which pixels have a field's very colour."""
    return (abs(pixels - np.array([round(255 * c) for c in scene.rgb(name)])) <= tolerance).all(axis=-1)


@pytest.mark.skipif(not (shutil.which("pvbatch") and shutil.which("Xvfb")), reason="needs ParaView and Xvfb")
def test_paraview_draws_the_scene(paraview_pictures):
    for (kind, _, day), picture in paraview_pictures.items():
        assert picture.shape == (900, 1200, 3)
        assert (picture[:, BETWEEN] == 255).all(), "the legend stands beside the domain"
        domain, legend = picture[:, DOMAIN], picture[:, LEGEND]
        for name in ("TA", "TB", "C"):
            assert like(legend, name).sum() > 40, name
        assert coloured(domain, "TA") > 0.02
        # The front is a line on the cut, also where the tumour hides the rest of it; there is none before the infusion.
        middle = domain[300:600, 300:600]
        seen = like(middle, "C").sum()
        assert seen == 0 if (kind, day) == ("later", 0.0) else seen > 100
        assert (picture[DAY].max(axis=-1) < 60).sum() > 100, "the day"
        below = picture[760:, DOMAIN].max(axis=-1) < 60
        assert below.sum() > 200, "the scale bar and its length"


@pytest.mark.skipif(not (shutil.which("pvbatch") and shutil.which("Xvfb")), reason="needs ParaView and Xvfb")
def test_paraview_s_picture_does_not_depend_on_ranks(paraview_pictures):
    for kind in KINDS:
        one, two = (picture for (name, _, day), picture in paraview_pictures.items() if name == kind and day < 1.0)
        assert (abs(one - two).max(axis=-1) > 16).mean() < 0.002


def test_paraview_script_refuses_what_is_no_run(paraview, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CARMODEL_RUN", raising=False)
    for arguments in ([], [tmp_path]):
        code, simple = paraview(*arguments)
        assert code == 2
        assert "accepted: a run directory" in capsys.readouterr().err
        assert not simple.made
