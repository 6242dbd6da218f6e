"""Many ranks: the same numbers, all ranks end when one fails, a clean stop on a signal."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pyvista

from carmodel.commands.compare import compare
from carmodel.models.polyakov import FIELDS
from carmodel.results import RunDirectory
from tests.conftest import ODD_CELLS, ROOT, mpirun, start_mpirun

CARMODEL = ROOT / ".venv/bin/carmodel"
CASE = f"""
[space]
cells = {list(ODD_CELLS)}
lengths = [1.0, 0.9, 0.6]
[initial]
tumour = {{ shape = "ball", radius = 0.25, value = 0.9, edge = 0.05, negative_fraction = 0.1 }}
cart = {{ shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5 }}
[time]
end = 1.0
[integrator]
kind = "strang"
dt = 0.1
[output]
every = 0.5
formats = ["vtk", "csv"]
"""


MASKED = "[parameters]\nD_C = { mask = 'mask.vti', ignore_geometry = true }\n"


@pytest.mark.parametrize(
    ("diffusion", "solver_of_H", "tolerance"),
    [
        ("ksp", "cosine transform", 1e-10),
        pytest.param("ksp", "cg + gamg", 1e-10, marks=pytest.mark.slow),
        pytest.param("jacobi", "at most 60 Jacobi sweeps", 1e-13, marks=pytest.mark.slow),
    ],
)
def test_ranks_do_not_change_the_fields(write, tmp_path, diffusion, solver_of_H, tolerance):
    """1 to 4 ranks on a grid whose sides none of 2, 3, 4 divides; D_C varies in `ksp`."""
    options = ["--", "-H_pc_type", "gamg"] if "gamg" in solver_of_H else []
    case = write(CASE + (MASKED if diffusion == "ksp" else ""))
    image = pyvista.ImageData(dimensions=[n + 1 for n in ODD_CELLS])
    image.cell_data["D_C"] = 0.014 * np.random.default_rng(14).uniform(0.01, 1.0, np.prod(ODD_CELLS))
    image.save(tmp_path / "mask.vti")
    for ranks in (1, 2, 3, 4):
        out = tmp_path / str(ranks)
        answer = mpirun(
            ranks,
            CARMODEL,
            "run",
            case,
            "--out",
            out,
            "--quiet",
            "--set",
            f"integrator.diffusion={diffusion}",
            *options,
        )
        assert answer.code == 0, answer
        assert "Peclet" in answer.err or not answer.err  # where D_C is least
        assert RunDirectory(out).manifest["ranks"] == ranks
        difference = compare(out, tmp_path / "1")
        assert difference.times == [0.0, 0.5, 1.0]
        assert difference.relative_max.max() <= tolerance, dict(zip(FIELDS, difference.relative_max, strict=True))
    one, four = (RunDirectory(tmp_path / n) for n in ("1", "4"))
    assert one.manifest["linear_solvers"]["H"] == solver_of_H
    for name, column in one.series.items():
        assert four.series[name] == pytest.approx(column, rel=1e-9, abs=0.1 * tolerance), name
    for name, column in one.line.items():
        assert four.line[name] == pytest.approx(column, rel=1e-9, abs=0.1 * tolerance), name
    # The gathered CSV holds the same numbers as the pieces.
    csv = compare(tmp_path / "4/csv", tmp_path / "4")
    assert csv.relative_max.max() == 0.0


POSITIVE = "reaction = 'mprk22'\ntaxis = 'scharfetter-gummel'\ndiffusion_scheme = '{}'\n"


@pytest.mark.parametrize(
    ("kind", "scheme"), [pytest.param("box", "backward-euler", marks=pytest.mark.slow), ("mesh", "sdirk2")]
)
def test_ranks_do_not_change_implicit_taxis(write, tmp_path, kind, scheme):
    """Incomplete LU is of each rank's own rows: other iterates, the same fields."""
    text = CASE.replace('kind = "strang"\n', 'kind = "strang"\n' + POSITIVE.format(scheme))
    case = write(text.replace("[space]", f'[space]\nkind = "{kind}"').replace(', "csv"', ""))
    answers = [mpirun(n, CARMODEL, "run", case, "--out", tmp_path / str(n), "--quiet") for n in (1, 3)]
    assert answers[0] == answers[1]
    assert answers[0].code == 0, answers
    # H diffuses with sdirk2 in steps that are long for it, and falls below zero.
    assert answers[0].err.count("\n") == answers[0].err.count("warning: H: ") == (scheme == "sdirk2")
    assert compare(tmp_path / "3", tmp_path / "1").relative_max.max() <= 1e-10
    one, three = (RunDirectory(tmp_path / n) for n in ("1", "3"))
    assert three.manifest["linear_solvers"]["C"] == "gmres + bjacobi"
    for name, column in one.series.items():
        assert three.series[name] == pytest.approx(column, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize(
    "cells", [(7, 1, 1), *(pytest.param(cells, marks=pytest.mark.slow) for cells in ((1, 1, 5), (2, 2, 3)))]
)
def test_thin_boxes_run_on_several_ranks(write, tmp_path, cells):
    case = write(CASE.replace(str(list(ODD_CELLS)), str(list(cells))).replace("to = 0.3", "to = 0.6"))
    for ranks in (1, 3):
        answer = mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / str(ranks), "--quiet")
        assert answer == (0, "", ""), answer
    assert compare(tmp_path / "3", tmp_path / "1").relative_max.max() < 1e-10


BUG = """
import sys
from pathlib import Path
from mpi4py import MPI
from carmodel.commands.run import Wishes, launch
from carmodel.spaces import BoxSpace
def broken(self, u, fields):
    if MPI.COMM_WORLD.rank == 1:
        raise RuntimeError("a bug on one rank")
    MPI.COMM_WORLD.barrier()
BoxSpace.exchange = broken
launch(Path(sys.argv[1]), Wishes(Path(sys.argv[2]), [], [], True))
"""


def test_an_exception_on_one_rank_ends_the_job_with_its_traceback(write, tmp_path):
    answer = mpirun(2, sys.executable, "-c", BUG, write(CASE), tmp_path / "out", timeout=60)
    assert answer.code != 0
    assert "rank 1" in answer.err
    assert "RuntimeError: a bug on one rank" in answer.err


LOST = """
import sys
from mpi4py import MPI
from carmodel.commands.cli import main
sys.argv[2] += "x" * MPI.COMM_WORLD.rank
main()
"""


def test_input_that_only_one_rank_cannot_read_stops_all(write, tmp_path):
    answer = mpirun(2, sys.executable, "-c", LOST, "run", write(CASE), "--out", tmp_path / "out", timeout=60)
    assert answer.code == 2
    assert answer.err.count("\n") == 1, answer.err
    assert "case.tomlx" in answer.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_run_after_saving_its_state(write, tmp_path, number):
    out = tmp_path / "out"
    case = write(CASE.replace("end = 1.0", "end = 1000.0"))
    # A shell without job control starts what stands before its & with SIGINT ignored, these tests perhaps among it.
    job = subprocess.Popen(
        [CARMODEL, "run", case, "--out", out, "--quiet"], preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    deadline = time.monotonic() + 60
    while not (out / "fields/t00002.vti").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(timeout=30) == 128 + number
    run = RunDirectory(out)
    t = run.manifest["t"]
    assert run.manifest["status"].startswith("stopped")
    assert run.volumes.times[-1] == t
    assert run.series["t"][-1] == t
    assert run.volumes.read(len(run.volumes.times) - 1).shape == (7, *reversed(ODD_CELLS))


def ranks_of(out):
    """Process numbers of the ranks that write to a folder."""
    found = []
    for told in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            words = told.read_bytes().decode().split("\0")
            if "python" in words[0] and str(out) in words:
                found.append(int(told.parent.name))
    return found


@pytest.fixture
def running(write, tmp_path):
    """A long run on two ranks, once it has saved something: job, folder, process numbers of the ranks."""
    out = tmp_path / "out"
    case = write(CASE.replace("end = 1.0", "end = 1000.0"))
    job = start_mpirun(2, CARMODEL, "run", case, "--out", out, "--quiet")
    deadline = time.monotonic() + 60
    while not (out / "fields/t00002.pvti").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield job, out, ranks_of(out)
    job.kill()
    job.communicate()


def test_ranks_stop_together_when_mpirun_is_asked(running):
    """mpirun passes SIGTERM on; the ranks agree on the step after which they stop."""
    job, out, _ = running
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=30)
    assert job.returncode != 0
    run = RunDirectory(out)
    assert run.manifest["status"].startswith("stopped")
    assert run.volumes.times[-1] == run.manifest["t"]


def test_a_killed_rank_ends_the_job(running):
    job, _, ranks = running
    os.kill(ranks[-1], signal.SIGKILL)
    job.communicate(timeout=30)
    assert job.returncode != 0


def test_a_signal_to_one_rank_stops_all_cleanly(running):
    job, out, ranks = running
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGTERM)
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 143
    assert "Traceback" not in errors
    assert RunDirectory(out).manifest["status"].startswith("stopped: by signal 15")


def test_command_line_errors_are_told_once():
    answer = mpirun(3, CARMODEL, "run", "nowhere.toml", "--out")
    assert answer.code == 2
    assert answer.err.count("\n") == 1, answer.err


@pytest.mark.slow
def test_pieces_of_different_process_grids_make_one_volume(write, tmp_path):
    case = write(CASE)
    for name, ranks in (("a", 2), ("b", 3)):
        mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / name, "--quiet", "--set", "time.end=0.05")
    a, b = (RunDirectory(tmp_path / name).volumes.read(0) for name in "ab")
    assert (a == b).all()
    assert np.isfinite(a).all()
