"""Every model in every way: spaces, integrators, reactions, schemes and ranks give the same fields, at their orders."""

import sys
from itertools import pairwise

import numpy as np
import pytest

from carmodel.integrators import Exponential
from carmodel.model import Medium, Model
from carmodel.solvers.patankar import advance
from carmodel.spaces import BoxSpace
from tests.conftest import mpirun
from tests.models import twelve_fields
from tests.models.ways import LENGTHS, MODELS, SPACES, medium_of, smooth, ways

#: Those whose loops are quick to compile are tested always.
QUICK = ("two_fields", "polyakov")


def each(quick=QUICK):
    """A test for each model."""
    marks = {name: () if name in quick else pytest.mark.slow for name in MODELS}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=mark) for name, mark in marks.items()])


def fields_of(name, folder, ranks):
    """What `ways` leaves, by space and integrator."""
    folder.mkdir()
    answer = mpirun(ranks, sys.executable, "-m", "tests.models.ways", name, folder, timeout=900.0)
    assert answer.code == 0, answer.err
    found = {}
    for kind in SPACES:
        with np.load(folder / f"{kind}.npz") as file:
            found |= {(kind, way): file[way] for way in file.files}
    return found


def check_ranks(name, tmp_path, many):
    """One rank and more give the same fields to 1e-10 of each field's largest value."""
    alone = fields_of(name, tmp_path / "1", 1)
    assert [len(ways(kind)) for kind in SPACES] == [9, 5, 7, 7]
    assert len(alone) == 28
    for ranks in many:
        for key, fields in fields_of(name, tmp_path / str(ranks), ranks).items():
            scale = np.abs(alone[key]).max(axis=1, keepdims=True)
            assert (np.abs(fields - alone[key]) / scale).max() < 1e-10, (ranks, key)
    return alone


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_ranks_do_not_change_the_fields(name, tmp_path):
    """On box, masked box, grid and tetrahedra, by every integrator, reaction and scheme; and all of them agree."""
    check_agreement(check_ranks(name, tmp_path, (2, 4)))


def test_two_ranks_do_not_change_the_fields(tmp_path):
    """The same of the smallest model."""
    check_agreement(check_ranks("two_fields", tmp_path, (2,)))


def check_agreement(alone):
    """Of all ways on a space, as far as their order and two steps let them; no field is negative."""
    for kind in SPACES:
        best = alone[kind, "imex, arkimex"]
        for (space, way), fields in alone.items():
            if space == kind:
                assert fields.min() > 0.0, (space, way)
                difference = np.linalg.norm(fields - best, axis=1) / np.linalg.norm(best, axis=1)
                first_order = "backward-euler" in way or "Jacobi" in way
                assert difference.max() < (0.05 if first_order else 5e-3), (space, way)
    box, grid = alone["box", "imex, arkimex"], alone["grid", "imex, arkimex"]
    assert np.abs(box - grid).max() < 1e-6
    masked = alone["masked box", "imex, arkimex"]
    assert np.abs(masked - box).max() > 1e-6  # the mask does something


@each()
@pytest.mark.parametrize(("taxis", "order"), [("scharfetter-gummel", 2), ("central", 2)])
def test_order_in_space(name, taxis, order):
    """By refinement: averages over coarse cells of the fields on finer ones."""
    model, found = MODELS[name](), []
    for n in (1, 2, 4):
        space = BoxSpace((8 * n, 4 * n, 4 * n), LENGTHS)
        p = next(iter(model.presets.values()))
        p = p._replace(**{t.strength: 0.05 for t in model.taxis})
        integrator, u = Exponential(space, Medium(p), taxis=taxis, rtol=1e-7), smooth(space, len(model.names))
        t = 0.0
        while t < 0.05:
            t += integrator.step(u, 0.05 - t)
        integrator.destroy()
        coarse = space.owned(u).reshape(len(u), 4, n, 4, n, 8, n).mean(axis=(2, 4, 6))
        found.append(coarse)
        space.destroy()
    moving = [*model.movers]
    first, second = (np.linalg.norm((a - b)[moving]) for a, b in pairwise(found))
    assert np.log2(first / second) == pytest.approx(order, abs=0.35)


def only_passing(model):
    """The model without production and loss: mass passes between its fields and does nothing else."""
    Parameters = type("Parameters", (model.Parameters,), {"_fields": model.Parameters._fields})
    zeros = model.Fields(*(0.0 for _ in model.names))
    return Model(
        f"{model.name}_passing",
        model.Fields,
        Parameters,
        model.species,
        model.table,
        {"only": Parameters(*next(iter(model.presets.values())))},
        sources=lambda u, p: zeros,
        sinks=lambda u, p: zeros,
        diffusivity=model.diffusivity,
        passes=model.passes,
        passing=model.passing,
        slow=model.slow,
    )


def groups_of(model):
    """Places of the fields that mass passes between."""
    groups = [{model.place(name)} for name in model.names]
    for a, b in model.arrows:
        one, other = (next(g for g in groups if place in g) for place in (a, b))
        if one is not other:
            groups.remove(other)
            one |= other
    return [sorted(group) for group in groups if len(group) > 1]


def test_groups():
    assert groups_of(MODELS["polyakov"]()) == [[0, 1], [2, 3]]
    assert [len(group) for group in groups_of(twelve_fields.MODEL)] == [6]


@each(quick=("polyakov",))
def test_what_passes_is_conserved(name):
    """Whatever the step: each group of fields keeps its sum to 1e-12, and each field stays positive."""
    model = MODELS[name]()
    if not model.passes:
        pytest.skip("nothing passes")
    passing = only_passing(model)
    p = passing.presets["only"]
    u = np.random.default_rng(5).uniform(0.1, 1.0, (len(model.names), 50))
    for h in (0.01, 1.0, 1e4):
        before = {tuple(group): u[group].sum(axis=0) for group in groups_of(model)}
        was = u.copy()
        advance(u, np.array([0]), 50, h, 2, p)
        assert not np.array_equal(u, was)
        assert (u > 0.0).all()
        for group, total in before.items():
            assert np.abs(u[list(group)].sum(axis=0) / total - 1.0).max() < 1e-12


@each()
def test_masks_of_a_number_change_nothing(name):
    """A diffusivity by cell that is the same in all cells is that number."""
    model, ends = MODELS[name](), []
    space = BoxSpace((6, 5, 4), LENGTHS)
    medium = medium_of(model, space, "box")
    name_of_D = next(iter(model.diffusivity.values()))
    mask = space.zeros(1)[0] + getattr(medium.parameters, name_of_D)
    make = ways("masked box")[next(way for way in ways("masked box") if "Heun" in way and "sdirk2" in way)]
    for given in ({}, {name_of_D: mask}):
        integrator, u = make(space, Medium(medium.parameters, given)), smooth(space, len(model.names))
        for _ in range(3):
            integrator.step(u, 0.02)
        integrator.destroy()
        ends.append(space.owned(u).copy())
    space.destroy()
    assert np.abs(ends[0] - ends[1]).max() < 1e-9
