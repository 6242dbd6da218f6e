"""How commands end: exit codes, last words, and one end for all ranks, whichever rank an error comes from."""

import io
import sys
import time

import pytest

from carmodel.commands import process
from carmodel.results import RunDirectory
from carmodel.tools import ranks as job
from carmodel.tools.errors import InputError
from tests.conftest import mpirun

CASE = """
[space]
cells = [6, 6, 6]
lengths = [1.0, 1.0, 1.0]
[time]
end = 0.3
[integrator]
kind = "strang"
dt = 0.1
[output]
every = 0.1
"""

#: What is raised, and the exit code and last line that come of it, `{}` being "rank N: " from a rank that is alone.
KINDS = {
    "input": ("InputError('wrong input')", 2, "wrong input"),
    "numerics": ("NumericsError('no step is short enough')", 3, "no step is short enough{where}"),
    "disk": (
        "OSError(28, 'No space left', '/d/f')",
        3,
        "/d/f: cannot be written: No space left; saved: {saved} outputs",
    ),
    "memory": ("MemoryError('no room')", 3, "{rank}out of memory: no room"),
    "interrupt": ("KeyboardInterrupt()", 130, "{rank}interrupted"),
    "exit": ("SystemExit(5)", 5, "{rank}ended with exit code 5"),
    "quiet exit": ("SystemExit(0)", 1, "{rank}ended with exit code 0"),
    "bug": ("RuntimeError('a mistake')", 1, "RuntimeError: a mistake"),
}

#: Raises an error on some ranks in one phase of a run: the second time that phase comes, but for the start.
DRIVER = """
import sys, time
from pathlib import Path
from mpi4py import MPI
from carmodel.commands import cli
from carmodel.tools.errors import InputError, NumericsError
from carmodel.integrators import Strang
from carmodel.runs import assembly
from carmodel.runs.output.series import Series
from carmodel.runs.output.vtk import VtkVolumes
from carmodel.tools import ranks as job

_, error, phase, ranks, patience, note, *arguments = sys.argv
job.PATIENCE, sys.argv = float(patience), ["carmodel", *arguments]
owner, name = {
    "set-up": (assembly, "make_integrator"),
    "start": (Series, "start"),
    "step": (Strang, "step"),
    "output": (VtkVolumes, "output"),
}[phase]
usual, calls = getattr(owner, name), []
def broken(*arguments):
    calls.append(1)
    if len(calls) == (2 if phase in ("step", "output") else 1):
        Path(note).write_text(str(time.time()))
        raise eval(error)
    return usual(*arguments)
if ranks == "all" or MPI.COMM_WORLD.rank == int(ranks):
    setattr(owner, name, broken)
cli.main()
"""

ONCE = [
    ("bug", "set-up", 1),
    ("numerics", "step", 1),
    ("interrupt", "step", 0),
    ("disk", "output", 0),
    ("numerics", "step", "all"),
]
MATRIX = [
    case
    for case in ((k, p, r) for k in KINDS for p in ("set-up", "start", "step", "output") for r in (0, 1, "all"))
    # All ranks that exit with 0 have done what they wanted.
    if case not in ONCE and (case[0], case[2]) != ("quiet exit", "all")
]


@pytest.mark.parametrize(
    ("kind", "phase", "ranks"), [*ONCE, *(pytest.param(*case, marks=pytest.mark.slow) for case in MATRIX)]
)
def test_an_error_on_any_rank_ends_the_job_with_its_message(write, tmp_path, kind, phase, ranks):
    out, note = tmp_path / "out", tmp_path / "raised"
    patience = 0.5 if (kind, phase, ranks) in ONCE else job.PATIENCE
    error, code, text = KINDS[kind]
    driver = (sys.executable, "-c", DRIVER, error, phase, ranks, patience, note)
    answer = mpirun(2, *driver, "run", write(CASE), "--out", out, "--quiet")
    assert time.time() - float(note.read_text()) < 10.0
    saved = {"step": 2, "output": 1}.get(phase, 0)
    if (kind, phase) == ("disk", "set-up"):  # nothing is saved there
        text = "{rank}/d/f: No space left"
    message = text.format(
        rank="" if ranks == "all" else f"rank {ranks}: ",
        where=f", step from t = 0.1; saved: {saved} outputs" if phase == "step" else "",
        saved=saved,
    )
    lines = answer.err.splitlines()
    if (kind, ranks) == ("exit", "all"):  # whoever asks for it has said why
        assert (answer.code, lines) == (code, [])
        return
    assert (answer.code, lines[-1]) == (code, message), answer
    if kind == "bug":
        where = [line for line in lines if line.startswith("rank ")]
        assert where == ([] if ranks == "all" else [f"rank {ranks}:"])
        assert sum(line.startswith("Traceback") for line in lines) == 1
    else:
        assert len(lines) == 1
    if phase in ("step", "output"):
        run = RunDirectory(out)
        status = run.manifest["status"]
        assert status == f"failed: {message}" if ranks == 1 else status.startswith("failed: ")
        assert list(run.series["t"]) == [0.0, 0.1]


def test_what_is_said_is_said_in_one_piece(monkeypatch):
    pieces = []

    class Terminal(io.StringIO):
        def write(self, text):
            pieces.append(text)

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert process.end(InputError("wrong")) == 2
    assert pieces == ["wrong\n"]
