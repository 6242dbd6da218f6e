"""Files that others left where carmodel runs: none is executed, loaded or written through."""

import json
import os
import subprocess

import pytest

from tests.conftest import ROOT

CASE = """
[space]
cells = [4, 3, 2]
lengths = [1.0, 1.0, 1.0]
[time]
end = 0.1
[integrator]
kind = "strang"
dt = 0.1
"""


def test_options_for_petsc_come_from_the_current_folder_only_when_asked_for(write, tmp_path):
    case = write(CASE)
    for name in (".petscrc", "petscrc", "mine"):
        (tmp_path / name).write_text(f"-found_in {name}\n")

    def found(*options):
        out = tmp_path / f"out{len(options)}"
        command = [ROOT / ".venv/bin/carmodel", "run", case, "--out", out, "--quiet", *options]
        subprocess.run(command, cwd=tmp_path, timeout=120, check=True)
        return json.loads((out / "manifest.json").read_text())["petsc_options"].get("found_in")

    assert found() is None
    assert found("--", "-options_file", "mine") == "mine"


def test_runs_of_a_sweep_import_nothing_from_the_current_folder(carmodel, write, tmp_path, monkeypatch):
    case = write(CASE + "[sweep]\n'parameters.rho_C' = [0.3]\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit('numpy of the current folder')\n")
    answer = carmodel("sweep", case, "--quiet")
    assert answer.code == 0, answer


@pytest.mark.parametrize("formats", ["vtk", "csv"])
def test_nothing_is_written_through_a_link(carmodel, write, tmp_path, formats):
    case = write(CASE + f"[output]\nformats = ['{formats}']\n")
    (tmp_path / "out").mkdir()
    other = tmp_path / "other.txt"
    other.write_text("somebody's")
    for name in ("manifest.new", "manifest.json.new", "fields.pvd.new"):
        (tmp_path / "out" / name).symlink_to(other)
    assert carmodel("run", case, "--out", tmp_path / "out", "--quiet").code == 0
    assert other.read_text() == "somebody's"
    written = tmp_path / "out" / ("fields.pvd" if formats == "vtk" else "manifest.json")
    assert written.is_file()
    assert not written.is_symlink()


@pytest.mark.parametrize("name", ["run.toml", "series.csv", "fields", "csv"])
def test_a_link_to_nothing_in_the_place_of_an_output_is_refused(carmodel, write, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out")
    assert answer.code == 2
    assert f"holds another run ({name})" in answer.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_whose_name_is_in_no_encoding_holds_a_run(carmodel, write, tmp_path):
    folder = tmp_path / os.fsdecode(b"run\xff")
    assert carmodel("run", write(CASE), "--out", folder, "--quiet") == (0, "", "")
    assert carmodel("compare", folder, folder, "--tol", "0").code == 0
