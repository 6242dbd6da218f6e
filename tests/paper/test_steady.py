"""E_0, E_T and all E_CT: true zeros of the full right-hand side, none missed."""

import numpy as np
import pytest
from scipy.optimize import root

from carmodel.models.polyakov import PRESETS, Parameters
from carmodel.paper.propositions import CE, block
from carmodel.paper.sampling import random_parameters
from carmodel.paper.steady import (
    burden,
    candidates,
    coexistence,
    growth_roots,
    healthy,
    largest_C,
    state_of,
    steady_states,
    switching,
    tumour_states,
)
from carmodel.theory.ode import jacobian, rates, residual
from carmodel.tools.errors import InputError
from tests.parameter_sets import THREE
from tests.steady_scan import newton

P = PRESETS["normalised"]


def wide_parameters(rng):
    """Every value within a factor 30 of the normalised one."""
    return Parameters(*(float(v * 30.0 ** rng.uniform(-1.0, 1.0)) for v in P))._replace(K_T=1.0)


def test_normalised_set_has_one_coexistence_state():
    found = coexistence(P)
    assert not found.open
    assert len(found.states) == 1
    assert found.states[0].state == pytest.approx(
        [0.362209, 0.267129, 0.0636207, 0.725392, 0.0636207, 0.888482, 0.435035], rel=1e-5
    )


def test_residuals_of_all_reported_states():
    rng = np.random.default_rng(1)
    sets = [*PRESETS.values(), THREE, *(random_parameters(rng) for _ in range(100))]
    sets += [wide_parameters(rng) for _ in range(100)]
    kinds = {"E_0": 0, "E_T": 0, "E_CT": 0}
    for p in sets:
        for state in steady_states(p):
            kinds[state.kind] += 1
            assert residual(state.state, p) < 1e-12
            assert state.state.min() >= 0.0
    assert min(kinds.values()) > 30, kinds


def test_search_misses_nothing_that_random_starts_find():
    rng = np.random.default_rng(2)
    compared = 0
    sets = [THREE, *(wide_parameters(rng) for _ in range(60))]
    for p in sets:
        states = [s.state for s in coexistence(p).states]
        for v in newton(p, 20, rng):
            compared += 1
            assert any(np.allclose(v, u, rtol=1e-6, atol=1e-9) for u in states), p
    assert compared > 200


def test_several_coexistence_states():
    found = coexistence(THREE)
    assert len(found.states) == 3
    assert not found.open
    assert len(newton(THREE, 30, np.random.default_rng(3))) > 5


def test_other_units_give_the_same_states():
    """Densities in cells per cm^3, where rates reach 1e8 per day: exact changes of variables."""
    for p in (P, THREE):
        density, chemoattractant = 2.4e8, 3.0e5
        raw = p.rescaled(1.0 / density, 1.0 / chemoattractant)
        unit = np.array([density] * 4 + [chemoattractant, 1.0, 1.0])
        here, there = steady_states(p), steady_states(raw)
        assert [s.kind for s in here] == [s.kind for s in there]
        for one, other in zip(here, there, strict=True):
            assert other.state / unit == pytest.approx(one.state, rel=1e-10)
            assert residual(other.state, raw) < 1e-12
            values = np.sort_complex(np.linalg.eigvals(jacobian(other.state, raw)))
            assert values == pytest.approx(np.sort_complex(np.linalg.eigvals(jacobian(one.state, p))), rel=1e-7)


def test_no_coexistence_where_cells_lose_more_than_they_gain():
    """rho_C < delta_CT K_C: at Table 1's own values, in either reading of its units."""
    for name in ("table1", "published_code"):
        p = PRESETS[name]
        assert largest_C(p) < 0.0
        assert not coexistence(p).states
    scaled = PRESETS["table1"]._replace(K_T=1.0, K_C=2e9 / 2.4e8, sigma_S=0.56, sigma_A=0.65, sigma_M=0.26, eta=0.12)
    assert largest_C(scaled) < 0.0


def test_bound_on_C_holds():
    rng = np.random.default_rng(4)
    for _ in range(100):
        p = wide_parameters(rng)
        for state in coexistence(p).states:
            assert state.state[0] <= largest_C(p)


def test_excess_at_zero_has_the_sign_of_the_invasion_determinant():
    """So the number of coexistence states is odd exactly where few CAR-T cells invade E_T."""
    rng = np.random.default_rng(5)
    odd = 0
    for _ in range(150):
        p = wide_parameters(rng)
        if largest_C(p) <= 0.0:
            continue
        tumour = tumour_states(p)
        invades = bool(tumour) and block(tumour[0].state, p, CE).growth > 0.0
        odd += invades
        assert len(coexistence(p).states) % 2 == invades
    assert odd > 30


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, ["mixed"]),
        ({"d_TA": 0.03, "d_TB": 0.01}, ["mixed"]),
        ({"mu_0": 0.0}, ["antigen-positive"]),
        ({"mu_0": 0.0, "d_TA": 0.1}, ["antigen-positive", "mixed"]),
        ({"mu_1": 0.0}, ["antigen-negative"]),
        ({"mu_1": 0.0, "mu_0": 0.01, "d_TB": 0.1}, ["mixed", "antigen-negative"]),
        ({"mu_0": 0.0, "mu_1": 0.0}, ["antigen-positive", "antigen-negative"]),
        ({"r_T": 0.015}, []),
        ({"d_TA": 0.0, "d_TB": 0.0}, ["mixed"]),
    ],
)
def test_tumour_states(change, kinds):
    """All zeros with C = 0 and a burden, held against random starts of a library's solver."""
    p = P._replace(**change)
    found = tumour_states(p)
    assert [s.phenotype for s in found] == kinds
    for state in found:
        assert residual(state.state, p) < 1e-15
    rng = np.random.default_rng(6)

    def tumour(v):
        return rates(np.array([0.0, 0.0, v[0], v[1], 0.0, 0.0, 0.0]), p)[2:4]

    for _ in range(40):
        end = root(tumour, rng.uniform(-0.2, 1.2, size=2), tol=1e-13)
        zero = np.maximum(end.x, 0.0) if end.x.min() > -1e-9 else None
        if end.success and zero is not None and zero.sum() > 1e-4 and np.abs(tumour(zero)).max() < 1e-12:
            neutral = p.mu_0 == p.mu_1 == 0.0  # every ratio is stationary
            if not neutral:
                assert any(np.allclose(zero, s.state[2:4], atol=1e-6) for s in found), zero


@pytest.mark.parametrize("change", [{}, {"d_TA": 0.03, "d_TB": 0.01}, {"d_TA": 0.005, "d_TB": 0.02}])
def test_second_root_of_the_quadratic_is_never_admissible(change):
    """Erratum 5 and its continuation to d_TA != d_TB: R_2 > max(P, Q), so TB/TA < 0 in eq. (30)."""
    p = P._replace(**change)
    one, two = growth_roots(p)
    assert np.poly1d([1.0, -(p.d_TA + p.d_TB + p.mu_0 + p.mu_1), (p.d_TA + p.mu_0) * (p.d_TB + p.mu_1)
                      - p.mu_0 * p.mu_1]).roots == pytest.approx([two, one])  # fmt: skip
    assert one < min(p.d_TA + p.mu_0, p.d_TB + p.mu_1) < max(p.d_TA + p.mu_0, p.d_TB + p.mu_1) < two
    if not change:
        assert (one, two) == pytest.approx((p.d_TA, p.d_TA + p.mu_0 + p.mu_1), rel=1e-14)
        assert tumour_states(p)[0].state[3] / tumour_states(p)[0].state[2] == pytest.approx(p.mu_0 / p.mu_1)
    wide = p._replace(r_T=2.0)  # so that both N* are positive
    formulas = {c.formula: c for c in candidates(wide)}
    assert formulas["(28)-(30), root 1"].residual < 1e-15
    assert not formulas["(28)-(30), root 2"].admissible
    assert "TB/TA = -" in formulas["(28)-(30), root 2"].reason


@pytest.mark.parametrize("change", [{}, {"mu_0": 0.0}, {"mu_1": 0.0}, {"d_TA": 0.013, "d_TB": 0.013}])
def test_no_tumour_state_where_growth_is_death_to_all_digits(change):
    """r_T = R_1, where E_T leaves E_0: rounding makes no state with a burden of 1e-16."""
    rng = np.random.default_rng(11)
    for _ in range(200):
        p = random_parameters(rng)._replace(**change)
        exact = p.d_TA if p.d_TA == p.d_TB else growth_roots(p)[0]
        p = p._replace(r_T=float(exact * (1.0 + rng.integers(-2, 3) * 2.0**-52)))
        assert not tumour_states(p)
        assert not any(c.admissible for c in candidates(p)[1:])
        (state,) = tumour_states(p._replace(r_T=p.r_T * (1.0 + 1e-9)))
        assert state.state[2:4].sum() == pytest.approx(1e-9, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "kinds", "reason"),
    [
        ({"mu_0": 0.0, "d_TA": 0.08, "d_TB": 0.02, "mu_1": 0.06}, ["antigen-positive"], "TB/TA = 0"),
        ({"mu_1": 0.0, "d_TB": 0.05, "mu_0": 0.03, "d_TA": 0.02}, ["antigen-negative"], "TA = 0"),
    ],
)
def test_double_root_gives_one_tumour_state(change, kinds, reason):
    """One-way switching with P = Q: both roots of the quadratic, one pure state, no second one from rounding."""
    p = P._replace(**change)
    assert growth_roots(p)[0] == growth_roots(p)[1]
    assert [s.phenotype for s in tumour_states(p)] == kinds
    assert [c.reason.startswith(reason) for c in candidates(p)[1:]] == [True, True]


@pytest.mark.parametrize(("name", "few", "many"), [("mu_0", 3, 2), ("mu_1", 2, 3)])
def test_slow_switching_leaves_few_cells_of_the_other_phenotype(name, few, many):
    """Rates far below rounding beside the others: their share is right to all digits."""
    p = P._replace(**{name: 1e-25})
    (state,) = tumour_states(p)
    assert state.phenotype == "mixed"
    other = p.mu_1 if name == "mu_0" else p.mu_0
    assert state.state[few] / state.state[many] == pytest.approx(1e-25 / other, rel=1e-12)


@pytest.mark.parametrize("rate", [1e-12, 1e-15, 1e-18, 1e-200])
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_slow_switching_both_ways_fixes_the_ratio(rate, ratio):
    """With one death rate TB/TA is mu_0/mu_1, however small both are."""
    p = P._replace(mu_0=ratio * rate, mu_1=rate)
    (state,) = tumour_states(p)
    assert state.state[3] / state.state[2] == pytest.approx(ratio, rel=1e-12)
    assert state.state[2:4].sum() == pytest.approx(1.0 - p.d_TA / p.r_T, rel=1e-12)
    second = candidates(p._replace(r_T=1.0))[2]
    assert second.reason == "TB/TA = -1 is not positive"


@pytest.mark.parametrize("rate", [1e-12, 1e-15, 1e-18])
def test_slow_switching_without_killing_fixes_the_ratio_at_coexistence(rate):
    (state,) = coexistence(P._replace(gamma=0.0, nu=0.0, xi=0.0, mu_0=rate, mu_1=rate)).states
    assert state.state[3] / state.state[2] == pytest.approx(1.0, rel=1e-10)


def test_antigen_loss_by_killing_alone_leaves_no_state_of_equal_death_rates():
    """mu_0 = mu_1 = 0, d_TA = d_TB: Q - P = -(gamma + nu) C < 0, so TB has no balance; nothing is left open."""
    p = P._replace(mu_0=0.0, mu_1=0.0)
    assert p.nu > 0.0
    found = coexistence(p)
    assert not found.states
    assert not found.open
    assert coexistence(p._replace(d_TB=0.1, gamma=0.05)).states


def test_phenotypes_that_do_not_differ_leave_the_search_open():
    """No switching, no killing, one death rate: each ratio is stationary, so the states are a line, not a list."""
    p = P._replace(mu_0=0.0, mu_1=0.0, nu=0.0, gamma=0.0)
    found = coexistence(p)
    assert found.open == ((0.0, found.largest_C),)
    assert "any ratio" in found.why_open
    (pure,) = found.states
    C, N = 0.5 * pure.state[0], pure.state[2:4].sum()
    TA = N * (p.rho_C / (p.K_C + pure.state[0]) - p.delta_CT) / (p.rho_C / (p.K_C + C) - p.delta_CT)
    assert residual(state_of(C, TA, N - TA, p), p) < 1e-15, "another state of the line"
    assert not coexistence(p._replace(gamma=0.1)).open
    assert not coexistence(p._replace(d_TA=0.01)).open


def test_second_form_of_the_ratio_has_the_wrong_sign_in_print():
    """Eq. (30): (25) gives TB/TA = mu_0/(d_TB + mu_1 - R), not mu_0/(R - d_TB - mu_1)."""
    u = tumour_states(P)[0].state
    R = P.r_T * (1.0 - u[2] - u[3])
    assert (P.d_TA + P.mu_0 - R) / P.mu_1 == pytest.approx(u[3] / u[2], rel=1e-12)
    assert P.mu_0 / (R - P.d_TB - P.mu_1) == pytest.approx(-u[3] / u[2], rel=1e-12)


def test_antigen_homogeneous_tumour_is_no_steady_state_with_antigen_loss():
    """Erratum 4: eq. (25) leaves mu_0 TA; and at Table 1's values N* of eq. (27) is negative."""
    (homogeneous, *_) = candidates(P)
    assert homogeneous.admissible
    assert rates(homogeneous.state, P)[3] == pytest.approx(P.mu_0 * homogeneous.state[2], rel=1e-13)
    assert np.abs(np.delete(rates(homogeneous.state, P), 3)).max() < 1e-15
    assert "mu_0 TA" in homogeneous.reason
    assert not candidates(PRESETS["table1"])[0].admissible
    without = P._replace(mu_0=0.0)
    assert candidates(without)[0].residual < 1e-15
    assert not candidates(without)[0].reason


def test_without_switching_both_phenotypes_need_a_balance_of_killing_and_death():
    """mu_0 = mu_1 = nu = 0, d_TB > d_TA: one mixed state, at C = (d_TB - d_TA)/gamma."""
    p = P._replace(mu_0=0.0, mu_1=0.0, nu=0.0, d_TA=0.01, d_TB=0.06)
    found = coexistence(p).states
    mixed = [s for s in found if s.phenotype == "mixed"]
    assert len(mixed) == 1
    assert mixed[0].state[0] == pytest.approx(0.05 / p.gamma, rel=1e-12)
    assert [s.phenotype for s in found if s is not mixed[0]] == ["antigen-positive"]
    for state in found:
        assert residual(state.state, p) < 1e-15


def test_coexistence_is_explicit_in_special_cases():
    """Without switching C = (d_TB - d_TA)/gamma; where C acts on nothing of the tumour this is that of E_T."""
    apart = P._replace(mu_0=0.0, mu_1=0.0, nu=0.0, d_TA=0.01, d_TB=0.06)
    (mixed,) = [s for s in coexistence(apart).states if s.phenotype == "mixed"]
    assert mixed.state[0] == pytest.approx(0.05 / apart.gamma, rel=1e-12)
    p = P._replace(gamma=0.0, nu=0.0, xi=0.0)
    (state,), (tumour,) = coexistence(p).states, tumour_states(p)
    assert state.state[2:] == pytest.approx(tumour.state[2:], rel=1e-12)
    TA, A, H = tumour.state[[2, 5, 6]]
    m = p.d_C + p.k_e0 * (1.0 + p.beta_A * A + p.beta_H * H) * p.d_E / (p.p_r / (1.0 + A) + p.d_E)
    assert state.state[0] == pytest.approx(p.rho_C / (p.delta_CT + m / TA) - p.K_C, rel=1e-12)


@pytest.mark.parametrize("share", [0.9801, 0.999, 1.0 - 1e-6])
def test_tumours_almost_all_antigen_positive(share):
    """Where CAR-T cells just persist the last percent of TA decides whether there is a state at all."""
    p = P._replace(nu=0.0, xi=0.0, gamma=0.0, mu_0=P.mu_1 * (1.0 - share) / share)
    (tumour,) = tumour_states(p)
    TA, k_e, p_r = tumour.state[2], *block(tumour.state, p, CE).matrix[[1, 0], [0, 1]]
    least = p.K_C * (p.delta_CT + (p.d_C + k_e * p.d_E / (p_r + p.d_E)) / TA)
    (state,) = coexistence(p._replace(rho_C=1.0001 * least)).states
    assert state.state[2] / state.state[2:4].sum() == pytest.approx(share, rel=1e-12)
    assert not coexistence(p._replace(rho_C=0.9999 * least)).states


@pytest.mark.parametrize(
    "change",
    [
        {"mu_0": 0.0, "nu": 0.0},
        {"mu_0": 0.0},
        {"mu_1": 0.0, "mu_0": 0.01, "d_TB": 0.1, "gamma": 0.05},
    ],
)
def test_one_way_switching(change):
    p = P._replace(**change)
    found = coexistence(p)
    assert found.states
    assert not found.open
    rng = np.random.default_rng(7)
    for v in newton(p, 60, rng):
        assert any(np.allclose(v, s.state, rtol=1e-6, atol=1e-9) for s in found.states), v


def test_states_balance_every_equation_but_that_of_C():
    for C in (0.1, 0.5):
        P_, Q, a, b = switching(C, P)
        R = 0.5 * (P_ + Q - np.hypot(P_ - Q, 2.0 * np.sqrt(a * b)))
        N, share = burden(float(R), P), float((Q - R) / (Q - R + a))
        u = state_of(C, share * N, (1.0 - share) * N, P)
        assert np.abs(rates(u, P)[1:]).max() < 1e-15
        assert abs(rates(u, P)[0]) > 1e-4


def test_healthy_state_is_the_only_one_without_tumour():
    assert (healthy().state == 0.0).all()
    u = np.array([0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert np.linalg.det(jacobian(u, P)[:2, :2]) > 1e-4


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"lambda_H": 0.0}, "lambda_H"),
        ({"r_T": 0.0}, "r_T"),
        ({"p_r": 0.0, "d_E": 0.0}, "d_E"),
        ({"d_C": 0.0, "k_e0": 0.0}, "d_C"),
    ],
)
def test_sets_without_isolated_states_are_refused(change, names):
    with pytest.raises(InputError, match=names):
        steady_states(P._replace(**change))
