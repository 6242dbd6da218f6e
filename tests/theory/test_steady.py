"""Steady states of any model by many starting points, against what is known of each."""

import json

import numpy as np
import pytest

from carmodel import models
from carmodel.model import Medium
from carmodel.paper.steady import steady_states
from carmodel.theory import steady
from carmodel.theory.continuation import Axis, diagram
from carmodel.theory.dispersion import linearisation
from carmodel.theory.ode import jacobian, rates, reference_levels, residual, solve
from carmodel.theory.steady import search
from tests.conftest import ROOT
from tests.models import twelve_fields, two_fields
from tests.parameter_sets import CART_DIE_OUT, MANY_CART_PERSIST, TUMOUR_ONLY_WITH_CART

TWO = two_fields.MODEL.presets["made up"]
DUAL = models.named("dual_target")


@pytest.mark.parametrize(
    "p", [CART_DIE_OUT, *(pytest.param(p, marks=pytest.mark.slow) for p in (MANY_CART_PERSIST, TUMOUR_ONLY_WITH_CART))]
)
def test_finds_what_the_exhaustive_search_finds(p):
    expected = sorted(steady_states(p), key=lambda s: (np.count_nonzero(s.state), *s.state))
    found = search(p)
    assert [(s.kind, s.phenotype) for s in found] == [(s.kind, s.phenotype) for s in expected]
    for one, other in zip(found, expected, strict=True):
        assert np.abs((one.state - other.state) / reference_levels(p)).max() < 1e-10


def test_of_two_fields_all_are_found():
    """N = 0 or the carrying capacity, S in balance."""
    empty, full = search(TWO)
    assert (empty.kind, full.kind) == ("E_0", "E_N+S")
    assert not empty.state.any()
    assert np.allclose(full.state, [TWO.capacity, TWO.sigma * TWO.capacity / TWO.decay], rtol=1e-12)


def test_without_growth_there_is_a_line_of_states():
    """Nothing fixes N: points of the line are found, each of them steady."""
    p = TWO._replace(growth=0.0)
    found = search(p, starts=5)
    assert len(found) == 6
    assert max(residual(s.state, p) for s in found) < 1e-9


@pytest.mark.parametrize("model", [DUAL, twelve_fields.MODEL], ids=lambda model: model.name)
def test_states_are_steady_and_no_field_is_negative(model):
    p = next(iter(model.presets.values()))
    found = search(p, starts=10)
    assert len(found) > 1
    for state in found:
        assert residual(state.state, p) < 1e-9
        assert state.state.min() >= 0.0
        assert np.allclose(solve(p, state.state, [0.0, 0.01])[:, 1], state.state, rtol=1e-9, atol=1e-12)


def test_the_same_seed_finds_the_same():
    one, other = search(TWO, seed=3), search(TWO, seed=3)
    assert all((a.state == b.state).all() for a, b in zip(one, other, strict=True))


def test_names_follow_what_is_there():
    assert steady.kind(DUAL, [False] * 8) == "E_0"
    assert steady.kind(DUAL, [False, False, True, False, True, True, True, False]) == "E_T"
    assert steady.kind(DUAL, [False, False, True, False, True, True, True, True]) == "E_CT"
    assert steady.kind(DUAL, [False] * 6 + [True, False]) == "E_H"
    assert steady.kind(two_fields.MODEL, [False, True]) == "E_S"
    assert steady.phenotype(DUAL, [True] * 8) == "mixed"
    assert steady.phenotype(DUAL, [True, True, True, False, *[True] * 4]) == "antigen-positive"
    assert steady.phenotype(DUAL, [True, True, False, True, *[True] * 4]) == "antigen-negative"
    assert steady.phenotype(two_fields.MODEL, [True, True]) == ""


@pytest.mark.parametrize("model", [two_fields.MODEL, DUAL, twelve_fields.MODEL], ids=lambda model: model.name)
def test_jacobian_and_dispersion_are_derivatives(model):
    """By central differences of the right-hand side; taxis by its definition, field by field."""
    p = next(iter(model.presets.values()))
    u = reference_levels(p) * np.random.default_rng(4).uniform(0.2, 1.0, len(model.names))
    J, h = jacobian(u, p), 1e-6 * u
    for n in range(u.size):
        step = h * (np.arange(u.size) == n)
        slope = (rates(u + step, p) - rates(u - step, p)) / (2.0 * h[n])
        assert np.allclose(J[:, n], slope, rtol=1e-5, atol=1e-8 * np.abs(J).max())
    expected = J - 3.0 * np.diag(Medium(p).numbers)
    for taxis in model.taxis:
        f, a = model.place(taxis.of), model.place(taxis.along)
        expected[f, a] += 3.0 * taxis.sensitivity(model.Fields(*u), p) * u[f]
    assert np.allclose(linearisation(u, p, 3.0), expected, rtol=1e-12, atol=1e-12)


def test_branches_of_another_model_follow_the_capacity():
    """E_N+S is N = capacity all along; it crosses E_0 nowhere."""
    axis = Axis(TWO, ("capacity",), 0.5, 2.0)
    branches = {branch.kind: branch for branch in diagram(axis, search, seeds=3)}
    assert set(branches) == {"E_0", "E_N+S"}
    full = branches["E_N+S"]
    assert np.allclose(np.array(full.states)[:, 0], full.values, rtol=1e-10)
    assert (full.growth < 0.0).all()
    assert not full.special


@pytest.mark.slow
def test_steady_tells_of_any_model_and_that_more_may_be_there(carmodel, write):
    file = write('model = "two_fields"\n[space]\ncells = [8, 8, 8]\n[time]\nend = 1.0\n')
    told = carmodel("steady", file, "--models", ROOT / "tests/models")
    assert told.code == 0, told.err
    assert "not exhaustive" in told.out
    assert "least chi to destabilise" in told.out
    file = write('model = "dual_target"\n[space]\ncells = [8, 8, 8]\n[time]\nend = 1.0\n')
    data = json.loads(carmodel("steady", file, "--json").out)
    assert (data["model"], data["exhaustive"]) == ("dual_target", False)
    kinds = [state["kind"] for state in data["steady_states"]]
    assert kinds[:2] == ["E_0", "E_T"]
    assert kinds[-1] == "E_CT"
    assert set(data["steady_states"][0]["state"]) == set(DUAL.names)
    stable = [state for state in data["steady_states"] if state["verdict"] == "stable"]
    assert stable
    assert set(stable[0]["taxis_thresholds"]) == {"chi_0", "chi_D"}
