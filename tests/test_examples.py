"""Every run file and script that ships: it runs, and one number of it is pinned."""

import subprocess
import sys

import numpy as np
import pytest
import pyvista

from carmodel import FIELDS
from carmodel.results import RunDirectory
from carmodel.sweep import expand
from tests.conftest import ROOT

#: Coarse and short; the numbers below are its own.
SHORT = ("--quiet", "--set", "space.cells=[12,12,12]", "--set", "time.end=2", "--set", "integrator.rtol=1e-6")


@pytest.mark.parametrize("file", sorted((ROOT / "runs").rglob("*.toml")), ids=lambda path: path.stem)
def test_run_files_are_valid(file):
    for scenario in expand(file, []).values():
        assert scenario.title


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The quickstart scenario, coarse."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    subprocess.run(
        [ROOT / ".venv/bin/carmodel", "run", ROOT / "runs/quickstart.toml", "--out", out, *SHORT], check=True
    )
    return RunDirectory(out)


def test_quickstart_s_numbers(quickstart):
    """Response first, escape under way: changes to model or scheme show here."""
    series = quickstart.series
    burden = series["total_TA"] + series["total_TB"]
    assert burden[-1] / burden[0] == pytest.approx(0.915995, abs=2e-6)
    assert series["total_TB"][-1] / burden[-1] == pytest.approx(0.203663, abs=2e-6)
    assert series["total_C"][-1] / series["total_C"][0] == pytest.approx(1.449314, abs=2e-6)


def test_repeated_doses_numbers(tmp_path):
    command = (ROOT / ".venv/bin/carmodel", "run", ROOT / "runs/repeated_doses.toml", "--out", tmp_path / "out")
    coarse = ("--quiet", "--set", "space.cells=[12,12,12]", "--set", "integrator.rtol=1e-6")
    subprocess.run([*command, *coarse], check=True)
    run = RunDirectory(tmp_path / "out")
    assert [event["time"] for event in run.manifest["events"]] == [4.0, 8.0, 12.0]
    burden = run.series["total_TA"] + run.series["total_TB"]
    assert burden[-1] / burden[0] == pytest.approx(0.815681, abs=2e-6)
    assert run.series["total_C"][-1] / run.series["total_C"][0] == pytest.approx(4.415291, abs=4e-6)


def test_picture_is_drawn_from_the_run_s_numbers(quickstart, tmp_path):
    command = [
        sys.executable,
        ROOT / "postprocess/picture.py",
        quickstart.folder,
        tmp_path / "a.png",
        "--times",
        "0",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot draw" in done.stderr:
        pytest.skip("no OpenGL here")
    assert done.returncode == 0, done.stderr
    picture = pyvista.read_texture(tmp_path / "a.png").to_array()
    assert picture.shape[:2] == (840, 880)
    # Four panels, each with a body in it: colour, which the white ground and the grey box have not.
    colourful = np.ptp(picture[..., :3].astype(int), axis=-1) > 60
    for rows in (slice(0, 420), slice(420, None)):
        for columns in (slice(0, 440), slice(440, None)):
            assert colourful[rows, columns].mean() > 0.03


def test_picture_takes_its_values_from_the_saved_volumes(quickstart, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "postprocess")
    import picture

    t, image = picture.volumes(quickstart, [1.4])[0]
    assert t == 1.5
    saved = dict(zip(FIELDS, quickstart.volumes.read(3), strict=True))
    for name, values in ((picture.BURDEN, saved["TA"] + saved["TB"]), (picture.CART, saved["C"])):
        # VTK puts the mean of the eight cells around it on an inner point.
        inner = sum(values[i : i + 11, j : j + 11, k : k + 11] for i, j, k in np.ndindex(2, 2, 2)) / 8.0
        assert image.point_data[name].reshape(13, 13, 13)[1:-1, 1:-1, 1:-1] == pytest.approx(inner, rel=1e-12)


def test_picture_refuses_what_is_no_run(tmp_path):
    command = [sys.executable, ROOT / "postprocess/picture.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
