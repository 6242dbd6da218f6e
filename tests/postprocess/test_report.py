"""The HTML report: everything is in it, nothing outside is asked for, and it can be read without eyes."""

import base64
import csv
import json
import re
import shutil
import sys
import warnings
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carmodel.models.polyakov import FIELDS, TABLE_1
from carmodel.results import RunDirectory
from carmodel.tools.errors import InputError
from tests.conftest import ROOT
from tests.experiments import INFUSION, experiments

sys.path.append(str(ROOT / "postprocess"))

import browser
import report

CLAIMS = {
    "tally": "1 of 2 statements hold; not: 3.3-03",
    "statements": [
        {
            "number": "3.2-01",
            "section": "3.2",
            "statement": "T_B is zero & stays <so>",
            "holds": True,
            "conditions": [{"what": "max |T_B|", "value": 0.0, "relation": "<=", "threshold": 0.0, "holds": True}],
        },
        {
            "number": "3.3-03",
            "section": "3.3",
            "statement": "regrowth grows",
            "holds": False,
            "conditions": [{"what": "gain", "value": None, "relation": ">=", "threshold": 0.01, "holds": False}],
        },
    ],
}


class Page(HTMLParser):
    """Elements of a page in order, with their attributes, and the text of it."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def of(self, tag):
        """Attributes of the elements of a kind."""
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """What `carmodel claims --json` writes, two statements of it."""
    file = tmp_path_factory.mktemp("claims") / "claims.json"
    file.write_text(json.dumps(CLAIMS), encoding="utf-8")
    return report.read_claims(file)


@pytest.fixture(scope="module")
def pages(paper_runs, claims):
    """The page of all experiments, and of one run with an infusion."""
    return {
        "experiments": report.page(paper_runs, claims),
        "run": report.page(paper_runs / "3.4-combination", [], solid=False),
    }


@pytest.mark.parametrize("kind", ["experiments", "run"])
def test_page_refers_to_nothing_outside(kind, pages):
    text = pages[kind]
    apart = re.sub(r'"data:[^"]*"', '""', text)
    assert not re.search(r"https?:|//\w|@import|<script|<link|<iframe|<object", apart, re.IGNORECASE)
    page = Page(text)
    named = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(named) == len(set(named))
    for _, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith(("on", "xmlns", "srcset"))
            if key.endswith(("href", "src")):
                assert value.startswith(("data:image/png;base64,", "data:text/csv;base64,", "#"))
                assert not value.startswith("#") or value[1:] in named
            for target in re.findall(r"url\(([^)]*)\)", value or ""):
                assert target.removeprefix("#") in named


@pytest.mark.parametrize("kind", ["experiments", "run"])
def test_page_can_be_read_without_eyes(kind, pages):
    page = Page(pages[kind])
    assert page.of("html") == [{"lang": "en"}]
    pictures = page.of("img") + [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(pictures) == len(page.of("figure")) == len(page.of("figcaption"))
    assert all(len(picture.get("alt") or picture.get("aria-label")) > 40 for picture in pictures)
    assert page.of("th")
    assert all(heading.get("scope") in ("col", "row") for heading in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table"))
    assert len(page.of("h1")) == len(page.of("main")) == len(page.of("title")) == 1


def test_pictures_follow_the_page_s_colours(pages):
    drawings = re.findall(r"<svg.*?</svg>", pages["experiments"], re.DOTALL)
    assert len(drawings) == 8
    defined = set(re.findall(r"(--[\w-]+):", pages["experiments"]))
    for drawing in drawings:
        assert "#000000" not in drawing
        assert "#ffffff" not in drawing  # no white ground on a dark page
        assert set(re.findall(r"var\((--[\w-]+)\)", drawing)) <= defined


def test_drawings_can_be_read_on_a_phone(pages):
    """Letters of 9 points in a drawing are ten pixels or more: it is scrolled where the page is narrower."""
    for text in pages.values():
        assert ".drawing { overflow-x: auto; } figure svg { min-width: var(--narrowest); }" in text
        drawings = re.findall(r'<div class="drawing"><svg [^>]*viewBox="0 0 ([\d.]+) [^>]*--narrowest: (\d+)px', text)
        assert len(drawings) == text.count("<svg role")
        assert all(9.0 * float(pixels) / float(points) >= 10.0 for points, pixels in drawings)


def test_means_are_of_what_the_run_has(paper_runs, tmp_path):
    folder = shutil.copytree(paper_runs / "3.2-base", tmp_path / "run")
    assert "Box means" in report.page(folder, [], solid=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["grid"] |= {"kind": "mesh", "cells": 512}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page = report.page(folder, [], solid=False)
    assert "Mesh means" in page
    assert "Box means" not in page


@pytest.mark.parametrize("kind", ["mesh", "box"])
@pytest.mark.parametrize("times", [slice(None), slice(-1, None)])
def test_nan_is_accepted_only_where_a_line_is_outside_a_mesh(paper_runs, tmp_path, kind, times):
    folder = shutil.copytree(paper_runs / "3.4-combination", tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["grid"] |= {"kind": kind}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    line = RunDirectory(folder).line
    for field in FIELDS:
        line[field][times, :3] = np.nan
    columns = [*np.meshgrid(line["t"], line["s"], indexing="ij"), *(line[field] for field in FIELDS)]
    rows = np.column_stack([column.ravel() for column in columns])
    header = ",".join(("t", "s", *FIELDS))
    np.savetxt(folder / "line.csv", rows, "%.17g", ",", header=header, comments="")
    if kind == "mesh" and times == slice(None):
        assert np.isnan(RunDirectory(folder).whole_line["C"]).sum() == 3 * len(line["t"])
        assert "Mesh means" in report.page(folder, [], solid=False)
    else:
        with pytest.raises(InputError, match=r"line\.csv: is damaged"):
            report.page(folder, [], solid=False)


def test_experiments_page_says_what_was_found(pages, paper_runs):
    page = Page(pages["experiments"])
    words = " ".join(" ".join(page.words).split())
    assert "T_B is zero & stays <so>" in words
    assert "gain: undefined (asked: ≥ 0.01)" in words
    assert "1 of 2 Statements that hold" in words or "Statements that hold 1 of 2" in words
    assert "8 of 8" in words
    for name in experiments():
        assert name in words
    assert RunDirectory(paper_runs / "3.2-base").manifest["versions"]["petsc"] in words


def test_run_page_says_what_ran(pages, paper_runs):
    run = RunDirectory(paper_runs / "3.4-combination")
    words = " ".join(" ".join(Page(pages["run"]).words).split())
    for name, (value, entry) in run.parameters.items():
        assert f"{name} {entry.description} {value:.6g} " in words
    assert set(run.parameters) == set(TABLE_1)
    for field in FIELDS:
        assert f"{run.series[f'total_{field}'][-1]:.4g}" in words
    assert f"{INFUSION:g} infusion" in words
    assert run.manifest["versions"]["petsc"] in words
    assert run.manifest["system"] in words
    assert (run.folder / "run.toml").read_text(encoding="utf-8").splitlines()[-1] in words


def test_numbers_in_the_page_are_those_of_the_run(pages, paper_runs):
    (link,) = (a for a in Page(pages["run"]).of("a") if "download" in a)
    assert link["download"] == "overview.csv"
    table = base64.b64decode(link["href"].partition(",")[2]).decode()
    drawn = [row for row in csv.DictReader(StringIO(table)) if (row["panel"], row["curve"]) == ("a", "C")]
    series = RunDirectory(paper_runs / "3.4-combination").series
    np.testing.assert_array_equal(
        [[float(row["x"]), float(row["y"])] for row in drawn], np.c_[series["t"], series["mean_C"]]
    )


def test_page_of_a_single_cell(paper_runs):
    """Its line is one point: floating-point warnings are errors here, and so are matplotlib's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report.page(paper_runs / "3.1-homogeneous", [], solid=False)
    assert "1 × 1 × 1" in text


def test_page_does_without_what_is_missing(paper_runs, tmp_path):
    shutil.copytree(paper_runs / "3.2-base", tmp_path / "3.2-base")
    text = report.page(tmp_path, [], solid=False)
    assert "1 of 8" in text
    assert "Figure 5 is left out" in text
    assert "Statements" not in text


def test_command(paper_runs, tmp_path, monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        return report.main(), capsys.readouterr().err

    assert command(paper_runs / "3.2-base", tmp_path / "a.html", "--no-3d") == (0, "")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text('{"statements": [{"number": 1}]}')
    for arguments, told in (
        ([tmp_path / "empty"], "neither a run directory nor"),
        ([paper_runs, tmp_path / "none/a.html"], "folder"),
        ([paper_runs / "3.2-base", tmp_path / "empty", "--no-3d"], "empty: cannot be written"),
        ([paper_runs, tmp_path / "b.html", "--claims", tmp_path / "bad.json"], "bad.json"),
        ([paper_runs, tmp_path / "b.html", "--claims", tmp_path / "none.json"], "none.json"),
    ):
        code, err = command(*arguments)
        assert code == 2
        assert told in err
        assert err.count("\n") == 1
    assert not (tmp_path / "b.html").exists()


def test_a_picture_that_cannot_be_made_costs_no_page(paper_runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(browser, "chromium", lambda: None)
    arguments = [paper_runs / "3.2-base", tmp_path / "a.html", "--no-3d", "--screenshot", tmp_path / "a.png"]
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
    assert report.main() == 2
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'a.html'}\n"
    assert (
        told.err == f"--screenshot {tmp_path / 'a.png'}: no Chromium here; accepted: after apt-get install chromium\n"
    )
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_what_a_manifest_lacks_deep_inside_is_told(paper_runs, tmp_path):
    folder = shutil.copytree(paper_runs / "3.2-base", tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["grid"]["cells"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"run/manifest.json: no grid.cells; accepted: what a run writes"):
        report.page(folder, [], solid=False)


def test_folders_that_cannot_be_entered_are_told():
    """A name too long for any file system stands for them: as root there are none."""
    for closed in (report.page, RunDirectory, report.opener):
        with pytest.raises(InputError, match=r"n: (cannot be read: File name too long|no such folder); accepted: a"):
            closed(*([Path("n" * 400), []] if closed is report.page else [Path("n" * 400)]))


def test_browser_shows_the_page(pages, tmp_path):
    if browser.chromium() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    (tmp_path / "a.html").write_text(pages["experiments"], encoding="utf-8")
    browser.screenshot(tmp_path / "a.html", tmp_path / "a.png", 1200, 2600)
    with Image.open(tmp_path / "a.png") as shot:
        picture = np.array(shot.convert("RGB")).astype(int)
    assert picture.shape == (2600, 1200, 3)
    # Figures stand side by side all the way down: colours, in every quarter of both halves.
    colourful = np.ptp(picture, axis=-1) > 60
    for half in (slice(0, 600), slice(600, 1200)):
        for quarter in range(4):
            assert colourful[650 * quarter : 650 * (quarter + 1), half].mean() > 0.002
