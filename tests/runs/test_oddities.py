"""Legal but odd values get a line each, and what is usual gets none."""

import pytest

import carmodel
from carmodel.spaces import BoxSpace
from carmodel.spaces.peclet import largest_peclet_numbers
from tests.conftest import ROOT

CASE = "[space]\ncells = [8, 6, 5]\n[time]\nend = 0.2\n[output]\nevery = 0.1\n"
FILES = [file for folder in ("runs", "runs/paper") for file in (ROOT / folder).glob("*.toml")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_run_files_that_ship_are_not_odd(file, carmodel, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where a picture of a domain goes
    (tmp_path / "meshes").symlink_to(ROOT / "meshes")
    assert carmodel("check", file).err == ""


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_diffusivity_outside_the_table_is_told_once(command, carmodel, write, tmp_path):
    sets = ("--set", "parameters.D_H=30.0", "--set", "parameters.D_C=0.001", "--set", "parameters.mu_0=0.0")
    out = ("--out", tmp_path / "out", "--quiet") if command == "run" else ()
    answer = carmodel(command, write(CASE), *out, *sets)
    assert answer.code == 0
    assert answer.err == (
        "warning: parameters.D_C = 0.001; the model's table has 0.014 cm^2/day\n"
        "warning: parameters.D_H = 30; the model's table has 0.86 to 1.8 cm^2/day\n"
    )


def test_substeps_that_are_too_long_are_told_with_the_number_that_would_do(carmodel, write):
    case = write(CASE + '[integrator]\nkind = "strang"\ndt = 1.0\n[parameters]\nd_TB = 40.0\n')
    answer = carmodel("check", case)
    (line,) = answer.err.splitlines()
    assert line.startswith("warning: integrator.substeps = 1: TB is lost at up to 40")
    assert line.endswith("for explicit steps of 0.5 days; integrator.substeps = 11 would do, or reaction = 'mprk22'")
    for right in ("integrator.substeps=11", "integrator.reaction=mprk22", "integrator.dt=0.09", "integrator.kind=imex"):
        assert carmodel("check", case, "--set", right).err == ""


@pytest.mark.filterwarnings("ignore:TB. setting negative values:UserWarning")
def test_the_number_of_substeps_is_that_of_stability():
    """With so many nothing turns negative, with fewer it does: a field that is only lost, at 39 a day."""
    base = carmodel.case(
        space={"cells": [4, 4, 4]},
        parameters={"d_TB": 39.0, "mu_0": 0.0, "mu_1": 0.0, "r_T": 0.0},
        initial={"tumour": {"shape": "layer", "from": -1.0, "to": 2.0, "value": 0.5, "negative_fraction": 1.0}},
        time={"end": 1.0},
        integrator={"kind": "strang", "dt": 1.0},
        output={"every": 0},
    )
    enough = carmodel.simulate(carmodel.case(base, integrator={"substeps": 10})).series
    assert enough["clamped_TB"].iloc[-1] < 1e-12
    with pytest.warns(UserWarning, match=r"integrator\.substeps = 10 would do"):
        short = carmodel.simulate(carmodel.case(base, integrator={"substeps": 9})).series
    assert short["clamped_TB"].iloc[-1] > 0.01


def test_the_peclet_number_is_measured():
    """S linear in x: |v| h / D is chi_0 S' h / D_C, of C alone."""
    from carmodel.model import Medium
    from carmodel.models.polyakov import PRESETS

    p = PRESETS["normalised"]._replace(chi_0=0.3, alpha_A=0.0)
    space = BoxSpace((10, 4, 4), (2.0, 1.0, 1.0))
    u = space.zeros(7)
    space.owned(u)[4] = 1.5 * space.centres[0]
    found = largest_peclet_numbers(space, u, Medium(p))
    assert found == {"C": pytest.approx(0.3 * 1.5 * 0.2 / p.D_C, rel=1e-12)}
    space.destroy()


def test_central_taxis_above_two_is_told_once_and_kept(carmodel, write, tmp_path):
    strong = ["parameters.chi_0=2.0", "integrator.kind=strang", "integrator.dt=0.02", "time.end=0.4"]
    sets = [word for key in strong for word in ("--set", key)]
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", *sets)
    told = [line for line in answer.err.splitlines() if "Peclet" in line]
    assert len(told) == 1
    assert told[0].startswith("warning: C: the cell Peclet number has reached ")
    assert "Peclet" in "".join(open_run(tmp_path / "out").warnings)
    answer = carmodel(
        "run", write(CASE), "--out", tmp_path / "other", "--quiet", *sets, "--set", "integrator.taxis=hybrid"
    )
    assert "Peclet" not in answer.err


open_run = carmodel.open
