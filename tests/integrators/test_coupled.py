"""The coupled implicit integrator: orders in time, conservation, positivity, convergence and halving, ranks."""

import logging
import sys
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import root

from carmodel.integrators import Strang, coupled
from carmodel.integrators.coupled import SCHEMES, Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.solvers.fipy_terms import TAXIS_TERMS
from carmodel.spaces import BoxSpace
from carmodel.tools.errors import NumericsError
from carmodel.tools.petsc import PETSc
from tests.conftest import mpirun, smooth_state, without_reactions
from tests.meshes import BOX, MESHES, smooth, uniform
from tests.models.test_kinetics import paper

P = PRESETS["normalised"]


def advance(space, p, u, dt, steps, D_C=None, **options):
    """Advance u in place; the integrator, its PETSc objects freed."""
    integrator = Coupled(space, Medium(p, {"D_C": D_C}), **options)
    for _ in range(steps):
        integrator.step(u, dt)
    integrator.destroy()
    assert not integrator.clamped.any()
    return integrator


def test_unknown_names_are_refused():
    space = uniform((2, 2, 2))
    with pytest.raises(ValueError, match="taxis: 'downwind' is unknown; accepted: central, upwind, scharfetter-gummel"):
        Coupled(space, Medium(P), taxis="downwind")
    with pytest.raises(ValueError, match="scheme: 'euler' is unknown; accepted: backward-euler, bdf2"):
        Coupled(space, Medium(P), scheme="euler")


# ---- time ----------------------------------------------------------------------------------------------------------


def test_uniform_fields_take_an_implicit_euler_step_of_the_reactions():
    """Rates and signs against the paper's formulas as typed in test_kinetics."""
    start, dt = np.array([0.17, 0.05, 0.88, 0.1, 0.3, 0.2, 0.4]), 0.5
    exact = root(lambda v: v - start - dt * paper(v, P), start, tol=1e-14).x
    space = uniform((3, 2, 2))
    u = np.repeat(start[:, None], space.n_local, axis=1)
    advance(space, P, u, dt, 1, scheme="backward-euler")
    assert np.abs(exact - start).min() > 1e-3
    assert np.abs(u - exact[:, None]).max() < 1e-10


@pytest.mark.parametrize(("scheme", "order"), SCHEMES.items())
def test_order_in_time_is_the_declared_one(scheme, order):
    """All seven fields, taxis and reactions, the starting steps included."""
    space = uniform()
    ends = []
    for n in (10, 20, 40):
        u = smooth(space)
        assert advance(space, P, u, 0.8 / n, n, scheme=scheme).order == order
        ends.append(u)
    for f, name in enumerate(FIELDS):
        coarse, fine = (np.linalg.norm(a[f] - b[f]) for a, b in pairwise(ends))
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.2), name


def test_alternating_steps_keep_second_order():
    space = uniform((6, 5, 4))
    ends = []
    for n in (6, 12, 24):
        integrator, u = Coupled(space, Medium(P)), smooth(space)
        for _ in range(n):
            integrator.step(u, 0.3 / n)
            integrator.step(u, 0.5 / n)
        integrator.destroy()
        ends.append(u)
    coarse, fine = (np.linalg.norm(a - b) for a, b in pairwise(ends))
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.15)


def test_steps_grow_at_most_twofold():
    space = uniform((2, 2, 2))
    integrator, u = Coupled(space, Medium(P)), smooth(space)
    assert integrator._parts(1.5) == pytest.approx([0.1, 0.2, 0.4, 0.8])
    integrator.step(u, 1.5)
    for dt, parts in ((0.01, 1), (1.6, 1), (1.61, 2), (4.8, 2), (10.0, 3)):
        lengths = integrator._parts(dt)
        assert len(lengths) == parts
        assert sum(lengths) == pytest.approx(dt)
        assert all(b <= 2.0 * a * (1.0 + 1e-12) for a, b in pairwise([0.8, *lengths]))
    integrator.destroy()


def test_a_dose_starts_bdf2_afresh():
    """A jump between two steps is no derivative: the answer is that of an integrator that never saw it."""
    space = uniform((6, 5, 4))
    u = smooth(space)
    dosed = Coupled(space, Medium(P))
    dosed.step(u, 0.1)
    u[0] += 0.5
    dosed.restart(Medium(P))
    fresh, other = u.copy(), u + 0.1
    dosed.step(u, 0.1)
    advance(space, P, fresh, 0.1, 1)
    assert np.abs(u - fresh).max() < 1e-9
    fresh = other.copy()
    dosed.step(other, 0.1)  # another array: another state
    dosed.destroy()
    advance(space, P, fresh, 0.1, 1)
    assert np.abs(other - fresh).max() < 1e-9


def test_agrees_with_strang_as_steps_shrink():
    """The other scheme on the other space, same grid and central taxis: what is left is Strang's first-order error."""
    cells = (8, 7, 6)
    box = BoxSpace(cells, BOX)
    mesh = uniform(cells)
    start = smooth_state(box)
    differences = []
    for n in (20, 40, 80):
        u, v = start.copy(), box.owned(start).reshape(7, -1).copy()
        strang = Strang(box, Medium(P))
        for _ in range(n):
            strang.step(u, 0.4 / n)
        strang.destroy()
        advance(mesh, P, v, 0.4 / n, n)
        differences.append(np.abs(box.owned(u).reshape(7, -1) - v).max(axis=1))
    box.destroy()
    for f, name in enumerate(FIELDS):
        for coarse, fine in pairwise(differences):
            assert fine[f] < 0.56 * coarse[f], name
    assert differences[-1].max() < 2e-3


# ---- space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taxis", TAXIS_TERMS)
@pytest.mark.parametrize("kind", MESHES)
def test_totals_are_kept_without_reactions(kind, taxis):
    """Taxis on, with a gradient of S through the walls: nothing leaves."""
    space = MESHES[kind]()
    u = smooth(space)
    u[4] = 2.0 * space.mesh.cellCenters.value.sum(axis=0)
    before, start = u @ space.volumes, u.copy()
    advance(space, without_reactions(), u, 0.05, 10, taxis=taxis)
    assert np.abs(u - start).max(axis=1).min() > 1e-4, "every field must have moved"
    assert np.abs((u @ space.volumes) / before - 1.0).max() < 1e-10


def test_scharfetter_gummel_is_positive_where_central_is_not():
    """A fixed gradient of S with a cell Peclet number of 50 in both directions; nothing is clamped."""
    space = uniform((20, 4, 4), (1.0, 0.2, 0.2))
    x = space.mesh.cellCenters.value[0]
    p = without_reactions()._replace(chi_0=1.0, alpha_A=0.0, D_C=1e-3, D_S=0.0)
    least = {}
    for taxis in TAXIS_TERMS:
        u = np.zeros((7, space.n_local))
        u[0] = (x < 0.4) * 1.0
        u[4] = 1.0 - np.abs(x - 0.5)  # chi |dS/dx| h / D_C = 50
        before = u[0].sum()
        advance(space, p, u, 0.02, 20, taxis=taxis, scheme="backward-euler")
        least[taxis] = u[0].min()
        assert u[0].sum() == pytest.approx(before, rel=1e-10)
    assert least["central"] < -0.1
    assert min(least["upwind"], least["scharfetter-gummel"]) >= -1e-12


def test_slow_diffusion_moves_by_the_right_amount():
    """D_T = 5e-5 and dt = 0.01: with FiPy's own tolerance of 1e-5 the tumour would stand still."""
    n, dt, steps = 10, 0.01, 5
    space = uniform((n, 2, 2), (1.0, 0.2, 0.2))
    p = without_reactions()._replace(D_T=5e-5)
    mode = np.cos(np.pi * space.mesh.cellCenters.value[0])
    u = np.zeros((7, space.n_local))
    u[2] = 1.0 + mode
    advance(space, p, u, dt, steps, scheme="backward-euler")
    eigenvalue = (2.0 * n * np.sin(0.5 * np.pi / n)) ** 2
    lost = 1.0 - (1.0 + dt * p.D_T * eigenvalue) ** -steps
    assert u[2] - 1.0 - mode == pytest.approx(-lost * mode, abs=1e-6 * lost)


def test_impermeable_cells_and_resting_fluid_are_no_division_by_zero():
    """D_C = 0 in part of the box, S flat in another part, every scheme; no C crosses where nothing carries it."""
    space = uniform((8, 3, 3))
    x = space.mesh.cellCenters.value[0]
    p = without_reactions()._replace(D_S=0.0)
    for taxis in TAXIS_TERMS:
        u = np.zeros((7, space.n_local))
        u[0] = (x < 0.5) * 1.0
        advance(space, p, u, 0.1, 3, taxis=taxis, D_C=np.where(x < 0.6, 0.014, 0.0))
        assert np.isfinite(u).all()
        assert u[0][x > 0.7].max() < 1e-20
        assert u[0][(x > 0.5) & (x < 0.6)].min() > 1e-3


# ---- convergence ---------------------------------------------------------------------------------------------------


def test_fields_that_are_zero_or_settled_cost_nothing():
    space = uniform((4, 3, 3))
    u = np.zeros((7, space.n_local))
    integrator = advance(space, P, u, 0.1, 3)
    assert not u.any()
    assert integrator.sweeps == len("1248") + 2  # one look at each of the starting and later steps
    assert not integrator.iterations.any()


def test_residuals_are_below_the_tolerance_at_the_end():
    space = uniform()
    u = smooth(space)
    old = u.copy()
    integrator = Coupled(space, Medium(P), scheme="backward-euler", tolerance=1e-7)
    integrator.step(u, 0.3)
    assert integrator.sweeps > 3
    integrator._old_taxis.add(0)
    for f, name in enumerate(FIELDS):
        residual, scale, rounding = integrator._assemble(f, u)
        assert residual < 1e-7 * scale, name
        assert rounding < 1e-12 * scale, name
    assert np.abs(u - old).max(axis=1).min() > 1e-3
    integrator.destroy()


def test_a_step_is_not_done_while_any_one_field_is_off():
    """Without reactions and taxis the fields are alone: a sweep must see each that is off, and name it."""
    space = uniform((4, 3, 3))
    integrator, u = Coupled(space, Medium(without_reactions()._replace(chi_0=0.0))), smooth(space)
    integrator.systems.begin(10.0, 10.0 * u)
    solved = u.copy()
    for _ in range(3):
        unsolved = integrator._sweep(solved)
    assert not unsolved
    for f, name in enumerate(FIELDS):
        v = solved.copy()
        v[f] *= 1.001
        assert f"residual of {name} is" in integrator._sweep(v)
        assert v[f] == pytest.approx(solved[f], rel=1e-8)
        assert not integrator._sweep(v)
    integrator.destroy()


def test_very_stiff_diffusion_is_solved_to_rounding():
    """dt D / h^2 = 2e6: rounding alone exceeds the tolerance, which must not halve the step."""
    space = uniform((16, 4, 4), (1.0, 0.25, 0.25))
    u = np.full((7, space.n_local), 0.4)
    u[6] += 0.3 * np.cos(np.pi * space.mesh.cellCenters.value[0])
    before = u[6].mean()
    p = without_reactions()._replace(D_H=2e4)
    integrator = advance(space, p, u, 0.4, 2, scheme="backward-euler")
    assert integrator.halvings == 0
    assert integrator.sweeps <= 6
    assert u[6] == pytest.approx(before, rel=1e-8)
    assert u[6].mean() == pytest.approx(before, rel=1e-9)


def test_a_step_that_does_not_converge_is_halved_and_said(caplog):
    space = uniform((6, 5, 4))
    u, v = smooth(space), smooth(space)
    with caplog.at_level(logging.WARNING):
        halved = advance(space, P, u, 4.0, 1, scheme="backward-euler", most_sweeps=14)
    assert halved.halvings == len(caplog.messages) > 0
    assert "residual of" in caplog.messages[0]
    assert "after 14 sweeps; step of 4 days halved" in caplog.messages[0]
    assert halved.halvings == 1
    advance(space, P, v, 2.0, 2, scheme="backward-euler")
    assert np.abs(u - v).max() < 1e-8


def test_steps_grow_at_most_twofold_after_halvings_too(monkeypatch):
    """The second of the starting steps is halved twice: the third may not be eight times as long as what is left."""
    space = uniform((2, 2, 2))
    integrator, u = Coupled(space, Medium(P)), smooth(space)
    advance_once, taken = integrator._advance, []

    def refuse_some(old, h):
        if len(taken) == 1 and h > 0.06:
            raise coupled._NotConvergedError("too long")
        taken.append(h)
        return advance_once(old, h)

    monkeypatch.setattr(integrator, "_advance", refuse_some)
    integrator.step(u, 1.5)
    assert integrator.halvings == 2
    assert sum(taken) == pytest.approx(1.5)
    assert all(b <= 2.0 * a * (1.0 + 1e-6) for a, b in pairwise(taken)), taken
    integrator.destroy()


def test_the_least_step_ends_the_run_in_one_line():
    space = uniform((4, 3, 3))
    u = smooth(space)
    before = u.copy()
    integrator = Coupled(space, Medium(P), most_sweeps=1, least_step=0.01)
    with pytest.raises(
        NumericsError, match=r"after 1 sweeps; dt = .* cannot be halved: the least step is 0\.01 days"
    ) as e:
        integrator.step(u, 1.0)
    assert "\n" not in str(e.value)
    assert np.array_equal(u, before)
    integrator.destroy()


def test_what_is_no_longer_finite_is_named():
    space = uniform((4, 3, 3))
    u = smooth(space)
    u[2, 5] = np.nan
    integrator = Coupled(space, Medium(P), least_step=0.01)
    with pytest.raises(NumericsError, match="C is no longer finite"):
        integrator.step(u, 0.1)
    integrator.destroy()


@contextmanager
def petsc_options(**given):
    options = PETSc.Options()
    for name, value in given.items():
        options[name] = value
    try:
        yield
    finally:
        for name in given:
            options.delValue(name)


def test_petsc_options_by_field_win_and_objects_are_freed():
    with petsc_options(H_pc_type="none", C_ksp_type="bcgs"):
        space = uniform((6, 5, 4))
        integrator, u = Coupled(space, Medium(P)), smooth(space)
        integrator.step(u, 0.1)
        solvers = integrator.systems._solvers
        assert solvers[6].getPC().getType() == "none"
        assert [solver.getType() for solver in solvers] == ["bcgs"] + 6 * ["cg"]
        matrices = integrator.systems.matrices
        integrator.destroy()
        assert not any(thing.handle for thing in (*solvers, *matrices))


def test_direct_solves_give_the_same_fields():
    """A factorisation is not kept for the next matrix, and takes no initial guess."""
    space = uniform((6, 5, 4))
    u, v = smooth(space), smooth(space)
    p = P._replace(chi_0=1.0)
    advance(space, p, u, 0.1, 3)
    with petsc_options(C_ksp_type="preonly", C_pc_type="lu", H_ksp_type="preonly", H_pc_type="lu"):
        integrator = advance(space, p, v, 0.1, 3)
    assert integrator.halvings == 0
    assert np.abs(u - v).max() < 1e-9


def test_what_petsc_cannot_set_up_ends_the_run_in_one_line():
    space = uniform((4, 3, 3))
    with petsc_options(H_pc_type="lu", H_pc_factor_mat_solver_type="nosuch"):
        integrator = Coupled(space, Medium(P))
        with pytest.raises(NumericsError, match="system of H not solved: PETSc says: ") as e:
            integrator.step(smooth(space), 0.1)
        assert "\n" not in str(e.value)
        integrator.destroy()


def test_seconds_tell_where_the_time_went():
    space = uniform()
    integrator = advance(space, P, smooth(space), 0.1, 1)
    assert set(integrator.seconds) == {"assembly", "solve"}
    assert min(integrator.seconds.values()) > 0.0
    assert integrator.iterations.min() > 0


# ---- ranks ---------------------------------------------------------------------------------------------------------


def run_and_save(kind, path):
    """Some steps on this many ranks; rank 0 saves centres and fields of all cells."""
    space = MESHES[kind]()
    u = smooth(space)
    u[1] = 0.0
    D_C = 0.01 * (1.0 + space.mesh.cellCenters.value[0])
    integrator = Coupled(space, Medium(P._replace(chi_0=0.3), {"D_C": D_C}), taxis="scharfetter-gummel")
    for _ in range(5):
        integrator.step(u, 0.05)
    integrator.destroy()
    centres = np.asarray(space.mesh.cellCenters.value)
    pieces = space.comm.gather(np.concatenate([centres, u])[:, space.own])
    # Overlapping cells come back valid: exchanging them changes nothing.
    for values in u:
        assert np.array_equal(values, integrator_overlap(space, values))
    space.destroy()  # and not by the garbage collector, at a time of its own on each rank
    if pieces:
        np.save(path, np.concatenate(pieces, axis=1))


def integrator_overlap(space, values):
    """Values of the local cells looked up by global number among all ranks' own cells."""
    whole = np.empty(space.mesh.globalNumberOfCells)
    numbers = np.asarray(space.mesh._globalOverlappingCellIDs)
    for mine, theirs in space.comm.allgather((numbers[space.own], values[space.own])):
        whole[mine] = theirs
    return whole[numbers]


@pytest.mark.parametrize("kind", [pytest.param("uniform", marks=pytest.mark.slow), "tetrahedra"])
def test_ranks_do_not_change_the_fields(kind, tmp_path):
    """1, 2 and 4 ranks, to solver tolerance; Gmsh numbers the cells by partition, so they are matched by place."""
    if kind == "tetrahedra":
        pytest.importorskip("gmsh")
    results = []
    for ranks in (1, 2, 4):
        path = tmp_path / f"{ranks}.npy"
        code = f"from tests.integrators.test_coupled import run_and_save; run_and_save({kind!r}, {str(path)!r})"
        answer = mpirun(ranks, sys.executable, "-c", code)
        assert answer.code == 0, answer.err
        rows = np.load(path)
        results.append(rows[:, np.lexsort(np.round(rows[:3], 9))])
    one = results[0]
    for other in results[1:]:
        assert other[:3] == pytest.approx(one[:3], abs=1e-12)
        assert np.abs(other[3:] - one[3:]).max() < 1e-9
