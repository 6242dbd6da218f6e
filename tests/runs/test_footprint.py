"""Memory: what is left, what a run takes, and runs that cannot fit."""

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
    assert answer.out.startswith("# 1000000 cells, about 970 MB of memory in one process\n")


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
