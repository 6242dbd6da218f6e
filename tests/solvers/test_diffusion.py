"""The diffusion solvers against the exact solution of their own systems."""

import os
import subprocess
import sys

import numpy as np
import pytest

from carmodel.commands.compare import compare
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.results import RunDirectory
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.solvers.jacobi import JacobiDiffusion
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tools.errors import InputError, NumericsError
from tests.conftest import ROOT, petsc_options
from tests.oracles import backward_euler_by_cosines

P = PRESETS["normalised"]
#: The paper's default step, on its default grid of 40 cells a side.
DT = 0.01


def mesh_of_box(cells, lengths):
    """FiPy's grid of a box."""
    return MeshSpace(grid_mesh(cells, lengths))


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
    for f, D in enumerate(Medium(P).diffusivities):
        exact = backward_euler_by_cosines(space.owned(u[f]), D, dt, space.spacing)
        errors.append(np.abs(space.owned(solved[f]) - exact).max() / np.abs(exact).max())
    return np.array(errors)


@pytest.mark.parametrize(
    ("cells", "lengths", "dt"),
    [
        ((40, 40, 40), (1.0, 1.0, 1.0), DT),
        ((13, 11, 7), (1.0, 1.3, 0.4), 0.5),
        ((30, 1, 2), (1.0, 1.0, 1.0), DT),
    ],
)
def test_krylov_solves_every_field_to_1e_9(cells, lengths, dt):
    space = BoxSpace(cells, lengths)
    u = tumour_ball(space)
    solved = u.copy()
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
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
    JacobiDiffusion(space, FIELDS).solve(solved, DT, Medium(P))
    errors = dict(zip(FIELDS, largest_errors(space, u, solved, DT), strict=True))
    assert errors["H"] > 0.1, f"60 Jacobi sweeps: relative errors {errors}"
    assert errors["TA"] < 1e-7, f"60 Jacobi sweeps: relative errors {errors}"
    space.destroy()


def solved_by_petsc(options, cells=(24, 24, 24), dt=DT):
    """The state after a step with PETSc options for the fields, and the solver's methods and iterations."""
    with petsc_options(options):
        space = BoxSpace(cells, (0.6, 0.6, 0.6))
        u = tumour_ball(space)
        before = u.copy()
        solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
        solver.solve(u, dt)
        errors = largest_errors(space, before, u, dt)
        methods, iterations = solver.preconditioners, dict(zip(FIELDS, solver.iterations.tolist(), strict=True))
        solver.destroy()
        space.destroy()
    return errors, methods, iterations


def test_one_transform_solves_a_box_and_one_krylov_iteration_confirms_it():
    errors, methods, iterations = solved_by_petsc({})
    assert set(methods.values()) == {"cosine transform"}
    assert errors.max() < 1e-13
    asked = {f"{name}_ksp_{key}": value for name in FIELDS for key, value in (("type", "cg"), ("rtol", 1e-10))}
    for dt in (DT, 1.0):
        errors, methods, iterations = solved_by_petsc(asked, dt=dt)
        assert set(methods.values()) == {"cg + cosine transform"}
        assert set(iterations.values()) == {1}
        assert errors.max() < 1e-9


def test_multigrid_by_option_agrees_with_the_transform():
    errors, methods, iterations = solved_by_petsc({"h_pc_type": "gamg"})  # PETSc reads any case
    assert methods["H"] == "cg + gamg"
    assert methods["S"] == "cosine transform"
    assert iterations["H"] > 1
    assert errors.max() < 1e-9


def test_preconditioner_on_a_mesh_follows_the_diffusion_number():
    space = mesh_of_box((10, 10, 10), (0.25, 0.25, 0.25))
    u = space.zeros(7)
    space.owned(u)[...] = np.random.default_rng(5).random((7, space.n_owned))
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    solver.solve(u, DT)
    assert solver.preconditioners == {f: "cg + gamg" if f == "H" else "cg + jacobi" for f in FIELDS}
    solver.solve(u, 1e-4)
    assert set(solver.preconditioners.values()) == {"cg + jacobi"}
    solver.destroy()
    space.destroy()


def test_steps_of_many_lengths_give_what_a_new_solver_gives():
    """The matrix of one step length is scaled from another's, and multigrid serves neighbouring lengths."""
    box = BoxSpace((10, 10, 10), (0.25, 0.25, 0.25))
    space = mesh_of_box((10, 10, 10), (0.25, 0.25, 0.25))
    start = np.random.default_rng(7).random((7, 10, 10, 10))
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    for dt in (0.02, 0.025, 0.5, 1e-5, 0.02):
        u = space.zeros(7)
        space.owned(u)[...] = start.reshape(7, -1)
        solver.solve(u, dt)
        for f, D in enumerate(Medium(P).diffusivities):
            exact = backward_euler_by_cosines(start[f], D, dt, box.spacing)
            assert np.abs(space.owned(u[f]).reshape(exact.shape) - exact).max() < 1e-11, (dt, FIELDS[f])
    solver.destroy()
    space.destroy()
    box.destroy()


@pytest.mark.parametrize("dt", [0.01, 0.1, 0.5])
def test_a_contrast_of_100_takes_at_most_15_iterations(dt):
    """A barrier across the box, a tight ball, and noise, D_C from 1.4e-4 to 1.4e-2 in each."""
    space = BoxSpace((40, 40, 40), (1.0, 1.0, 1.0))
    x, y, z = space.centres
    rng = np.random.default_rng(8)
    ball = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 <= 0.09
    for share in ((abs(x - 0.5) < 0.05) + 0.0 * (y + z), ball * 1.0, rng.random(space.owned_shape)):
        D = space.zeros()
        space.owned(D)[...] = P.D_C * 0.01**share
        space.exchange_field(D)
        solver = KrylovDiffusion(space, [D, *Medium(P).diffusivities[1:]], FIELDS)
        u = tumour_ball(space)
        b = space.owned(u[0]).copy()
        solver.solve(u, dt)
        assert solver.preconditioners["C"] == "cg + Gauss-Seidel and cosine transform"
        assert solver.iterations[0] <= 15
        matrix, v, w = space.diffusion_matrix(D, dt), space.create_vector(), space.create_vector()
        v.array[:] = space.owned(u[0]).ravel()
        matrix.mult(v, w)
        assert np.abs(w.array.reshape(b.shape) - b).max() < 1e-10
        for owned in (matrix, v, w, solver):
            owned.destroy()
    space.destroy()


def iterations_of_C(solver, u, dt):
    before = solver.iterations[0]
    solver.solve(u.copy(), dt)
    return solver.iterations[0] - before


def test_the_preconditioner_of_a_mask_is_that_of_the_step():
    """Its Gauss-Seidel parts too: kept from a short first step they are indefinite for longer ones."""
    space = BoxSpace((12, 12, 12), (0.6, 0.6, 0.6))
    x, y, _ = (c / 0.6 for c in space.centres)
    D = space.zeros()
    space.owned(D)[...] = 0.07 * (1.0 + 0.9 * np.sin(2.0 * np.pi * x) * np.cos(np.pi * y))
    space.exchange_field(D)
    diffusivities = [D, *Medium(P).diffusivities[1:]]
    u = tumour_ball(space)
    solver = KrylovDiffusion(space, diffusivities, FIELDS)
    for dt in (1e-4, 0.05, 0.02, 1e-4, 0.3):  # the last one has its matrix assembled anew
        new = KrylovDiffusion(space, diffusivities, FIELDS)
        assert iterations_of_C(solver, u, dt) == iterations_of_C(new, u, dt), dt
        new.destroy()
    solver.destroy()
    space.destroy()


@pytest.mark.parametrize(
    "options",
    [
        {"H_ksp_type": "preonly", "H_pc_type": "composite", "H_pc_composite_pcs": "lu"},
        {"H_ksp_diagonal_scale": "", "H_ksp_diagonal_scale_fix": ""},
        {"H_pc_type": "gamg"},
    ],
)
def test_a_user_s_preconditioner_follows_the_step(options):
    with petsc_options(options):
        box = BoxSpace((10, 10, 10), (0.25, 0.25, 0.25))
        solver = KrylovDiffusion(box, Medium(P).diffusivities, FIELDS)
    start = np.random.default_rng(7).random((10, 10, 10))
    for dt in (0.02, 0.025, 0.5, 1e-5, 0.02):
        values = start.copy()
        solver.solve_field(6, values, dt)
        assert np.abs(values - backward_euler_by_cosines(start, P.D_H, dt, box.spacing)).max() < 1e-11, dt
    solver.destroy()
    box.destroy()


def test_fields_of_one_diffusivity_may_take_steps_of_their_own():
    """They share a matrix on a mesh: that of TB is not TA's."""
    space = mesh_of_box((6, 5, 4), (0.3, 0.25, 0.2))
    p = P._replace(D_T=0.5)
    start = np.random.default_rng(9).random(space.n_owned)
    solver = KrylovDiffusion(space, Medium(p).diffusivities, FIELDS)
    solved = []
    for f, dt in ((2, 0.01), (2, 0.1), (3, 0.01), (2, 0.1)):
        values = start.copy()
        solver.solve_field(f, values, dt)
        solved.append(values)
    assert np.abs(solved[3] - solved[1]).max() < 1e-12
    solver.destroy()
    space.destroy()


def test_options_that_give_another_answer_in_silence_are_refused():
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    with (
        petsc_options({"H_ksp_diagonal_scale": ""}),
        pytest.raises(InputError, match="PETSc option -H_ksp_diagonal_scale; accepted with -H_ksp_diagonal_scale_fix"),
    ):
        KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    with petsc_options({"H_ksp_type": "preonly", "H_pc_type": "jacobi"}):
        solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    with pytest.raises(NumericsError, match="-H_ksp_type preonly -H_pc_type jacobi leave a residual of"):
        solver.solve(tumour_ball(space), DT)
    solver.destroy()
    space.destroy()


def test_rounding_below_zero_is_lifted_and_totals_are_kept():
    space = BoxSpace((32, 8, 8), (1.0, 0.2, 0.2))
    u = space.zeros(7)
    space.owned(u)[..., :3] = 1.0
    before = space.sum_min_max(u)[0]
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    for _ in range(5):
        solver.solve(u, 1e-3)
    total, least, _ = space.sum_min_max(u)
    assert least.min() >= 0.0
    assert total == pytest.approx(before, rel=1e-14)
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
    solver = KrylovDiffusion(space, [D, *Medium(P).diffusivities[1:]], FIELDS)
    solver.solve(u, 0.3)
    assert np.abs(space.owned(u[0]).ravel() - exact).max() < 1e-11
    matrix.destroy()
    solver.destroy()
    space.destroy()


@pytest.mark.parametrize("first", [1e-4, 1e-9, 1e-14])
def test_a_matrix_made_for_a_tiny_step_serves_a_long_one(first):
    """A first step after an infusion may be that short; rounding would take the diffusion from the diagonal."""
    space = mesh_of_box((6, 5, 4), (1.0, 1.2, 0.7))
    start = space.zeros(7)
    space.owned(start)[...] = np.random.default_rng(9).random((7, space.n_owned))
    solved = []
    for steps in ((first, 0.1, 0.2), (0.1, 0.2)):
        solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
        for dt in steps:
            u = start.copy()
            solver.solve(u, dt)
        solved.append(space.owned(u))
        solver.destroy()
    assert np.abs(solved[0] - solved[1]).max() < 1e-11
    space.destroy()


def test_zero_field_stays_zero_and_negative_fields_are_allowed():
    space = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    space.owned(u[0])[...] = np.random.default_rng(6).normal(size=space.owned_shape)
    before = u.copy()
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
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
    solver = KrylovDiffusion(space, Medium(P).diffusivities, FIELDS)
    solver.solve(solved, 0.1)
    assert largest_errors(space, u, solved, 0.1).max() < 1e-9
    solver.destroy()
    space.destroy()


STUCK = """
from carmodel.models.polyakov import FIELDS
from carmodel.tools.errors import NumericsError
from carmodel.solvers.diffusion import KrylovDiffusion
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.results import RunDirectory
from carmodel.spaces import BoxSpace
space = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))
u = space.zeros(7)
space.owned(u)[:, 2:5, 3:5, 1:4] = 1.0
try:
    KrylovDiffusion(space, Medium(PRESETS["normalised"]).diffusivities, FIELDS).solve(u, 1.0)
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
        chosen = ("space.cells=[8,8,8]", "time.end=0.2", "integrator.dt=0.1", "integrator.method=arkimex")
        short = [word for text in chosen for word in ("--set", text)]
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


def test_solvers_that_are_restored_solve_to_the_digit():
    """Multigrid was made for one step, set up anew for another and serves a third: each leaves its rounding."""
    space = mesh_of_box((12, 10, 8), (1.0, 1.0, 1.0))
    D = [0.0014, 1.5, 1.5, 40.0]
    names = ("a", "b", "c", "d")
    u = tumour_ball(space)[: len(D)]
    first = KrylovDiffusion(space, D, names)
    for dt in (0.3, 2.0, 0.35, 0.4):  # b and c: made for 0.3, set up for 2 and for 0.35, which serves 0.4
        v = u.copy()
        first.solve(v, dt)
    state = first.state()
    assert first.preconditioners == {"a": "cg + jacobi", **dict.fromkeys("bcd", "cg + gamg")}
    second = KrylovDiffusion(space, D, names)
    second.restore(state)
    fresh = KrylovDiffusion(space, D, names)
    for dt in (0.4, 0.38, 0.9, 3.0, 0.02):
        ends = [u.copy() for _ in range(3)]
        for solver, end in zip((first, second, fresh), ends, strict=True):
            solver.solve(end, dt)
        assert (ends[0] == ends[1]).all(), dt
        if dt == 0.4:
            assert (ends[0] != ends[2]).any()  # otherwise there is nothing to restore
    assert (first.iterations == second.iterations).all()
    for solver in (first, second, fresh):
        solver.destroy()
    space.destroy()
