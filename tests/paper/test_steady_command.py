"""`carmodel steady`: a report for a person, the same as JSON for a program."""

import json
import os
import pty
import subprocess

import numpy as np
import pytest

from carmodel.models.polyakov import FIELDS, PRESETS, Parameters
from carmodel.paper.steady import steady_states
from carmodel.scenario.reading import load
from carmodel.theory.ode import jacobian, residual
from tests.conftest import ROOT

P = PRESETS["normalised"]

CARMODEL = ROOT / ".venv/bin/carmodel"


def as_json(carmodel, *arguments):
    answer = carmodel("steady", "--json", *arguments)
    assert answer.code == 0, answer.err
    return json.loads(answer.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_json_is_the_library_s_answer(carmodel):
    data = as_json(carmodel)
    assert Parameters(**data["parameters"]) == P
    states = steady_states(P)
    assert [s["kind"] for s in data["steady_states"]] == [s.kind for s in states] == ["E_0", "E_T", "E_CT"]
    for told, state in zip(data["steady_states"], states, strict=True):
        u = [told["state"][f] for f in FIELDS]
        assert u == state.state.tolist()
        assert told["residual"] == residual(u, P) < 1e-12
        assert told["jacobian"] == jacobian(u, P).tolist()
        values = np.array([complex(*value) for value in told["eigenvalues"]])
        assert np.poly(values) == pytest.approx(np.poly(jacobian(u, P)), rel=1e-9, abs=1e-12)
        assert told["growth"] == pytest.approx(values.real.max(), abs=1e-15)
        assert told["dispersion"]["growth_without_space"] == pytest.approx(told["growth"], rel=1e-12)
    assert data["coexistence"]["complete"]
    assert [s["verdict"] for s in data["steady_states"]] == ["unstable", "unstable", "stable"]
    coexistence = data["steady_states"][2]
    assert coexistence["taxis_threshold_at_any_wavelength"]["chi_0"] == pytest.approx(4.0324, rel=1e-4)
    assert coexistence["dispersion"]["taxis_threshold"] == pytest.approx(
        {"chi_0": 4.07895, "wavelength": np.sqrt(2.0)}, rel=1e-5
    )
    assert [q["agrees"] for q in data["propositions"]] == [True, True]
    assert [c["steady"] for c in data["tumour_formulas"]] == [False, True, False]
    assert data["quadratic"]["discriminant"] > 0.0


def test_report_holds_the_same_numbers(carmodel):
    data, answer = as_json(carmodel), carmodel("steady")
    assert answer.code == 0
    assert not answer.err
    assert "\x1b" not in answer.out
    for state in data["steady_states"]:
        for value in state["state"].values():
            assert f"{value:.6g}" in answer.out
        assert f"{state['growth']:+.4g}" in answer.out
    for heading in ("Steady states", "Eigenvalues", "Blocks", "Propositions", "diffusion and taxis"):
        assert heading in answer.out
    assert "proved complete" in answer.out
    assert "mu_0 TA" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 160


def test_a_run_file_and_overrides_count(carmodel, write):
    file = write("[space]\ncells = [6, 5, 4]\nlengths = [2.0, 1.0, 1.0]\n[time]\nend = 1\n[parameters]\nmu_0 = 0.0\n")
    data = as_json(carmodel, file, "--set", "parameters.chi_0=20")
    assert data["parameters"]["mu_0"] == 0.0
    assert data["parameters"]["chi_0"] == 20.0
    assert data["box"] == {"cells": [6, 5, 4], "lengths": [2.0, 1.0, 1.0]}
    assert data["tumour_formulas"][0]["steady"]
    assert as_json(carmodel, "--set", "space.lengths=[3,3,3]")["box"]["lengths"] == [3.0, 3.0, 3.0]


def test_taxis_threshold_of_a_small_box_is_that_of_its_own_wavenumbers(carmodel):
    """In a cube of 1 mm no wave of 1.28 cm has room; the report tells the two apart as JSON does."""
    settings = ("--set", "space.lengths=[0.1,0.1,0.1]", "--set", "parameters.sigma_S=56000")
    state = as_json(carmodel, *settings)["steady_states"][2]
    anywhere, box = state["taxis_threshold_at_any_wavelength"], state["dispersion"]["taxis_threshold"]
    assert (anywhere["chi_0"], anywhere["wavelength"]) == pytest.approx((4.0324e-5, 1.281), rel=1e-3)
    assert (box["chi_0"], box["wavelength"]) == pytest.approx((1.944e-3, 0.2), rel=1e-3)
    report = carmodel("steady", *settings).out
    assert "least chi_0 to destabilise  -          -          0.001944 at 0.2 cm" in report
    assert "the same, any wavelength    -          -          4.032e-05 at 1.281 cm" in report


def test_boxes_and_meshes(carmodel):
    raw = as_json(carmodel, ROOT / "runs/published/raw_defaults.toml")
    assert raw["coexistence"] == {
        "count": 0, "largest_C": raw["coexistence"]["largest_C"], "complete": True, "open": [], "why_open": "",
        "intervals": 0,
    }  # fmt: skip
    space = load(ROOT / "runs/published/raw_defaults.toml").space
    n = space.cells[0]
    wide = space.lengths[0] * n / (n - 1)
    assert raw["box"]["lengths"][0] == pytest.approx(wide, rel=1e-12), "the walls stand half a cell outside"
    mesh = as_json(carmodel, ROOT / "runs/barrier_mesh.toml")
    assert mesh["box"] is None
    assert mesh["steady_states"][0]["dispersion"] is None
    assert any("no box" in note for note in mesh["notes"])
    masked = as_json(carmodel, ROOT / "runs/barrier.toml")
    assert any("D_C varies" in note for note in masked["notes"])
    for file in ("barrier_mesh", "published/raw_defaults"):
        assert carmodel("steady", ROOT / f"runs/{file}.toml").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "parameters.r_T=0"], "r_T = 0; accepted"),
        (["--set", "parameters.rT=0.1"], "did you mean 'r_T'"),
        (["--set", "parameters.d_C=-1"], "parameters.d_C"),
        (["nowhere.toml"], "nowhere.toml: no such file"),
        (["--jason"], "--jason"),
        pytest.param(
            ["--set", "parameters.mu_0=1e200"],
            "numbers overflow; the most extreme is mu_0 = 1e+200; accepted",
            marks=pytest.mark.slow,
        ),
        (["--set", "parameters.lambda_H=1e-310"], "the most extreme is lambda_H = 1e-310"),
        (["--set", "parameters.rho_C=1e308", "--json"], "the most extreme is rho_C"),
    ],
)
def test_wrong_input_is_told_in_one_line(carmodel, arguments, message):
    answer = carmodel("steady", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not answer.out


@pytest.mark.slow
def test_far_apart_numbers_leave_the_search_open(carmodel):
    """Bounds overflow: the report says so, soon."""
    answer = carmodel("steady", "--set", "parameters.rho_C=1e300")
    assert answer.code == 0
    assert "not settled on C in [0, " in answer.out
    assert "numbers too far apart" in answer.out


def test_box_of_a_billion_cells(carmodel):
    data = as_json(carmodel, "--set", "space.cells=[1000,1000,1000]")
    assert data["steady_states"][2]["dispersion"]["wavenumbers"] == 6000
    small = as_json(carmodel, "--set", "space.cells=[40,40,40]")
    for one, other in zip(data["steady_states"], small["steady_states"], strict=True):
        assert one["dispersion"]["largest_growth"] == other["dispersion"]["largest_growth"]


def test_terminal_gets_rules_that_fit():
    """80 columns: no number is cut off."""
    leader, follower = pty.openpty()
    env = dict(os.environ) | {"COLUMNS": "80", "TERM": "xterm"}
    command = [CARMODEL, "steady"]
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=env, cwd=ROOT) as job:
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
    os.close(leader)
    assert job.returncode == 0
    answer = text.decode()
    assert "──" in answer
    assert "0.0636207" in answer
    assert "…" not in answer


def test_help_shows_what_stands_in_brackets(carmodel):
    assert "[sweep]" in carmodel("--help").out


OUTPUTS = [["steady"], ["steady", "--json"], ["check", "runs/barrier.toml"], ["--help"], ["--version"], []]


@pytest.mark.parametrize("arguments", OUTPUTS, ids=" ".join)
def test_reader_that_has_gone(arguments):
    """As `head` goes: no word, and the exit code of one that a closed pipe has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    job = subprocess.run([CARMODEL, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writer)
    assert (job.returncode, job.stderr) == (141, "")


@pytest.mark.parametrize("arguments", OUTPUTS, ids=" ".join)
def test_full_disk(arguments):
    with open("/dev/full", "w") as full:
        job = subprocess.run([CARMODEL, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (job.returncode, job.stderr) == (3, "output: cannot be written: No space left on device\n")
