"""The diffusion solvers against the exact solution of their own systems."""

import os
import subprocess
import sys

import numpy as np
import pytest

from carmodel import FIELDS
from carmodel.compare import compare
from carmodel.linear import JacobiDiffusion, KrylovDiffusion
from carmodel.parameters import PRESETS
from carmodel.results import RunDirectory
from carmodel.spaces import BoxSpace
from tests.conftest import ROOT
from tests.oracles import backward_euler_by_cosines

P = PRESETS["normalised"]
#: The paper's default step, on its default grid of 40 cells a side.
DT = 0.01


def tumour_ball(space):
    """The quickstart's kind of data: a sharp ball in every field, and noise."""
    x, y, z = space.centres
    r = np.sqrt(sum((c - m) ** 2 for c, m in zip((x, y, z), space.middle, strict=True)))
    u = space.zeros(7)
    space.owned(u)[...] = (r <= 0.25) + 0.1 * np.random.default_rng(5).random((7, *space.owned_shape))
    return u


def largest_errors(space, u, solved, dt):
    """Largest error of each field relative to its largest value."""
    errors = []
    for f, D in enumerate(P.diffusivities):
        exact = backward_euler_by_cosines(space.owned(u[f]), D, dt, space.spacing)
        errors.append(np.abs(space.owned(solved[f]) - exact).max() / np.abs(exact).max())
    return np.array(errors)


@pytest.mark.parametrize(
    ("cells", "lengths", "dt"),
    [
        ((40, 40, 40), (1.0, 1.0, 1.0), DT),
        ((13, 11, 7), (1.0, 1.3, 0.4), 0.5),  # multigrid for C, A and H
        ((30, 1, 2), (1.0, 1.0, 1.0), DT),
    ],
)
def test_krylov_solves_every_field_to_1e_9(cells, lengths, dt):
    space = BoxSpace(cells, lengths)
    u = tumour_ball(space)
    solved = u.copy()
    solver = KrylovDiffusion(space, P.diffusivities)
    solver.solve(solved, dt)
    errors = largest_errors(space, u, solved, dt)
    assert errors.max() < 1e-9, dict(zip(FIELDS, errors, strict=True))
    assert space.sum_min_max(solved)[0] == pytest.approx(space.sum_min_max(u)[0], rel=1e-13)
    solver.destroy()
    space.destroy()


def test_sixty_jacobi_sweeps_leave_hypoxia_unsolved():
    """Erratum 9: D_H dt / h^2 = 24 at the paper's default step.  The slowly diffusing tumour is solved."""
    space = BoxSpace((40, 40, 40), (1.0, 1.0, 1.0))
    u = tumour_ball(space)
    solved = u.copy()
    JacobiDiffusion(space, P.diffusivities).solve(solved, DT)
    errors = dict(zip(FIELDS, largest_errors(space, u, solved, DT), strict=True))
    assert errors["H"] > 0.1, f"60 Jacobi sweeps: relative errors {errors}"
    assert errors["TA"] < 1e-7, f"60 Jacobi sweeps: relative errors {errors}"
    space.destroy()


def test_preconditioner_follows_the_diffusion_number():
    space = BoxSpace((24, 24, 24), (0.6, 0.6, 0.6))
    solver = KrylovDiffusion(space, P.diffusivities)
    u = tumour_ball(space)
    solver.solve(u, DT)
    assert solver.preconditioners == {f: "cg + gamg" if f == "H" else "cg + jacobi" for f in FIELDS}
    solver.solve(u, 1e-4)
    assert set(solver.preconditioners.values()) == {"cg + jacobi"}
    solver.destroy()
    space.destroy()


def test_varying_diffusivity_is_solved():
    """Against a dense solve: a barrier a hundred times tighter than the tissue."""
    space = BoxSpace((9, 8, 6), (1.0, 1.0, 1.0))
    D = space.zeros() + P.D_C
    space.owned(D)[:, :, 4] *= 0.01
    space.exchange_field(D)
    u = tumour_ball(space)
    b = space.owned(u[0]).ravel().copy()
    matrix = space.diffusion_matrix(D, 0.3)
    exact = np.linalg.solve(matrix.convert("dense").getDenseArray(), b)
    solver = KrylovDiffusion(space, [D, *P.diffusivities[1:]])
    solver.solve(u, 0.3)
    assert np.abs(space.owned(u[0]).ravel() - exact).max() < 1e-11
    matrix.destroy()
    solver.destroy()
    space.destroy()


def test_zero_field_stays_zero_and_negative_fields_are_allowed():
    space = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    space.owned(u[0])[...] = np.random.default_rng(6).normal(size=space.owned_shape)
    before = u.copy()
    solver = KrylovDiffusion(space, P.diffusivities)
    solver.solve(u, DT)
    assert np.abs(u[1:]).max() == 0.0
    exact = backward_euler_by_cosines(space.owned(before[0]), P.D_C, DT, space.spacing)
    assert np.abs(space.owned(u[0]) - exact).max() < 1e-11
    solver.destroy()
    space.destroy()


def test_a_sharp_field_on_a_very_fine_axis_is_solved():
    """dt D_H / h^2 is 3e5 across the sheet: the first residual exceeds the right-hand side by as much."""
    space = BoxSpace((12, 12, 12), (1.0, 1.0, 0.01))
    u = space.zeros(7)
    space.owned(u)[:, :6] = 1.0
    solved = u.copy()
    solver = KrylovDiffusion(space, P.diffusivities)
    solver.solve(solved, 0.1)
    assert largest_errors(space, u, solved, 0.1).max() < 1e-9
    solver.destroy()
    space.destroy()


STUCK = """
from carmodel.errors import NumericsError
from carmodel.linear import KrylovDiffusion
from carmodel.parameters import PRESETS
from carmodel.results import RunDirectory
from carmodel.spaces import BoxSpace
space = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))
u = space.zeros(7)
space.owned(u)[:, 2:5, 3:5, 1:4] = 1.0
try:
    KrylovDiffusion(space, PRESETS["normalised"].diffusivities).solve(u, 1.0)
except NumericsError as error:
    print(error)
"""


def test_user_s_petsc_options_win_and_a_failed_solve_says_which_field():
    """Two iterations are not enough for H; the other fields keep their own settings."""
    environment = os.environ | {"PETSC_OPTIONS": "-H_ksp_max_it 2 -H_pc_type none"}
    done = subprocess.run(
        [sys.executable, "-c", STUCK], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith("diffusion of H not solved"), done
    assert "after 2 iterations" in done.stdout


def test_petsc_options_on_the_command_line(tmp_path):
    """A direct solver of the user's gives the same fields; an unknown one is refused before anything is written."""

    def run(name, *options):
        command = [
            ROOT / ".venv/bin/carmodel",
            "run",
            ROOT / "runs/quickstart.toml",
            "--out",
            tmp_path / name,
            "--quiet",
        ]
        short = ["--set", "space.cells=[8,8,8]", "--set", "time.end=0.2", "--set", "integrator.dt=0.1"]
        return subprocess.run([*command, *short, "--", *options], capture_output=True, text=True, check=False)

    assert run("ours").returncode == 0
    direct = run("direct", "-H_ksp_type", "preonly", "-H_pc_type", "lu")
    assert direct.returncode == 0, direct.stderr
    assert RunDirectory(tmp_path / "direct").manifest["linear_solvers"]["H"] == "preonly + lu"
    assert compare(tmp_path / "direct", tmp_path / "ours").relative_max.max() < 1e-10
    for options in (("-H_pc_type", "nosuch"), ("-C_ksp_type", "nosuch")):
        wrong = run("wrong", *options)
        assert wrong.returncode == 2, wrong
        assert wrong.stderr.startswith("PETSc options"), wrong.stderr
        assert "Traceback" not in wrong.stderr
        assert not (tmp_path / "wrong").exists()
