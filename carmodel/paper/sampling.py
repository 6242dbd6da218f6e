"""Parameter sets inside Table 1's ranges, in consistent units."""

import numpy as np
from numpy.typing import ArrayLike

from ..models.polyakov import PRESETS, TABLE_1, Parameters

#: Entries that Table 1 gives no range for are taken within this factor of the normalised set's.
ASSUMED_FACTOR = 10.0


def random_parameters(rng: np.random.Generator) -> Parameters:
    """A set drawn from Table 1's ranges; see `parameters_at`."""
    return parameters_at(rng.uniform(size=len(TABLE_1)))


def parameters_at(shares: ArrayLike) -> Parameters:
    """The set at a point of Table 1's ranges: `shares`, 0 to 1, one for each entry in the table's order.

    In units as `normalised` reads them: densities in K_T, S in sigma_S K_T / lambda_S.  Rates per day keep their
    numbers; K_C and eta are scaled by K_T, which has a range of its own; sigma_A and sigma_M share the factor of the
    normalised set; gamma = delta_CT.  Ranges of a decade or more are logarithmic.  nu, xi and chi_0, which are assumed
    and without units, lie within a factor 10 of the normalised values, alpha_A, beta_A, beta_H and K_H within 2.
    """
    normal = PRESETS["normalised"]
    value = {}
    for (name, entry), share in zip(TABLE_1.items(), np.asarray(shares, dtype=float).tolist(), strict=True):
        if entry.low is None or entry.high is None:
            factor = ASSUMED_FACTOR if name in ("nu", "xi", "chi_0") else 2.0
            value[name] = getattr(normal, name) * factor ** (2.0 * share - 1.0)
        elif entry.high >= 10.0 * entry.low:
            value[name] = entry.low * (entry.high / entry.low) ** share
        else:
            value[name] = entry.low + (entry.high - entry.low) * share
    K_T, immune = value["K_T"], normal.sigma_A / TABLE_1["sigma_A"].value
    value |= {
        "K_C": value["K_C"] / K_T,
        "eta": value["eta"] * K_T,
        "K_T": 1.0,
        "sigma_S": value["lambda_S"],
        "sigma_A": value["sigma_A"] * immune,
        "sigma_M": value["sigma_M"] * immune,
        "gamma": value["delta_CT"],
    }
    return Parameters(**value)
