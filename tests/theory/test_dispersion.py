"""Linear growth rates with diffusion and taxis, against runs of the 3-D solvers from small cosines."""

import numpy as np
import pytest

from carmodel.models.polyakov import PRESETS, Fields, chi_C
from carmodel.paper.propositions import CE, block
from carmodel.paper.sampling import random_parameters
from carmodel.paper.steady import coexistence, healthy, tumour_states
from carmodel.spaces import BoxSpace
from carmodel.theory.dispersion import (
    box_wavenumbers,
    dispersion,
    leading,
    linearisation,
    taxis_threshold,
    taxis_threshold_at,
)
from carmodel.theory.ode import jacobian
from carmodel.theory.spectra import growth_rate
from tests.growth import CASES, INTEGRATORS, LENGTHS, measured, state_named
from tests.parameter_sets import OSCILLATING, TAXIS_DRIVEN, THREE

P = PRESETS["normalised"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", INTEGRATORS)
def test_growth_rate_of_a_3d_run(name, case):
    """To 1 %, for wavenumbers that grow and that decay; the wave's frequency too."""
    p, kind, mode, duration = CASES[case]
    u = state_named(kind, p)
    k2 = np.pi**2 * sum((n / length) ** 2 for n, length in zip(mode, LENGTHS, strict=True))
    found, expected = measured(name, p, u, k2, mode, duration)
    assert (expected.real > 0.0) == ("unstable" in case or "invade" in case)
    assert found.real == pytest.approx(expected.real, rel=0.01)
    if abs(expected.imag) > 1e-9:
        assert abs(found.imag) == pytest.approx(abs(expected.imag), rel=0.01)


def test_discrete_wavenumbers_are_the_box_s_own():
    """With the seven-point Laplacian's own eigenvalue 1 % holds on eight coarse cells, where k^2 does not do."""
    cells, mode = (8, 2, 2), (3, 0, 0)
    k2, modes = box_wavenumbers(cells, LENGTHS, discrete=True)
    own = float(k2[(modes == mode).all(axis=1)][0])
    p = P._replace(D_T=0.5)
    u = state_named("E_0", p)
    found, expected = measured("coupled", p, u, own, mode, 0.5, cells)
    assert found.real == pytest.approx(expected.real, rel=0.01)
    smooth = leading(u, p, (np.pi * 3 / LENGTHS[0]) ** 2)[0][0]
    assert abs(smooth / found.real - 1.0) > 0.02


def test_wavenumbers_of_a_box():
    k2, modes = box_wavenumbers((4, 3, 2), (2.0, 1.0, 0.5))
    assert k2[0] == 0.0
    assert (np.diff(k2) > 0.0).all()
    for value, mode in zip(k2, modes, strict=True):
        assert value == pytest.approx(np.pi**2 * ((mode / np.array([2.0, 1.0, 0.5])) ** 2).sum())
    assert k2[-1] == pytest.approx(np.pi**2 * (2.25 + 4.0 + 4.0))
    discrete, _ = box_wavenumbers((4, 3, 2), (2.0, 1.0, 0.5), discrete=True)
    assert discrete.max() < k2.max()
    assert box_wavenumbers((4, 1, 1), (1.0, 1.0, 1.0))[0].size == 4


@pytest.mark.parametrize("cells", [(60, 50, 40), (10_000, 4, 3)])
def test_of_a_large_box_the_low_wavenumbers_are_all_there(cells, monkeypatch):
    """All modes of 1000^3 cells would take the machine's memory."""
    lengths = (1.3, 1.1, 0.9)
    whole, _ = box_wavenumbers(cells, lengths)
    monkeypatch.setattr("carmodel.theory.dispersion._MODES", 20_000)
    k2, modes = box_wavenumbers(cells, lengths)
    assert 10_000 < k2.size <= 40_000 < whole.size
    assert k2 == pytest.approx(np.pi**2 * ((modes / np.array(lengths)) ** 2).sum(axis=1), rel=1e-12)
    assert (k2[:3000] == whole[:3000]).all()
    assert k2[-1] == whole[-1]
    assert (np.diff(k2) > 0.0).all()


def test_close_wavenumbers_of_a_long_box_are_told_apart():
    """Their difference is 1e-13 of the largest k^2."""
    k2, _ = box_wavenumbers((1_000_000, 2, 1), (1.0, np.sqrt(1.0 / (9.0 + 1e-3)), 1.0))
    assert k2[3:5] / np.pi**2 == pytest.approx([9.0, 9.001], rel=1e-12)


def test_discrete_eigenvalues_are_those_of_the_diffusion_matrix():
    space = BoxSpace((5, 4, 3), (1.0, 0.7, 0.5))
    matrix = space.diffusion_matrix(1.0, 1.0)
    dense = matrix.convert("dense").getDenseArray().copy() - np.eye(60)
    matrix.destroy()
    space.destroy()
    eigenvalues = np.unique(np.round(np.linalg.eigvalsh(dense), 7))
    k2, _ = box_wavenumbers((5, 4, 3), (1.0, 0.7, 0.5), discrete=True)
    assert np.allclose(np.unique(np.round(k2, 7)), eigenvalues, atol=1e-6)


def test_taxis_couples_C_to_S_alone():
    u = state_named("E_CT", P)
    with_taxis, without = (linearisation(u, P._replace(chi_0=chi), 7.0) for chi in (P.chi_0, 0.0))
    difference = with_taxis - without
    assert difference[0, 4] == pytest.approx(7.0 * chi_C(Fields(*u), P) * u[0], rel=1e-14)
    difference[0, 4] = 0.0
    assert np.abs(difference).max() == 0.0
    assert np.abs(linearisation(u, P, 0.0) - jacobian(u, P)).max() == 0.0


def test_without_CART_cells_space_never_destabilises():
    """About E_0 and E_T taxis is silent (C = 0), (C, E) cooperate and TA, TB diffuse alike: growth falls with k."""
    rng, competing = np.random.default_rng(1), 0
    k2 = np.concatenate([[0.0], np.logspace(-2, 6, 100)])
    for _ in range(100):
        p = random_parameters(rng)
        for state in (healthy(), *tumour_states(p)):
            growth, _ = leading(state.state, p, k2)
            assert (np.diff(growth) <= 1e-12 * np.maximum(1.0, k2[1:])).all()
            assert np.abs(linearisation(state.state, p, 7.0)[:4, 4:]).max() == 0.0
            (_, to_C), (to_E, _) = block(state.state, p, CE).matrix
            assert min(to_C, to_E) > 0.0
            competing += min(jacobian(state.state, p)[[2, 3], [3, 2]]) < 0.0
    assert competing > 0, "crowding outweighs switching in some: TA and TB need not cooperate"


def test_taxis_threshold_is_where_growth_turns_positive():
    u = state_named("E_CT", P)
    chi_0, k2 = taxis_threshold(u, P, "chi_0")
    assert chi_0 == pytest.approx(4.0324, rel=1e-4)
    around = np.append(k2, np.logspace(-1, 5, 400))
    assert leading(u, P._replace(chi_0=1.001 * chi_0), around)[0].max() > 0.0
    assert leading(u, P._replace(chi_0=0.999 * chi_0), around)[0].max() < 0.0
    assert leading(u, P._replace(chi_0=1.001 * chi_0), k2)[1][0] > 0.1, "a wave, not a standing pattern"


def test_taxis_threshold_none_and_own():
    u = state_named("E_CT", TAXIS_DRIVEN)
    found = taxis_threshold(u, TAXIS_DRIVEN, "chi_0")
    assert found is not None
    assert found[0] < TAXIS_DRIVEN.chi_0
    frozen = P._replace(sigma_S=0.0)  # nothing to follow
    assert taxis_threshold(coexistence(frozen).states[0].state, frozen, "chi_0") is None


@pytest.mark.parametrize("units", [(1.0, 1e5), (2.4e8, 3e5), (1.0, 1e-6), (1.0, 1e-200)])
def test_taxis_threshold_in_other_units(units):
    """From 1e-5 to 1e200 in numbers, one in fact."""
    density, S = units
    raw = P.rescaled(1.0 / density, 1.0 / S)
    here, there = (
        taxis_threshold(state_named("E_CT", P), P, "chi_0"),
        taxis_threshold(state_named("E_CT", raw), raw, "chi_0"),
    )
    assert there[0] * S == pytest.approx(here[0], rel=1e-8)
    assert there[1] == pytest.approx(here[1], rel=1e-6)


@pytest.mark.parametrize(("length", "expected"), [(0.1, 194.0), (0.2, 21.2), (0.5, 4.35), (1.0, 4.079)])
def test_taxis_threshold_on_a_box(length, expected):
    u, k2 = state_named("E_CT", P), box_wavenumbers((20, 20, 20), (length,) * 3)[0]
    chi_0, at = taxis_threshold_at(u, P, "chi_0", k2)
    assert chi_0 == pytest.approx(expected, rel=5e-3)
    assert at in k2
    assert leading(u, P._replace(chi_0=(1.0 - 1e-6) * chi_0), k2)[0].max() < 0.0
    assert leading(u, P._replace(chi_0=(1.0 + 1e-6) * chi_0), at)[0][0] > 0.0
    for begin in (0.9 * chi_0, 30.0 * chi_0):  # where to begin saves time and decides nothing
        assert taxis_threshold_at(u, P, "chi_0", k2, at_least=begin) == pytest.approx((chi_0, at), rel=1e-8)


def test_taxis_threshold_below_all_that_is_tried():
    """Diffusivities of nothing: what destabilises is far below 1e-12 cm^2/day."""
    p = P._replace(D_C=0.0, D_E=0.0, D_T=0.0, D_S=0.0, D_A=0.0, D_H=0.0)
    u = state_named("E_CT", p)
    chi_0, _ = taxis_threshold_at(u, p, "chi_0", [1e16])
    assert chi_0 < 1e-12
    assert chi_0 * 1e16 == pytest.approx(taxis_threshold_at(u, p, "chi_0", [1.0])[0], rel=1e-6)


@pytest.mark.parametrize(("p", "unstable"), [(P, False), (P._replace(chi_0=20.0), True), (TAXIS_DRIVEN, True)])
def test_dispersion_over_a_box(p, unstable):
    u = state_named("E_CT", p)
    found = dispersion(u, p, (40, 40, 40), (1.2, 1.2, 1.2))
    assert found.k2[0] == 0.0
    assert found.growth[0] == pytest.approx(growth_rate(jacobian(u, p)), rel=1e-12)
    assert found.spatially_unstable == unstable
    assert found.growth[found.fastest] == found.growth.max()
    assert found.k2.size == found.modes.shape[0] == found.frequency.size


def test_many_wavenumbers_are_thinned_out():
    u = state_named("E_CT", P)
    found = dispersion(u, P, (40, 41, 43), (1.0, 1.1, 1.3))
    assert 5000 < found.k2.size <= 6000
    whole = box_wavenumbers((40, 41, 43), (1.0, 1.1, 1.3))[0]
    assert (found.k2[:3000] == whole[:3000]).all()
    assert found.k2[-1] == whole[-1]


def test_unstable_without_space_is_not_called_spatially_unstable():
    u = state_named("E_CT", OSCILLATING)
    assert not dispersion(u, OSCILLATING, (8, 8, 8), (1.0, 1.0, 1.0)).spatially_unstable
    middle = coexistence(THREE).states[1].state
    assert not dispersion(middle, THREE, (8, 8, 8), (1.0, 1.0, 1.0)).spatially_unstable
