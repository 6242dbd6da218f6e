"""Every run file and script that ships: it runs, and one number of it is pinned."""

import subprocess

import pytest

from carmodel.results import RunDirectory
from carmodel.scenario.sweep import expand
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
