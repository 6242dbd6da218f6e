"""Boxes that a wall cuts: order, no leaks, positivity, steps no shorter than the box's, ranks, and FiPy's matrices."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh

from carmodel.integrators import Imex, Krylov, Patankar, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.spaces import BoxSpace
from carmodel.spaces.cutbox import STEEPEST, CutBoxSpace
from carmodel.spaces.fractions import shares_below
from carmodel.spaces.mesh import grid_mesh
from carmodel.spaces.stencils import Stage
from tests.conftest import ROOT, mpirun, without_reactions

# FiPy chooses its matrices when it is first imported, which carmodel.spaces.mesh has seen to.
import fipy  # isort: skip

P = PRESETS["normalised"]
SIDE, CELLS = 1.2, (12, 18, 26)
CENTRE = 0.6 + np.array([0.013, 0.007, -0.011])


def ball(x, y, z):
    r = [(axis - c) ** 2 for axis, c in zip(np.meshgrid(x, y, z, indexing="ij"), CENTRE, strict=True)]
    return (np.sqrt(sum(r)) - 0.5).transpose(2, 1, 0)


#: A brick 0.9 x 0.4 x 0.44 cm with no edge along an axis.
LONG = np.array([1.0, 0.37, 0.21]) / np.linalg.norm([1.0, 0.37, 0.21])
SHORT = np.cross(LONG, [0.0, 0.0, 1.0]) / np.linalg.norm(np.cross(LONG, [0.0, 0.0, 1.0]))
HALVES = (0.45, 0.2, 0.22)


def brick(x, y, z):
    points = np.stack(np.meshgrid(x, y, z, indexing="ij")) - 0.6
    beyond = [
        np.abs(np.tensordot(axis, points, 1)) - half
        for axis, half in zip((LONG, SHORT, np.cross(LONG, SHORT)), HALVES, strict=True)
    ]
    return np.max(beyond, axis=0).transpose(2, 1, 0)


def cut_box(n=12, surface=ball, parts=2):
    return CutBoxSpace((n, n, n), (SIDE, SIDE, SIDE), surface, parts)


def as_scipy(matrix):
    starts, columns, values = matrix.getValuesCSR()
    matrix.destroy()
    return csr_array((values, columns, starts)).tocsc()


def waves(space):
    """Seven smooth fields inside, zero outside."""
    rng = np.random.default_rng(11)
    u = space.zeros(7)
    for f in range(7):
        product = 0.3
        for x, k in zip(space.centres, rng.integers(1, 3, size=3), strict=True):
            product = product * np.cos(k * np.pi * x / SIDE)
        space.owned(u[f])[...] = (0.5 + product) * (1.0 if space.outside is None else ~space.outside)
    return u


def tilted_slab(number):
    """0.9 cm long and 0.5 thick, turned about z, in one of three places: a level set."""
    along = np.array([np.cos(0.35), np.sin(0.35)])
    across = np.array([-along[1], along[0]])
    shift = np.random.default_rng(number).uniform(-0.03, 0.03, 2)

    def level(x, y, z):
        points = np.stack(np.meshgrid(x - 0.6 - shift[0], y - 0.6 - shift[1], indexing="ij"))
        beyond = [np.abs(np.tensordot(axis, points, 1)) - half for axis, half in ((along, 0.45), (across, 0.25))]
        return np.repeat(np.max(beyond, axis=0).T[None], z.size, axis=0)

    return level


def slow_rates(space, n):
    """The n slowest rates, in 1/day for D = 1 cm^2/day."""
    volumes = diags_array(space.unknowns(space.relative_volumes)).tocsc()
    rates = as_scipy(space.diffusion_matrix(1.0, 1.0)) - volumes
    space.destroy()
    return np.sort(eigsh(rates, k=n, M=volumes, sigma=-1.0, return_eigenvectors=False))


def ball_error(n):
    return slow_rates(cut_box(n), 4)[1:].mean() / (2.0815759778 / 0.5) ** 2 - 1.0


def slab_error(n):
    """Mean over the places: how its edges lie among the cells matters."""
    boxes = [CutBoxSpace((n, n, 4), (SIDE, SIDE, 4 * SIDE / n), tilted_slab(number)) for number in range(3)]
    return np.mean([slow_rates(box, 2)[1] for box in boxes]) / (np.pi / 0.9) ** 2 - 1.0


@pytest.mark.parametrize("error", [ball_error, slab_error])
def test_rate_of_the_slowest_mode_converges(error):
    errors = np.abs([error(n) for n in CELLS])
    orders = np.diff(np.log(errors)) / np.diff(np.log(1.0 / np.array(CELLS)))
    assert orders.min() > 1.7, (errors, orders)
    assert errors[-1] < 3e-3


def test_shares_are_those_of_half_spaces():
    """Against many points in each cube, for slopes of all kinds, and exactly where planes lie along the axes."""
    rng = np.random.default_rng(5)
    slopes = rng.standard_normal((3, 300)) * rng.choice([1.0, 1e-3, 0.0], size=(3, 300))
    slopes[0] += slopes[0] == 0.0
    mean = 0.6 * rng.standard_normal(300)
    points = (np.arange(40) + 0.5) / 40 - 0.5
    x, y, z = np.meshgrid(points, points, points, indexing="ij")
    counted = [(m + a * x + b * y + c * z < 0.0).mean() for m, (a, b, c) in zip(mean, slopes.T, strict=True)]
    assert shares_below(mean, slopes) == pytest.approx(counted, abs=0.02)
    assert shares_below(np.array([0.25]), np.array([[1.0], [0.0], [0.0]])) == pytest.approx(0.25)
    assert shares_below(np.array([-0.1]), np.array([[0.0], [-1.0]])) == pytest.approx(0.6)
    assert shares_below(np.array([0.0]), np.array([[1.0], [1.0], [1.0]])) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("surface", [ball, brick])
def test_volume_is_that_inside_and_no_cell_is_too_small_for_its_faces(surface):
    space = cut_box(20, surface)
    volume = {ball: 4.0 / 3.0 * np.pi * 0.5**3, brick: 8.0 * np.prod(HALVES)}[surface]
    assert space.whole * space.cell_volume == pytest.approx(volume, rel=0.01)
    widest = space._widest()
    assert (widest <= STEEPEST * 1.02 * space.inside).all()
    assert 0.0 < space.inside[space.inside > 0.0].min() < 0.2
    space.destroy()


def test_of_a_region_that_is_all_tissue_each_cell_is_full():
    """However small the share of the cell that is tissue."""
    space = cut_box(12)
    shares = space.shares_of(ball)
    holds = space.own_shares > 0.0
    assert shares[holds] == pytest.approx(1.0, abs=1e-12)
    assert not shares[~holds].any()
    assert (space._cut_shares[holds] < 0.9).any()
    space.destroy()


def test_a_box_that_is_all_inside_is_the_box():
    cells, lengths = (5, 7, 6), (1.0, 0.9, 0.6)
    box, cut = BoxSpace(cells, lengths), CutBoxSpace(cells, lengths, lambda x, y, z: -np.ones((z.size, y.size, x.size)))
    medium = Medium(P._replace(chi_0=0.5))
    u = waves(box)
    for space in (box, cut):
        space.exchange(u, range(7))
    rates = []
    for space in (box, cut):
        rate = np.zeros((7, space.n_owned))
        space.explicit_rate(u, rate, medium, "scharfetter-gummel")
        space.subtract_diffusion(u, rate, medium.diffusivities)
        rates.append(rate)
    assert rates[1] == pytest.approx(rates[0], rel=1e-12, abs=1e-13)
    of_box, of_cut = (as_scipy(space.diffusion_matrix(0.3, 0.1)) for space in (box, cut))
    assert abs(of_box - of_cut).max() < 1e-13
    box.destroy()
    cut.destroy()


def test_pairs_across_open_faces_are_neighbours_along_the_axis():
    space = CutBoxSpace((7, 9, 11), (SIDE, SIDE, SIDE), ball)
    for axis, h in enumerate(space.spacing):
        place = space.zeros()
        space.owned(place)[...] = space.centres[axis]
        space.exchange_field(place)
        for along, (left, right) in zip((2, 1, 0), space.across_faces(place), strict=True):
            assert left.size == np.count_nonzero(space.open_faces[along])
            assert right - left == pytest.approx(h if along == axis else 0.0, abs=1e-12)
    space.destroy()


def test_fipy_s_grid_with_the_same_shares_has_the_same_matrix():
    """FiPy's diffusion term with D times the open shares of the faces, its transient term with the cells' shares."""
    n, dt = 10, 0.05
    space = cut_box(n)
    rng = np.random.default_rng(2)
    D = space.zeros()
    space.owned(D)[...] = 0.5 + rng.random(space.owned_shape)
    space.exchange_field(D)
    mesh = grid_mesh((n, n, n), (SIDE, SIDE, SIDE))
    one, two = (np.asarray(cells) for cells in mesh._adjacentCellIDs)
    normal = np.argmax(np.abs(np.asarray(mesh.faceNormals)), axis=0)
    inner = space.open_faces[:, 1:-1, 1:-1, 1:-1].reshape(3, -1)
    cells = space.owned(D).ravel()
    mean = 2.0 * cells[one] * cells[two] / (cells[one] + cells[two])
    coefficient = np.where(one != two, inner[normal, np.minimum(one, two)] * mean, 0.0)
    term = fipy.TransientTerm(coeff=fipy.CellVariable(mesh=mesh, value=space.relative_volumes.ravel()))
    equation = term == fipy.DiffusionTerm(coeff=fipy.FaceVariable(mesh=mesh, value=coefficient))
    matrix = equation._prepareLinearSystem(fipy.CellVariable(mesh=mesh), None, (), dt).matrix.matrix
    matrix.assemble()
    starts, columns, values = matrix.getValuesCSR()
    holds = ~space.outside.ravel()
    of_fipy = csr_array((values, columns, starts)).tocsc()[np.ix_(holds, holds)] * (dt / space.cell_volume)
    ours = as_scipy(space.diffusion_matrix(D, dt))
    assert abs(ours - of_fipy).max() < 1e-12 * abs(ours).max()
    space.destroy()


@pytest.mark.parametrize("surface", [ball, brick])
def test_matrices_and_residuals_are_one_operator(surface):
    space = cut_box(12, surface)
    rng = np.random.default_rng(4)
    D = space.zeros()
    space.owned(D)[...] = 0.5 + rng.random(space.owned_shape)
    space.exchange_field(D)
    u, dt = waves(space)[:1], 0.2
    space.exchange_field(u[0])
    rate = np.zeros((1, space.n_owned))
    space.subtract_diffusion(u, rate, [D])
    x = space.unknowns(space.owned(u[0]))
    applied = as_scipy(space.diffusion_matrix(D, dt)) @ x
    volumes = space.unknowns(space.relative_volumes)
    assert applied == pytest.approx(volumes * (x + dt * space.unknowns(rate.reshape(space.owned_shape))), abs=1e-11)
    starts, columns = space.migration_pattern()
    values, zero = np.zeros(columns.size), space.zeros()
    space.migration_rows(values, dt, (zero, D, (zero,), (zero,)), "scharfetter-gummel")
    assert csr_array((values, columns, starts)) @ x == pytest.approx(applied, abs=1e-11)
    space.destroy()


def test_nothing_leaks_in_a_thousand_steps():
    space = cut_box(10)
    u = waves(space)
    before, start = space.sum_min_max(u)[0], u.copy()
    integrator = Strang(space, Medium(without_reactions()))
    for _ in range(1000):
        integrator.step(u, 0.01)
    assert np.abs(integrator.clamped).max() == 0.0
    assert np.abs(u - start).max(axis=1).min() > 1e-4, "every field must have moved"
    assert np.abs(space.sum_min_max(u)[0] / before - 1.0).max() < 1e-12
    assert not space.owned(u)[:, space.outside].any()
    integrator.destroy()
    space.destroy()


def longest_stable_step(space):
    """Of explicit Euler for taxis alone, up a wave of S: from the spectrum's radius, by power iteration."""
    medium = Medium(without_reactions()._replace(chi_0=1.0))
    u, zeros = waves(space), space.zeros(7)
    space.exchange(u, range(7))
    rng, field = np.random.default_rng(0), space.owned(u[0])
    field[...] = rng.standard_normal(field.shape) * (1.0 if space.outside is None else ~space.outside)
    out, growth = zeros.copy(), 0.0
    for n in range(400):
        space.exchange(u, [0])
        space.explicit_stage(
            (u, zeros, zeros.copy(), out), Stage(0.0, 1.0, False, False), medium, "upwind", np.zeros(7)
        )
        growth = np.linalg.norm(space.owned(out[0])) if n > 200 else 0.0
        field[...] = space.owned(out[0]) / np.linalg.norm(space.owned(out[0]))
    return 2.0 / growth


@pytest.mark.parametrize("surface", [ball, brick])
def test_explicit_steps_are_half_as_long_as_on_the_box_at_worst(surface):
    box, cut = BoxSpace((16, 16, 16), (SIDE, SIDE, SIDE)), cut_box(16, surface)
    steps = [longest_stable_step(space) for space in (box, cut)]
    assert steps[1] > 0.5 * steps[0], steps
    box.destroy()
    cut.destroy()


@pytest.mark.parametrize("surface", [ball, brick])
def test_integrators_agree(surface):
    """ARKIMEX, and the splitting of second order, whole model, every field."""
    space, end = cut_box(10, surface), 0.5
    states = []
    for integrator in (
        Imex(space, Medium(P), rtol=1e-7),
        Strang(space, Medium(P), taxis="hybrid", diffusion=Krylov("sdirk2")),
        Strang(space, Medium(P), taxis="hybrid", reactions=Patankar(), diffusion=Krylov("sdirk2")),
    ):
        u, t = waves(space), 0.0
        while t < end - 1e-9:
            t += integrator.step(u, end - t if integrator.adaptive else 0.005)
        assert not space.owned(u)[:, space.outside].any()
        states.append(space.owned(u).copy())
        integrator.destroy()
    for other in states[1:]:
        apart = np.linalg.norm((other - states[0]).reshape(7, -1), axis=1)
        assert (apart < 2e-4 * np.linalg.norm(states[0].reshape(7, -1), axis=1)).all()
    space.destroy()


RANKS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from carmodel.integrators import Imex, Patankar, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from tests.spaces.test_cutbox import SIDE, brick, waves
from carmodel.spaces.cutbox import CutBoxSpace

P = PRESETS["normalised"]
space = CutBoxSpace((9, 11, 10), (SIDE, SIDE, SIDE), brick)
found = []
for make in (lambda: Imex(space, Medium(P)), lambda: Strang(space, Medium(P), taxis="hybrid", reactions=Patankar())):
    u, t, integrator = waves(space), 0.0, make()
    while t < 0.3 - 1e-9:
        t += integrator.step(u, 0.3 - t if integrator.adaptive else 0.05)
    integrator.destroy()
    found.append(space.gather(u))
shares = space.zeros(1)
space.owned(shares[0])[...] = space.relative_volumes
whole = space.gather(shares)
if space.comm.rank == 0:
    np.savez(sys.argv[1], imex=found[0], strang=found[1], shares=whole)
space.destroy()
"""


def test_ranks_do_not_change_the_fields(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    for ranks in (1, 2, 4):
        answer = mpirun(ranks, "python", tmp_path / "ranks.py", tmp_path / f"{ranks}.npz")
        assert answer.code == 0, answer.err
    one = np.load(tmp_path / "1.npz")
    for ranks in (2, 4):
        other = np.load(tmp_path / f"{ranks}.npz")
        assert np.abs(other["shares"] - one["shares"]).max() < 1e-13
        for name in ("imex", "strang"):
            largest = np.abs(one[name]).max(axis=(1, 2, 3), keepdims=True)
            assert (np.abs(other[name] - one[name]) / largest).max() < 1e-9, (ranks, name)
