"""Random parameter sets inside Table 1's ranges."""

import numpy as np

from carmodel.models.polyakov import PRESETS, TABLE_1
from carmodel.paper.sampling import random_parameters

P = PRESETS["normalised"]


def test_random_sets_lie_in_table_1_s_ranges():
    rng = np.random.default_rng(5)
    scale = TABLE_1["sigma_A"].value / P.sigma_A
    for _ in range(200):
        p = random_parameters(rng)
        assert p.gamma == p.delta_CT
        assert (p.K_T, p.sigma_S) == (1.0, p.lambda_S)
        for name, value in p._asdict().items():
            entry = TABLE_1[name]
            if entry.low is None or name in ("K_T", "K_C", "eta", "sigma_S"):
                continue
            value *= scale if name in ("sigma_A", "sigma_M") else 1.0
            assert entry.low * (1 - 1e-12) <= value <= entry.high * (1 + 1e-12), name
        assert 1e8 / 5e8 <= p.K_C <= 1e10 / 1e8
