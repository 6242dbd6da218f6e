"""Spectra, the paper's blocks and propositions; verdicts held against what the ODE does."""

from collections import Counter

import numpy as np
import pytest

from carmodel.models.polyakov import PRESETS
from carmodel.paper import propositions
from carmodel.paper.propositions import CE, TATB, block, proposition_1, proposition_2
from carmodel.paper.sampling import random_parameters
from carmodel.paper.steady import coexistence, growth_roots, healthy, tumour_states
from carmodel.theory.ode import jacobian, solve
from carmodel.theory.spectra import growth_rate, spectrum, verdict
from tests.parameter_sets import (
    CART_DIE_OUT,
    MANY_CART_PERSIST,
    OSCILLATING,
    THREE,
    TUMOUR_ONLY_WITH_CART,
)
from tests.perturbations import distance, perturbed, sets_of_all_kinds, verdicts

P = PRESETS["normalised"]


def test_spectral_verdicts_agree_with_the_ode():
    """200 random sets, every steady state of each, perturbed by 1 % in every field, admissible (no field negative).

    All seven fields move, so no invariant plane (C = E = 0, T = 0) hides an unstable direction.  1 % is no small
    perturbation where another steady state is as near, as next to r_T = R_1, where E_T leaves E_0: the run then ends
    there.  Such disagreements must go away at a tenth of that distance.
    """
    found = list(verdicts(sets_of_all_kinds(np.random.default_rng(1), 200), np.random.default_rng(1)))
    counts = Counter((kind, spectral) for kind, spectral, _, _ in found)
    for kind, spectral, observed, explanation in found:
        assert observed == spectral, (kind, explanation)
    explained = sum(explanation is not None for *_, explanation in found)
    assert explained < 8
    assert counts["E_CT", "stable"] > 40, counts
    assert counts["E_0", "unstable"] > 80, counts
    assert counts["E_0", "stable"] > 3, counts
    assert min(counts["E_T", "stable"], counts["E_T", "unstable"]) > 30, counts


@pytest.mark.parametrize(
    ("direction", "grows"),
    [("C", False), ("E", False), ("S", False), ("A", False), ("H", False), ("TA", True), ("TB", True)],
)
def test_healthy_state_is_left_along_the_tumour_only(direction, grows):
    """E_0 is unstable, but only directions with tumour cells say so: the plane TA = TB = 0 is invariant."""
    start = np.zeros(7)
    start[["C", "E", "TA", "TB", "S", "A", "H"].index(direction)] = 0.01
    end = solve(P, start, [0.0, 100.0])[:, -1]
    assert (distance(end, np.zeros(7), P) > 0.01) == grows
    if not grows:
        assert (end[2:4] == 0.0).all()


def test_tumour_state_without_CART_cells_stays_without():
    state = tumour_states(P)[0].state
    assert block(state, P, CE).growth > 0.0
    start = state + np.array([0.0, 0.0, 0.01, -0.01, 0.01, 0.01, 0.01])
    end = solve(P, start, [0.0, 200.0])[:, -1]
    assert (end[:2] == 0.0).all()
    assert distance(end, state, P) < 1e-8


def test_blocks_are_the_paper_s():
    """Eqs (32), (35), (41)-(45), typed in from the paper."""
    p, u = P, tumour_states(P)[0].state
    A, H, TA = u[5], u[6], u[2]
    zero = np.zeros(7)
    assert block(zero, p, CE).matrix == pytest.approx(
        np.array([[-(p.k_e0 + p.d_C), p.p_r], [p.k_e0, -(p.p_r + p.d_E)]]), rel=1e-14
    )
    assert block(zero, p, TATB).matrix == pytest.approx(
        np.array([[p.r_T - p.d_TA - p.mu_0, p.mu_1], [p.mu_0, p.r_T - p.d_TB - p.mu_1]]), rel=1e-14
    )
    k_e, p_r = p.k_e0 * (1 + p.beta_A * A + p.beta_H * H), p.p_r / (1 + A)
    a11 = p.rho_C / p.K_C * TA - p.delta_CT * TA - k_e - p.d_C
    found = block(u, p, CE)
    assert found.matrix == pytest.approx(np.array([[a11, p_r], [k_e, -(p_r + p.d_E)]]), rel=1e-13)
    assert found.trace == pytest.approx(a11 - p_r - p.d_E, rel=1e-13)
    assert found.determinant == pytest.approx(-a11 * (p_r + p.d_E) - p_r * k_e, rel=1e-13)
    healthy_block = block(zero, p, CE)
    assert healthy_block.determinant == pytest.approx(p.k_e0 * p.d_E + p.d_C * p.p_r + p.d_C * p.d_E, rel=1e-13)


def test_without_CART_cells_the_spectrum_is_that_of_the_blocks():
    """At E_0 and E_T the Jacobian is block triangular: J_CE, J_T, -lambda_S, -lambda_A, -lambda_H."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        p = random_parameters(rng)
        for state in (healthy(), *tumour_states(p)):
            u = state.state
            parts = [np.linalg.eigvals(block(u, p, fields).matrix) for fields in (CE, TATB)]
            expected = np.sort(np.concatenate([*parts, [-p.lambda_S, -p.lambda_A, -p.lambda_H]]).real)
            values = spectrum(jacobian(u, p))
            assert np.abs(values.imag).max() < 1e-6
            assert np.abs(np.sort(values.real) - expected).max() < 1e-7


def test_of_the_three_decay_rates_only_that_of_S_stays_at_coexistence():
    """Erratum 6."""
    values = spectrum(jacobian(coexistence(P).states[0].state, P))
    assert np.abs(values + P.lambda_S).min() < 1e-14
    assert np.abs(values + P.lambda_A).min() > 1e-3
    assert np.abs(values + P.lambda_H).min() > 1e-3


def test_proposition_1_against_the_spectrum():
    rng = np.random.default_rng(3)
    stable = 0
    for _ in range(500):
        p = random_parameters(rng)
        found = proposition_1(p)
        assert found.agrees
        assert found.conditions == (p.r_T < growth_roots(p)[0])
        stable += found.conditions
    assert stable > 20


def test_proposition_1_tells_the_rate_at_which_few_tumour_cells_grow():
    p = P._replace(d_TA=0.03, d_TB=0.01)
    found = proposition_1(p)
    margin = float(found.statement.split("r_T - R_1 = ")[1].split()[0])
    assert margin == pytest.approx(found.block_growth, rel=1e-5)


def test_propositions_can_disagree(monkeypatch):
    """Whatever the parameters the propositions hold but on boundaries: so spectra that contradict them are made up."""
    (invaded,), (safe,) = tumour_states(P), tumour_states(CART_DIE_OUT)
    assert proposition_2(invaded, P).agrees
    assert proposition_2(safe, CART_DIE_OUT).agrees
    opposite = {"stable": "unstable", "unstable": "stable"}
    true = propositions.verdict
    monkeypatch.setattr(propositions, "verdict", lambda growth, J: opposite[true(growth, J)])
    assert not proposition_2(invaded, P).agrees
    assert not proposition_2(safe, CART_DIE_OUT).agrees
    assert not proposition_1(P).agrees


def test_proposition_2_tells_invasion_and_premise():
    (state,) = tumour_states(P)
    assert proposition_2(state, P).statement.startswith("few CAR-T cells invade (growth 0.4")
    (safe,) = tumour_states(CART_DIE_OUT)
    assert proposition_2(safe, CART_DIE_OUT).statement.startswith("few CAR-T cells cannot invade (growth -")
    assert "E_T is stable (" in proposition_2(state, P).statement


def test_proposition_2_on_its_boundary(monkeypatch):
    """Neither (48) nor a positive eigenvalue: the proposition says nothing, and nothing contradicts it."""
    (state,) = tumour_states(P)
    growing = propositions.jacobian(state.state, P)
    edge = growing.copy()
    edge[:2, :2] = [[-0.1, 0.1], [0.1, -0.1]]
    monkeypatch.setattr(propositions, "jacobian", lambda *_: edge)
    found = proposition_2(state, P)
    assert not found.conditions
    assert verdict(found.growth, edge) == "neutral"
    assert found.agrees


def test_premise_of_proposition_2_covers_all_of_the_tumour_s_coordinates(monkeypatch):
    """S, A and H are among them: where H grows on its own the proposition says nothing."""
    (safe,) = tumour_states(CART_DIE_OUT)
    unstable = propositions.jacobian(safe.state, CART_DIE_OUT)
    unstable[6, 6] = 0.1
    monkeypatch.setattr(propositions, "jacobian", lambda *_: unstable)
    found = proposition_2(safe, CART_DIE_OUT)
    assert found.growth == pytest.approx(0.1)
    assert found.agrees
    assert "E_T is not stable (0.1 per day)" in found.statement


def test_proposition_1_fails_on_its_boundary():
    """r_T = d: condition (38) fails, but the eigenvalue is zero, not positive."""
    p = P._replace(r_T=0.02, d_TA=0.02, d_TB=0.02)
    found = proposition_1(p)
    assert not found.conditions
    assert not found.agrees
    assert verdict(found.growth, jacobian(np.zeros(7), p)) == "neutral"
    end = solve(p, np.array([0, 0, 1e-3, 1e-3, 0, 0, 0]), [0.0, 5000.0])[:, -1]
    assert end[2] + end[3] < 2e-3, "the logistic term wins"


def test_equal_death_rates_make_switching_irrelevant_to_invasion():
    """Erratum 7: det = (r - d)(r - d - mu_0 - mu_1)."""
    rng = np.random.default_rng(4)
    for _ in range(100):
        p = random_parameters(rng)
        p = p._replace(d_TB=p.d_TA)
        growth, d = p.r_T - p.d_TA, p.mu_0 + p.mu_1
        found = block(np.zeros(7), p, TATB)
        assert found.determinant == pytest.approx(growth * (growth - d), rel=1e-12, abs=1e-16)
        assert (found.growth > 0.0) == (growth > 0.0)
    assert proposition_1(PRESETS["table1"]).growth == pytest.approx(0.12, rel=1e-12)


def test_healthy_can_be_stable_beside_a_tumour_that_CART_cells_keep_alive():
    """Conditions (38) rule out tumours that start small, not all."""
    p = TUMOUR_ONLY_WITH_CART
    assert proposition_1(p).conditions
    assert not tumour_states(p)
    states = coexistence(p).states
    assert len(states) == 2
    upper = states[1].state
    assert growth_rate(jacobian(upper, p)) < 0.0
    end = solve(p, perturbed(upper, p, np.random.default_rng(1), 1e-3), [0.0, 2e4])[:, -1]
    assert distance(end, upper, p) < 1e-6
    assert end[2] + end[3] > 0.3
    alone = solve(p, [0.0, 0.0, *upper[2:]], [0.0, 2e4])[:, -1]
    assert alone[2] + alone[3] < 1e-6


def test_proposition_2_against_the_spectrum():
    rng = np.random.default_rng(5)
    counts = {True: 0, False: 0}
    for p in sets_of_all_kinds(rng, 200):
        for state in tumour_states(p):
            found = proposition_2(state, p)
            assert found.agrees
            counts[found.conditions] += 1
    assert min(counts.values()) > 30


def test_many_CART_cells_may_persist_where_few_cannot_invade():
    """(48) holds and E_T is stable; so is a state E_CT with almost no tumour."""
    p = MANY_CART_PERSIST
    tumour = tumour_states(p)[0]
    assert proposition_2(tumour, p).conditions
    assert growth_rate(jacobian(tumour.state, p)) < 0.0
    few, many = coexistence(p).states
    assert growth_rate(jacobian(few.state, p)) > 0.0
    assert growth_rate(jacobian(many.state, p)) < 0.0
    end = solve(p, perturbed(many.state, p, np.random.default_rng(2), 1e-5), [0.0, 2e4])[:, -1]
    assert distance(end, many.state, p) < 1e-7


def test_invasion_does_not_eliminate_the_tumour():
    """Where E_T exists E_0 repels the tumour: after invasion a burden is left, in every set."""
    rng = np.random.default_rng(6)
    invaded = 0
    for p in sets_of_all_kinds(rng, 150):
        for state in tumour_states(p):
            assert block(np.zeros(7), p, TATB).growth > 0.0
            if block(state.state, p, CE).growth <= 0.0:
                continue
            invaded += 1
            start = state.state + np.array([1e-3, 0, 0, 0, 0, 0, 0])
            burden = solve(p, start, np.linspace(0.0, 3000.0, 301), rtol=1e-8)[2:4].sum(axis=0)
            assert burden[-50:].min() > 1e-3
    assert invaded > 30


def test_limit_cycle_around_an_unstable_coexistence_state():
    (state,) = coexistence(OSCILLATING).states
    lead = spectrum(jacobian(state.state, OSCILLATING))[0]
    assert lead.real > 0.0
    assert abs(lead.imag) > 1e-3
    times = np.linspace(0.0, 60_000.0, 6001)
    late = solve(OSCILLATING, state.state * 1.01, times, rtol=1e-9)[0, 4000:]
    assert late.max() / late.min() > 1.2
    assert late[:1000].max() == pytest.approx(late[1000:].max(), rel=0.02), "it neither grows nor dies out"


def test_two_blocks_decide_but_for_a_limit_cycle():
    """(C, E) and (TA, TB) have the sign of the whole spectrum at E_CT inside Table 1's ranges, not everywhere."""
    compared = 0
    for p in sets_of_all_kinds(np.random.default_rng(10), 200):
        for state in coexistence(p).states:
            larger = max(block(state.state, p, fields).growth for fields in (CE, TATB))
            assert (larger > 0.0) == (growth_rate(jacobian(state.state, p)) > 0.0)
            compared += 1
    assert compared > 30
    (state,) = coexistence(OSCILLATING).states
    assert max(block(state.state, OSCILLATING, fields).growth for fields in (CE, TATB)) < 0.0
    assert growth_rate(jacobian(state.state, OSCILLATING)) > 0.0


def test_effective_growth_rate_decides_with_recovery_counted_in():
    """a_11 > 0 suffices for invasion; needed is a_11 + k_e > k_e d_E/(p_r + d_E), starred."""
    without = 0
    for p in sets_of_all_kinds(np.random.default_rng(12), 200):
        for state in tumour_states(p):
            part = block(state.state, p, CE)
            a_11, k_e = part.matrix[0, 0], p.k_e0 * (1.0 + p.beta_A * state.state[5] + p.beta_H * state.state[6])
            recovery = p.p_r / (1.0 + state.state[5])
            assert (part.growth > 0.0) == (a_11 + k_e > k_e * p.d_E / (recovery + p.d_E))
            assert part.growth > 0.0 or a_11 < 0.0
            without += part.growth > 0.0 > a_11
    assert without > 10


def test_middle_one_of_three_states_is_unstable():
    growth = [growth_rate(jacobian(s.state, THREE)) for s in coexistence(THREE).states]
    assert [g < 0.0 for g in growth] == [True, False, True]


def test_die_out():
    state = tumour_states(CART_DIE_OUT)[0]
    assert proposition_2(state, CART_DIE_OUT).conditions
    end = solve(CART_DIE_OUT, state.state + np.array([0.3, 0, 0, 0, 0, 0, 0]), [0.0, 1500.0])[:, -1]
    assert end[0] < 1e-9
    assert distance(end, state.state, CART_DIE_OUT) < 1e-8


def test_every_tumour_without_therapy_becomes_mixed():
    """The antigen-positive tumour of section 3.1 is a transient while mu_0 > 0."""
    rng = np.random.default_rng(8)
    compared = 0
    for _ in range(40):
        p = random_parameters(rng)
        for state in tumour_states(p):
            slowest = growth_rate(jacobian(state.state, p)[2:, 2:])
            end = solve(p, [0.0, 0.0, 0.7, 0.0, 0.0, 0.0, 0.0], [0.0, 30.0 / abs(slowest)], rtol=1e-9)[:, -1]
            assert distance(end, state.state, p) < 1e-6
            compared += 1
    assert compared > 20


def test_the_subsystem_of_the_soluble_fields_bends():
    """f(H) is not linear; that does not touch the triangle that the eigenvalues need."""
    u = coexistence(P).states[0].state
    v = u + np.array([0, 0, 0, 0, 0, 0, 0.1])
    one, two = jacobian(u, P), jacobian(v, P)
    assert abs(one[5, 6] - two[5, 6]) > 0.01
    assert one[6, 5] == one[6, 4] == one[5, 4] == one[4, 5] == one[4, 6] == 0.0


def test_exhaustion_lowers_the_larger_eigenvalue_above_minus_d_E():
    """More k_e and less p_r at E_T: towards negative values only where the larger eigenvalue exceeds -d_E."""
    rng = np.random.default_rng(9)
    below = above = 0
    for p in sets_of_all_kinds(rng, 100):
        for state in tumour_states(p):
            matrix = block(state.state, p, CE).matrix
            k_e, recovery = matrix[1, 0], matrix[0, 1]
            more = matrix + 1e-4 * np.array([[-k_e, -recovery], [k_e, recovery]])
            before, after = growth_rate(matrix), growth_rate(more)
            assert (after < before) == (before > -p.d_E)
            below += before < -p.d_E
            above += before > -p.d_E
    assert min(below, above) > 20
