"""What a run writes, read back by VTK's own readers and by `results`."""

import json
import os
import pty
import subprocess
import tomllib
import tracemalloc

import numpy as np
import pytest
import pyvista
from vtkmodules.numpy_interface.dataset_adapter import WrapDataObject
from vtkmodules.vtkIOXML import vtkXMLPImageDataReader

from carmodel.commands.compare import compare
from carmodel.models.polyakov import FIELDS, TABLE_1
from carmodel.results import RunDirectory, open_volumes
from carmodel.runs.output.line import BoxLine
from carmodel.runs.plan import equal_steps, output_times
from carmodel.scenario.choices import Line
from carmodel.spaces import BoxSpace
from tests.conftest import ODD_CELLS, ROOT, mpirun

CARMODEL = ROOT / ".venv/bin/carmodel"
CASE = f"""
title = "outputs"
[space]
cells = {list(ODD_CELLS)}
lengths = [1.0, 0.9, 0.6]
[initial]
tumour = {{ shape = "ball", radius = 0.25, value = 0.9, negative_fraction = 0.25 }}
cart = {{ shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5 }}
[time]
end = 0.5
[integrator]
kind = "strang"
dt = 0.06
[output]
every = 0.2
formats = ["vtk", "csv"]
line = {{ axis = "y", through = [0.5, 0.3] }}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same case on one rank and on three."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "case.toml").write_text(CASE)
    for ranks in (1, 3):
        answer = mpirun(ranks, CARMODEL, "run", folder / "case.toml", "--out", folder / str(ranks), "--quiet")
        assert answer == (0, "", ""), answer
    return RunDirectory(folder / "1"), RunDirectory(folder / "3")


def test_steps_land_on_outputs():
    assert output_times(1.0, 0.0) == [0.0, 1.0]
    assert output_times(0.5, 0.2) == [0.0, 0.2, 0.4, 0.5]
    assert output_times(0.6, 0.2) == [0.0, 0.2, 0.4, 0.6]
    assert output_times(12.0, 0.1)[-2:] == [pytest.approx(11.9), 12.0]
    assert len(output_times(12.0, 0.1)) == 121
    assert equal_steps(0.0, 0.2, 0.02) == (10, 0.02)
    assert equal_steps(0.4, 0.6000000000000001, 0.02) == (10, 0.02)
    assert equal_steps(0.0, 0.2, 0.06) == (4, 0.05)
    assert equal_steps(0.0, 0.01, 1.0) == (1, 0.01)


def test_ranks_write_what_one_rank_writes(runs):
    one, three = runs
    for run in runs:
        assert run.volumes.times == [0.0, 0.2, 0.4, 0.5]
    assert compare(three.folder, one.folder).relative_max.max() < 1e-10
    assert sorted(path.name for path in (one.folder / "fields").iterdir()) == [f"t0000{n}.vti" for n in range(4)]
    assert len(list((three.folder / "fields").iterdir())) == 4 * 4


def test_vtk_parallel_reader_gives_times_extents_and_numbers(runs):
    """vtkXMLPImageDataReader is what ParaView opens a .pvti with; the PVD reader lists the times."""
    for run in runs:
        collection = pyvista.get_reader(run.folder / "fields.pvd")
        assert list(collection.time_values) == [0.0, 0.2, 0.4, 0.5]
        collection.set_active_time_value(0.4)
        image = collection.read()[0]
        assert image.extent == (0, 13, 0, 11, 0, 7)
        assert image.spacing == pytest.approx((1.0 / 13, 0.9 / 11, 0.6 / 7))
        assert image.origin == pytest.approx((0.0, 0.0, 0.0), abs=1e-15)
        assert image.cell_data.keys() == list(FIELDS)
    one, three = runs
    reader = vtkXMLPImageDataReader()
    reader.SetFileName(str(three.folder / "fields/t00002.pvti"))
    reader.Update()
    assert reader.GetNumberOfPieces() == 3
    parallel = WrapDataObject(reader.GetOutput())
    assert parallel.GetExtent() == (0, 13, 0, 11, 0, 7)
    serial = pyvista.read(one.folder / "fields/t00002.vti")
    for field in FIELDS:
        values = np.asarray(parallel.CellData[field])
        assert values.dtype == np.float64
        assert np.abs(values - serial.cell_data[field]).max() <= 1e-10 * np.abs(values).max()
    # A piece alone sits at its place in the box.
    piece = pyvista.read(three.folder / "fields/t00002_2.vti")
    assert piece.extent[:4] + piece.extent[5:] in {(0, 13, 0, 11, 7), (9, 13, 0, 11, 7)}
    assert piece.field_data["TimeValue"] == [0.4]


def test_volumes_are_compressed_float64(runs):
    text = (runs[0].folder / "fields/t00000.vti").read_bytes()
    assert b'compressor="vtkZLibDataCompressor"' in text
    assert b'type="Float64"' in text
    assert len(text) < 7 * 8 * np.prod(ODD_CELLS) / 4


def test_cells_are_where_the_grid_says(runs):
    """x fastest: the cell of the image that holds a point is the cell of the CSV there."""
    run = runs[0]
    table = np.loadtxt(run.folder / "csv/step_000004.csv", delimiter=",", skiprows=1)
    image = pyvista.read(run.folder / "fields/t00001.vti")
    rng = np.random.default_rng(9)
    for row in table[rng.choice(len(table), 40, replace=False)]:
        cell = image.find_containing_cell(row[4:7])
        assert [image.cell_data[field][cell] for field in FIELDS] == row[7:].tolist()
        assert image.get_cell(cell).center == pytest.approx(row[4:7])
    assert (run.folder / "csv/step_000004.csv").read_text().startswith("t,i,j,k,x,y,z,C,E,TA,TB,S,A,H\n0.2")


def test_published_grid_puts_nodes_on_the_boundary(carmodel, write, tmp_path):
    file = write(CASE)
    carmodel("run", file, "--out", tmp_path / "out", "--quiet", "--set", "space.nodes_on_boundary=true")
    table = np.loadtxt(tmp_path / "out/csv/step_000000.csv", delimiter=",", skiprows=1)
    assert table[:, 4:7].min(axis=0).tolist() == [0.0, 0.0, 0.0]
    assert table[:, 4:7].max(axis=0) == pytest.approx([1.0, 0.9, 0.6])
    image = pyvista.read(tmp_path / "out/fields/t00000.vti")
    assert image.get_cell(0).center == pytest.approx((0.0, 0.0, 0.0), abs=1e-15)


def test_series_has_a_row_a_step_and_its_columns_are_those_of_the_fields(runs):
    run = runs[1]
    series = run.series
    assert len(series["t"]) == run.manifest["steps"] + 1
    assert series["dt"][:6].tolist() == [0.0, 0.05, 0.05, 0.05, 0.05, 0.05]
    assert list(series)[:7] == ["t", "dt", "mean_C", "min_C", "max_C", "total_C", "clamped_C"]
    volume = 1.0 * 0.9 * 0.6
    for n, t in enumerate(run.volumes.times):
        row = int(np.flatnonzero(series["t"] == t)[0])
        for field, values in zip(FIELDS, run.volumes.read(n), strict=True):
            assert series[f"mean_{field}"][row] == pytest.approx(values.mean(), rel=1e-12, abs=1e-300)
            assert series[f"total_{field}"][row] == pytest.approx(values.mean() * volume, rel=1e-12, abs=1e-300)
            assert series[f"min_{field}"][row] == values.min()
            assert series[f"max_{field}"][row] == values.max()


def test_series_accounts_for_clamped_mass(carmodel, write, tmp_path):
    """Taxis at a cell Peclet number above 2 and no reactions: C's integral changes by what clamping added, no more."""
    rates = {name: 0.0 for name, entry in TABLE_1.items() if "day" in entry.unit and not name.startswith("D_")}
    parameters = rates | {"mu_0": 0.0, "nu": 0.0, "chi_0": 0.1, "D_C": 5e-3}
    source = pyvista.ImageData(dimensions=[n + 1 for n in ODD_CELLS])
    source.cell_data["S"] = np.exp(-(((source.cell_centers().points[:, 0] - 8.0) / 2.0) ** 2))
    source.save(tmp_path / "S.vti")
    file = write(CASE)
    sets = [f"parameters.{name}={value}" for name, value in parameters.items()]
    sets += [f"initial.S={{file='{tmp_path / 'S.vti'}',ignore_geometry=true}}", "time.end=4"]
    answer = carmodel("run", file, "--out", tmp_path / "out", "--quiet", *(a for s in sets for a in ("--set", s)))
    assert answer.code == 0, answer.err
    series = RunDirectory(tmp_path / "out").series
    added = series["total_C"] - series["total_C"][0]
    assert series["clamped_C"][-1] > 1e-4 * series["total_C"][0]
    assert (np.diff(series["clamped_C"]) >= 0.0).all()
    assert added == pytest.approx(series["clamped_C"], abs=1e-12 * series["total_C"].max())


def test_line_interpolates_across_the_axis(runs):
    for run in runs:
        line, volume = run.line, run.volumes.read(2)
        assert line["t"].tolist() == [0.0, 0.2, 0.4, 0.5]
        assert line["s"] == pytest.approx((np.arange(11) + 0.5) * 0.9 / 11)
        # x = 0.5 is the centre of cell 6 of 13, z = 0.3 that of cell 3 of 7.
        assert line["TA"][2] == pytest.approx(volume[2, 3, :, 6], rel=1e-12)


def test_line_between_cells_is_the_mean_of_the_four_around_it(carmodel, write, tmp_path):
    """As the paper's central line for an even number of cells; here off the middle, where the four differ."""
    file = write(CASE.replace(str(list(ODD_CELLS)), "[6, 4, 8]"))
    line = "output.line={axis='x', through=[0.225, 0.225]}"
    carmodel("run", file, "--out", tmp_path / "out", "--quiet", "--set", line)
    run = RunDirectory(tmp_path / "out")
    for n in range(1, 4):
        around = run.volumes.read(n)[0, 2:4, 0:2, :]
        assert np.ptp(around, axis=(0, 1)).max() > 1e-3
        assert run.line["C"][n] == pytest.approx(around.mean(axis=(0, 1)), rel=1e-13)


def test_a_line_across_many_cells_takes_memory_for_its_points_alone():
    """A matrix of 4000 x 4000 numbers is 128 MB; of 100,000 cells it was 80 GB."""
    space = BoxSpace((1, 4000, 2), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    y = space.centres[1]
    space.owned(u)[...] = y
    tracemalloc.start()
    line = BoxLine(Line(axis="z", through=(0.5, 0.30001)), space)
    values = line.sample(u)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values == pytest.approx(0.30001, rel=1e-12)
    assert peak < 5e6
    space.destroy()


def test_resolved_run_file_repeats_the_run(runs, carmodel, tmp_path):
    first = runs[0].folder
    assert tomllib.loads((first / "run.toml").read_text())["parameters"]["D_H"] == 1.5
    assert carmodel("run", first / "run.toml", "--out", tmp_path / "again", "--quiet").code == 0
    assert compare(tmp_path / "again", first).relative_max.max() == 0.0
    assert (tmp_path / "again/run.toml").read_text() == (first / "run.toml").read_text()


def test_manifest_tells_what_ran(runs):
    manifest = json.loads((runs[1].folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["ranks"] == 3
    assert manifest["steps"] == 10
    assert manifest["t"] == 0.5
    assert manifest["grid"]["cells"] == list(ODD_CELLS)
    assert {"petsc", "petsc4py", "mpi", "numpy", "pyvista", "fipy"} <= set(manifest["versions"])
    assert set(manifest["wall_seconds"]) == {"reaction_taxis", "diffusion", "output", "checkpoints", "total"}
    assert set(manifest["linear_iterations"]) == set(FIELDS)
    assert manifest["linear_iterations"]["H"] > 0


def test_info_and_summary(runs, carmodel):
    answer = carmodel("info", runs[1].folder)
    assert answer.code == 0
    for text in ("finished", "13 x 11 x 7 cells on 3 rank(s)", "0.5 days in 10 steps", "25.0% before", "fields.pvd"):
        assert text in answer.out
    assert len(answer.out.splitlines()) < 24


def test_compare_accepts_every_format_and_answers_by_exit_code(runs, carmodel, tmp_path):
    one, three = (run.folder for run in runs)
    assert carmodel("compare", three, one, "--tol", "1e-10").code == 0
    assert carmodel("compare", one / "csv", one, "--tol", "0").code == 0
    file = one / "csv/step_000004.csv"
    assert carmodel("compare", file, one, "--tol", "0").out.startswith("1 common times from 0.2 to 0.2, cell by cell")
    changed = tmp_path / "changed.csv"
    lines = file.read_text().splitlines()
    row = lines[500].split(",")
    lines[500] = ",".join([*row[:9], repr(float(row[9]) + 0.01), *row[10:]])
    changed.write_text("\n".join(lines))
    answer = carmodel("compare", changed, one, "--tol", "1e-3")
    assert answer.code == 1
    assert "above the tolerance" in answer.out
    largest = open_volumes(one).read(1)[2].max()
    assert f"{0.01 / largest:.3e}" in answer.out
    assert carmodel("compare", changed, one).code == 0


def test_nan_is_never_within_a_tolerance(runs, carmodel, tmp_path):
    u = open_volumes(runs[0].folder).read(1)
    bad = u.copy()
    bad[3, 0, 0, 0] = np.nan
    np.savez(tmp_path / "good.npz", t=[0.2], u=u[None])
    np.savez(tmp_path / "bad.npz", t=[0.2], u=bad[None])
    assert carmodel("compare", tmp_path / "good.npz", runs[0].folder, "--tol", "0").code == 0
    assert carmodel("compare", tmp_path / "bad.npz", runs[0].folder, "--tol", "1e9").code == 1
    assert carmodel("compare", runs[0].folder, tmp_path / "bad.npz", "--tol", "1e9").code == 1


def test_compare_refuses_what_it_cannot_compare(runs, carmodel, tmp_path):
    one = runs[0].folder
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "late.npz", t=[99.0], u=np.zeros((1, 7, 7, 11, 13)))
    np.savez(tmp_path / "small.npz", t=[0.2], u=np.zeros((1, 7, 2, 2, 2)))
    np.savez(tmp_path / "odd.npz", t=[0.2], u=np.zeros((1, 5, 2, 2, 2)))
    cases = {
        "text.csv": "column t", "empty": "neither", "late.npz": "no time in common", "small.npz": "grids do not match",
        "odd.npz": "have 7 and 5 fields", "none": "no such file",
    }  # fmt: skip
    for name, complaint in cases.items():
        answer = carmodel("compare", one, tmp_path / name)
        assert answer.code == 2, name
        assert answer.err.count("\n") == 1, answer.err
        assert complaint in answer.err


def test_a_field_that_blows_up_ends_the_run_with_code_3(carmodel, write, tmp_path):
    """A step far too long for the chemotaxis asked for; with and without PETSc to notice first."""
    for diffusion in ("ksp", "jacobi"):
        options = ("--set", "parameters.chi_0=1e200", "--set", f"integrator.diffusion={diffusion}")
        answer = carmodel("run", write(CASE), "--out", tmp_path / diffusion, "--quiet", *options)
        assert answer.code == 3
        assert answer.err.count("\n") == 1, answer.err
        assert "C is no longer finite" in answer.err
        assert "saved: 1 outputs" in answer.err
        assert RunDirectory(tmp_path / diffusion).manifest["status"].startswith("failed: C is no longer")


def test_infinite_clamping_is_a_failure_too(carmodel, write, tmp_path):
    """Minus infinity clamped to zero leaves finite fields behind."""
    options = [
        "parameters.delta_CT=1e308",
        "initial.cart={shape='layer',from=0,to=1,value=1e3}",
        "initial.tumour={shape='ball',radius=0.3,value=1e6}",
    ]
    sets = [word for option in options for word in ("--set", option)]
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", *sets)
    assert answer.code == 3
    assert "C is no longer finite" in answer.err


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_full_disk_ends_the_run_in_one_line(write, tmp_path, ranks):
    """No file may grow beyond what the first volume needs."""
    out = tmp_path / "out"
    file = write(CASE.replace("end = 0.5", "end = 50"))
    limited = f"ulimit -f 24; exec {CARMODEL} run {file} --out {out} --quiet"
    answer = mpirun(ranks, "bash", "-c", limited, timeout=60)
    assert answer.code == 3, answer
    told = [line for line in answer.err.splitlines() if "cannot be written" in line]
    assert told, answer.err
    assert "saved: " in told[0]
    assert "Traceback" not in answer.err
    if ranks == 1:
        assert answer.err.count("\n") == 1, answer.err
        assert RunDirectory(out).manifest["status"].startswith("failed")
    assert not list(out.rglob("*.vti.new"))


def test_compare_tells_times_apart_however_short_the_run(carmodel, write, tmp_path):
    sets = ("--set", "time.end=1e-9", "--set", "output.every=1e-10", "--set", "integrator.dt=1e-10")
    assert carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", *sets).code == 0
    assert carmodel("compare", tmp_path / "out", tmp_path / "out", "--tol", "0").code == 0
    index = tmp_path / "out/fields.pvd"
    index.write_text('<VTKFile type="Collection"><Collection/></VTKFile>')
    answer = carmodel("compare", tmp_path / "out", tmp_path / "out")
    assert answer.code == 2
    assert "no saved times" in answer.err


def test_runs_without_the_compiler(write, tmp_path):
    """NUMBA_DISABLE_JIT=1, as people set it to debug."""
    file = write(CASE.replace(str(list(ODD_CELLS)), "[3, 3, 2]").replace("end = 0.5", "end = 0.1"))
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    subprocess.run([CARMODEL, "run", file, "--out", tmp_path / "out", "--quiet"], env=environment, check=True)


def test_progress_is_plain_lines_in_a_file_and_a_bar_on_a_terminal(write, tmp_path):
    file = write(CASE)
    plain = subprocess.run(
        [CARMODEL, "run", file, "--out", tmp_path / "plain"], capture_output=True, text=True, check=True
    )
    assert "\x1b" not in plain.stderr
    assert plain.stderr.endswith(" s\n")
    assert "ParaView" in plain.stdout
    master, slave = pty.openpty()
    subprocess.run(
        [CARMODEL, "run", file, "--out", tmp_path / "bar"], stderr=slave, stdout=subprocess.DEVNULL, check=True
    )
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert "t = 0.50 of 0.5 days" in shown
    assert "days/s" in shown
    quiet = subprocess.run(
        [CARMODEL, "run", file, "--out", tmp_path / "quiet", "--quiet"], capture_output=True, text=True, check=True
    )
    assert (quiet.stdout, quiet.stderr) == ("", "")
