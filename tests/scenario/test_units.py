"""Units of what a run writes: in tables, volumes, `info`."""

import csv
import json
import shutil

import pytest
import tomli_w
from vtkmodules.vtkCommonCore import vtkDataArray

from carmodel.commands.summary import summary
from carmodel.models.polyakov import FIELDS, MODEL
from carmodel.results import RunDirectory
from carmodel.scenario.units import integral_unit
from carmodel.tools.vtkreader import read_vtk
from tests.conftest import ROOT, mpirun
from tests.experiments import run_file, simulate

DENSITIES = ("C", "E", "TA", "TB")


def case(preset):
    """A run of 4 x 4 x 4 cells for one step."""
    tables = run_file(space={"cells": [4, 4, 4]}, time={"end": 1e-6}, output={"every": 0.0})
    tables["parameters"] = {"preset": preset}
    return tables


@pytest.fixture(scope="module", params=["normalised", "published_code"])
def run(request, tmp_path_factory):
    """A run in each kind of units."""
    return RunDirectory(simulate(case(request.param), tmp_path_factory.mktemp("units") / "run"))


def test_units_follow_from_the_preset():
    units = MODEL.units_of("normalised")
    assert set(units) == set(FIELDS)
    assert {units[field] for field in DENSITIES} == {"K_T"}
    for preset in ("table1", "published_code"):
        units = MODEL.units_of(preset)
        assert {units[field] for field in DENSITIES} == {"cells/cm^3"}
        assert [units[field] for field in "SAH"] == ["mg/ml", "mg/ml", "1"]
    assert [integral_unit(unit) for unit in ("K_T", "cells/cm^3", "mg/ml", "1")] == ["K_T cm^3", "cells", "mg", "cm^3"]


def test_every_column_of_the_tables_is_described(run):
    package = json.loads((run.folder / "datapackage.json").read_text(encoding="utf-8"))
    units = MODEL.units_of(run.settings["parameters"]["preset"])
    assert package["units"] == units == run.units
    tables = {resource["path"]: resource["schema"]["fields"] for resource in package["resources"]}
    assert set(tables) == {"series.csv", "line.csv"}
    for name, columns in tables.items():
        with (run.folder / name).open(newline="", encoding="ascii") as file:
            assert next(csv.reader(file)) == [column["name"] for column in columns]
        for column in columns:
            kind, _, field = column["name"].rpartition("_")
            expected = {"t": "day", "dt": "day", "s": "cm"}.get(field) or units[field]
            assert column["unit"] == (integral_unit(expected) if kind in ("total", "clamped") else expected)
            assert column["description"]


def test_info_names_units(run):
    lines = dict(line.strip().split("  ", 1) for line in summary(run).splitlines())
    unit = integral_unit(run.units["C"])
    for name in ("tumour burden", "CAR-T cells", "other CAR-T"):
        assert f" {unit} " in lines[name] + " "


def test_volumes_carry_units(run):
    volume = read_vtk(run.folder / "fields/t00000.vti")
    for field in FIELDS:
        assert volume.GetCellData().GetArray(field).GetInformation().Get(vtkDataArray.UNITS_LABEL()) == run.units[field]


@pytest.mark.parametrize("kind", ["box", "mesh"])
def test_volumes_of_several_ranks_carry_units(tmp_path, kind):
    mesh = {"kind": "mesh", "mesh": "grid"} if kind == "mesh" else {}
    tables = case("normalised") | {"space": mesh | {"cells": [4, 4, 4]}}
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps(tables), encoding="utf-8")
    done = mpirun(2, ROOT / ".venv/bin/carmodel", "run", file, "--out", tmp_path / "two", "--quiet")
    assert done.code == 0, done.err
    (index,) = (tmp_path / "two/fields").glob("t00000.p*")
    array = read_vtk(index).GetCellData().GetArray("S")
    assert array.GetInformation().Get(vtkDataArray.UNITS_LABEL()) == "reference levels"


def test_older_runs_without_a_data_package_are_read(run, tmp_path):
    old = shutil.copytree(run.folder, tmp_path / "old")
    (old / "datapackage.json").unlink()
    assert RunDirectory(old).units == run.units
    assert summary(RunDirectory(old)).replace(str(old), str(run.folder)) == summary(run)
