"""What a run says of itself when its disk is full, its folder is gone, or it was killed."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from mpi4py import MPI

from carmodel import results
from carmodel.results import RunDirectory
from carmodel.runs.output import manifest as manifest_module
from carmodel.runs.output.table import TableFile
from carmodel.runs.statefile import StateFile
from carmodel.tools.errors import InputError
from tests.conftest import ROOT, mpirun
from tests.runs.resumable import differences

CARMODEL = ROOT / ".venv/bin/carmodel"
CASE = """
[space]
cells = [9, 8, 7]
[initial]
tumour = { shape = "ball", radius = 0.25, value = 0.9 }
cart = { shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5 }
[time]
end = 400.0
[integrator]
kind = "strang"
dt = 0.02
[output]
every = 0.1
"""


@pytest.fixture
def disk(tmp_path):
    """Mounts file systems of a few hundred kilobytes: disk(kilobytes) gives the folder."""
    mounted = []

    def mount(kilobytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        size = f"size={kilobytes}k"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("file systems cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)  # a rank may take its time to end


def assert_honest(run, complaint):
    """The manifest says what went wrong, and agrees with the files, which are whole."""
    assert run.manifest["status"].startswith("failed: "), run.manifest["status"]
    assert run.cut_off == []
    assert (run.folder / "series.csv").read_bytes().endswith(b"\n")
    assert run.manifest["outputs"] <= len(run.volumes.times) <= run.manifest["outputs"] + 1
    assert f"saved: {run.manifest['outputs']} outputs" in complaint
    for n in range(len(run.volumes.times)):
        assert np.isfinite(run.volumes.read(n)).all()
    assert not list(run.folder.rglob("*.new"))


def test_wherever_the_disk_fills_up_the_manifest_says_so(carmodel, write, disk):
    for kilobytes in range(120, 280, 12):
        out = disk(kilobytes) / "out"
        answer = carmodel("run", write(CASE), "--out", out, "--quiet")
        assert (answer.code, answer.err.count("\n")) == (3, 1), answer
        assert "cannot be written: " in answer.err
        assert_honest(RunDirectory(out), answer.err)
        assert f"{out}: failed: " in carmodel("info", out).out


def test_on_two_ranks_too(write, disk):
    out = disk(400) / "out"
    answer = mpirun(2, CARMODEL, "run", write(CASE), "--out", out, "--quiet")
    assert answer.code == 3
    run = RunDirectory(out)
    assert run.manifest["status"].startswith("failed: ")
    assert run.series["t"][-1] > 0.0


SIZES = [(1, 420), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((1, 360), (1, 500), (2, 420), (2, 500)))]


@pytest.mark.parametrize(("ranks", "kilobytes"), SIZES)
def test_checkpoints_outlive_a_full_disk(ranks, kilobytes, write, disk, tmp_path, carmodel):
    """Those that are there are whole; with room again the run goes on as if there had been enough."""
    case, whole, folder = write(CASE), tmp_path / "whole", disk(kilobytes)
    out = folder / "out"

    def run(folder, *more):
        command = ("run", case, "--out", folder, "--quiet", "--set", "output.checkpoint_every=0.06", *more)
        command += ("--set", "time.end=2.0")
        return carmodel(*command) if ranks == 1 else mpirun(ranks, CARMODEL, *command)

    assert run(whole).code == 0
    answer = run(out)
    assert answer.code == 3, answer
    assert list(out.glob("checkpoints/*.h5"))
    for path in out.glob("checkpoints/*.h5"):
        StateFile(path, MPI.COMM_SELF)  # raises where it is not whole
    subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
    answer = run(out, "--resume")
    assert (answer.code, answer.err) == (0, "")
    assert differences(whole, out) == []


def test_of_a_row_that_does_not_fit_nothing_is_left(tmp_path, monkeypatch):
    table = TableFile(tmp_path / "t.csv", ["a", "b"])
    table.add([1.0, 2.0])
    table.flush()
    table.add([3.0, 4.0])
    write = os.write

    def part_of_it(handle, data):
        monkeypatch.setattr(os, "write", full)
        return write(handle, data[:5])

    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", part_of_it)
    with pytest.raises(OSError, match=r"No space left.*t\.csv"):
        table.close()
    monkeypatch.undo()
    assert (tmp_path / "t.csv").read_bytes() == b"a,b\r\n1.0,2.0\r\n"


def test_a_manifest_overwrites_itself_where_it_cannot_be_replaced(carmodel, write, tmp_path, monkeypatch):
    """Quotas count the old file as well."""
    out = tmp_path / "out"

    def full(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "manifest.json")

    saved = manifest_module.Manifest.saved

    def later_full(self, run):
        if run.outputs == 3:
            monkeypatch.setattr(manifest_module.os, "replace", full)
        saved(self, run)

    monkeypatch.setattr(manifest_module.Manifest, "saved", later_full)
    answer = carmodel("run", write(CASE), "--out", out, "--quiet")
    monkeypatch.undo()
    assert answer.code == 3
    assert "saved: 3 outputs" in answer.err
    assert RunDirectory(out).manifest["status"] == "failed: [Errno 122] Disk quota exceeded: 'manifest.json'"
    assert RunDirectory(out).manifest["outputs"] == len(RunDirectory(out).volumes.times) == 3


def test_a_finished_manifest_is_not_padded(carmodel, write, tmp_path):
    out = tmp_path / "out"
    assert carmodel("run", write(CASE), "--out", out, "--set", "time.end=0.1", "--quiet").code == 0
    text = (out / "manifest.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2) + "\n"
    assert json.loads(text)["outputs"] == 2


def test_volumes_that_go_away_while_running_end_the_run(carmodel, write, tmp_path, monkeypatch):
    out = tmp_path / "out"
    saved = manifest_module.Manifest.saved

    def remove(self, run):
        saved(self, run)
        if run.outputs == 2:
            (out / "fields").rename(tmp_path / "elsewhere")

    monkeypatch.setattr(manifest_module.Manifest, "saved", remove)
    answer = carmodel("run", write(CASE), "--out", out, "--quiet")
    assert (answer.code, answer.err.count("\n")) == (3, 1)
    assert "out/fields/t00001.vti: cannot be written: was removed while the run lasted; saved: 2 outputs" in answer.err
    assert RunDirectory(out).cut_off == ["fields.pvd: 2 of 2 volumes are missing"]
    assert "fields.pvd: 2 of 2 volumes are missing" in carmodel("info", out).out


def test_a_killed_run_says_so(carmodel, write, tmp_path):
    out = tmp_path / "out"
    command = [CARMODEL, "run", write(CASE), "--out", out, "--quiet"]
    with subprocess.Popen(command, env=dict(os.environ)) as job:
        for _ in range(600):
            if (out / "fields/t00002.vti").is_file():
                break
            time.sleep(0.05)
        assert RunDirectory(out).status == "running"
        assert f"{out}: running" in carmodel("info", out).out
        job.send_signal(signal.SIGKILL)
    run = RunDirectory(out)
    assert run.manifest["status"] == "running"
    assert (
        run.status
        == f"killed: process {job.pid} on {os.uname().nodename} is gone, last update " + (run.manifest["updated"])
    )
    told = carmodel("info", out).out
    assert f"{out}: killed: process {job.pid}" in told
    assert f"{run.series['t'][-1]:g} days in {np.count_nonzero(run.series['dt'])} steps" in told


def test_without_locks_the_process_is_looked_for(carmodel, write, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert carmodel("run", write(CASE), "--out", out, "--set", "time.end=0.1", "--quiet").code == 0
    file = out / "manifest.json"
    monkeypatch.setattr(results, "is_held", lambda _: None)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for pid, host, status in (
        (os.getpid(), os.uname().nodename, "running"),
        (ended.pid, os.uname().nodename, "killed"),
        (ended.pid, "elsewhere", "running"),
    ):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "running", "pid": pid, "host": host}))
        assert RunDirectory(out).status.split(":")[0] == status


@pytest.mark.parametrize("name", ["series.csv", "line.csv"])
def test_a_table_that_is_cut_off_is_read_as_far_as_it_is_whole(carmodel, write, tmp_path, name):
    out = tmp_path / "out"
    assert carmodel("run", write(CASE), "--out", out, "--set", "time.end=0.5", "--quiet").code == 0
    kind = name.removesuffix(".csv")
    whole = getattr(RunDirectory(out), kind)
    (out / name).write_bytes((out / name).read_bytes()[:-3])
    run = RunDirectory(out)
    assert f"{name}: its last row is incomplete and left out" in run.cut_off
    np.testing.assert_array_equal(getattr(run, kind)["t"], whole["t"][:-1])
    assert f"cut off  {name}: its last row" in carmodel("info", out).out
    with pytest.raises(InputError, match="is damaged"):
        getattr(run, f"whole_{kind}")


def test_a_lock_ends_with_its_holder(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("")
    assert results.is_held(file) is False
    with file.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert results.is_held(file) is True
    assert results.is_held(file) is False
    assert results.is_held(tmp_path / "none") is None
