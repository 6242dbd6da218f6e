"""The paper's scheme: order, conservation, clamping, and the published program's own numbers."""

from itertools import pairwise

import numpy as np
import pytest

from carmodel.integrators import Heat, Heun, Jacobi, Krylov, Patankar, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.spaces import BoxSpace
from tests.conftest import ROOT, smooth_state, without_reactions
from tests.meshes import uniform

P = PRESETS["normalised"]


@pytest.mark.parametrize("case", ["raw_defaults", "normalised", "normalised_few_sweeps"])
def test_jacobi_mode_repeats_the_published_program(case, carmodel, tmp_path):
    out = tmp_path / "out"
    assert carmodel("run", ROOT / f"runs/published/{case}.toml", "--out", out, "--quiet").code == 0
    answer = carmodel("compare", out, ROOT / f"tests/data/{case}.npz", "--tol", "1e-12")
    assert answer.code == 0, answer.out
    times = {"raw_defaults": 6, "normalised": 6, "normalised_few_sweeps": 5}[case]
    assert answer.out.startswith(f"{times} common times")


def advance(space, p, u, dt, steps, **options):
    integrator = Strang(space, Medium(p), **options)
    for _ in range(steps):
        integrator.step(u, dt)
    clamped = integrator.clamped.copy()
    integrator.destroy()
    return clamped


def observed_order(space, p, end, steps, **options):
    """Order from three runs with halved steps (Richardson), in the norm over all fields."""
    ends = []
    for n in (steps, 2 * steps, 4 * steps):
        u = smooth_state(space)
        advance(space, p, u, end / n, n, **options)
        ends.append(space.owned(u).copy())
    coarse, fine = (np.linalg.norm(a - b) for a, b in pairwise(ends))
    return np.log2(coarse / fine)


def test_the_paper_s_scheme_is_of_first_order():
    """All seven fields, taxis and reactions; nothing is clamped on the way.  Erratum 8: first order."""
    space = BoxSpace((8, 7, 6), (1.0, 1.0, 1.0))
    order = observed_order(space, P, 0.4, 40)
    assert order == pytest.approx(1.0, abs=0.1)
    space.destroy()


@pytest.mark.parametrize("substeps", [1, 3])
def test_reactions_and_taxis_alone_are_second_order(substeps):
    p = P._replace(D_C=0.0, D_E=0.0, D_T=0.0, D_S=0.0, D_A=0.0, D_H=0.0)
    space = BoxSpace((8, 7, 6), (1.0, 1.0, 1.0))
    order = observed_order(space, p, 0.8, 8, reactions=Heun(substeps))
    assert order == pytest.approx(2.0, abs=0.1)
    space.destroy()


@pytest.mark.parametrize("Reactions", [Heun, Patankar])
def test_substeps_shorten_the_explicit_step(Reactions):
    """n substeps of one step equal n steps where there is no diffusion, nor taxis that is part of it."""
    p = P._replace(chi_0=P.chi_0 if Reactions is Heun else 0.0, D_C=0.0, D_E=0.0, D_T=0.0, D_S=0.0, D_A=0.0, D_H=0.0)
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    u, v = smooth_state(space), smooth_state(space)
    advance(space, p, u, 0.3, 1, reactions=Reactions(3))
    advance(space, p, v, 0.1, 3, reactions=Reactions())
    assert np.abs(space.owned(u) - space.owned(v)).max() < 1e-14
    space.destroy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"diffusion": Jacobi(10)},
        {"diffusion": Krylov("sdirk2")},
        {"diffusion": Heat()},
        {"reactions": Patankar()},
        {"reactions": Patankar(), "diffusion": Krylov("sdirk2"), "taxis": "scharfetter-gummel"},
    ],
    ids=str,
)
def test_totals_are_kept_without_reactions(options):
    """With taxis on; nothing is clamped, every field's total stays."""
    space = BoxSpace((13, 11, 7), (1.0, 1.1, 0.9))
    u = smooth_state(space)
    before = space.sum_min_max(u)[0]
    state = u.copy()
    steps = 300 if "reactions" in options else 1000
    clamped = advance(space, without_reactions(), u, 0.01, steps, **options)
    assert np.abs(clamped).max() == 0.0
    assert np.abs(space.owned(u) - space.owned(state)).max(axis=(1, 2, 3)).min() > 1e-4, "every field must have moved"
    assert np.abs(space.sum_min_max(u)[0] / before - 1.0).max() < 1e-12
    space.destroy()


@pytest.mark.parametrize("diffusion", [Krylov(), Jacobi()], ids=str)
def test_clamped_mass_accounts_for_every_change(diffusion):
    """Central taxis at a cell Peclet number far above 2 turns C negative: what clamping adds is counted."""
    space = BoxSpace((16, 5, 4), (1.0, 0.4, 0.4))
    p = without_reactions()._replace(chi_0=0.3, D_C=5e-3, D_S=1e-2)
    u = space.zeros(7)
    x = space.centres[0]
    space.owned(u[0])[...] = (x < 0.4) * 1.0
    space.owned(u[4])[...] = np.exp(-(((x - 0.6) / 0.1) ** 2))
    before = space.sum_min_max(u)[0]
    clamped = advance(space, p, u, 0.01, 1000, diffusion=diffusion)
    total, least, _ = space.sum_min_max(u)
    assert clamped[0] > 1e-3 * before[0], "nothing was clamped: the test shows nothing"
    assert least.min() >= 0.0
    assert np.abs(total - before - clamped)[[0, 4]] / total[[0, 4]] == pytest.approx(0.0, abs=1e-12)
    space.destroy()


def test_sdirk2_undershoots_at_sharp_edges_and_the_clamp_counts_it():
    """Backward Euler and the heat semigroup do not."""
    space = BoxSpace((16, 5, 4), (1.0, 0.4, 0.4))
    p = without_reactions()._replace(chi_0=0.0)
    start = space.zeros(7)
    space.owned(start)[..., 7] = 1.0
    before = space.sum_min_max(start)[0]
    for diffusion in (Krylov(), Heat(), Krylov("sdirk2")):
        u = start.copy()
        clamped = advance(space, p, u, 2.0, 1, diffusion=diffusion)
        total, least, _ = space.sum_min_max(u)
        assert least.min() >= 0.0
        assert np.abs(total - before - clamped).max() < 1e-13 * before[0]
        assert (clamped.max() > 1e-3 * before[0]) == (diffusion == Krylov("sdirk2"))
    space.destroy()


def test_implicit_taxis_is_solved_for_only_where_there_is_some():
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    fields = []
    for chi_0, solver in ((0.0, "cosine transform"), (1e-300, "gmres + bjacobi")):
        integrator = Strang(space, Medium(P._replace(chi_0=chi_0)), reactions=Patankar())
        u = smooth_state(space)
        integrator.step(u, 0.1)
        assert integrator.figures()["linear_solvers"]["C"] == solver
        integrator.destroy()
        fields.append(space.owned(u).copy())
    assert np.abs(fields[0] - fields[1]).max() < 1e-11
    space.destroy()


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="scheme: 'euler' is unknown; accepted: backward-euler, sdirk2"):
        Krylov("euler")
    box, mesh = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0)), uniform((3, 3, 3), (1.0, 1.0, 1.0))
    varying = Medium(P, {"D_C": box.zeros() + 0.01})
    with pytest.raises(ValueError, match="Jacobi solver goes with explicit taxis"):
        Strang(box, Medium(P), reactions=Patankar(), diffusion=Jacobi())
    for diffusion, found in ((Jacobi(), "Jacobi solver has a box"), (Heat(), "heat semigroup is known for a box")):
        for space, medium in ((box, varying), (mesh, Medium(P))):
            with pytest.raises(ValueError, match=found):
                Strang(space, medium, diffusion=diffusion)
    for space in (box, mesh):
        space.destroy()


def test_what_clamping_adds_after_diffusion_is_counted_too():
    """A solver that overshoots below zero, as one with a loose tolerance may."""

    class Overshooting:
        def solve(self, u, dt, medium):
            u -= 0.5

        def destroy(self):
            pass

    space = BoxSpace((5, 4, 3), (1.0, 1.0, 1.0))
    u = smooth_state(space)
    integrator = Strang(space, Medium(without_reactions()._replace(chi_0=0.0)))
    integrator.diffusion_step.destroy()
    integrator.diffusion_step = Overshooting()
    before = space.owned(u).copy()
    integrator.step(u, 0.1)
    assert space.owned(u) == pytest.approx(np.maximum(before - 0.5, 0.0))
    added = np.maximum(0.5 - before, 0.0).sum(axis=(1, 2, 3))
    assert added.min() > 0.1
    assert integrator.clamped == pytest.approx(added, rel=1e-13)
    space.destroy()


def test_without_clamping_negative_values_stay_and_the_total_is_kept():
    space = BoxSpace((16, 5, 4), (1.0, 0.4, 0.4))
    p = without_reactions()._replace(chi_0=2.0, D_C=1e-4, D_S=1e-3)
    u = space.zeros(7)
    x = space.centres[0]
    space.owned(u[0])[...] = (x < 0.4) * 1.0
    space.owned(u[4])[...] = np.exp(-(((x - 0.6) / 0.1) ** 2))
    before = space.sum_min_max(u)[0]
    clamped = advance(space, p, u, 0.01, 20, clamp=False)
    total, least, _ = space.sum_min_max(u)
    assert least[0] < -1e-3
    assert np.abs(clamped).max() == 0.0
    assert total[0] == pytest.approx(before[0], rel=1e-13)
    space.destroy()


def test_upwind_stays_positive_where_central_does_not():
    space = BoxSpace((16, 5, 4), (1.0, 0.4, 0.4))
    p = without_reactions()._replace(chi_0=2.0, D_C=1e-4, D_S=1e-3)
    least = {}
    for taxis in ("central", "upwind"):
        u = space.zeros(7)
        x = space.centres[0]
        space.owned(u[0])[...] = (x < 0.4) * 1.0
        space.owned(u[4])[...] = np.exp(-(((x - 0.6) / 0.1) ** 2))
        advance(space, p, u, 0.001, 100, clamp=False, taxis=taxis)
        least[taxis] = space.sum_min_max(u)[1][0]
    assert least["central"] < -1e-3
    assert least["upwind"] > -1e-15
    space.destroy()


@pytest.mark.parametrize("options", [{}, {"reactions": Patankar(), "diffusion": Krylov("sdirk2")}], ids=str)
def test_symmetric_data_stay_symmetric(options):
    """The three axes and both directions are treated alike."""
    space = BoxSpace((8, 8, 8), (1.0, 1.0, 1.0))
    x, y, z = space.centres
    r2 = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2
    u = space.zeros(7)
    space.owned(u)[...] = np.exp(-8.0 * r2) * np.linspace(0.3, 0.9, 7)[:, None, None, None]
    advance(space, P, u, 0.02, 10, **options)
    w = space.owned(u)
    for axes in ((0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1)):
        assert np.abs(w - w.transpose(axes)).max() < 1e-12
    for axis in (1, 2, 3):
        assert np.abs(w - np.flip(w, axis)).max() < 1e-12
    space.destroy()


@pytest.mark.parametrize("reactions", [Heun(), Patankar()], ids=str)
def test_uniform_fields_follow_the_homogeneous_system(reactions):
    """Without gradients the box is eqs (9)-(15): against a stiff ODE solver."""
    from scipy.integrate import solve_ivp

    from tests.models.test_kinetics import paper

    start = np.array([0.17, 0.0, 0.88, 0.0, 0.0, 0.0, 0.0])
    exact = solve_ivp(lambda _t, v: paper(v, P), (0.0, 2.0), start, rtol=1e-11, atol=1e-13, method="LSODA").y[:, -1]
    space = BoxSpace((3, 2, 2), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    space.owned(u)[...] = start[:, None, None, None]
    advance(space, P, u, 0.01, 200, reactions=reactions)
    assert space.owned(u)[:, 0, 0, 0] == pytest.approx(exact, rel=2e-5), dict(zip(FIELDS, exact, strict=True))
    space.destroy()


@pytest.mark.parametrize("options", [{}, {"diffusion": Heat()}, {"reactions": Patankar()}], ids=str)
def test_restarting_with_other_parameters_is_starting_with_them(options):
    """Taxis that sets in, and diffusivities that change."""
    space = BoxSpace((6, 5, 4), (1.0, 1.0, 1.0))
    later = P._replace(chi_0=0.3, D_C=0.03, D_H=0.5)
    u = smooth_state(space)
    changed = Strang(space, Medium(P._replace(chi_0=0.0)), **options)
    changed.step(u, 0.1)
    v = u.copy()
    changed.restart(Medium(later))
    changed.step(u, 0.1)
    afresh = Strang(space, Medium(later), **options)
    afresh.step(v, 0.1)
    assert (space.owned(u) == space.owned(v)).all()
    assert changed.diffusion_step.iterations.min() >= 2
    changed.destroy()
    afresh.destroy()
    space.destroy()
