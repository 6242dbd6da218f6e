"""Table 1, its presets and the change of units."""

import numpy as np
import pytest

from benchmarks import corner
from carmodel.models.polyakov import PRESETS, TABLE_1, Fields, Parameters, chi_C
from carmodel.theory.ode import balance


def test_table_1_is_whole_and_inside_its_ranges():
    assert set(TABLE_1) == set(Parameters._fields)
    for name, entry in TABLE_1.items():
        assert entry.unit, name
        assert entry.source, name
        if entry.low is not None:
            assert entry.low <= entry.value <= entry.high, name


def test_the_normalised_set_lies_in_a_corner_of_table_1():
    """As README.md says: a rate at 1 is at the upper end of its range, one at 0 at the lower end."""
    places = corner.places(PRESETS["normalised"])
    near = corner.near_an_end(PRESETS["normalised"])
    assert len(places) == 19
    upper = {"rho_C", "p_r", "d_TA", "d_TB"}
    assert {name for name in near if places[name] > 0.5} == upper
    assert set(near) - upper == {"d_C", "k_e0", "d_E", "mu_0", "mu_1"}


def test_presets_differ_where_the_paper_and_its_program_do():
    table, program = PRESETS["table1"], PRESETS["published_code"]
    assert table._replace(lambda_S=0.46) == program
    assert table.lambda_S == 0.56
    for preset in PRESETS.values():
        assert preset.gamma == preset.delta_CT


def test_normalised_set_in_table_1_units_is_inside_the_ranges():
    """Rates per day keep their value, densities scale by K_T = 2.4e8: design of the set; nu, xi, chi_0 are assumed."""
    p, K_T = PRESETS["normalised"], TABLE_1["K_T"].value
    scaled = p._asdict() | {"K_C": p.K_C * K_T, "K_T": K_T, "eta": p.eta / K_T}
    free = {"sigma_S", "sigma_A", "sigma_M"}  # their scale is that of S and A
    for name, entry in TABLE_1.items():
        if entry.low is not None and name not in free:
            assert entry.low * (1 - 1e-9) <= scaled[name] <= entry.high * (1 + 1e-9), name
    assert p.sigma_M / p.sigma_A == pytest.approx(TABLE_1["sigma_M"].value / TABLE_1["sigma_A"].value, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_rescaled_parameters_give_the_same_rates_in_other_units(seed):
    rng = np.random.default_rng(seed)
    p = PRESETS["normalised"]
    density, chemoattractant = rng.uniform(0.1, 50.0, size=2)
    unit = np.array([density] * 4 + [chemoattractant, 1.0, 1.0])
    q = p.rescaled(density, chemoattractant)
    u = rng.uniform(0.0, 1.0, size=7)
    assert np.allclose(rates(u, p) / unit, rates(u / unit, q), rtol=1e-13, atol=1e-14)
    # chi C dS scales as C.
    flux = chi_C(Fields(*u), p) * u[0] * u[4]
    other = chi_C(Fields(*u), q) * (u[0] / density) * (u[4] / chemoattractant)
    assert flux / density == pytest.approx(other, rel=1e-13)
    assert q.rescaled(1 / density, 1 / chemoattractant) == pytest.approx(p, rel=1e-13)


def rates(u, p):
    production, loss = balance(u, p)
    return np.array(production) - np.array(loss) * u
