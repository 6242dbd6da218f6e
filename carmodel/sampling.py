"""Random parameter sets inside Table 1's ranges, in consistent units."""

import numpy as np

from .parameters import PRESETS, TABLE_1, Parameters

#: Entries that Table 1 gives no range for are taken within this factor of the normalised set's.
ASSUMED_FACTOR = 10.0


def random_parameters(rng: np.random.Generator) -> Parameters:
    """A set drawn from Table 1's ranges, as `normalised` reads them: densities in K_T, S in sigma_S K_T / lambda_S.

    Rates per day keep their numbers; K_C and eta are scaled by a K_T drawn from its own range; sigma_A and sigma_M
    share the factor of the normalised set; gamma = delta_CT.  Ranges of a decade or more are drawn on a logarithmic
    scale.  nu, xi and chi_0, which are assumed and without units, lie within a factor 10 of the normalised values,
    alpha_A, beta_A, beta_H and K_H within a factor 2.
    """
    normal = PRESETS["normalised"]
    drawn = {}
    for name, entry in TABLE_1.items():
        if entry.low is None or entry.high is None:
            factor = ASSUMED_FACTOR if name in ("nu", "xi", "chi_0") else 2.0
            drawn[name] = getattr(normal, name) * factor ** rng.uniform(-1.0, 1.0)
        elif entry.high >= 10.0 * entry.low:
            drawn[name] = entry.low * (entry.high / entry.low) ** rng.uniform()
        else:
            drawn[name] = rng.uniform(entry.low, entry.high)
    K_T, immune = drawn["K_T"], normal.sigma_A / TABLE_1["sigma_A"].value
    drawn |= {
        "K_C": drawn["K_C"] / K_T,
        "eta": drawn["eta"] * K_T,
        "K_T": 1.0,
        "sigma_S": drawn["lambda_S"],
        "sigma_A": drawn["sigma_A"] * immune,
        "sigma_M": drawn["sigma_M"] * immune,
        "gamma": drawn["delta_CT"],
    }
    return Parameters(**{name: float(value) for name, value in drawn.items()})
