"""Run directories that revision 27f3e05 wrote, before there were models to choose from: every command reads them."""

import shutil
import sys

import numpy as np
import pytest

from carmodel.results import RunDirectory, open_volumes
from tests.conftest import ROOT

sys.path.append(str(ROOT / "postprocess"))

import report
import volume

OLD = ROOT / "tests/data/runs_27f3e05"
RUNS = ("box", "mesh", "csv", "sweep/negative_fraction=0.0", "sweep/negative_fraction=0.5")
NAMES = ("C", "E", "TA", "TB", "S", "A", "H")


@pytest.mark.parametrize("name", RUNS)
def test_what_stands_in_them_is_the_paper_s_model(name):
    run = RunDirectory(OLD / name)
    assert run.names == NAMES
    assert (run.tumour, run.cart) == (("TA", "TB"), ("C", "E"))
    assert run.settings["model"] == "polyakov"
    assert run.units["C"] == ("K_T" if name == "mesh" else "cells/cm^3")
    assert len(run.parameters) == 34
    assert run.status == "finished"
    assert run.cut_off == []
    assert set(NAMES) < set(run.whole_line)
    volumes = open_volumes(OLD / name)
    assert volumes.times == pytest.approx([0.0, 0.2, 0.4])
    totals = [run.series[f"mean_{field}"][-1] for field in NAMES]
    means = volumes.read(2).reshape(7, -1).mean(axis=1)
    assert np.allclose(means, totals, rtol=1e-12)


@pytest.mark.parametrize("name", RUNS)
def test_info_has_tumour_and_cells(carmodel, name):
    answer = carmodel("info", OLD / name)
    assert answer.code == 0
    assert not answer.err
    for row in ("tumour burden", "antigen-negative", "CAR-T cells", "other CAR-T", "clamped"):
        assert row in answer.out
    assert "in 2 doses" in answer.out


@pytest.mark.parametrize("name", RUNS)
def test_compare_takes_them(carmodel, name):
    answer = carmodel("compare", OLD / name, OLD / name, "--tol", "0")
    assert answer.code == 0
    other = carmodel("compare", OLD / "box", OLD / "mesh", "--tol", "1e-9")
    assert other.code == 1  # one is in cells/cm^3, the other in K_T


@pytest.mark.parametrize("name", RUNS)
def test_the_report_shows_them(name):
    text = report.page(OLD / name, [], solid=False)
    assert RunDirectory(OLD / name).settings["title"] in text
    assert volume.scale_of(RunDirectory(OLD / name)).escape


def test_a_sweep_finds_its_runs(carmodel, tmp_path):
    """Those of the old revision are there already: the table has them, none is made anew."""
    shutil.copytree(OLD / "sweep", tmp_path / "out/sweep")
    file = tmp_path / "sweep.toml"
    sweep = '[sweep]\n"initial.tumour.negative_fraction" = [0.0, 0.5]\n\n'
    file.write_text((OLD / "sweep/negative_fraction=0.0/run.toml").read_text() + "\n" + sweep)
    answer = carmodel("sweep", file, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert answer.out.count("was there") == 2


def test_they_can_be_run_again(carmodel, tmp_path):
    """The old run file gives the old fields, as far as the integrator's tolerance."""
    assert carmodel("run", OLD / "box/run.toml", "--out", tmp_path / "again", "--quiet").code == 0
    assert carmodel("compare", tmp_path / "again", OLD / "box", "--tol", "1e-11").code == 0
