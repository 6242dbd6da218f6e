"""Designs of sampled runs: where their points lie, that they repeat, and what is refused."""

import numpy as np
import pytest

from carmodel.scenario.samples import sampled
from carmodel.scenario.sweep import read_sweep
from carmodel.tools.errors import InputError

KEYS = {
    "parameters.r_T": {"low": 0.01, "high": 0.25},
    "parameters.chi_0": {"low": 1e-3, "high": 1.0, "scale": "log"},
    "integrator.substeps": {"low": 1, "high": 4, "whole": True},
    "integrator.taxis": {"values": ["upwind", "hybrid"]},
}


@pytest.mark.parametrize("sample", ["latin hypercube", "sobol", "random"])
def test_points_are_in_their_ranges_and_repeat(sample):
    table = {"sample": sample, "number": 64, "seed": 3, "keys": KEYS}
    points = sampled("x", table)
    assert points == sampled("x", table)
    assert points != sampled("x", table | {"seed": 4})
    assert [list(point) for point in points] == [list(KEYS)] * 64
    r_T, chi, substeps, taxis = (np.array([point[key] for point in points]) for key in KEYS)
    assert ((r_T >= 0.01) & (r_T <= 0.25)).all()
    assert ((chi >= 1e-3) & (chi <= 1.0)).all()
    assert set(substeps.tolist()) == {1, 2, 3, 4}
    assert all(isinstance(point["integrator.substeps"], int) for point in points)
    assert set(taxis) == {"upwind", "hybrid"}


def test_latin_hypercubes_and_sobol_s_points_fill_each_key_evenly():
    for sample in ("latin hypercube", "sobol"):
        points = sampled(
            "x", {"sample": sample, "number": 32, "keys": {"a": KEYS["parameters.r_T"], "b": KEYS["parameters.chi_0"]}}
        )
        shares = (
            np.array([(p["a"] - 0.01) / 0.24 for p in points]),
            np.array([np.log(p["b"] / 1e-3) / np.log(1e3) for p in points]),
        )
        for share in shares:  # one point in each of 32 parts
            assert sorted(np.floor(32 * share).astype(int)) == list(range(32))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sample": "grid"}, "sample"),
        ({"number": 0}, "number"),
        ({"number": 10**6}, "number"),
        ({"sample": "sobol", "number": 48}, "a power of two"),
        ({"seed": -1}, "seed"),
        ({"keys": {}}, "keys"),
        ({"keys": {"a": {"low": 1.0}}}, "'low' below 'high'"),
        ({"keys": {"a": {"low": 2.0, "high": 1.0}}}, "'low' below 'high'"),
        ({"keys": {"a": {"low": 0.0, "high": 1.0, "scale": "log"}}}, "above zero"),
        ({"keys": {"a": {"low": 0.0, "high": float("inf")}}}, "'low' below 'high'"),
        ({"keys": {"a": {"values": []}}}, "at least one"),
        ({"keys": {"a": {"values": [1], "low": 0.0}}}, "alone"),
        ({"keys": {"a": {"lowest": 1}}}, "lowest"),
        ({"size": 3}, "size"),
    ],
)
def test_what_is_no_design_is_refused(change, says):
    table = {"sample": "latin hypercube", "number": 4, "keys": {"a": {"low": 0.0, "high": 1.0}}} | change
    with pytest.raises(InputError) as error:
        sampled("my.toml: sweep.draw", table)
    text = str(error.value)
    assert text.startswith("my.toml: sweep.draw")
    assert says in text
    assert "\n" not in text


AXIS = """
[space]
cells = [4, 4, 4]
[initial]
tumour = { shape = "ball", radius = 0.4 }
[time]
end = 0.02
[output]
every = 0.0
[sweep]
"initial.tumour.negative_fraction" = [0.0, 0.5]
[sweep.draw]
sample = "latin hypercube"
number = 3
[sweep.draw.keys]
"parameters.r_T" = { low = 0.05, high = 0.25 }
"parameters.chi_0" = { low = 0.01, high = 1.0, scale = "log" }
"""


def test_a_design_is_an_axis_beside_others(write):
    sweep = read_sweep(write(AXIS), [])
    assert sweep.axes["draw"] == ["draw=1", "draw=2", "draw=3"]
    assert len(sweep.runs) == 6
    for name, scenario in sweep.runs.items():
        given = sweep.inputs[name]
        assert scenario.parameters.values.r_T == given["parameters.r_T"]
        assert scenario.parameters.values.chi_0 == given["parameters.chi_0"]
        assert (
            next(part for part in scenario.initial.parts if part.key == "tumour").shares.get("TB", 0.0)
            == given["initial.tumour.negative_fraction"]
        )
    with pytest.raises(InputError, match="unknown key 'r_X'"):
        read_sweep(write(AXIS.replace("r_T", "r_X")), [])


def test_the_table_of_a_sweep(carmodel, write, tmp_path):
    import pandas

    asked = [f"--outcome={text}" for text in ("total_TA@0.01", "max(burden)", "mean_C")]
    file = write(AXIS)
    answer = carmodel("sweep", file, "--out", tmp_path / "out", "--quiet", *asked)
    assert answer.code == 0, answer.err
    path = tmp_path / "out/case/sweep.csv"
    assert answer.out.splitlines()[-1] == f"table: {path}"
    table, sweep = pandas.read_csv(path, float_precision="round_trip"), read_sweep(file, [])
    assert table["run"].tolist() == list(sweep.runs)
    assert table["parameters.r_T"].tolist() == [given["parameters.r_T"] for given in sweep.inputs.values()]
    assert set(table["status"]) == {"finished"}
    assert (table["days"] == 0.02).all()
    assert (table["max(burden)"] >= table["burden_end"]).all()
    assert ((table["total_TA@0.01"] - table["total_TA_end"]).abs() > 0.0).all()
    assert (table["antigen_negative_share_end"] > 0.4).tolist() == [False] * 3 + [True] * 3
    before = path.read_bytes()
    assert carmodel("sweep", file, "--out", tmp_path / "out", "--quiet", *asked).code == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["total_TA@", "max(burden", "median(burden)", "a b", "no_such"])
def test_wrong_outcomes_are_refused_in_one_line(carmodel, write, tmp_path, text):
    answer = carmodel(
        "sweep", write(AXIS), "--out", tmp_path / "out", "--quiet", "--outcome", text, "--set", "sweep.draw.number=1"
    )
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert f"--outcome {text}" in answer.err
