"""Run files of any model: the model's own parameters, shapes and doses for any field, any diffusivity by cell."""

import shutil

import numpy as np
import pytest
import pyvista

from carmodel.commands.summary import summary
from carmodel.models import named
from carmodel.results import RunDirectory
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.scenario.scenario import Scenario
from carmodel.spaces import BoxSpace
from tests.models import two_fields

DUAL = """
model = "dual_target"
[space]
cells = [6, 5, 4]
[time]
end = 0.04
[integrator]
kind = "strang"
dt = 0.02
"""
TWO = {"model": two_fields.MODEL, "space": {"cells": [6, 5, 4]}, "time": {"end": 0.04}}


def state_of(text, write):
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    u = space.owned(initial_state(load(write(text)).initial, space)).copy()
    space.destroy()
    return u


def test_the_papers_model_unless_the_file_says(write):
    assert load(write(DUAL.replace('model = "dual_target"', ""))).model is named("polyakov")
    scenario = load(write(DUAL), ["parameters.gamma_2=0.25"])
    assert scenario.model is named("dual_target")
    assert scenario.parameters.values == named("dual_target").presets["normalised"]._replace(gamma_2=0.25)
    again = load(write(scenario.toml(), "again.toml"))
    assert again.tables() == scenario.tables()
    assert 'model = "dual_target"' in scenario.toml()


def test_any_field_takes_a_shape_which_replaces_what_the_usual_shapes_give(write):
    usual = state_of(DUAL, write)
    layer = "{ shape = 'layer', from = 0.0, to = 0.4, value = 0.3 }"
    u = state_of(DUAL + f"[initial]\nD = {layer}\nTB = {layer}\nH = {layer}\n", write)
    names = named("dual_target").names
    for name in ("D", "TB", "H"):
        expected = np.where(np.arange(6) < 2, 0.3, 0.0)
        assert (u[names.index(name)] == expected).all()
    for name in ("C", "E", "TA", "S", "A"):
        assert (u[names.index(name)] == usual[names.index(name)]).all()
    assert usual[names.index("TA")].any()


def test_densities_are_counted_in_the_presets_capacity(write):
    ball = "{ shape = 'ball', radius = 0.4 }"
    scenario = load(write(DUAL + f"[parameters]\npreset = 'table1'\n[initial]\nD = {ball}\nS = {ball}\n"))
    shapes = {part.key: part.shape.value for part in scenario.initial.parts}
    assert shapes == {"tumour": 2.4e8, "cart": 1.2e8, "D": 2.4e8, "S": 1.0}


def test_infusions_go_to_any_field(carmodel, write, tmp_path):
    dose = "[[infusion]]\ntime = 0.02\nto = 'D'\nadd = { shape = 'ball', radius = 0.4, amount = 0.1 }\n"
    again = "[[infusion]]\ntime = 0.02\nto = 'TB'\nadd = { initial = 1.0 }\n"
    text = DUAL + dose + again + "[initial]\nTB = { shape = 'layer', from = 0.0, to = 0.4, value = 0.3 }\n"
    answer = carmodel("run", write(text), "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    run = RunDirectory(tmp_path / "out")
    at_dose = run.series["t"] == 0.02
    for name, amount in (("D", 0.1), ("TB", run.series["total_TB"][0]), ("C", 0.0)):
        _, *_, after = run.series[f"total_{name}"][at_dose]
        before = run.series[f"total_{name}"][at_dose][0]
        assert after - before == pytest.approx(amount, rel=1e-12, abs=1e-15)
    assert [event["to"] for event in run.manifest["events"]] == ["D", "TB"]


def test_any_diffusivity_may_vary_by_cell(carmodel, write, tmp_path):
    image = pyvista.ImageData(dimensions=(7, 6, 5), spacing=(1 / 6, 1 / 5, 1 / 4))
    image.cell_data["D_H"] = np.where(np.arange(120) % 6 < 3, 1.5, 0.0)
    image.cell_data["own"] = np.full(120, 0.014)
    image.save(tmp_path / "mask.vti")
    masks = "[parameters]\nD_H = { mask = 'mask.vti' }\nD_D = { mask = 'mask.vti', array = 'own' }\n"
    closed = (
        "[initial]\nH = { shape = 'layer', from = 0.0, to = 0.2 }\nTA = { shape = 'ball', radius = 1, value = 0 }\n"
    )
    quiet = "eta = 0.0\n"
    answer = carmodel("run", write(DUAL + masks + quiet + closed), "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    run = RunDirectory(tmp_path / "out")
    H = run.volumes.read(-1)[run.names.index("H")].reshape(4, 5, 6)
    assert (H[..., :3] > 0.0).all()  # spread over the half that conducts
    assert (H[..., 3:] == 0.0).all()  # and no farther
    assert run.parameters["D_H"][0]["array"] == "D_H"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["model=nosuch"], "model = 'nosuch'; accepted: 'dual_target', 'polyakov', or the name"),
        (["model=../polyakov"], "model = '../polyakov'; accepted:"),
        (["model=carmodel.models.polyakov"], "model = 'carmodel.models.polyakov'; accepted:"),
        (["model=/tmp/polyakov.py"], "model = '/tmp/polyakov.py'; accepted:"),
        (["model=5"], "model = 5; accepted:"),
        (["model=polyakov", "parameters.gamma_2=1.0"], "unknown key 'gamma_2'"),
        (["parameters.gamma_2='fast'"], "parameters.gamma_2 = 'fast'; accepted:"),
        (
            ["parameters.K_T={mask='a.vti'}"],
            "parameters.K_T.mask = ",
        ),
        (["initial.X=1"], "initial: unknown key 'X'"),
        (["initial.D=5"], "initial.D = 5; accepted: a shape, the name of a volume"),
        (["initial.D={shape='cube'}"], "initial.D.shape = 'cube'; accepted: 'ball', 'disk', 'layer'"),
        (["initial.D={radius=1.0}"], "initial.D.shape = missing; accepted:"),
        (["infusion=[{time=0.0,to='X',add={initial=1.0}}]"], "infusion.0.to = 'X'; accepted: 'C', 'E', 'TA'"),
        (["intervention=[{time=0.0,set={X=1.0}}]"], "unknown key 'X'"),
    ],
)
def test_what_the_model_has_not_is_refused_in_one_line(carmodel, write, overrides, complaint):
    given = [argument for override in overrides for argument in ("--set", override)]
    answer = carmodel("check", write(DUAL), *given)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert complaint in answer.err


def test_a_model_without_tumour_or_cart_cells_has_no_usual_shapes():
    scenario = Scenario.model_validate(TWO)
    assert scenario.initial.parts == []
    with pytest.raises(ValueError, match="unknown key 'tumour'"):
        Scenario.model_validate(TWO | {"initial": {"tumour": {"shape": "ball", "radius": 0.2}}})
    with pytest.raises(ValueError, match=r"infusion\.0\.to"):
        Scenario.model_validate(TWO | {"infusion": [{"time": 0.0, "add": {"initial": 1.0}}]})


def test_a_run_is_read_without_its_models_file(carmodel, write, tmp_path):
    answer = carmodel("run", write(DUAL), "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    known = summary(RunDirectory(tmp_path / "out"))
    gone = shutil.copytree(tmp_path / "out", tmp_path / "gone")
    for name in ("run.toml", "datapackage.json"):
        text = (gone / name).read_text().replace("dual_target", "gone")
        (gone / name).write_text(text)
    run = RunDirectory(gone)
    assert summary(run).replace(str(gone), str(tmp_path / "out")) == known
    assert run.settings["model"] == "gone"
    assert run.units["D"] == "K_T"
    assert run.cart == ("C", "D", "E")
    assert run.parameters["gamma_2"][1].unit == "1/day"
