"""Summaries, reports, pictures and diagrams of runs of other models than the paper's."""

import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import carmodel
from carmodel.models import named
from carmodel.results import RunDirectory
from tests.conftest import ROOT
from tests.models import two_fields

sys.path.append(str(ROOT / "postprocess"))

import continuation
import figures
import report
import volume

BALL = {"shape": "ball", "radius": 0.35, "value": 0.5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directories of a run of each of two models."""
    folder = tmp_path_factory.mktemp("runs")
    small = {"space": {"cells": [6, 5, 4]}, "time": {"end": 0.4}, "output": {"every": 0.2}}
    dose = {"time": 0.2, "to": "D", "add": {**BALL, "value": 0.2}}
    dual = {"model": "dual_target", "initial": {"tumour": {**BALL, "negative_fraction": 0.5}}, "infusion": [dose]}
    carmodel.simulate(carmodel.case(title="Two products", **dual, **small), out=folder / "dual")
    carmodel.simulate(carmodel.case(model=two_fields.MODEL, initial={"N": BALL}, **small), out=folder / "two")
    return folder


def test_summaries_tell_of_what_the_model_has(runs, carmodel):
    dual, two = (carmodel("info", runs / name).out for name in ("dual", "two"))
    assert "antigen-negative  50.0% before" in dual
    assert "CAR-T cells D" in dual
    assert "tumour" not in two
    assert "               N  " in two


def test_overview_has_the_models_panels(runs):
    dual, two = (report.overview(figures.Run(runs / name)) for name in ("dual", "two"))
    assert [panel.title for panel in dual.panels] == [
        "Cells", "Factors", "Profiles, 0.4 days", "Functional CAR-T cells", "Tumour burden", "Antigen-negative share"
    ]  # fmt: skip
    assert [curve.name for curve in dual.panels[0].curves] == ["TA", "TB", *named("dual_target").cart]
    assert dual.panels[0].marks == (("infusion", 0.2),)
    assert [panel.title for panel in two.panels] == ["Fields", "Profiles, 0.4 days", "Cells", "Attractant"]
    assert two.panels[0].curves[0].y[0] == RunDirectory(runs / "two").series["mean_N"][0]


def test_reports_are_whole_pages(runs, tmp_path):
    for name in ("dual", "two"):
        text = report.page(runs / name, [], solid=False)
        ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
        assert "gamma_2" in text or "sensitivity" in text
    assert "CAR-T cells C, start to end" in report.page(runs / "dual", [], solid=False)


def test_share_and_burden_of_three_kinds():
    fields = {"T1": np.array([1.0, 0.0]), "T2": np.array([2.0, 0.0]), "T3": np.array([3.0, 0.0])}
    assert figures.combined(fields, "T1 + T2 + T3")[0] == 6.0
    share = figures.combined(fields, "(T2 + T3) / (T1 + T2 + T3)")
    assert share[0] == pytest.approx(5.0 / 6.0)
    assert np.isnan(share[1])


def test_frames_have_the_models_cells(runs):
    run = RunDirectory(runs / "dual")
    (frame,) = volume.frames(run, [0.0])
    saved = dict(zip(run.names, run.volumes.read(0), strict=True))
    assert frame.data.point_data[volume.NEGATIVE].max() == pytest.approx(saved["TB"].max())
    assert volume.scale_of(run).names == {volume.POSITIVE: "TA", volume.NEGATIVE: "TB", volume.CART: "C"}
    with pytest.raises(carmodel.InputError, match="neither tumour nor CAR-T cells"):
        volume.scale_of(RunDirectory(runs / "two"))


def test_comparing_two_models_takes_what_both_have(runs, carmodel):
    """S is a field of both; models without a common field are refused in one line."""
    answer = carmodel("compare", runs / "dual", runs / "two")
    assert answer.code == 0
    assert [line.split()[0] for line in answer.out.splitlines()[2:-1]] == ["S"]


def test_diagram_of_another_model(tmp_path, monkeypatch, capsys, write):
    file = write('model = "two_fields"\n[space]\ncells = [4, 4, 4]\n[time]\nend = 1.0\n')
    monkeypatch.setattr(
        sys, "argv",
        ["continuation", str(file), "--models", str(ROOT / "tests/models"), "--parameter", "capacity", "--range", "0.5",
         "2", "--seeds", "2", "--out", str(tmp_path / "branches")],
    )  # fmt: skip
    assert continuation.main() == 0
    assert "not exhaustive" in capsys.readouterr().out
    header, *rows = (tmp_path / "branches.csv").read_text().splitlines()
    assert header == "branch,kind,special,capacity,N,S,growth,frequency"
    assert len(rows) > 20
    assert (tmp_path / "branches.svg").stat().st_size > 1000
