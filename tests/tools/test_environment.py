"""What importing and running leave behind in the process: nothing."""

import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest

from carmodel.integrators import Exponential, Imex, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.spaces import BoxSpace, stencils
from carmodel.tools.threads import WORTHWHILE
from tests.conftest import ROOT, smooth_state

IMPORT_ALL = """
import os, signal, sys
handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
hook, before = sys.excepthook, dict(os.environ)
import importlib, pkgutil
import carmodel
for module in pkgutil.walk_packages(carmodel.__path__, "carmodel."):
    if not module.name.endswith("gmsh_process"):
        importlib.import_module(module.name)
sys.path.insert(0, "postprocess")
import volume, report
assert "fipy" in sys.modules and "vtkmodules" in sys.modules
changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
assert not changed, changed
assert hook is sys.excepthook
assert handlers == {number: signal.getsignal(number) for number in handlers}
from fipy.solvers import solver_suite
assert solver_suite == "petsc"
"""


def test_importing_changes_neither_environment_nor_signals():
    environment = {name: value for name, value in os.environ.items() if name not in ("FIPY_SOLVERS", "GOMP_SPINCOUNT")}
    job = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert job.returncode == 0, job.stderr


CASE = """
[space]
kind = "mesh"
mesh = "grid"
cells = [4, 4, 4]
lengths = [1.0, 1.0, 1.0]
[time]
end = 0.1
[integrator]
kind = "strang"
dt = 0.1
"""


@pytest.mark.parametrize(("change", "code"), [("", 0), ("x = 1", 2)])
def test_a_run_puts_back_what_it_changes(carmodel, write, tmp_path, change, code):
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

    def state():
        handlers = [signal.getsignal(number) for number in signals]
        return dict(os.environ), handlers, sys.excepthook, numba.get_num_threads(), np.geterr()

    before = state()
    assert carmodel("run", write(CASE + change), "--out", tmp_path / "out", "--quiet").code == code
    assert state() == before


def test_a_run_that_breaks_off_puts_signals_back(carmodel, write, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def broken(*_):
        assert signal.getsignal(signal.SIGTERM) != before
        raise KeyboardInterrupt

    monkeypatch.setattr(Strang, "step", broken)
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet")
    assert (answer.code, answer.err) == (130, "interrupted\n")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")
@pytest.mark.parametrize("kind", [Strang, Exponential, Imex])
def test_a_small_box_leaves_the_threads_of_others_alone(monkeypatch, kind):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    used = []
    for name in ("explicit_rate", "explicit_stage"):
        usual = getattr(stencils, name)

        def watched(*arguments, usual=usual):
            used.append(numba.get_num_threads())
            return usual(*arguments)

        monkeypatch.setattr(stencils, name, watched)
    before = numba.get_num_threads()
    large, small = (BoxSpace(cells, (1.0, 1.0, 1.0)) for cells in ((40, 40, WORTHWHILE // 1600 + 1), (6, 6, 6)))
    assert numba.get_num_threads() == before
    for space, threads in ((large, len(os.sched_getaffinity(0))), (small, 1), (large, len(os.sched_getaffinity(0)))):
        integrator = kind(space, Medium(PRESETS["normalised"]), taxis="upwind")
        used.clear()
        integrator.step(smooth_state(space), 0.01)
        integrator.destroy()
        assert set(used) == {threads}
        assert numba.get_num_threads() == before
    large.destroy()
    small.destroy()


def test_the_command_line_as_a_module_tells_openmp_how_long_to_wait(write, tmp_path):
    """OpenMP itself says so when it is loaded."""
    case = write(CASE.replace('kind = "mesh"\nmesh = "grid"\n', ""))
    job = subprocess.run(
        [sys.executable, "-m", "carmodel", "run", case, "--out", tmp_path / "out", "--quiet"],
        env=dict(os.environ) | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    assert job.returncode == 0
    assert "GOMP_SPINCOUNT = '10000'" in job.stderr


#: Ctrl-C just when VTK's modules begin to load one another.
INTERRUPTED = """
import signal, sys
def interrupt(event, arguments):
    if event == "import" and arguments[0] == "vtkmodules.vtkCommonCore":
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(interrupt)
signal.signal(signal.SIGINT, signal.default_int_handler)
from carmodel.commands.cli import main
main()
"""


def test_an_interrupt_while_vtk_is_loaded_waits_for_it(write, tmp_path):
    arguments = ("run", write(CASE), "--out", tmp_path / "out", "--quiet")
    job = subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True)
    assert (job.returncode, job.stdout, job.stderr) == (130, "", "interrupted\n")


def test_closed_standard_streams_are_those_that_nobody_reads(write):
    command = f"{sys.executable} -m carmodel check {write(CASE)} <&- >&-"
    job = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True)
    assert (job.returncode, job.stderr) == (0, "")
