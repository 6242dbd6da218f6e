"""Figures 3 to 10 from tiny runs: axes, labels, units, legends, colours, and drawn data equal to the CSV."""

import csv
import json
import shutil
import subprocess
import sys
from io import StringIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex

from carmodel.results import RunDirectory
from carmodel.tools.errors import InputError
from tests.conftest import ROOT
from tests.experiments import INFUSION, SHARES, run_file, simulate

sys.path.append(str(ROOT / "postprocess"))

from colours import COLOURS
from figures import FIGURES, main, opener
from panels import draw, edges, write, write_numbers
from style import LABELS

#: Of each figure: for each panel the units on x and y (or the map's bar) and what its legend names, None for a map.
PANELS = {
    3: [
        ("days", "K_T", ["C", "E"]), ("days", "K_T", ["TA", "TB"]), ("days", "K_T", ["TA + TB", "C + E"]),
        ("days", "share", ["TB / (TA + TB)"]),
    ],
    4: [
        ("cm", "K_T", ["TA", "C", "E"]), ("days", "K_T", ["TA", "C", "E"]), ("days", "K_T", None),
        ("days", "K_T", None),
    ],
    5: [("days", "K_T", ["$T_B(0)$: 0 %", "$T_B(0)$: 20 %", "$T_B(0)$: 50 %"])],
    6: [
        ("T_B", "K_T", ["baseline switching", "accelerated antigen loss", "enhanced antigen recovery"]),
        ("T_B", "T_B", ["baseline switching", "accelerated antigen loss", "enhanced antigen recovery"]),
    ],
    7: [
        ("days", "K_T", ["TA", "TB", "C", "E"]), ("cm", "K_T", ["TA", "TB", "C"]), ("days", "T_B", None),
        ("days", "K_T", None),
    ],
    8: [
        ("days", unit, ["baseline", "enhanced microenvironment", "combination therapy"])
        for unit in ("K_T", "K_T", "reference levels", "reference levels")
    ],
    9: [
        ("days", "K_T", ["TA", "C", "E"]), ("days", "reference levels", ["A", "H"]), ("cm", "K_T", ["TA", "C", "E"]),
        ("cm", "reference levels", ["A", "H"]), ("days", "reference levels", None),
        ("days", "reference levels", None),
    ],
}  # fmt: skip
PANELS[10] = [(x, y, [*names, "infusion"] if names and x == "days" else names) for x, y, names in PANELS[9]]


def numbers_of(plate):
    """The CSV of a plate: {panel: {curve: array of x, y, value}}."""
    text = StringIO()
    write_numbers(plate, text)
    text.seek(0)
    panels = {}
    for row in csv.DictReader(text):
        values = [float(row[key] or "nan") for key in ("x", "y", "value")]
        panels.setdefault(row["panel"], {}).setdefault(row["curve"], []).append(values)
    return {panel: {name: np.array(rows) for name, rows in curves.items()} for panel, curves in panels.items()}


@pytest.mark.parametrize("number", FIGURES)
def test_figure_has_its_panels_and_draws_what_its_csv_says(number, paper_runs):
    plate = FIGURES[number](opener(paper_runs))
    numbers = numbers_of(plate)
    figure = draw(plate)
    axes = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(axes) == len(PANELS[number])
    for letter, axis, (x_unit, y_unit, names) in zip("abcdef", axes, PANELS[number], strict=False):
        assert x_unit in axis.get_xlabel()
        drawn = numbers[letter]
        if names is None:
            (image,) = (part for part in axis.collections if isinstance(part, QuadMesh))
            assert "cm" in axis.get_ylabel()
            assert y_unit in image.colorbar.ax.get_ylabel()
            (rows,) = drawn.values()
            x, y = np.unique(rows[:, 0]), np.unique(rows[:, 1])
            values = np.ma.filled(image.get_array(), np.nan).reshape(len(y), len(x))
            np.testing.assert_array_equal(values.ravel(), rows[:, 2])
            corners = image.get_coordinates()
            np.testing.assert_array_equal(corners[0, :, 0], edges(x, closed=True))
            np.testing.assert_array_equal(corners[:, 0, 1], edges(y, closed=False))
            continue
        assert y_unit in axis.get_ylabel()
        legend = axis.get_legend() or figure.legends[0]
        told = [LABELS.get(name, name) for name in names if name != "infusion"]
        assert [text.get_text() for text in legend.get_texts()] == told
        assert [text.get_text() for text in axis.texts] == ["infusion"] * ("infusion" in names)
        assert list(drawn) == names
        for name, line in zip(names, axis.lines, strict=True):
            if name == "infusion":
                assert set(line.get_xdata()) == set(drawn[name][:, 0]) == {INFUSION}
                continue
            np.testing.assert_array_equal(line.get_xydata(), drawn[name][:, :2])
            assert np.isfinite(line.get_xydata()).all()
            if name in COLOURS:
                assert to_hex(line.get_color()).upper() == COLOURS[name]
        assert len({(to_hex(line.get_color()), line.get_linestyle()) for line in axis.lines}) == len(names)
        low, high = axis.get_ylim()
        heights = np.concatenate([drawn[name][:, 1] for name in names if name != "infusion"])
        assert low <= heights.min() <= heights.max() <= high
    plt.close(figure)


def test_nothing_is_printed_over_another_panel(paper_runs):
    """Figure 10 has an infusion, and curves beside maps."""
    figure = draw(FIGURES[10](opener(paper_runs)))
    figure.canvas.draw()
    axes = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    for axis in axes:
        written = [text.get_window_extent() for text in axis.texts]
        assert all(axis.bbox.contains(*corner) for box in written for corner in box.corners())
        if axis.get_legend():
            written.append(axis.get_legend().get_window_extent())
        for box in written:
            assert 0.0 <= box.x0 <= box.x1 <= figure.bbox.x1
            for other in (other for other in axes if other is not axis):
                labels = [other.xaxis.label, other.yaxis.label, *other.get_xticklabels(), *other.get_yticklabels()]
                assert not any(box.overlaps(label.get_window_extent()) for label in labels)
    plt.close(figure)


def test_numbers_come_from_the_runs(paper_runs):
    runs = opener(paper_runs)
    numbers = {n: numbers_of(FIGURES[n](runs)) for n in (4, 6, 7, 8)}
    run = RunDirectory(paper_runs / "3.2-base")
    np.testing.assert_array_equal(numbers[4]["b"]["C"][:, :2], np.c_[run.series["t"], run.series["mean_C"]])
    np.testing.assert_array_equal(numbers[4]["a"]["E"][:, :2], np.c_[run.line["s"], run.line["E"][-1]])
    np.testing.assert_array_equal(numbers[4]["d"]["TA"][:, 2], run.line["TA"].T.ravel())

    line = RunDirectory(paper_runs / "3.3/base,negative_fraction=0.2").line
    burden = (line["TA"] + line["TB"]).T
    share = numbers[7]["c"]["TB / (TA + TB)"][:, 2].reshape(burden.shape)
    tumour = burden >= 0.01 * burden.max()
    assert 0.5 < tumour.mean() < 1.0
    np.testing.assert_allclose(share[tumour], (line["TB"].T / burden)[tumour], rtol=1e-15)
    assert np.isnan(share[~tumour]).all()

    outcomes = numbers[6]["a"]["accelerated antigen loss"]
    np.testing.assert_allclose(outcomes[:, 0], SHARES, atol=1e-15)
    for share, burden in zip(SHARES, outcomes[:, 1], strict=True):
        series = RunDirectory(paper_runs / f"3.3/loss,negative_fraction={share}").series
        assert burden == series["mean_TA"][-1] + series["mean_TB"][-1]

    # The infusion is a step: two values of C at one time.
    t, C = numbers[8]["b"]["combination therapy"][:, :2].T
    (before,) = np.flatnonzero(np.diff(t) == 0.0)
    assert t[before] == INFUSION
    assert C[before + 1] > 1.2 * C[before]


def test_dimensional_runs_are_labelled_in_their_units(tmp_path):
    # Of so few cells that steps of 0.1 days resolve how they meet: what is looked at is the text.
    case = run_file(parameters={"preset": "table1"}, time={"end": 1e-3}, output={"every": 5e-4})
    for name in ("3.4-base", "3.2-base"):
        simulate(case, tmp_path / name)
    for number in (4, 9):
        labels = [
            panel.ylabel if panel.curves else panel.map.label for panel in FIGURES[number](opener(tmp_path)).panels
        ]
        assert not any("K_T" in label or "reference" in label for label in labels)
        assert "cells/cm" in labels[0]
    assert [label.rpartition(", ")[2] for label in labels[-2:]] == ["mg/ml", "1"]


def test_same_figure_gives_the_same_files(paper_runs, tmp_path):
    plate = FIGURES[7](opener(paper_runs))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(plate, tmp_path / folder)
    for suffix in ("svg", "pdf", "csv"):
        first, second = (tmp_path / folder / f"figure7.{suffix}" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
    picture = plt.imread(tmp_path / "a/figure7.png")
    assert picture.shape[0] > 500
    assert np.ptp(picture[..., :3], axis=-1).max() > 0.5


@pytest.fixture
def figures(monkeypatch, capsys):
    """Run the command in this process: figures(folder, ...) gives its code, lines on stdout and lines on stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, arguments)])
        code = main()
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return command


def test_command_writes_four_files_a_figure(paper_runs, tmp_path):
    command = [
        sys.executable,
        ROOT / "postprocess/figures.py",
        paper_runs,
        "--figure",
        "5",
        "--out",
        tmp_path / "new/out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written = [tmp_path / f"new/out/figure5.{suffix}" for suffix in ("svg", "pdf", "png", "csv")]
    assert done.stdout.split() == list(map(str, written))
    assert all(file.stat().st_size > 1000 for file in written)


def test_missing_runs_are_named(paper_runs, tmp_path, figures):
    (tmp_path / "some").mkdir()
    shutil.copytree(paper_runs / "3.2-base", tmp_path / "some/3.2-base")
    code, out, (line,) = figures(tmp_path / "some", "--figure", "6", "--out", tmp_path / "out")
    assert (code, out) == (2, [])
    assert "3.3/base,negative_fraction=0.0" in line
    assert not (tmp_path / "out").exists()

    code, out, err = figures(tmp_path / "some", "--out", tmp_path / "out")
    assert (code, len(out)) == (0, 4)
    assert [line.partition(":")[0] for line in err] == [f"figure {n} left out" for n in (3, 5, 6, 7, 8, 9, 10)]

    assert figures(tmp_path / "none")[0] == 2
    (tmp_path / "empty").mkdir()
    assert figures(tmp_path / "empty", "--out", tmp_path / "no")[0] == 2


def test_what_cannot_be_read_or_written_is_told_in_one_line(paper_runs, tmp_path, figures):
    (tmp_path / "out/figure4.pdf").mkdir(parents=True)
    code, out, (line,) = figures(paper_runs, "--figure", "4", "--out", tmp_path / "out")
    assert (code, out) == (2, [])
    assert "figure4.pdf: cannot be written" in line
    for name, text, told in (
        ("manifest.json", '{"status": "finished"}', "manifest.json: no grid"),
        ("run.toml", "title = ''", "run.toml: space: missing"),
        ("series.csv", "t,dt\n0,0\n", "series.csv: no column total_ of any field"),
        ("line.csv", "t,s\n", "line.csv: cannot be read as a table"),
    ):
        folder = shutil.copytree(paper_runs / "3.2-base", tmp_path / name / "3.2-base")
        (folder / name).write_text(text)
        code, out, (line,) = figures(tmp_path / name, "--figure", "4", "--out", tmp_path / "none")
        assert (code, out) == (2, [])
        assert told in line
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["series.csv", "line.csv"])
def test_what_is_cut_off_is_not_drawn(paper_runs, tmp_path, figures, name):
    """At the end of a row, or of an output: what is left is a whole table."""
    folder = shutil.copytree(paper_runs / "3.2-base", tmp_path / "3.2-base")
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join(lines[: 6 if name == "series.csv" else 1 + 2 * 8]))
    code, out, (line,) = figures(tmp_path, "--figure", "4", "--out", tmp_path / "none")
    assert (code, out) == (2, [])
    assert f"{name}: is damaged; accepted: times that grow from 0 to 1, the run's end" in line


def test_unfinished_runs_are_not_drawn(paper_runs, tmp_path):
    shutil.copytree(paper_runs / "3.2-base", tmp_path / "3.2-base")
    manifest = tmp_path / "3.2-base/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"status": "running"}))
    with pytest.raises(InputError, match="not finished"):
        FIGURES[4](opener(tmp_path))
