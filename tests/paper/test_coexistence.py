"""The search for E_CT where phenotypes switch one way, or some process is missing: held against a dense scan."""

import numpy as np
import pytest

from carmodel.models.polyakov import PRESETS
from carmodel.paper.propositions import CE, block
from carmodel.paper.steady import coexistence, tumour_states
from carmodel.theory.ode import jacobian
from tests.steady_scan import CASES, ONE_WAY, compared

P = PRESETS["normalised"]


def test_a_branch_that_begins_where_another_state_lies_below_is_searched():
    """Without antigen loss TB persists above the C at which killing makes up for its lower death rate, 0.0013 here."""
    found = coexistence(ONE_WAY)
    assert not found.open
    mixed, pure = found.states
    assert mixed.state[:4] == pytest.approx([0.0113533, 0.100607, 0.126705, 0.861922], rel=1e-5)
    assert pure.state[0] == pytest.approx(0.821458, rel=1e-5)
    growth = [np.linalg.eigvals(jacobian(s.state, ONE_WAY)).real.max() for s in (mixed, pure)]
    assert growth[0] < 0.0 < growth[1]


@pytest.mark.parametrize("case", CASES)
def test_search_finds_what_a_dense_scan_finds(case):
    counts, complaints = compared(case, 6)
    assert not complaints
    assert counts["states"] or case == "one death rate, no antigen recovery"
    assert not counts["open"]


def where_branches_meet():
    """A set in which TB, fed by TA in nothing, begins to persist exactly at the pure coexistence state."""
    p = ONE_WAY._replace(xi=0.0)
    pure = next(s.state for s in coexistence(p).states if s.phenotype == "antigen-positive")
    return p._replace(d_TB=float(p.gamma * pure[0] + p.d_TA - p.mu_1))


def test_states_that_meet_are_not_said_to_be_all():
    """Rounding hides whether the mixed state is there or not: one is listed, the search says that it is not settled."""
    p = where_branches_meet()
    found = coexistence(p)
    (state,) = found.states
    assert state.phenotype == "antigen-positive"
    ((low, high),) = found.open
    assert low <= state.state[0] * (1.0 + 1e-9)
    assert state.state[0] <= high * (1.0 + 1e-9)
    assert high - low < 1e-9
    assert "begin there" in found.why_open
    for change, states in ((-1e-6, 2), (1e-6, 1)):
        beside = coexistence(p._replace(d_TB=p.d_TB + change))
        assert (len(beside.states), beside.open) == (states, ())


def test_state_that_begins_at_no_CART_cells_is_not_settled():
    """At the threshold of invasion a state with C = 1e-16 is there or not."""
    (tumour,) = tumour_states(P)
    k_e, p_r = block(tumour.state, P, CE).matrix[[1, 0], [0, 1]]
    least = P.K_C * (P.delta_CT + (P.d_C + k_e * P.d_E / (p_r + P.d_E)) / tumour.state[2])
    found = coexistence(P._replace(rho_C=least))
    assert not found.states
    ((low, high),) = found.open
    assert low == 0.0
    assert high < 1e-10


def test_without_switching_the_mixed_state_is_not_settled_where_it_begins():
    p = P._replace(mu_0=0.0, mu_1=0.0, nu=0.0, d_TA=0.01)
    (pure,) = coexistence(p._replace(d_TB=0.01)).states
    p = p._replace(d_TB=p.d_TA + p.gamma * float(pure.state[0]))
    for change, states, is_open in ((0.0, 1, True), (1e-6, 1, False), (-1e-6, 2, False)):
        found = coexistence(p._replace(d_TB=p.d_TB * (1.0 + change)))
        assert (len(found.states), bool(found.open)) == (states, is_open), change
