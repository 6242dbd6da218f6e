"""Memory: what is left, what a run takes, and runs that cannot fit."""

import json

import pytest

from carmodel.runs import footprint
from carmodel.runs.footprint import bytes_per_cell, check_fits
from carmodel.scenario.reading import load
from carmodel.tools import memory
from tests.conftest import ROOT, mpirun

CASE = "[space]\ncells = [4, 4, 4]\n[time]\nend = 0.1\n"
CARMODEL = ROOT / ".venv/bin/carmodel"


@pytest.mark.parametrize("kind", ["box", "mesh"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_cannot_fit_is_refused_in_one_line_before_anything_is_made(carmodel, write, tmp_path, kind, command):
    """A billion cells, of which PETSc told pages."""
    sets = ("--set", "space.cells=[1000,1000,1000]", "--set", f"space.kind={kind}")
    out = ("--out", tmp_path / "out") if command == "run" else ()
    answer = carmodel(command, write(CASE), *out, *sets)
    assert answer.code == 2
    assert "case.toml: space.cells = [1000, 1000, 1000]: a run takes about " in answer.err
    assert " of memory, and " in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert not (tmp_path / "out").exists()


def test_check_says_how_much_a_run_takes(carmodel, write):
    answer = carmodel("check", write(CASE), "--set", "space.cells=[100,100,100]")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(
        "# 1000000 cells, about 970 MB of memory in one process\n"
        "# about 6.7 steps, 7 s on one core, to a factor of three; up to 33 ranks are worthwhile\n"
        "# at most 448 MB on the disk\n"
    )


RUNS = {
    "paper": ("runs/paper/3.2-no-exhaustion.toml", ["space.cells=[20,20,20]"]),
    "outputs": ("runs/quickstart.toml", ["space.cells=[12,12,12]", "output.every=0.1"]),
    "masked": ("runs/barrier.toml", []),
    "strang": ("runs/quickstart.toml", ["space.cells=[16,16,16]", "integrator.kind=strang", "integrator.dt=0.05"]),
    "published": (
        "runs/quickstart.toml",
        ["space.cells=[20,20,20]", "integrator.kind=strang", "integrator.diffusion=jacobi"],
    ),
    "mesh": ("runs/quickstart.toml", ["space.cells=[12,12,12]", "space.kind=mesh"]),
    "coupled": (
        "runs/quickstart.toml",
        ["space.cells=[8,8,8]", "space.kind=mesh", "integrator.kind=coupled", "integrator.dt=0.5"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_estimates_are_those_of_runs(name, carmodel, tmp_path):
    """Steps and disk; seconds on a machine that does nothing else are within a factor of three."""
    file, sets = RUNS[name]
    overrides = [word for key in sets for word in ("--set", key)]
    scenario = load(ROOT / file, sets)
    assert carmodel("run", ROOT / file, "--out", tmp_path / "out", "--quiet", *overrides).code == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    made = manifest["steps"] + manifest["rejected_steps"]
    assert made / 3.0 < footprint.expected_steps(scenario) < 3.0 * made
    assert manifest["outputs"] == footprint.number_of_outputs(scenario)
    cells = footprint.cells_of(scenario)
    size = sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert size < footprint.disk_bytes(scenario, cells) + 50_000
    print(name, footprint.seconds(scenario, cells), manifest["wall_seconds"]["total"])


def test_a_gmsh_mesh_is_held_to_it_before_fipy_reads_it(carmodel, write, tmp_path, monkeypatch):
    case = write(f"[space]\nkind = 'mesh'\nmesh = '{ROOT}/tests/data/cube.geo'\n[time]\nend = 0.1\n")
    monkeypatch.setattr(footprint, "available", lambda: int(footprint.PROCESS) + 1_000_000)
    answer = carmodel("run", case, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "cube.geo': has 527 cells: a run takes about 354 MB of memory, and 351 MB are left here; " in answer.err
    assert answer.err.count("\n") == 1


def test_ranks_share_a_machine_s_memory(write, monkeypatch):
    scenario = load(write(CASE))
    cells = 10_000_000
    monkeypatch.setattr(footprint, "available", lambda: int(bytes_per_cell(scenario) * cells + 1.5 * footprint.PROCESS))
    check_fits(scenario, cells)
    with pytest.raises(footprint.InputError, match="or more machines"):
        check_fits(scenario, cells, processes=2)
    check_fits(scenario, cells, processes=2, share=0.5)  # the other half is on another machine


def test_all_ranks_refuse_together(write, tmp_path):
    case = write(CASE.replace("[4, 4, 4]", "[1000, 1000, 1000]"))
    answer = mpirun(2, CARMODEL, "run", case, "--out", tmp_path / "out", timeout=60)
    assert answer.code == 2
    assert answer.err.count("a run takes about") == 1


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A made-up machine with 8 GB left, whose files a test adds."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")

    def add(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    add("proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    return add


def test_limits_of_control_groups_count(machine):
    assert memory.available() == 8_192_000_000
    machine("proc/self/cgroup", "0::/a/b\n")
    machine("cgroup/a/b/memory.max", "max\n")
    machine("cgroup/a/b/memory.current", "1000\n")
    assert memory.available() == 8_192_000_000
    machine("cgroup/a/memory.max", "2000000000\n")
    machine("cgroup/a/memory.current", "1500000000\n")
    machine("cgroup/a/memory.stat", "anon 7\ninactive_file 100000000\n")
    assert memory.available() == 600_000_000
    machine("proc/self/cgroup", "4:cpu,memory:/job\n0::/\n")
    assert memory.available() == 8_192_000_000
    machine("cgroup/memory/job/memory.limit_in_bytes", "3000000000\n")
    machine("cgroup/memory/job/memory.usage_in_bytes", "1000000000\n")
    assert memory.available() == 2_000_000_000
    machine("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine("cgroup/memory/memory.usage_in_bytes", "1000000000\n")
    assert memory.available() == 2_000_000_000


def test_a_machine_that_does_not_say_has_some(machine, tmp_path):
    (tmp_path / "proc/meminfo").unlink()
    assert memory.available() == memory.UNKNOWN
