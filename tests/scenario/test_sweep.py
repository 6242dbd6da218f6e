"""Sweeps: what they expand to, what is made, kept and refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from carmodel.commands import batch
from carmodel.commands.summary import table
from carmodel.results import RunDirectory
from carmodel.scenario.reading import load
from carmodel.scenario.sweep import expand
from carmodel.tools.errors import InputError, NumericsError
from carmodel.tools.locks import hold
from tests.conftest import ROOT

SMALL = """
title = "small"
[space]
cells = [4, 4, 4]
[initial]
tumour = { shape = "ball", radius = 0.4 }
[time]
end = 0.04
[output]
every = 0.0
formats = []
"""

GRID = (
    SMALL
    + """
[sweep]
"initial.tumour.negative_fraction" = [0.0, 0.5]
[sweep.regime]
slow = {}
fast = { parameters = { r_T = 0.2 }, time = { end = 0.02 } }
"""
)


def test_a_sweep_is_the_product_of_its_axes(write):
    runs = expand(write(GRID), [])
    assert list(runs) == [f"case/negative_fraction={f},{name}" for f in (0.0, 0.5) for name in ("slow", "fast")]
    fast = runs["case/negative_fraction=0.5,fast"]
    assert (fast.initial.tumour.negative_fraction, fast.parameters.values.r_T, fast.time.end) == (0.5, 0.2, 0.02)
    assert fast.initial.tumour.radius == 0.4
    assert runs["case/negative_fraction=0.5,slow"].time.end == 0.04


def test_what_is_swept_wins_over_overrides_and_they_over_the_file(write):
    runs = expand(write(GRID), ["time.end=0.03", "parameters.r_T=0.1"])
    slow, fast = (runs[f"case/negative_fraction=0.0,{name}"] for name in ("slow", "fast"))
    assert (slow.time.end, slow.parameters.values.r_T) == (0.03, 0.1)
    assert (fast.time.end, fast.parameters.values.r_T) == (0.02, 0.2)


def test_what_is_swept_or_set_outlives_a_kind_of_another_axis(write):
    """In either order of the axes, and whatever kind the file says."""
    values, kinds = '"integrator.dt" = [0.1, 0.2]\n', '"integrator.kind" = ["imex", "strang"]\n'
    for file in (SMALL, SMALL + "[integrator]\nkind = 'strang'\nsubsteps = 3\n"):
        for axes in (values + kinds, kinds + values):
            runs = expand(write(f"{file}[sweep]\n{axes}"), ["integrator.taxis=upwind"])
            found = {(run.integrator.kind, run.integrator.dt) for run in runs.values()}
            assert found == {(kind, dt) for kind in ("imex", "strang") for dt in (0.1, 0.2)}
            for name, run in runs.items():
                assert f"dt={run.integrator.dt}" in name
                assert f"kind={run.integrator.kind}" in name
                assert run.integrator.taxis == "upwind"
    both = "[sweep]\n'integrator.kind' = ['imex', 'strang']\n"
    assert {run.integrator.dt for run in expand(write(SMALL + both), ["integrator.dt=0.3"]).values()} == {0.3}


def test_what_is_swept_outlives_a_shape_of_another_axis(write):
    shapes = "[sweep.s]\nball = {}\nlayer = { initial = { tumour = { shape = 'layer', from = 0.2, to = 0.5 } } }\n"
    runs = expand(write(SMALL + '[sweep]\n"initial.tumour.negative_fraction" = [0.2, 0.5]\n' + shapes), [])
    tumours = {name: run.initial.tumour for name, run in runs.items()}
    assert len(tumours) == 4
    for name, tumour in tumours.items():
        assert name == f"case/negative_fraction={tumour.negative_fraction},{tumour.shape}"
    with pytest.raises(InputError, match=r"sweep: radius=0.1,layer: initial.tumour.*unknown key 'radius'"):
        expand(write(SMALL + '[sweep]\n"initial.tumour.radius" = [0.1]\n' + shapes), [])


def test_of_one_key_the_last_axis_counts(write):
    axes = "[sweep]\n'time.end' = [1.0]\n[sweep.a]\nx = { time = { end = 2.0 } }\n"
    (run,) = expand(write(SMALL + axes), []).values()
    assert run.time.end == 2.0


def test_a_file_without_a_sweep_is_one_run(write):
    file = write(SMALL)
    assert expand(file, []) == {"case": load(file)}


def test_volumes_named_by_a_case_are_looked_for_beside_the_file(write, tmp_path):
    (tmp_path / "c.vti").touch()
    runs = expand(write(SMALL + "[sweep]\n'initial.C' = ['c.vti']\n[sweep.a]\nx = { initial = { E = 'c.vti' } }\n"), [])
    (scenario,) = runs.values()
    files = {field: given.file for field, given in scenario.initial.files.items()}
    assert files == {"C": str(tmp_path / "c.vti"), "E": str(tmp_path / "c.vti")}


@pytest.mark.parametrize(
    ("axis", "complaint"),
    [
        ("sweep = 3", "sweep = 3; accepted: a table of axes"),
        ("[sweep]", "sweep = {}; accepted"),
        ("[sweep]\na = []", "sweep.a = []; accepted: a list of values"),
        ("[sweep]\na = 1", "sweep.a = 1; accepted: a list of values"),
        ("[sweep.a]\nb = 1", "sweep.a = {'b': 1}; accepted"),
        ("[sweep]\n'time.end' = [1.0, 1.0]", "'end=1.0' makes no name of its own"),
        ("[sweep.a]\n'../..' = {}", "'../..' makes no name of its own"),
        ("[sweep]\n'time.end' = [1.0, -1.0]", "sweep: end=-1.0: time.end = -1.0"),
        ("[sweep]\n'time.begin' = [1.0]", "unknown key 'begin'"),
        ("[sweep]\na = [1, 2]", "unknown key 'a'"),
    ],
)
def test_wrong_sweeps_are_refused(carmodel, write, tmp_path, axis, complaint):
    # Top-level keys come first in TOML.
    file = write(axis + SMALL if axis.startswith("sweep") else SMALL + axis)
    answer = carmodel("sweep", file, "--out", tmp_path / "out")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert complaint in answer.err
    assert not (tmp_path / "out").exists()


def test_run_says_what_to_do_with_a_sweep(carmodel, write, tmp_path):
    answer = carmodel("run", write(GRID))
    assert answer.code == 2
    assert "accepted by: carmodel sweep" in answer.err


def test_check_prints_the_axes_and_checks_every_run(carmodel, write, tmp_path):
    answer = carmodel("check", write(GRID))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "initial.tumour.negative_fraction: negative_fraction=0.0, negative_fraction=0.5",
        "regime: slow, fast",
        "4 runs, all valid:",
        *(f"  case/negative_fraction={f},{name}" for f in (0.0, 0.5) for name in ("slow", "fast")),
    ]
    answer = carmodel("check", write(SMALL + "[sweep.a]\nwithout = {}\nwith = { initial = { C = 'none.vti' } }\n"))
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "case.toml: sweep: case/with: initial.C = " in answer.err
    assert not list(tmp_path.glob("*/manifest.json"))


def finished(folder, scenario, status="finished", **more):
    """What a run leaves behind, as far as reuse looks at it."""
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(scenario.toml())
    (folder / "manifest.json").write_text(json.dumps({"status": status} | more))


def test_runs_are_made_once_each_in_a_process_of_its_own(carmodel, write, tmp_path):
    file = write(GRID)
    answer = carmodel("sweep", file, "--out", tmp_path / "out", "--jobs", 2)
    assert answer.code == 0, answer.err
    names = list(expand(file, []))
    for name in names:  # once in each: as soon as it is made, and among the results
        assert answer.err.count(f"made {name} in ") == answer.out.count(name) == 1
    heading, _, *rows, where, table = answer.out.splitlines()
    assert table == f"table: {tmp_path / 'out/case/sweep.csv'}"
    titles = ["run", "status", "days", "tumour burden at the end", "change", "antigen-negative", "seconds"]
    assert re.split(r"  +", heading.strip()) == titles
    assert where == f"runs: {tmp_path / 'out'}"
    for name, row in zip(names, rows, strict=True):
        run = RunDirectory(tmp_path / "out" / name)
        burden = run.series["total_TA"] + run.series["total_TB"]
        assert re.split(r"  +", row.strip()) == [
            name,
            "made",
            f"{run.series['t'][-1]:g}",
            f"{burden[-1]:.4g} K_T cm^3",
            f"{burden[-1] / burden[0] - 1.0:+.1%}",
            f"{run.series['total_TB'][-1] / burden[-1]:.1%}",
            f"{run.manifest['wall_seconds']['total']:.1f}",
        ]
    assert answer.err.count("made case/") == 4
    made = {name: (tmp_path / "out" / name / "manifest.json").read_bytes() for name in expand(file, [])}
    for text in made.values():
        assert json.loads(text)["status"] == "finished"
    assert len({json.loads(text)["pid"] for text in made.values()} | {os.getpid()}) == 5
    # Another title is no other run.
    file.write_text(GRID.replace('"small"', '"called otherwise"'))
    answer = carmodel("sweep", file, "--out", tmp_path / "out")
    assert answer.out.count("was there") == 4
    assert {name: (tmp_path / "out" / name / "manifest.json").read_bytes() for name in made} == made


def test_a_run_of_another_scenario_is_refused_and_left_alone(carmodel, write, tmp_path):
    file = write(SMALL)
    finished(tmp_path / "out/case", load(file, ["time.end=0.02"]))
    before = sorted(path.read_bytes() for path in (tmp_path / "out/case").iterdir())
    answer = carmodel("sweep", file, "--out", tmp_path / "out")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "holds another run (time.end = 0.02, here 0.04)" in answer.err
    assert sorted(path.read_bytes() for path in (tmp_path / "out/case").iterdir()) == before


@pytest.mark.parametrize("content", ["run.toml", "series.csv"])
def test_what_is_no_run_is_refused(carmodel, write, tmp_path, content):
    (tmp_path / "out/case").mkdir(parents=True)
    (tmp_path / "out/case" / content).write_text("mine")
    answer = carmodel("sweep", write(SMALL), "--out", tmp_path / "out")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "holds another run" in answer.err
    assert (tmp_path / "out/case" / content).read_text() == "mine"


def test_unfinished_runs_are_made_anew_and_other_files_kept(write, tmp_path):
    file = write(SMALL)
    out = tmp_path / "out/case"
    finished(out, load(file), "stopped: by signal 15 at t = 0.01")
    (out / "fields").mkdir()
    (out / "fields/t00000.vti").write_text("old")
    (out / "notes.txt").write_text("mine")
    assert batch.make(expand(file, []), tmp_path / "out", batch.local(1), quiet=True) == ["case"]
    assert json.loads((out / "manifest.json").read_text())["status"] == "finished"
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "fields").exists()


def test_of_a_link_the_link_is_removed_and_not_what_it_leads_to(write, tmp_path):
    file, elsewhere = write(SMALL), tmp_path / "elsewhere"
    out = tmp_path / "out/case"
    finished(out, load(file), "failed")
    elsewhere.mkdir()
    (elsewhere / "mine.vti").write_text("mine")
    (out / "fields").symlink_to(elsewhere)
    assert batch.make(expand(file, []), tmp_path / "out", batch.local(1), quiet=True) == ["case"]
    assert (elsewhere / "mine.vti").read_text() == "mine"
    assert not (out / "fields").is_symlink()


def test_folders_that_cannot_be_used_are_told_in_one_line(carmodel, write, tmp_path, monkeypatch):
    file = write(SMALL)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/case").write_text("mine")
    (tmp_path / "locked").mkdir()

    def refuse(path, *_arguments, **_more):
        raise PermissionError(13, "Permission denied", str(path))

    def ask(folder):
        answer = carmodel("sweep", file, "--out", folder)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        return answer.err

    assert "n/case: cannot be read: File name too long" in ask(tmp_path / ("n" * 400))
    assert "taken/case: cannot be written: File exists" in ask(tmp_path / "taken")
    assert (tmp_path / "taken/case").read_text() == "mine"
    with monkeypatch.context() as patch:
        really = os.open
        patch.setattr(os, "open", lambda path, *how: (refuse if "locked" in str(path) else really)(path, *how))
        assert "locked: cannot be read: Permission denied" in ask(tmp_path / "locked")
    finished(tmp_path / "locked/case", load(file), "failed")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        assert "locked: cannot be written: Permission denied" in ask(tmp_path / "locked")
    for method in ("exists", "is_file"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, refuse)
            assert "locked/case: cannot be read: Permission denied" in ask(tmp_path / "locked")


def test_a_run_that_is_being_made_is_refused(write, tmp_path):
    file, host = write(SMALL), os.uname().nodename
    out = tmp_path / "out/case"
    finished(out, load(file), "running", pid=os.getpid(), host=host, updated="a minute ago")
    lock = hold(out / "run.toml")
    with pytest.raises(InputError, match=f"is being made by process {os.getpid()}"):
        batch.make(expand(file, []), tmp_path / "out", batch.local(1), quiet=True)
    os.close(lock)
    assert batch.make(expand(file, []), tmp_path / "out", batch.local(1), quiet=True) == ["case"]


def test_two_batches_do_not_share_a_folder(write, tmp_path):
    (tmp_path / "out").mkdir()
    with batch._alone_in(tmp_path / "out"), pytest.raises(InputError, match="another carmodel is making runs there"):
        batch.make(expand(write(SMALL), []), tmp_path / "out", batch.local(1), quiet=True)


def test_failed_runs_are_told_after_the_others_are_made(write, tmp_path):
    """Growth at the end of what numbers can say."""
    file = write(SMALL + "[integrator]\nkind = 'strang'\n[sweep]\n'parameters.r_T' = [1e308, 0.1]\n")
    with pytest.raises(NumericsError, match=r"1 of 2 runs failed: case/r_T=1e\+308: .*saved: 1 o"):
        batch.make(expand(file, ["initial.tumour.value=0.5"]), tmp_path / "out", batch.local(2), quiet=True)
    assert json.loads((tmp_path / "out/case/r_T=0.1/manifest.json").read_text())["status"] == "finished"


TELL = """
import json, os, sys, time
from pathlib import Path
began = time.monotonic()
time.sleep(0.5)
Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
told = (began, time.monotonic(), os.environ["OMP_NUM_THREADS"], os.getsid(0) == os.getpid())
(Path(sys.argv[3]) / "told.json").write_text(json.dumps(told))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_runs_at_once_as_asked_on_a_core_and_in_a_session_each(write, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(batch, "COMMAND", [sys.executable, "-c", TELL])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    runs = expand(write(GRID), [])
    batch.make(runs, tmp_path / "out", batch.local(jobs), quiet=True)
    told = [json.loads((tmp_path / "out" / name / "told.json").read_text()) for name in runs]
    assert max(sum(a <= began < b for a, b, *_ in told) for began, *_ in told) == jobs
    assert all((threads, leads) == ("1", True) for *_, threads, leads in told)


def test_a_bug_in_a_run_is_a_bug_here(write, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "COMMAND", [sys.executable, "-c", "raise ZeroDivisionError('ours')"])
    with pytest.raises(RuntimeError, match=r"case:\n(.*\n)*ZeroDivisionError: ours"):
        batch.make(expand(write(SMALL), []), tmp_path / "out", batch.local(1), quiet=True)


def test_a_file_that_a_run_refuses_is_an_error_of_the_user(carmodel, write, tmp_path):
    """Exit code 2 as from `carmodel run`, the file's own name out of it: that was ours."""
    file = write(SMALL + "[sweep]\n'initial.C' = ['none.vti']\n")
    answer = carmodel("sweep", file, "--out", tmp_path / "out", "--quiet")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert re.match(
        r"1 of 1 runs refused: case/C=none.vti: initial.C = '.*none.vti': no such file; accepted", answer.err
    )


def test_a_killed_run_is_told_and_made_anew(write, tmp_path):
    file = write(SMALL + "[integrator]\nkind = 'strang'\ndt = 1e-5\n[sweep]\n'time.end' = [0.02, 100.0]\n")
    command = [ROOT / ".venv/bin/carmodel", "sweep", file, "--out", tmp_path / "out", "--jobs", "1"]
    manifest = tmp_path / "out/case/end=100.0/manifest.json"
    killed = set()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as job:
        for _ in range(600):
            with suppress(OSError, ValueError):
                if (pid := json.loads(manifest.read_text())["pid"]) not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            if len(killed) == 2:
                break
            time.sleep(0.1)
        told = job.communicate(timeout=60)[1].splitlines()
    assert job.returncode == 3
    assert "killed case/end=100.0; once more" in told
    assert told[-1] == "1 of 2 runs failed: case/end=100.0: ended by signal 9"
    assert json.loads(manifest.read_text())["status"] == "running"
    assert not batch._is_finished(manifest.parent, expand(file, [])["case/end=100.0"])


def test_a_run_that_is_killed_once_is_made_all_the_same(write, tmp_path):
    file = write(SMALL + "[integrator]\nkind = 'strang'\ndt = 1e-3\n[sweep]\n'time.end' = [1.0]\n")
    command = [ROOT / ".venv/bin/carmodel", "sweep", file, "--out", tmp_path / "out", "--ranks", "2"]
    manifest = tmp_path / "out/case/end=1.0/manifest.json"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as job:
        for _ in range(600):
            with suppress(OSError, ValueError):
                os.kill(json.loads(manifest.read_text())["pid"], signal.SIGKILL)
                break
            time.sleep(0.1)
        told = job.communicate(timeout=120)[1].splitlines()
    assert job.returncode == 0, told
    assert "killed case/end=1.0; once more" in told
    run = RunDirectory(manifest.parent)
    assert (run.status, run.manifest["ranks"]) == ("finished", 2)


def test_the_table_has_a_killed_run_that_had_written_nothing(carmodel, write, tmp_path):
    file = write(SMALL + "[integrator]\nkind = 'strang'\n")
    assert carmodel("run", file, "--out", tmp_path / "out").code == 0
    manifest, series = tmp_path / "out/manifest.json", tmp_path / "out/series.csv"
    series.write_text("")
    with pytest.raises(InputError, match="it is empty"):
        table({"a": RunDirectory(tmp_path / "out")}, [])
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    rows = table({"a": RunDirectory(tmp_path / "out")}, [])
    assert rows.row_count == 1


def test_a_signal_stops_the_runs_and_they_save(write, tmp_path):
    file = write(SMALL + "[integrator]\nkind = 'strang'\ndt = 1e-5\n[sweep]\n'time.end' = [100.0, 200.0]\n")
    command = [ROOT / ".venv/bin/carmodel", "sweep", file, "--out", tmp_path / "out", "--jobs", "2"]
    # Python's copy of the environment: this process may have started MPI, which marks that of C.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as job:
        manifests = [tmp_path / f"out/case/end={end}/manifest.json" for end in ("100.0", "200.0")]
        for _ in range(600):
            if all(path.is_file() for path in manifests):
                break
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=60) == 143
    for path in manifests:
        assert json.loads(path.read_text())["status"].startswith("stopped: by signal 15")


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_what_nohup_ignores_stays_ignored(write, tmp_path, command):
    file = write(SMALL + "[integrator]\nkind = 'strang'\ndt = 5e-4\n")
    arguments = [ROOT / ".venv/bin/carmodel", command, file, "--out", tmp_path / "out", "--set", "time.end=0.5"]
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(["nohup", *arguments], stderr=subprocess.DEVNULL, env=environment) as job:
        manifest = tmp_path / ("out/manifest.json" if command == "run" else "out/case/manifest.json")
        for _ in range(600):
            if manifest.is_file():
                break
            time.sleep(0.02)
        job.send_signal(signal.SIGHUP)
        assert job.wait(timeout=60) == 0
    assert json.loads(manifest.read_text())["status"] == "finished"


def test_runs_are_not_started_under_mpi(carmodel, write, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    for command in (("sweep", write(SMALL)), ("claims",)):
        answer = carmodel(*command)
        assert answer.code == 2
        assert "accepted: without mpirun" in answer.err
