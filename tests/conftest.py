"""Shared by all tests: floating-point warnings are errors, and two ways to run commands."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from carmodel.commands import cli
from carmodel.models.polyakov import PRESETS, Parameters
from carmodel.tools.petsc import PETSc

ROOT = Path(__file__).parents[1]

#: Grid whose sides neither 2, 3 nor 4 ranks divide.
ODD_CELLS = (13, 11, 7)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the tests marked slow")
    parser.addoption("--fuzz-count", type=int, metavar="N", help="made-up and spoilt files of each kind")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: runs with --all"))


@pytest.fixture
def fuzz_count(request):
    """How many cases of a kind: fuzz_count(500) is 500 unless --fuzz-count says otherwise."""
    given = request.config.getoption("--fuzz-count")
    return lambda usual: usual if given is None else given


@pytest.fixture(autouse=True)
def _floating_point_errors():
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def carmodel(capfd, monkeypatch):
    """Run the command line in this process: carmodel("run", file, "--out", folder)."""

    def command(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["carmodel", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return Answer(end.value.code or 0, out, err)

    return command


def start_mpirun(ranks: int, *command: object) -> subprocess.Popen[str]:
    """Start a command under the project's MPI launcher."""
    return subprocess.Popen(
        ["bash", str(ROOT / "runs/mpirun.sh"), "-n", str(ranks), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # This process may have started MPI, which marks the C environment: hand on Python's copy from before.
        env=dict(os.environ),
    )


def mpirun(ranks: int, *command: object, timeout: float = 120.0) -> Answer:
    """Run a command under MPI to its end; a hang fails the test instead of the suite."""
    with start_mpirun(ranks, *command) as job:
        try:
            out, err = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            job.terminate()
            raise
    return Answer(job.returncode, out, err)


@pytest.fixture
def write(tmp_path):
    """Write a run file into the test's folder: write("name", "text") gives its path."""

    def file(text: str, name: str = "case.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


@contextmanager
def petsc_options(options: dict[str, object]) -> Iterator[None]:
    """PETSc options as a user would give them, for a while."""
    database = PETSc.Options()
    for key, value in options.items():
        database[key] = value
    try:
        yield
    finally:
        for key in options:
            database.delValue(key)


def advance(integrator, u: np.ndarray, days: float) -> list[float]:
    """Advance a state, in as many steps as an adaptive integrator takes; their lengths."""
    t, steps = 0.0, []
    while t < days:
        steps.append(integrator.step(u, days - t))
        t = days if steps[-1] == days - t else t + steps[-1]
    return steps


def without_reactions(preset: str = "normalised") -> Parameters:
    """Parameters with diffusion and taxis only: every rate is zero."""
    p = PRESETS[preset]
    kept = {"K_C", "K_T", "K_H", "chi_0", "alpha_A", "xi", "beta_A", "beta_H"}
    return p._replace(**{name: 0.0 for name in p._fields if name not in kept and not name.startswith("D_")})


def smooth_state(space, seed: int = 0) -> np.ndarray:
    """Seven smooth positive fields with zero normal gradient at the walls, different in each field."""
    rng = np.random.default_rng(seed)
    u = space.zeros(7)
    x, y, z = (np.pi * c / length for c, length in zip(space.centres, space.lengths, strict=True))
    for f in range(7):
        a, b, c = rng.integers(1, 3, size=3)
        space.owned(u[f])[...] = 0.4 + 0.1 * f / 7 + 0.25 * np.cos(a * x) * np.cos(b * y) * np.cos(c * z)
    return u


@pytest.fixture(scope="session")
def paper_runs(tmp_path_factory):
    """Folder of the paper's experiments, 8 x 8 x 8 cells, a day."""
    from tests.experiments import experiments, simulate

    folder = tmp_path_factory.mktemp("paper")
    for name, case in experiments().items():
        simulate(case, folder / name)
    return folder


@pytest.fixture(scope="session")
def mesh_files(tmp_path_factory):
    """Gmsh's meshes of tests/data/cube.geo in every version, text and binary, by name."""
    folder = tmp_path_factory.mktemp("meshes")
    for version in ("msh1", "msh22", "msh22 -bin", "msh41", "msh41 -bin"):
        file = folder / f"{version.replace(' ', '')}.msh"
        gmsh = [ROOT / ".venv/bin/gmsh", "-3", ROOT / "tests/data/cube.geo", "-v", "0", "-o", file, "-format"]
        subprocess.run([*gmsh, *version.split()], check=True, timeout=60)
    return {path.stem: path for path in folder.glob("*.msh")}
