"""Figure 3 and bifurcation diagrams, from the command line."""

import runpy
import sys

import numpy as np
import pytest

from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.theory.ode import residual, solve
from tests.conftest import ROOT, Answer
from tests.parameter_sets import OSCILLATING

P = PRESETS["normalised"]


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Run a script of postprocess/ in this process, in the test's folder: script("homogeneous", "--end", 20)."""

    def run(name: str, *arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setattr(sys, "path", [str(ROOT / "postprocess"), *sys.path])
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / f"postprocess/{name}.py"), run_name="__main__")
        out, err = capsys.readouterr()
        return Answer(end.value.code or 0, out, err)

    return run


def is_picture(folder, stem):
    png, svg = ((folder / (stem + suffix)).read_bytes() for suffix in (".png", ".svg"))
    return png.startswith(b"\x89PNG") and b"<svg" in svg and len(png) > 10_000


def table(file):
    return np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8")


def test_figure_3(tmp_path, script):
    answer = script("homogeneous")
    assert answer.code == 0, answer.err
    assert answer.out.split() == ["figure3.svg", "figure3.pdf", "figure3.png", "figure3.csv"]
    assert is_picture(tmp_path, "figure3")
    rows = table(tmp_path / "figure3.csv")
    assert rows.dtype.names == ("t", *FIELDS)
    assert rows["t"] == pytest.approx(np.linspace(0.0, 100.0, 2001))
    start = [rows[f][0] for f in FIELDS]
    exact = solve(P, start, [0.0, 50.0, 100.0])
    assert [rows[f][1000] for f in FIELDS] == pytest.approx(exact[:, 1], abs=1e-8)
    assert rows["C"].max() / rows["C"][0] > 1.5
    assert rows["TB"][-1] / (rows["TA"] + rows["TB"])[-1] > 0.9
    svg = (tmp_path / "figure3.svg").read_bytes()
    assert script("homogeneous").code == 0
    assert (tmp_path / "figure3.svg").read_bytes() == svg, "the same figure gives the same file"


def test_continuation_tells_branch_points_of_inadmissible_states(tmp_path, script):
    answer = script("continuation", "--parameter", "mu_0", "--range", 0, 0.2, "--show", "C", "--seeds", 2)
    assert answer.code == 0, answer.err
    assert "  branch point at mu_0 = 0.0710469279 of states with a negative field\n" in answer.out
    assert "E_T mixed: 0 to 0.2" in answer.out
    assert set(table(tmp_path / "continuation.csv")["special"]) == {"", "branch point of states with a negative field"}


def test_figure_3_of_another_run_file(tmp_path, write, script):
    file = write("[space]\ncells = [4, 4, 4]\n[time]\nend = 1\n[parameters]\nmu_0 = 0\nnu = 0\n")
    answer = script("homogeneous", file, "--end", 20, "--out", "other")
    assert answer.code == 0, answer.err
    rows = table(tmp_path / "other.csv")
    assert rows["t"][-1] == 20.0
    assert (rows["TB"] == 0.0).all()


RHO_C = ["--parameter", "rho_C", "--range", "0.1", "0.9"]


def test_continuation(tmp_path, script):
    arguments = ("--parameter", "rho_C", "--range", 0.1, 0.9, "--show", "C", "TA + TB")
    answer = script("continuation", *arguments)
    assert answer.code == 0, answer.err
    assert "branch point at rho_C = 0.23455661" in answer.out
    assert is_picture(tmp_path, "continuation")
    rows = table(tmp_path / "continuation.csv")
    assert set(rows["kind"]) == {"E_0", "E_T", "E_CT"}
    assert set(rows["special"]) == {"", "branch point"}
    for row in rows[:: max(1, len(rows) // 20)]:
        assert residual([row[f] for f in FIELDS], P._replace(rho_C=row["rho_C"])) < 1e-9
    stable = rows["growth"] < -1e-9
    assert (rows["rho_C"][stable & (rows["kind"] == "E_T")] < 0.2346).all()


def test_continuation_with_hopf_point_on_a_logarithmic_scale(tmp_path, write, script):
    values = "\n".join(f"{name} = {value!r}" for name, value in OSCILLATING._asdict().items())
    file = write(f"[space]\ncells = [4, 4, 4]\n[time]\nend = 1\n[parameters]\n{values}\n")
    arguments = (file, "--parameter", "r_T", "--range", 0.005, 0.3, "--log", "--seeds", 3, "--out", "hopf")
    answer = script("continuation", *arguments)
    assert answer.code == 0, answer.err
    assert "Hopf at r_T = " in answer.out
    assert is_picture(tmp_path, "hopf")


def test_figure_3_of_nothing(tmp_path, script):
    """Without cells the antigen-negative share is undefined, and its panel empty."""
    answer = script("homogeneous", "--C0", 0, "--TA0", 0, "--end", 1)
    assert answer.code == 0, answer.err
    assert not answer.err
    assert is_picture(tmp_path, "figure3")


def test_names_that_are_taken_by_folders(tmp_path, script):
    for suffix in (".png", ".csv"):
        (tmp_path / f"figure3{suffix}").mkdir()
        answer = script("homogeneous")
        assert (answer.code, answer.err) == (2, f"figure3{suffix}: cannot be written: Is a directory\n")
        (tmp_path / f"figure3{suffix}").rmdir()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("homogeneous", ["--end", "-1"], "--end -1; accepted"),
        ("homogeneous", ["--C0", "-1"], "--C0 -1"),
        ("homogeneous", ["--out", "no/where"], "no/where: accepted"),
        ("homogeneous", ["missing.toml"], "missing.toml: no such file"),
        ("homogeneous", ["--out", ""], "--out .: accepted"),
        ("homogeneous", ["--out", "/proc/figure"], "/proc/figure"),
        ("homogeneous", ["--end", "soon"], "argument --end: invalid float value: 'soon' (see"),
        ("homogeneous", ["--end", "1e300"], "--end 1e+300; accepted: greater than 0, up to 1e9"),
        ("homogeneous", ["one", "two"], "unrecognized arguments: two"),
        ("continuation", [], "required: --parameter, --range"),
        ("continuation", ["--parameter", "K_C", "--range", "0", "1"], "range from 0 of K_C"),
        ("continuation", ["--parameter", "r_T", "--range", "0.1", "0.2", "--out", "/"], "--out /: accepted"),
        (
            "continuation",
            ["--parameter", "rhoC", "--range", "0.1", "0.2"],
            "--parameter 'rhoC': unknown; accepted: D_C",
        ),
        ("continuation", ["--parameter", "r_T", "--range", "0", "0.2"], "--range 0 0.2: parameters.r_T = 0; accepted"),
        (
            "continuation",
            ["--parameter", "r_T", "--range", "0.3", "0.2"],
            "--range from 0.3 to 0.2; accepted: 0 <= from",
        ),
        ("continuation", [*RHO_C, "--set", "parameters.r_T=0"], "--set: parameters.r_T = 0; accepted"),
        ("continuation", [*RHO_C, "--set", "parameters.mu_0=1e200"], "the most extreme is mu_0 = 1e+200; accepted"),
        ("continuation", [*RHO_C, "--seeds", "1000000"], "--seeds 1000000; accepted: 2 to 1000"),
    ],
)
def test_wrong_input_is_told_in_one_line(tmp_path, script, name, arguments, message):
    answer = script(name, *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
