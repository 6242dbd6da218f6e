"""The adaptive integrators: what they were asked for is what they reach, where they land, what they do below zero."""

import subprocess
import sys

import numpy as np
import pytest
import pyvista

from carmodel.commands.compare import compare
from carmodel.integrators import Exponential, Imex, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.results import RunDirectory
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tools.errors import InputError, NumericsError
from tests.conftest import ODD_CELLS, ROOT, advance, mpirun, petsc_options, smooth_state, without_reactions

P = PRESETS["normalised"]
CARMODEL = ROOT / ".venv/bin/carmodel"

#: What `kind = "imex"` may stand for.
METHODS = (Imex, Exponential)

CASE = f"""
[space]
cells = {list(ODD_CELLS)}
lengths = [1.0, 0.9, 0.6]
[initial]
tumour = {{ shape = "ball", radius = 0.25, value = 0.9, edge = 0.05, negative_fraction = 0.1 }}
cart = {{ shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5 }}
[time]
end = 2.0
"""


def therapy(space):
    """A ball of tumour beside a layer of CAR-T cells, all else zero: the quickstart's kind of start."""
    x, y, z = space.centres
    r = np.sqrt((x - 0.6) ** 2 + (y - 0.6) ** 2 + (z - 0.6) ** 2)
    u = space.zeros(7)
    space.owned(u[0])[...] = 0.5 * 0.5 * (1.0 - np.tanh((x - 0.25) / 0.1)) + 0.0 * (y + z)
    space.owned(u[2])[...] = 0.5 * (1.0 - np.tanh((r - 0.5) / 0.1))
    return u


@pytest.fixture(scope="module")
def exact():
    """The state after 12 days on a 12^3 box, by another method (fifth order) at a far smaller tolerance."""
    space = BoxSpace((12, 12, 12), (1.2, 1.2, 1.2))
    u = therapy(space)
    with petsc_options({"ts_arkimex_type": "5"}):
        integrator = Imex(space, Medium(P), rtol=1e-8)
    advance(integrator, u, 12.0)
    integrator.destroy()
    return space, space.owned(u).reshape(7, -1).copy()


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-6])
def test_the_error_is_the_one_asked_for_within_ten_times(exact, rtol, make):
    space, reference = exact
    u = therapy(space)
    integrator = make(space, Medium(P), rtol=rtol)
    advance(integrator, u, 12.0)
    error = np.linalg.norm(space.owned(u).reshape(7, -1) - reference, axis=1) / np.linalg.norm(reference, axis=1)
    assert 0.1 * rtol < error.max() < 10.0 * rtol, dict(zip(FIELDS, error, strict=True))
    assert np.abs(integrator.clamped).max() < rtol
    integrator.destroy()


def test_the_reference_is_what_strang_converges_to(exact):
    """Error halves with dt: another integrator leads to the same place."""
    space, reference = exact
    errors = []
    for dt in (0.02, 0.01):
        u = therapy(space)
        strang = Strang(space, Medium(P))
        for _ in range(round(12.0 / dt)):
            strang.step(u, dt)
        strang.destroy()
        difference = np.linalg.norm(space.owned(u).reshape(7, -1) - reference, axis=1)
        errors.append(difference / np.linalg.norm(reference, axis=1))
    assert errors[1].max() < 5e-3
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


def test_totals_are_kept_without_reactions():
    p = without_reactions()
    box = (13, 11, 7), (1.0, 1.2, 0.7)
    for make, space in (
        (Imex, BoxSpace(*box)),
        (Exponential, BoxSpace(*box)),
        (Imex, MeshSpace(grid_mesh((6, 5, 4), (1.0, 1.2, 0.7)))),
    ):
        if isinstance(space, MeshSpace):
            u = space.zeros(7)
            space.owned(u)[...] = np.random.default_rng(1).random((7, space.n_owned))
        else:
            u = smooth_state(space)
        before = space.sum_min_max(u)[0]
        integrator = make(space, Medium(p), rtol=1e-5)
        advance(integrator, u, 3.0)
        after = space.sum_min_max(u)[0]
        assert after - integrator.clamped == pytest.approx(before, rel=1e-12)
        integrator.destroy()
        space.destroy()


def test_a_step_too_long_for_the_killing_is_repeated_shorter():
    """Steps fixed at half a day against a killing rate of 20 a day: below zero is no answer."""
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    p = without_reactions()._replace(gamma=20.0)
    u = space.zeros(7)
    space.owned(u[0])[...] = 1.0
    space.owned(u[2])[...] = 1.0
    with petsc_options({"ts_adapt_type": "none", "ts_dt": 0.5, "ts_arkimex_type": "2e"}):
        integrator = Imex(space, Medium(p), rtol=1e-3)
    steps = advance(integrator, u, 1.0)
    assert steps[0] < 0.5
    assert integrator.step_size.rejected["undershoot"] > 0
    assert integrator.step_size.undershoot.accepted.max() <= 1e-3
    assert integrator._ts.getStepNumber() == len(steps)  # as `-ts_monitor` counts them
    assert space.sum_min_max(u)[1].min() >= 0.0
    assert np.abs(u[2]).max() < 1e-3  # exp(-20)
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize("make", METHODS)
def test_the_error_is_the_one_asked_for_where_taxis_is_strong(make):
    """Cell Peclet numbers above 2 at a sharp front: with the default taxis no answer depends on what is clamped."""
    space = BoxSpace((12, 6, 6), (1.2, 0.6, 0.6))
    p = P._replace(chi_0=0.4)
    start = therapy(space)
    ends = {}
    for rtol in (1e-3, 1e-5, 1e-8):
        u, integrator = start.copy(), (Exponential if rtol == 1e-8 else make)(space, Medium(p), rtol=rtol)
        advance(integrator, u, 1.0)
        assert integrator.step_size.undershoot.accepted.max() <= rtol
        ends[rtol] = space.owned(u).reshape(7, -1).copy()
        integrator.destroy()
    chi = p.chi_0 / (1.0 + p.alpha_A * ends[1e-8][5])
    reference = ends.pop(1e-8)
    S = reference[4].reshape(6, 6, 12)
    assert (np.abs(np.diff(S, axis=2)) * chi.reshape(S.shape)[..., 1:]).max() / p.D_C > 2.5
    for rtol, state in ends.items():
        error = np.linalg.norm(state - reference, axis=1) / np.linalg.norm(reference, axis=1)
        assert error.max() < 10.0 * rtol
    space.destroy()


@pytest.mark.parametrize("make", METHODS)
def test_undershoot_of_the_discretisation_does_not_stop_the_run(make):
    """Central taxis at a cell Peclet number of 5: shorter steps cannot help, and the run goes on."""
    space = BoxSpace((16, 5, 4), (1.0, 0.4, 0.4))
    p = without_reactions()._replace(chi_0=0.1, D_C=2e-3, D_S=1e-5)
    counts = {}
    for taxis in ("central", "upwind"):
        u = space.zeros(7)
        x = space.centres[0]
        space.owned(u[0])[...] = 1.0 * (x < 0.4)
        space.owned(u[4])[...] = np.exp(-(((x - 0.6) / 0.1) ** 2))
        integrator = make(space, Medium(p), rtol=1e-4, taxis=taxis)
        before = space.sum_min_max(u)[0]
        steps = advance(integrator, u, 0.5)
        assert space.sum_min_max(u)[0] - before == pytest.approx(integrator.clamped, abs=1e-11)
        assert integrator.step_size.undershoot.accepted[0] > 1e-4 or taxis == "upwind"
        counts[taxis] = (len(steps), integrator.step_size.rejected["undershoot"], integrator.clamped[0])
        integrator.destroy()
    steps, rejected, clamped = counts["central"]
    assert clamped > 1e-3 > counts["upwind"][2]
    assert 0 < rejected <= 2 * steps
    assert steps < 6 * counts["upwind"][0]
    space.destroy()


@pytest.mark.parametrize("make", METHODS)
def test_a_first_step_far_too_long_does_not_loosen_the_tolerance(make):
    """A million times the carrying capacity of C kills TA at once, and what is dead stays dead."""
    space = BoxSpace((4, 1, 1), (1.0, 0.3, 0.3))
    u = space.zeros(7)
    C, TA = space.owned(u[0]), space.owned(u[2])
    C[...], TA[...] = 1e6, 0.5
    integrator = make(space, Medium(P), dt=1.0)
    t = 0.0
    for _ in range(60):
        t += integrator.step(u, 1.0 - t)
        assert TA.max() < 0.5 * np.exp(-1e6 * P.gamma * t) + 1e-3
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize("make", METHODS)
def test_an_attempt_that_overshoots_does_not_loosen_the_tolerance(make):
    """A decay of 1000 a day and a first step of a day: explicit stages make 4e10 of it, and none of that stays."""
    space = BoxSpace((4, 1, 1), (1.0, 0.3, 0.3))
    p = without_reactions()._replace(lambda_H=1e3)
    u = space.zeros(7)
    H = space.owned(u[6])
    H[...] = 1.0
    integrator = make(space, Medium(p), dt=1.0)
    t = 0.0
    for _ in range(60):
        t += integrator.step(u, 1.0 - t)
        assert np.abs(H - np.exp(-1e3 * t)).max() < 1e-3
    integrator.destroy()
    space.destroy()


def test_steps_at_the_limit_of_stability_are_seldom_repeated():
    """The error rises slowly there: the step gives way before it has to be repeated."""
    space = BoxSpace((4, 1, 1), (1.0, 0.3, 0.3))
    u = space.zeros(7)
    space.owned(u[6])[...] = 1.0
    integrator = Exponential(space, Medium(without_reactions()._replace(lambda_H=100.0)))
    steps = advance(integrator, u, 5.0)
    assert sum(integrator.step_size.rejected.values()) < 0.05 * len(steps)
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize("kind", ["box", "mask", "mesh", "exponential"])
def test_a_step_that_overflows_is_repeated_shorter(kind):
    """Whether the overflow meets a transform or a Krylov solver."""
    space = MeshSpace(grid_mesh((4, 3, 2), (1.0, 1.0, 1.0))) if kind == "mesh" else BoxSpace((4, 3, 2), (1.0, 1.0, 1.0))
    D_C = space.zeros() + P.D_C if kind == "mask" else None
    rng = np.random.default_rng(3)
    u = space.zeros(7)
    space.owned(u[0])[...], space.owned(u[2])[...] = 1e6 * rng.random(space.owned_shape), rng.random(space.owned_shape)
    integrator = (
        Exponential(space, Medium(P), dt=1.0) if kind == "exponential" else Imex(space, Medium(P, {"D_C": D_C}), dt=1.0)
    )
    with np.errstate(all="ignore"):
        made = integrator.step(u, 10.0)
    assert integrator.step_size.rejected["undershoot"] > 0
    assert 0.0 < made < 1e-4
    assert 0.0 < integrator.step(u, 10.0) < 1e-3  # nothing of the attempts that failed is in the way
    assert space.owned(u).min() >= 0.0
    assert np.abs(space.owned(u)).max() < 2e6
    integrator.destroy()
    space.destroy()


def test_a_linear_solve_that_fails_within_a_stage_ends_the_run():
    space = BoxSpace((6, 5, 4), (0.3, 0.25, 0.2))
    with petsc_options({"H_ksp_max_it": 1, "H_pc_type": "none"}):
        integrator = Imex(space, Medium(P))
    u = smooth_state(space)
    for _ in range(2):
        with pytest.raises(NumericsError, match="diffusion of H not solved: PETSc reason -3 after"):
            integrator.step(u, 1.0)
    integrator.destroy()
    space.destroy()


def test_a_mask_does_not_stop_a_run_whose_steps_grow():
    """From the first hundredth of a day to steps of a fifth of one."""
    space = BoxSpace((10, 10, 10), (0.5, 0.5, 0.5))
    D_C = space.zeros()
    space.owned(D_C)[...] = np.where(space.centres[0] < 0.25, 0.0014, 0.14) + 0.0 * sum(space.centres[1:])
    space.exchange_field(D_C)
    u = therapy(space)
    integrator = Imex(space, Medium(P, {"D_C": D_C}))
    steps = advance(integrator, u, 2.0)
    assert max(steps) > 0.1
    assert integrator.figures()["linear_iterations"]["C"] < 40 * len(steps)
    integrator.destroy()
    space.destroy()


def test_an_infusion_keeps_the_linear_solvers():
    """Only other diffusivities make new ones: on a mesh FiPy assembles them, and the manifest tells of them."""
    space = MeshSpace(grid_mesh((4, 3, 2), (1.0, 1.0, 1.0)))
    u = space.zeros(7)
    space.owned(u)[...] = 0.1
    integrator = Imex(space, Medium(P))
    integrator.step(u, 0.1)
    solvers = integrator.figures()["linear_solvers"]
    assert set(solvers) == set(FIELDS)
    integrator.restart(Medium(P._replace(sigma_A=2.0)))
    assert integrator.figures()["linear_solvers"] == solvers
    integrator.restart(Medium(P._replace(D_H=0.3)))
    assert integrator.figures()["linear_solvers"] == {}
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("imex_snes_type", "newtonls", "-imex_snes_type newtonls"),
        ("ts_arkimex_fully_implicit", "true", "-ts_arkimex_fully_implicit"),
        ("ts_dt", "0", "-ts_dt 0"),
        ("ts_dt", "-1", "-ts_dt -1"),
        ("ts_max_time", "0.3", "-ts_max_time"),
        ("ts_max_steps", "3", "-ts_max_steps"),
        ("ts_exact_final_time", "interpolate", "-ts_exact_final_time"),
    ],
)
def test_options_that_would_make_it_another_method_are_refused(option, value, told):
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    with petsc_options({option: value}), pytest.raises(InputError, match=f"PETSc option {told}; accepted: "):
        Imex(space, Medium(P))
    space.destroy()


@pytest.mark.parametrize("method", ["ars443", "bpr3", "prssp2"])
def test_methods_without_an_embedded_error_do_not_pass_for_adaptive_ones(method):
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    with (
        petsc_options({"ts_arkimex_type": method}),
        pytest.raises(InputError, match=f"-ts_arkimex_type {method}: .*; accepted with -ts_adapt_type none"),
    ):
        Imex(space, Medium(P))
    with petsc_options({"ts_arkimex_type": method, "ts_adapt_type": "none", "ts_dt": 0.25}):
        integrator = Imex(space, Medium(P))
    assert advance(integrator, smooth_state(space), 1.0) == [0.25] * 4
    integrator.destroy()
    space.destroy()


def test_petsc_cannot_be_told_to_ignore_a_step_that_failed():
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    u = therapy(space)
    options = {"ts_error_if_step_fails": "0", "ts_max_reject": 0, "ts_rtol": 1e-12, "ts_atol": 1e-12, "ts_dt": 0.5}
    with petsc_options(options):
        integrator = Imex(space, Medium(P))
    with pytest.raises(NumericsError, match="DIVERGED_STEP_REJECTED"):
        integrator.step(u, 1.0)
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize("make", METHODS)
def test_impossible_rates_end_in_the_field_s_name(make):
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    space.owned(u)[...] = 1e200
    integrator = make(space, Medium(P._replace(gamma=1e200)))
    with pytest.raises(NumericsError, match="even in a step of"):
        advance(integrator, u, 1.0)
    integrator.destroy()
    space.destroy()


@pytest.mark.parametrize("method", ["arkimex", "exponential"])
def test_ten_infusions_cost_at_most_ten_steps_each(write, tmp_path, carmodel, method):
    times = [0.1 + 0.17 * n for n in range(10)]
    doses = "".join(f"[[infusion]]\ntime = {t}\nadd = {{ initial = 0.5 }}\n" for t in times)
    steps = {}
    for name, text in (("plain", CASE), ("doses", CASE + doses)):
        out = tmp_path / name
        answer = carmodel(
            "run", write(text, f"{name}.toml"), "--out", out, "--quiet", "--set", f"integrator.method={method}"
        )
        assert answer.code == 0, answer.err
        run = RunDirectory(out)
        steps[name] = run.manifest["steps"]
    assert steps["doses"] <= steps["plain"] + 100
    t = run.series["t"]
    for time in times:
        assert np.count_nonzero(t == time) == 2  # to the digit: before and after
    for time in (0.0, 0.5, 1.0, 1.5, 2.0):
        assert time in t


def test_an_intervention_is_the_start_of_a_new_run():
    """Other rates, another D_C field: what follows is bit for bit what a new integrator makes of the state."""
    space = BoxSpace((9, 8, 7), (1.0, 1.0, 1.0))
    barrier = space.zeros() + P.D_C
    space.owned(barrier)[..., 4] *= 0.01
    space.exchange_field(barrier)
    others = P._replace(sigma_A=2.0, D_H=0.3)
    for make, p, D_C in ((Imex, others, None), (Imex, P, barrier), (Exponential, others, None)):
        u = smooth_state(space)
        integrator = make(space, Medium(P))
        advance(integrator, u, 1.0)
        v = u.copy()
        integrator.restart(Medium(p, {"D_C": D_C}))
        advance(integrator, u, 1.0)
        integrator.destroy()
        new = Imex(space, Medium(p, {"D_C": D_C})) if make is Imex else Exponential(space, Medium(p))
        advance(new, v, 1.0)
        new.destroy()
        assert np.array_equal(space.owned(u), space.owned(v))
    space.destroy()


@pytest.mark.parametrize(
    "grid", ["mask", *(pytest.param(grid, marks=pytest.mark.slow) for grid in ("exponential", "box", "mesh"))]
)
def test_ranks_do_not_change_the_fields(write, tmp_path, grid):
    text = CASE
    if grid == "mesh":
        text = text.replace("[space]", '[space]\nkind = "mesh"').replace("[13, 11, 7]", "[5, 6, 9]")
    if grid == "box":
        text += '[integrator]\nmethod = "arkimex"\n'
    if grid == "mask":
        text += '[parameters]\nD_C = { mask = "mask.vti", ignore_geometry = true }\n'
        text += '[integrator]\ntaxis = "scharfetter-gummel"\n'
        image = pyvista.ImageData(dimensions=[n + 1 for n in ODD_CELLS])
        image.cell_data["D_C"] = 0.014 * 0.01 ** np.random.default_rng(14).random(np.prod(ODD_CELLS))
        image.save(tmp_path / "mask.vti")
    case = write(text)
    for ranks in (1, 2, 4):
        answer = mpirun(ranks, CARMODEL, "run", case, "--out", tmp_path / str(ranks), "--quiet")
        assert answer == (0, "", ""), answer
        difference = compare(tmp_path / str(ranks), tmp_path / "1")
        assert difference.times == [0.0, 0.5, 1.0, 1.5, 2.0]
        assert difference.relative_max.max() <= 1e-10, dict(zip(FIELDS, difference.relative_max, strict=True))


def test_box_and_mesh_take_the_same_steps_to_the_same_state(write, tmp_path, carmodel):
    text = CASE.replace("[13, 11, 7]", "[6, 5, 4]") + '[integrator]\nmethod = "arkimex"\n'
    box, mesh = tmp_path / "box", tmp_path / "mesh"
    assert carmodel("run", write(text), "--out", box, "--quiet").code == 0
    on_mesh = text.replace("[space]", '[space]\nkind = "mesh"')
    assert carmodel("run", write(on_mesh), "--out", mesh, "--quiet").code == 0
    assert compare(box, mesh).relative_max.max() < 1e-8
    assert RunDirectory(box).manifest["steps"] == RunDirectory(mesh).manifest["steps"]


def test_petsc_s_options_and_monitors(write, tmp_path):
    """Through the command line, in processes of their own: the options are PETSc's own and last as long as it does."""
    case = write(CASE)

    def run(name, *options):
        command = [CARMODEL, "run", case, "--out", tmp_path / name, "--quiet", "--", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    third = run("third", "-ts_arkimex_type", "3", "-ts_monitor", "-ts_adapt_monitor")
    assert third.returncode == 0, third.stderr
    manifest = RunDirectory(tmp_path / "third").manifest
    assert manifest["method"] == "ARKIMEX 3"
    assert manifest["petsc_options"]["ts_arkimex_type"] == "3"
    lines = third.stdout.splitlines()
    assert sum(" TS dt " in line for line in lines) == manifest["steps"]
    assert any("TSAdapt basic arkimex" in line and "wlte" in line for line in lines)
    fixed = run("fixed", "-ts_adapt_type", "none", "-ts_dt", "0.25")
    assert fixed.returncode == 0, fixed.stderr
    assert set(RunDirectory(tmp_path / "fixed").series["dt"][1:]) == {0.25}
    tight = run("tight", "-ts_rtol", "1e-7", "-ts_atol", "1e-9")
    assert tight.returncode == 0, tight.stderr
    assert RunDirectory(tmp_path / "tight").manifest["steps"] > 2 * manifest["steps"]
    for wrong in (("-ts_type", "beuler"), ("-ts_arkimex_type", "nosuch"), ("-ts_adapt_type", "nosuch")):
        answer = run("wrong", *wrong)
        assert answer.returncode == 2, answer
        assert answer.stderr.startswith("PETSc option"), answer.stderr
        assert answer.stderr.count("\n") == 1, answer.stderr
        assert not (tmp_path / "wrong").exists()


LEAK = """
import resource
import sys
from carmodel import integrators
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.spaces import BoxSpace
from tests.conftest import smooth_state
space = BoxSpace((24, 24, 24), (1.0, 1.0, 1.0))
u = smooth_state(space)
integrator = getattr(integrators, sys.argv[1])(space, Medium(PRESETS["normalised"]), rtol=1e-3)
for _ in range(20):
    integrator.step(u, 0.01)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(150):
    integrator.step(u, 0.01)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
integrator.destroy()
"""


@pytest.mark.parametrize("make", METHODS)
def test_steps_do_not_pile_up_memory(make):
    """150 steps of 14 MB of vectors each: peak memory stays."""
    done = subprocess.run(
        [sys.executable, "-c", LEAK, make.__name__], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(done.stdout) < 4000, done.stdout  # kB
