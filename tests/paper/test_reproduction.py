"""The document of what comes out of the paper is made of runs of one revision, and says what they took."""

import json

import pytest

from benchmarks.reproduction import Maker, time_taken
from carmodel.commands import batch
from carmodel.paper.claims import ObservedRun
from carmodel.scenario.scenario import Scenario
from carmodel.tools.errors import InputError, NumericsError


def made_by(folder, revision):
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"git_revision": revision, "wall_seconds": {"total": 90.0}}))


def test_runs_of_two_revisions_are_refused_across_settings_too(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "make", lambda runs, place, jobs: [])
    for name, revision in (("a", "1f"), ("b", "1f"), ("c", "2e"), ("d", None)):
        made_by(tmp_path / name, revision)
    maker = Maker(tmp_path, 1)
    assert maker.make({"a": None, "b": None}, tmp_path) == []
    for name, revision in (("c", "2e"), ("d", None)):
        with pytest.raises(InputError, match=f"/{name}: made by revision {revision}, .*/a by 1f; accepted"):
            maker.make({"b": None, name: None}, tmp_path)


def test_the_time_is_measured_or_summed(tmp_path):
    for name in "ab":
        made_by(tmp_path / name, "1f")
    runs = {name: ObservedRun(tmp_path / name) for name in "ab"}
    assert "2 runs and verdicts took 10 minutes, 4 runs at a time" in time_taken("s", runs, 600.0, 4)
    assert "2 runs took 3 minutes in all, one after the other" in time_taken("s", runs, None, 4)


def test_runs_that_clamping_has_made_are_used_all_the_same(tmp_path):
    """Two of chi_0 = 1 with fixed steps: one reaches its end and is no success, one ends in numbers beyond any."""
    case = {
        "space": {"cells": [12, 10, 8]},
        "parameters": {"chi_0": 1.0},
        "time": {"end": 1.5},
        "integrator": {"kind": "strang"},
        "output": {"every": 0.0},
    }
    maker = Maker(tmp_path, 1)
    maker.make_clamped({"clamped": Scenario.model_validate(case)}, tmp_path)
    run = json.loads((tmp_path / "clamped/manifest.json").read_text())
    assert run["status"].startswith("failed: ")
    assert run["clamped_share"]["C"] > 0.1
    case["parameters"] |= {"rho_C": 1e200}
    with pytest.raises(NumericsError, match="overflowing: failed: C is no longer finite"):
        maker.make_clamped({"overflowing": Scenario.model_validate(case)}, tmp_path)
