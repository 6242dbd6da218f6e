"""Runs that go on from a checkpoint write the same bytes as runs that never stopped."""

import errno
import os
import shutil
import signal

import h5py
import numpy as np
import pytest
from mpi4py import MPI

import carmodel
from carmodel.runs import checkpoints, statefile
from carmodel.runs.directory import OUTPUTS
from carmodel.runs.statefile import DamagedError, StateFile
from carmodel.spaces.layout import Block, Numbered, OfRanks, Shared
from carmodel.tools.errors import InputError, NumericsError
from carmodel.tools.walltime import end_of_job, seconds_of
from tests.runs.resumable import CASES, case, differences, killed_after

#: Those that run always: each kind of state, each kind of space.
ALWAYS = [("exponential", "box"), ("arkimex", "masked"), ("strang", "gmsh"), ("coupled", "gmsh")]
EVERY_CASE = [pytest.param(*one, id="-".join(one), marks=[] if one in ALWAYS else pytest.mark.slow) for one in CASES]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*setting negative values:UserWarning", "ignore:.*cell Peclet number:UserWarning"
)

SMALL_CASE = carmodel.case(space={"cells": [8, 6, 5]}, time={"end": 0.6})
SMALL = {"space": {"cells": [8, 6, 5]}, "time": {"end": 0.6}, "integrator": {"kind": "strang", "dt": 0.1}}


@pytest.fixture
def small(write):
    """A run file of six steps, with a checkpoint after each."""
    return write(
        '[space]\ncells = [8, 6, 5]\n[time]\nend = 0.6\n[integrator]\nkind = "strang"\ndt = 0.1\n'
        "[output]\nevery = 0.2\ncheckpoint_every = 1e-9\n"
    )


def files(out):
    """Checkpoints of a run directory, the oldest first."""
    return sorted((out / "checkpoints").iterdir())


@pytest.mark.parametrize(("way", "kind"), EVERY_CASE)
def test_a_run_goes_on_to_the_digit_from_any_step(way, kind, tmp_path, monkeypatch):
    """From the first, the last and some others; those with an infusion or other diffusivities among them."""
    monkeypatch.setattr(checkpoints, "KEPT", 1000)
    one, whole = case(way, kind, tmp_path, checkpoint_every=1e-9), tmp_path / "whole"
    carmodel.simulate(one, out=whole)
    at = {path: StateFile(path, MPI.COMM_SELF).read("run")["t"] for path in files(whole)}
    events = [path for path, t in at.items() if t in (0.33, 0.45, 0.6)]
    assert len(at) >= 8
    assert len(events) == 3
    found = list(at)
    for path in dict.fromkeys([found[0], *events, found[len(found) // 2], found[-1]]):
        out = killed_after(whole, path, tmp_path / "out")
        assert carmodel.simulate(one, out=out, resume=True).status == "finished"
        assert differences(whole, out) == [], path.name
    if (way, kind) == ("strang", "gmsh"):
        assert '"gamg"' in (whole / "manifest.json").read_text().replace("cg + ", "")  # its history is part of it


def test_the_command_goes_on_and_says_so(small, carmodel, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0
    assert [path.name for path in files(whole)] == ["step_00000004.h5", "step_00000005.h5"]  # the two latest
    killed_after(whole, files(whole)[0], out)
    (out / "fields/t00003.vti.new").write_text("half of a file")
    told = carmodel("info", out).out
    assert "killed: " in told
    assert f"step_00000004.h5: carmodel run FILE --out {out} --resume goes on from there" in told
    assert "--resume" not in carmodel("info", whole).out
    answer = carmodel("run", small, "--out", out, "--quiet", "--resume")
    assert (answer.code, answer.err) == (0, "")
    assert differences(whole, out) == []
    manifest = (out / "manifest.json").read_text()
    assert '"resumed"' in manifest
    assert '"t": 0.4' in manifest
    answer = carmodel("run", small, "--out", out, "--resume")
    assert (answer.code, answer.err) == (0, f"--out {out}: the run is finished; nothing to do\n")


def test_without_a_checkpoint_it_starts_afresh(small, carmodel, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0
    answer = carmodel("run", small, "--out", out, "--quiet", "--resume")
    assert (answer.code, answer.err) == (0, f"--out {out}: no run to go on from; it starts at t = 0\n")
    killed_after(whole, files(whole)[0], out)
    shutil.rmtree(out / "checkpoints")
    (out / "notes.txt").write_text("the user's own")
    answer = carmodel("run", small, "--out", out, "--quiet", "--resume")
    assert (answer.code, answer.err) == (0, f"--out {out}: no checkpoint to go on from; it starts at t = 0\n")
    assert differences(whole, out) == ["notes.txt"]


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(small, carmodel, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0
    size = files(whole)[-1].stat().st_size
    for spoil, reason in (
        (lambda file: file.write_bytes(file.read_bytes()[: size // 2]), "its checksum"),
        (lambda file: os.truncate(file, 0), "is no checkpoint"),
        (lambda file: flip(file, size // 3), "its checksum"),
        (lambda file: flip(file, size - 1), "its checksum"),
        (lambda file: flip(file, 0), "is no checkpoint"),
    ):
        killed_after(whole, files(whole)[-1], out)
        newest = files(out)[-1]
        spoil(newest)
        answer = carmodel("run", small, "--out", out, "--quiet", "--resume")
        assert answer.code == 0
        assert answer.err.startswith(f"{newest}: is damaged: {reason}")
        assert answer.err.count("\n") == 1
        assert differences(whole, out) == []


def flip(file, place):
    """Spoil one byte."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_what_may_be_another_on_resuming(small, carmodel, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0
    killed_after(whole, files(whole)[-1], out)
    before = sorted((file, file.read_bytes()) for file in out.rglob("*") if file.is_file())
    for key, value in (
        ("integrator.dt", "0.05"),
        ("parameters.rho_C", "0.3"),
        ("space.cells", "[8, 6, 6]"),
        ("output.line.axis", "y"),
    ):
        answer = carmodel("run", small, "--out", out, "--resume", "--set", f"{key}={value}")
        assert answer.code == 2
        assert answer.err.startswith(f"--out {out}: holds a run with {key} = ")
        assert answer.err.count("\n") == 1
    assert sorted((file, file.read_bytes()) for file in out.rglob("*") if file.is_file()) == before
    changes = ["time.end=0.8", "output.every=0.1", "title=longer"]
    overrides = [word for change in changes for word in ("--set", change)]
    assert carmodel("run", small, "--out", out, "--quiet", "--resume", *overrides).code == 0
    run = open_run(out)
    assert run.case.time.end == 0.8
    assert run.series["t"].iloc[-1] == 0.8
    assert run.fields["t"].values.tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.7, 0.8])  # from t = 0.5 on
    answer = carmodel("run", small, "--out", out, "--resume", "--set", "time.end=0.3")  # it is beyond that
    assert answer.code == 0
    assert "is of t = " in answer.err


open_run = carmodel.open


def test_a_shorter_run_leaves_nothing_of_the_longer_one(small, carmodel, tmp_path):
    """Rows and volumes after the checkpoint are gone, though none takes their place."""
    whole, out, often = tmp_path / "whole", tmp_path / "out", ("--quiet", "--set", "output.every=0.1")
    assert carmodel("run", small, "--out", whole, *often, "--set", "time.end=0.9").code == 0
    killed_after(whole, files(whole)[0], out)
    for name in ("t00008.vti.new", "t00009_1.vti"):
        (out / "fields" / name).touch()
    assert carmodel("run", small, "--out", out, *often, "--resume", "--set", "time.end=0.75").code == 0
    run = open_run(out)
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75]
    assert run.series["t"].tolist() == pytest.approx(times)
    assert run.line["t"].values.tolist() == run.fields["t"].values.tolist() == pytest.approx(times)
    assert sorted(path.name for path in (out / "fields").iterdir()) == [f"t{n:05d}.vti" for n in range(9)]


def test_a_folder_in_use_or_of_another_run_is_refused(small, carmodel, tmp_path):
    from carmodel.tools.locks import hold

    out = tmp_path / "out"
    assert carmodel("run", small, "--out", out, "--quiet").code == 0
    lock = hold(out / "run.toml")
    answer = carmodel("run", small, "--out", out, "--resume")
    os.close(lock)
    assert answer.code == 2
    assert "its run goes on" in answer.err
    (out / "run.toml").write_text("[space]\n")
    answer = carmodel("run", small, "--out", out, "--resume")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith(f"--out {out}: holds a run with ")


def test_signals_save_and_stop_or_go_on(tmp_path):
    """Whatever the run is doing when they come: writing an output, a checkpoint, or making an infusion."""
    from carmodel.runs.dosing import Schedule
    from carmodel.runs.output.vtk import VtkVolumes

    one = case("exponential", "box", tmp_path)
    whole = tmp_path / "whole"
    carmodel.simulate(one, out=whole)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    try:
        for n, (where, name) in enumerate(((VtkVolumes, "output"), (Schedule, "happen"), (checkpoints, "write"))):
            out, calls = tmp_path / str(n), []
            with pytest.MonkeyPatch.context() as patch:
                real = getattr(where, name)

                def signalled(*arguments, real=real, calls=calls, **named):
                    calls.append(1)
                    if len(calls) == 2:
                        signal.raise_signal(signal.SIGINT)
                    return real(*arguments, **named)

                patch.setattr(where, name, signalled)
                every = {"output": {"checkpoint_every": 0.1}} if name == "write" else {}
                with pytest.raises(KeyboardInterrupt):
                    carmodel.simulate(carmodel.case(one, **every), out=out)
            assert carmodel.open(out).status.startswith("stopped: by signal 2")
            assert len(files(out)) >= 1
            carmodel.simulate(one, out=out, resume=True)
            assert differences(whole, out) == []
    finally:
        signal.signal(signal.SIGINT, usual)


def test_sigusr1_saves_and_goes_on(small, carmodel, tmp_path, monkeypatch):
    from carmodel.runs.output.series import Series

    real, calls = Series.step, []

    def step(self, run):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGUSR1)
        real(self, run)

    monkeypatch.setattr(Series, "step", step)
    answer = carmodel("run", small, "--out", tmp_path / "out", "--quiet", "--set", "output.checkpoint_every=0")
    assert answer.code == 0
    assert [path.name for path in files(tmp_path / "out")] == ["step_00000003.h5"]


def test_the_end_is_kept_on_request_and_a_run_may_then_last_longer(small, carmodel, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    sets = ("checkpoint_every=0", "checkpoint_at_end=true", "every=0.25")
    once = ["--quiet", *(word for key in sets for word in ("--set", f"output.{key}")), "--set", "integrator.dt=0.125"]
    assert carmodel("run", small, "--out", out, *once, "--set", "time.end=0.5").code == 0
    assert [path.name for path in files(out)] == ["step_00000004.h5"]
    assert carmodel("run", small, "--out", out, "--resume", *once, "--set", "time.end=1.0").code == 0
    assert carmodel("run", small, "--out", whole, *once, "--set", "time.end=1.0").code == 0
    assert differences(whole, out) == []


def test_a_full_disk_leaves_the_last_good_checkpoint(small, carmodel, tmp_path, monkeypatch):
    """No half of a file under its final name; what the run says names the file."""
    real, calls = os.posix_fallocate, []

    def full(handle, start, size):
        calls.append(size)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, start, size)

    whole, out = tmp_path / "whole", tmp_path / "out"
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0
    monkeypatch.setattr(os, "posix_fallocate", full)
    answer = carmodel("run", small, "--out", out, "--quiet")
    assert answer.code == 3
    assert answer.err == (
        f"{out}/checkpoints/step_00000003.h5: cannot be written: No space left on device; saved: 2 outputs\n"
    )
    assert [path.name for path in files(out)] == ["step_00000001.h5", "step_00000002.h5"]
    assert carmodel("run", small, "--out", out, "--quiet", "--resume").code == 0
    assert differences(whole, out) == []


def states(out):
    """Fields and times of a run's checkpoints."""
    layout = Block((5, 6, 8), (0, 0, 0), (5, 6, 8))
    kept = [StateFile(path, MPI.COMM_SELF).read("run") for path in files(out)]
    return [(state["t"], state["u"].part(layout)) for state in kept]


def test_what_is_not_finite_is_never_kept(tmp_path):
    """Neither after a failure nor when it is time for a checkpoint."""

    def spoil(run):
        if run.outputs == 2:
            run.u[2] = np.nan
            run.state_changed()

    for integrator in (SMALL["integrator"], {}):
        out = tmp_path / str(len(integrator))
        one = carmodel.case(SMALL_CASE, integrator=integrator, output={"every": 0.2, "checkpoint_every": 0.15})
        with pytest.raises(NumericsError, match=r"finite|undershoots"):
            carmodel.simulate(one, spoil, out=out)
        assert all(np.isfinite(u).all() and t <= 0.4 for t, u in states(out))
        assert len(states(out)) >= 1


@pytest.mark.parametrize("integrator", [SMALL["integrator"], {}], ids=["fixed steps", "chosen steps"])
def test_the_last_good_state_is_kept_when_the_numerics_fail(integrator, tmp_path):
    """Fixed steps spoil their fields before it is seen; chosen ones collapse."""
    change = {"time": 0.3, "set": {"rho_C": 1e200}}
    one = carmodel.case(SMALL_CASE, integrator=integrator, intervention=[change])
    with pytest.raises(NumericsError):
        carmodel.simulate(one, out=tmp_path / "out")
    ((t, u),) = states(tmp_path / "out")
    assert t == 0.3
    assert np.isfinite(u).all()
    assert 0.1 < u[0].max() < 1.0


# ---- the file ------------------------------------------------------------------------------------------------------


def test_a_state_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(1)
    block = Block((4, 3, 2), (0, 0, 0), (4, 3, 2))
    numbers = rng.permutation(10)
    state = {
        "fields": Shared(rng.random((2, 4, 3, 2)), block),
        "cells": Shared(rng.random(10), Numbered((10,), numbers)),
        "inside": {"list": [1, 2.5, None, "word", True, float("inf")], "array": rng.random((2, 3))},
        "counts": np.arange(3),
        "clamped": OfRanks(rng.random(2)),
    }
    file = tmp_path / "state.h5"
    statefile.write(file, state, MPI.COMM_SELF)
    read = StateFile(file, MPI.COMM_SELF)
    assert (read.read("fields").part(block) == state["fields"].values).all()
    assert (read.read("cells").part(Numbered((10,), numbers)) == state["cells"].values).all()
    assert read.read("inside")["list"] == state["inside"]["list"]
    assert (read.read("inside")["array"] == state["inside"]["array"]).all()
    assert read.read("counts").dtype == np.int64
    assert (read.read("clamped") == state["clamped"].values).all()
    with h5py.File(file) as plain:  # in natural order, for any reader of HDF5
        assert (plain["fields"][...] == state["fields"].values).all()
        assert (plain["cells"][...][numbers] == state["cells"].values).all()
    with pytest.raises(DamagedError, match="an array of"):
        read.read("fields").part(Block((4, 3, 3), (0, 0, 0), (4, 3, 3)))


def test_a_file_that_leads_elsewhere_is_refused(tmp_path):
    """HDF5 can fetch arrays from other files; a checkpoint with a right checksum may still be made by somebody."""
    other, file = tmp_path / "other.bin", tmp_path / "state.h5"
    other.write_bytes(b"\0" * 800)
    for make in (
        lambda f: f.create_dataset("u", (100,), "f8", external=[(str(other), 0, 800)]),
        lambda f: f.__setitem__("u", h5py.ExternalLink(str(other), "/u")),
        lambda f: f.__setitem__("u", h5py.SoftLink("/state")),
        lambda f: f.create_group("u"),
    ):
        with h5py.File(file, "w", userblock_size=statefile.HEAD) as made:
            made.create_dataset("state", data=np.frombuffer(b"{}", dtype=np.uint8))
            make(made)
        digest = statefile._digest(file, file.stat().st_size, MPI.COMM_SELF)
        with file.open("r+b") as head:
            head.write(statefile.TITLE + digest.encode() + b"\n")
        with pytest.raises(DamagedError, match="holds u"):
            StateFile(file, MPI.COMM_SELF)


def test_checkpoints_belong_to_a_run():
    assert "checkpoints" in OUTPUTS


# ---- wall time -----------------------------------------------------------------------------------------------------


def test_durations():
    assert seconds_of("11h50m") == 11 * 3600 + 50 * 60
    assert seconds_of("40s") == 40
    assert seconds_of("1d2h") == 26 * 3600
    assert seconds_of("1-02:30:00") == 26.5 * 3600
    assert seconds_of("11:50:00") == 11 * 3600 + 50 * 60
    assert seconds_of("50:30") == 50 * 60 + 30
    for wrong in ("", "0s", "tomorrow", "5", "-3h", "3h2", "1e3s", "nan"):
        with pytest.raises(InputError, match="--walltime"):
            seconds_of(wrong)


def test_the_batch_system_s_end(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert end_of_job() == float("inf")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert end_of_job() == float("inf")  # no scontrol here
    answer = tmp_path / "scontrol"
    answer.write_text(
        "#!/bin/sh\necho JobId=17 StartTime=2026-01-02T03:04:05 EndTime=2026-01-02T04:04:05 Deadline=N/A\n"
    )
    answer.chmod(0o755)
    monkeypatch.setenv("TZ", "UTC")
    import time

    time.tzset()
    assert end_of_job() == 1767326645.0
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1767326000")
    assert end_of_job() == 1767326000.0


def test_a_run_stops_before_its_time_is_up(small, carmodel, tmp_path, monkeypatch):
    """The clock is moved on: the end comes within the reserve after the third step."""
    from carmodel.runs.output.series import Series

    whole, out, calls, real = tmp_path / "whole", tmp_path / "out", [], Series.step
    assert carmodel("run", small, "--out", whole, "--quiet").code == 0

    def step(self, run):
        calls.append(1)
        if len(calls) == 4:
            monkeypatch.setattr(checkpoints, "left", lambda deadline: 1.0)
        real(self, run)

    with monkeypatch.context() as patch:
        patch.setattr(Series, "step", step)
        answer = carmodel("run", small, "--out", out, "--walltime", "10h")
    monkeypatch.undo()
    assert answer.code == 4
    assert "stopped: out of time at t = 0.3" in answer.out
    assert carmodel("run", small, "--out", out, "--quiet", "--resume").code == 0
    assert differences(whole, out) == []
    assert carmodel("run", small, "--out", tmp_path / "new", "--walltime", "soon").code == 2
    assert not (tmp_path / "new").exists()
