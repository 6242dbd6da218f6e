"""Python's side: cases, runs in memory and in folders, several in turn, on parts of the ranks; nothing stays behind."""

import os
import re
import signal
import subprocess
import sys
import threading

import matplotlib
import numba
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from mpi4py import MPI

import carmodel
from carmodel.tools.petsc import PETSc
from tests.conftest import ROOT, mpirun
from tests.models import two_fields

matplotlib.use("Agg")

SCRIPT = re.search(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)[1]
SMALL = {"space": {"cells": [6, 5, 4]}, "time": {"end": 0.2}, "output": {"every": 0.1}}


@pytest.fixture(scope="module")
def run():
    """A run in memory."""
    return carmodel.simulate(carmodel.case(**SMALL))


def test_the_script_of_the_page(tmp_path, monkeypatch):
    """Ten lines: a case, two values of a parameter, both runs, a picture."""
    assert len([line for line in SCRIPT.splitlines() if line]) <= 12
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    exec(SCRIPT, {})
    curves = {line.get_label(): line.get_ydata() for line in plt.gca().lines}
    plt.close("all")
    assert set(curves) == {"gamma = 0.2", "gamma = 0.4"}
    assert curves["gamma = 0.4"][-1] < curves["gamma = 0.2"][-1]
    assert [file.name for file in tmp_path.iterdir()] == ["burden.png"]


def test_digits_are_those_of_the_command_line(run, carmodel, write, tmp_path):
    import carmodel as package

    file = write(package.case(**SMALL).toml())
    assert carmodel("run", file, "--out", tmp_path / "out", "--quiet").code == 0
    told = package.open(tmp_path / "out")
    pd.testing.assert_frame_equal(run.series, told.series, check_exact=True)
    xr.testing.assert_identical(run.line, told.line)
    xr.testing.assert_identical(run.fields, told.fields)
    assert (run.units, run.names, run.status) == (told.units, told.names, told.status)
    assert run.totals == told.totals
    assert run.totals["TA"] == run.series["total_TA"].iloc[-1]


@pytest.mark.parametrize("space", [{"cells": [4, 4, 4]}, {"kind": "mesh", "mesh": "grid", "cells": [4, 4, 4]}])
def test_a_folder_holds_what_memory_holds(tmp_path, space):
    case = carmodel.case(space=space, time={"end": 0.1})
    kept, written = carmodel.simulate(case), carmodel.simulate(case, out=tmp_path / "out")
    assert written.folder == tmp_path / "out"
    pd.testing.assert_frame_equal(kept.series, written.series, check_exact=True)
    for name in ("fields", "line"):
        xr.testing.assert_allclose(getattr(kept, name), getattr(written, name), rtol=1e-13, atol=1e-15)
    mass = float((kept.fields["TA"][-1] * kept.fields.get("volume", 1.0 / 64)).sum())
    assert mass == pytest.approx(kept.totals["TA"], rel=1e-12)
    assert written.case.tables() == case.tables()


def test_tables_and_fields_have_units(run):
    assert run.series.attrs["units"]["total_TA"] == "K_T cm^3"
    assert run.fields["H"].attrs["long_name"] == "hypoxia"
    assert run.fields["t"].attrs["units"] == "day"
    assert run.fields["C"].dims == ("t", "z", "y", "x")
    assert run.fields["x"].values == pytest.approx((np.arange(6) + 0.5) / 6)
    assert "6 x 5 x 4 cells, 0.2 days, finished, in memory" in repr(run)


def test_one_time_reads_one_volume(tmp_path):
    """Volumes that are gone are missed when they are asked for."""
    kept = carmodel.simulate(carmodel.case(**SMALL), out=tmp_path / "out").fields["C"]
    fields = carmodel.open(tmp_path / "out").fields
    (tmp_path / "out/fields/t00002.vti").unlink()
    assert (fields["C"].sel(t=0.09, method="nearest") == kept[1]).all()
    with pytest.raises(carmodel.InputError, match=r"t00002\.vti"):
        _ = fields["C"][2].values


def test_cases_are_laid_upon_one_another(tmp_path):
    base = carmodel.case(ROOT / "runs/quickstart.toml", space={"cells": (8, 8, 8)})
    assert base.space.lengths == (1.2, 1.2, 1.2)
    case = carmodel.case(base, **{"parameters.gamma": np.float64(0.25)}, time={"end": np.int64(3)})
    assert (case.parameters.values.gamma, case.time.end) == (0.25, 3.0)
    assert case.space == base.space
    assert case.initial == base.initial
    assert base.parameters.values.gamma != 0.25
    strang = carmodel.case(case, integrator={"kind": "strang", "dt": 0.1})
    assert carmodel.case(strang, integrator={"kind": "imex"}).integrator.kind == "imex"


def test_a_model_of_the_program(monkeypatch):
    case = carmodel.case(model=two_fields.MODEL, **SMALL, initial={"N": {"shape": "ball", "radius": 0.4, "value": 0.5}})
    run = carmodel.simulate(case)
    assert run.names == ("N", "S")
    assert run.series["total_N"].iloc[-1] > run.series["total_N"].iloc[0]
    with carmodel.models.searching([ROOT / "tests/models"]):
        named = carmodel.simulate(carmodel.case(case, model="two_fields"))
    pd.testing.assert_frame_equal(run.series, named.series, check_exact=True)
    with pytest.raises(carmodel.InputError, match="model = 'two_fields'; accepted"):
        carmodel.case(model="two_fields", **SMALL)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: carmodel.case(spaces={}), "case: unknown key 'spaces'"),
        (lambda: carmodel.case(time={"end": -1.0}), "case: time.end = -1.0; accepted: greater than 0"),
        (lambda: carmodel.case(time={"end": "long"}), "case: time.end = 'long'; accepted:"),
        (lambda: carmodel.case(5), "case: 5; accepted: a case, the name of a run file, or nothing"),
        (lambda: carmodel.case("nowhere.toml"), "nowhere.toml: "),
        (lambda: carmodel.case(sweep={"time.end": [1.0]}), "case: sweep: makes many runs"),
        (lambda: carmodel.case(model=two_fields.MODEL, parameters={"gamma": 1.0}), "unknown key 'gamma'"),
        (lambda: carmodel.simulate({"time": 1.0}), "simulate: dict; accepted: what carmodel.case gives"),
        (lambda: carmodel.simulate(carmodel.case(**SMALL), 5), "an observer is none; accepted"),
        (lambda: carmodel.open("nowhere"), "nowhere: not a run directory"),
        (
            lambda: carmodel.simulate(carmodel.case(**SMALL, initial={"tumour": {"shape": "ball", "radius": 1e-9}})),
            "case: initial.tumour",
        ),
    ],
)
def test_errors_are_those_of_the_command_line(make, said):
    with pytest.raises(carmodel.InputError) as error:
        make()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_takes_one_run(tmp_path):
    case = carmodel.case(**SMALL)
    carmodel.simulate(case, out=str(tmp_path / "out"))
    with pytest.raises(carmodel.InputError, match=r"out = '.*out': holds another run \(run.toml\)"):
        carmodel.simulate(case, out=str(tmp_path / "out"))


def surroundings():
    """What a run could leave behind."""
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "petsc": dict(PETSc.Options().getAll()),
        "numba": numba.get_num_threads(),
        "threads": threading.active_count(),
        "numpy": np.geterr(),
        "folder": os.getcwd(),
        "hook": sys.excepthook,
    }


class Failing(carmodel.Observer):
    """Raises in the middle of a run."""

    def __init__(self, error):
        self.error = error

    def step(self, run):
        if run.steps == 1:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("mine"), carmodel.NumericsError("theirs"), KeyboardInterrupt()])
@pytest.mark.parametrize("to_folder", [False, True])
def test_nothing_is_left_behind_after_an_error(tmp_path, error, to_folder):
    before = surroundings()
    with pytest.raises(type(error)):
        carmodel.simulate(carmodel.case(**SMALL), Failing(error), out=tmp_path / "out" if to_folder else None)
    assert surroundings() == before
    if to_folder:
        assert carmodel.open(tmp_path / "out").status.startswith("failed: ")


def test_interrupt_stops_after_the_step_and_leaves_a_whole_folder(tmp_path):
    """As the stop button of a notebook sends it; Python's own handler is there again."""

    def press(run):
        if run.outputs == 1:
            signal.raise_signal(signal.SIGINT)

    # A shell's `&` has the tests ignore Ctrl-C.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        before = surroundings()
        with pytest.raises(KeyboardInterrupt):
            carmodel.simulate(carmodel.case(**SMALL | {"time": {"end": 5.0}}), press, out=tmp_path / "out")
        assert surroundings() == before
    finally:
        signal.signal(signal.SIGINT, usual)
    told = carmodel.open(tmp_path / "out")
    assert told.status.startswith("stopped: by signal 2")
    assert told.fields["t"].size >= 2
    assert 0.0 < told.series["t"].iloc[-1] < 1.0


def test_a_programs_own_handler_is_left_alone():
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        run = carmodel.simulate(carmodel.case(**SMALL), lambda run: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT] * 3
    assert run.status == "finished"


def test_runs_in_another_thread():
    """Where no signal can be handled."""
    found = []
    thread = threading.Thread(target=lambda: found.append(carmodel.simulate(carmodel.case(**SMALL))))
    thread.start()
    thread.join()
    assert found[0].status == "finished"


def test_a_density_in_other_units_is_a_warning():
    short = SMALL | {"time": {"end": 1e-6}, "output": {"every": 0}}
    case = carmodel.case(**short, initial={"cart": {"shape": "layer", "from": 0.0, "to": 0.3, "value": 1e6}})
    with pytest.warns(UserWarning, match="cart"):
        carmodel.simulate(case)


ON_HALVES = """
import sys
from mpi4py import MPI
import carmodel
world = MPI.COMM_WORLD
half = world.Split(world.rank // 2)
gamma = (0.2, 0.6)[world.rank // 2]
case = carmodel.case(space={"cells": [6, 5, 4]}, time={"end": 0.2}, parameters={"gamma": gamma})
run = carmodel.simulate(case, comm=half)
for n, comm in enumerate((MPI.COMM_SELF, half)):
    again = carmodel.simulate(case, comm=comm, out=f"{sys.argv[1]}/{n}-{world.rank if n == 0 else world.rank // 2}")
    assert abs(again.series["total_TA"].iloc[-1] / run.series["total_TA"].iloc[-1] - 1.0) < 1e-10
if half.rank == 0:
    assert run.fields["C"].shape == (2, 4, 5, 6)
else:
    try:
        run.fields
    except carmodel.InputError as error:
        assert "rank 0" in str(error)
try:
    carmodel.simulate(carmodel.case(case, space={"kind": "mesh", "mesh": "grid", "cells": [4, 4, 4]}), comm=half)
except carmodel.InputError as error:
    assert "accepted on a communicator of others: 'box'" in str(error)
else:
    raise SystemExit("no error")
half.Free()
"""


def test_runs_on_parts_of_the_ranks(tmp_path):
    (tmp_path / "halves.py").write_text(ON_HALVES)
    answer = mpirun(4, sys.executable, tmp_path / "halves.py", tmp_path)
    assert answer == (0, "", ""), answer
    ends = {name: carmodel.open(tmp_path / name).totals["TA"] for name in ("1-0", "1-1", "0-0", "0-3")}
    assert ends["1-0"] == pytest.approx(ends["0-0"], rel=1e-10)
    assert ends["1-1"] == pytest.approx(ends["0-3"], rel=1e-10)
    assert ends["1-0"] > ends["1-1"]


IMPORT = """
import os, sys
before = dict(os.environ)
import carmodel
assert {"case", "simulate", "open", "Run", "models"} <= set(dir(carmodel))
assert not {"fipy", "numba", "petsc4py", "mpi4py", "pandas", "xarray", "numpy"} & set(sys.modules), sys.modules.keys()
assert dict(os.environ) == before
sys.modules["xarray"] = None  # as where it is not installed
run = carmodel.simulate(carmodel.case(space={"cells": [4, 4, 4]}, time={"end": 0.05}))
assert run.series["t"].iloc[-1] == 0.05
assert "pandas" in sys.modules
try:
    run.fields
except carmodel.InputError as error:
    assert str(error) == "Run.fields and Run.line need the package xarray; accepted: pip install xarray"
else:
    raise SystemExit("no error")
"""


def test_importing_is_free_and_xarray_is_optional(tmp_path):
    job = subprocess.run([sys.executable, "-c", IMPORT], cwd=tmp_path, capture_output=True, text=True)
    assert (job.returncode, job.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


def resident():
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["box", pytest.param("mesh", marks=pytest.mark.slow)])
def test_a_hundred_runs_leave_the_process_as_it_was(kind):
    grid = {"cells": [8, 8, 8]} | ({"kind": "mesh", "mesh": "grid"} if kind == "mesh" else {})
    base = carmodel.case(space=grid, time={"end": 0.2})
    for gamma in np.linspace(0.1, 0.2, 10):
        carmodel.simulate(carmodel.case(base, parameters={"gamma": gamma}))
    before, memory, open_files = surroundings(), resident(), len(os.listdir("/proc/self/fd"))
    for gamma in np.linspace(0.2, 0.6, 100):
        carmodel.simulate(carmodel.case(base, parameters={"gamma": gamma}))
    assert surroundings() == before
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert resident() - memory < 10e6, (resident() - memory) / 1e6
    assert MPI.COMM_WORLD.size == 1
