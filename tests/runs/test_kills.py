"""Jobs under mpirun that are killed or stopped at any moment, and resumed: the same bytes as undisturbed ones."""

import os
import random
import shutil
import signal
import subprocess
from contextlib import suppress
from time import monotonic, sleep

import numpy as np
import pytest

from carmodel.commands.compare import compare
from carmodel.results import RunDirectory
from tests.conftest import mpirun, start_mpirun
from tests.runs.resumable import CASES, case, differences

RANKS = 2

#: Kills of each case, unless --fuzz-count says otherwise.
KILLS = 2

pytestmark = pytest.mark.slow


def run_file(way, kind, folder):
    """A run of many steps, each followed by a checkpoint, and many outputs."""
    kept = case(way, kind, folder, checkpoint_every=1e-9, every=0.05)
    file = folder / "case.toml"
    file.write_text(kept.toml())
    return file


def resumed(file, out, ranks=RANKS):
    answer = mpirun(ranks, "carmodel", "run", file, "--out", out, "--quiet", "--resume")
    assert answer.code == 0, answer.err
    return out


def ranks_of(job):
    """Processes that mpirun has started; the launcher's filter of messages is none."""
    found = subprocess.run(["pgrep", "-P", str(job.pid), "-f", "carmodel run"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(job):
    """All ranks of a job at once, as when the machine fails."""
    for pid in ranks_of(job):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        job.communicate(timeout=20)
    except subprocess.TimeoutExpired:  # Open MPI 4's mpirun may wait for itself when all its processes end at once
        job.kill()
        job.communicate(timeout=20)


def killed_at_any_moment(file, out, draw):
    """What a job leaves that is killed up to a second after its tables were begun; one that was over is run again."""
    was_over = True
    while was_over:
        shutil.rmtree(out, ignore_errors=True)
        began = monotonic()
        job = start_mpirun(RANKS, "carmodel", "run", file, "--out", out, "--quiet")
        while not (out / "series.csv").exists() and job.poll() is None:
            sleep(0.01)
            assert monotonic() - began < 60
        sleep(draw.uniform(0.0, 1.0))
        was_over = job.poll() is not None
        kill(job)


@pytest.mark.parametrize(("way", "kind"), CASES, ids=["-".join(one) for one in CASES])
def test_a_job_killed_at_any_moment_is_resumed_to_the_digit(way, kind, tmp_path, fuzz_count):
    file, whole, out = run_file(way, kind, tmp_path), tmp_path / "whole", tmp_path / "out"
    resumed(file, whole)
    draw = random.Random(f"{way} {kind}")
    for n in range(fuzz_count(KILLS)):
        killed_at_any_moment(file, out, draw)
        stopped = tmp_path / "stopped"
        shutil.rmtree(stopped, ignore_errors=True)
        shutil.copytree(out, stopped)
        assert differences(whole, resumed(file, out)) == []
        if n == 0:
            for ranks in (1, 3):
                shutil.rmtree(out)
                shutil.copytree(stopped, out)
                found = compare(resumed(file, out, ranks), whole)
                assert np.max([found.relative_l2, found.relative_max]) < 1e-10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_job_that_is_told_to_stop_saves_and_is_resumed_to_the_digit(number, tmp_path):
    file, whole, out = run_file("exponential", "box", tmp_path), tmp_path / "whole", tmp_path / "out"
    long = ("--set", "time.end=40.0", "--set", "output.every=0.2")
    job = start_mpirun(RANKS, "carmodel", "run", file, "--out", out, "--quiet", *long)
    while not (out / "series.csv").exists():
        sleep(0.01)
    sleep(0.5)
    if number == signal.SIGUSR2:  # which mpirun hands on
        job.send_signal(number)
    else:  # from a batch system; mpirun itself would leave its ranks a second
        for pid in ranks_of(job):
            os.kill(pid, number)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 128 + number, err
    assert '"stopped: by signal' in (out / "manifest.json").read_text()
    for folder in (whole, out):
        answer = mpirun(RANKS, "carmodel", "run", file, "--out", folder, "--quiet", "--resume", *long)
        assert answer.code == 0, answer.err
    assert differences(whole, out) == []


def test_a_killed_rank_ends_the_job_and_what_it_left_says_so(tmp_path):
    file, out = run_file("strang", "masked", tmp_path), tmp_path / "out"
    job = start_mpirun(RANKS, "carmodel", "run", file, "--out", out, "--quiet", "--set", "time.end=500.0")
    while not (out / "checkpoints").exists():
        sleep(0.01)
    assert len(ranks_of(job)) == RANKS
    os.kill(ranks_of(job)[-1], signal.SIGKILL)
    began = monotonic()
    job.communicate(timeout=30)
    assert monotonic() - began < 10
    assert job.returncode != 0
    while RunDirectory(out).status == "running":  # the other rank may take a moment to end
        sleep(0.1)
        assert monotonic() - began < 20
    assert RunDirectory(out).status.startswith("killed")
