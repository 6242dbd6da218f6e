"""Table 1 of the paper: every parameter with its unit, range and source, and the three presets of the run file.

Units named here are those of Table 1.  The equations need others for some entries (delta_CT multiplies C TA, so
1/day only fits densities counted in K_T): the `normalised` preset is the consistent set, in which cell densities
are fractions of the carrying capacity.
"""

import math
from typing import NamedTuple

from .errors import InputError


class Parameters(NamedTuple):
    """Values of eqs (1)-(8); one float each, names as in Table 1 (xi is Table 1's zeta)."""

    D_C: float
    D_E: float
    D_T: float
    D_S: float
    D_A: float
    D_H: float
    rho_C: float
    K_C: float
    delta_CT: float
    d_C: float
    k_e0: float
    beta_A: float
    beta_H: float
    p_r: float
    d_E: float
    r_T: float
    K_T: float
    gamma: float
    mu_0: float
    nu: float
    mu_1: float
    xi: float
    d_TA: float
    d_TB: float
    sigma_S: float
    lambda_S: float
    sigma_A: float
    sigma_M: float
    K_H: float
    lambda_A: float
    eta: float
    lambda_H: float
    chi_0: float
    alpha_A: float

    @property
    def diffusivities(self) -> tuple[float, ...]:
        """D of C, E, TA, TB, S, A, H, in cm^2/day (TA and TB share D_T)."""
        return self.D_C, self.D_E, self.D_T, self.D_T, self.D_S, self.D_A, self.D_H

    def rescaled(self, density: float, chemoattractant: float) -> "Parameters":
        """The same model in other units: C, E, TA, TB divided by `density`, S by `chemoattractant`.

        An exact change of variables of eqs (1)-(8).  A and H keep their units, because p_r/(1 + A) and
        H/(K_H + H) fix them.  `p.rescaled(p.K_T, p.sigma_S / p.lambda_S * p.K_T)` makes K_T = 1 and
        sigma_S = lambda_S; `rescaled(1 / density, 1 / chemoattractant)` undoes it.
        """
        return self._replace(
            K_C=self.K_C / density,
            K_T=self.K_T / density,
            delta_CT=self.delta_CT * density,
            gamma=self.gamma * density,
            nu=self.nu * density,
            xi=self.xi * density,
            sigma_S=self.sigma_S * density / chemoattractant,
            sigma_A=self.sigma_A * density,
            eta=self.eta * density,
            chi_0=self.chi_0 * chemoattractant,
        )


class Entry(NamedTuple):
    """One row of Table 1; `low` and `high` are None where the paper gives no range, `source` its reference."""

    description: str
    unit: str
    value: float
    low: float | None
    high: float | None
    source: str


_ASSUMED = "assumed in the paper"
_D, _RATE, _MASS_RATE = "cm^2/day", "1/day", "mg/ml/day"

TABLE_1: dict[str, Entry] = {
    "D_C": Entry("diffusivity of functional CAR-T cells", _D, 0.014, 0.014, 0.014, "[46]"),
    "D_E": Entry("diffusivity of exhausted CAR-T cells", _D, 0.001, 0.0006, 0.0014, "[47,48]"),
    "D_T": Entry("diffusivity of tumour cells", _D, 5e-5, 1e-5, 1e-4, "[46]"),
    "D_S": Entry("diffusivity of the chemoattractant", _D, 0.0045, 0.00086, 0.0086, "[49]"),
    "D_A": Entry("diffusivity of the immunosuppressive factor", _D, 0.02, 0.007, 0.086, "[50]"),
    "D_H": Entry("diffusivity of hypoxia", _D, 1.5, 0.86, 1.8, "[51,52]"),
    "rho_C": Entry("proliferation rate of CAR-T cells", _RATE, 0.55, 0.1, 0.9, "[53]"),
    "K_C": Entry("half-saturation of CAR-T proliferation", "cells", 2e9, 1e8, 1e10, "[53]"),
    # Table 1 calls it the killing of tumour cells; in eq. (1) it is what the CAR-T cells lose by it.
    "delta_CT": Entry("loss rate of CAR-T cells on contact with tumour cells", _RATE, 0.41, 0.3, 0.6, "[9]"),
    "d_C": Entry("death rate of functional CAR-T cells", _RATE, 0.08, 0.03, 0.14, "[9,53]"),
    "k_e0": Entry("baseline exhaustion rate of CAR-T cells", _RATE, 0.05, 0.03, 0.07, "[53]"),
    "beta_A": Entry("increase of exhaustion per unit of A", "1", 1.0, None, None, _ASSUMED),
    "beta_H": Entry("increase of exhaustion per unit of H", "1", 1.0, None, None, _ASSUMED),
    "p_r": Entry("recovery rate from exhaustion", _RATE, 0.1, 0.07, 0.14, "[58]"),
    "d_E": Entry("death rate of exhausted CAR-T cells", _RATE, 0.04, 0.02, 0.05, "[59]"),
    "r_T": Entry("growth rate of the tumour", _RATE, 0.13, 0.01, 0.25, "[46,53]"),
    "K_T": Entry("carrying capacity of tumour cells", "cells/cm^3", 2.4e8, 1e8, 5e8, "[46]"),
    "gamma": Entry("killing rate of antigen-positive tumour cells", _RATE, 0.41, None, None, "= delta_CT"),
    "mu_0": Entry("baseline rate of antigen loss", _RATE, 0.13, 0.11, 0.16, "[61]"),
    "nu": Entry("antigen loss per CAR-T density", "none given", 1e-10, None, None, _ASSUMED),
    "mu_1": Entry("baseline rate of antigen recovery", _RATE, 0.07, 0.057, 0.089, "[61]"),
    "xi": Entry("suppression of antigen recovery per CAR-T density", "none given", 1e-9, None, None, _ASSUMED),
    "d_TA": Entry("death rate of antigen-positive tumour cells", _RATE, 0.01, 0.005, 0.02, "[60]"),
    "d_TB": Entry("death rate of antigen-negative tumour cells", _RATE, 0.01, 0.005, 0.02, "[60]"),
    "sigma_S": Entry("production rate of the chemoattractant", _MASS_RATE, 5e-4, 1e-4, 1e-3, "[54]"),
    "lambda_S": Entry("decay rate of the chemoattractant", _RATE, 0.56, 0.4, 0.8, "[55]"),
    "sigma_A": Entry("production rate of the immunosuppressive factor", _MASS_RATE, 5e-3, 1e-3, 1e-2, "[56]"),
    "sigma_M": Entry("production of A induced by hypoxia", _MASS_RATE, 0.002, 0.001, 0.005, "[56]"),
    "K_H": Entry("half-saturation of hypoxia in f(H)", "1", 0.5, None, None, _ASSUMED),
    "lambda_A": Entry("decay rate of the immunosuppressive factor", _RATE, 0.75, 0.5, 1.5, "[55]"),
    "eta": Entry("hypoxia accumulation per tumour cell", "1/day/cell", 5e-10, 1e-10, 1e-9, "[53]"),
    "lambda_H": Entry("decay rate of hypoxia", _RATE, 0.43, 0.17, 0.69, "[57]"),
    "chi_0": Entry("chemotactic sensitivity", "none given", 0.1, None, None, _ASSUMED),
    "alpha_A": Entry("suppression of chemotaxis per unit of A", "1", 1.0, None, None, _ASSUMED),
}

_TABLE_1_VALUES = Parameters(**{name: entry.value for name, entry in TABLE_1.items()})

#: Presets of the run file.  `normalised`: densities in units of K_T, S, A, H in units of their reference levels; found
#: by search against the paper's statements.  `published_code`: the defaults of the published program.
PRESETS: dict[str, Parameters] = {
    "table1": _TABLE_1_VALUES,
    "published_code": _TABLE_1_VALUES._replace(lambda_S=0.46),
    "normalised": _TABLE_1_VALUES._replace(
        K_T=1.0,
        rho_C=0.8965708198285032,
        K_C=0.4183544448808712,
        delta_CT=0.39625489403961445,
        d_C=0.032769923327656984,
        k_e0=0.03000294672643261,
        p_r=0.1398533005424013,
        d_E=0.020469251512248186,
        r_T=0.1488649617423483,
        gamma=0.39625489403961445,
        mu_0=0.11003059725858126,
        nu=0.023608802286481628,
        mu_1=0.05798245590358494,
        xi=2.6788643996676176,
        d_TA=0.019835577938954307,
        d_TB=0.019835577938954307,
        sigma_S=0.56,
        sigma_A=0.6513451351077668,
        sigma_M=0.26053805404310676,
        lambda_A=0.7148569634740316,
        eta=0.18311949942057767,
        lambda_H=0.3321196052413248,
        chi_0=0.08251992748551398,
    ),
}

#: Parameters that divide something in eqs (1)-(8) and so must be above zero; all others may be zero.
POSITIVE = frozenset({"K_C", "K_T", "K_H"})


def overflow(*sets: Parameters) -> InputError:
    """What to raise where numbers made of some parameter sets overflow: it names the most extreme one."""
    pairs = [pair for p in sets for pair in p._asdict().items()]
    name, value = max(pairs, key=lambda pair: abs(math.log(pair[1] or 1.0)))
    return InputError(
        f"parameters: numbers overflow; the most extreme is {name} = {value:g}; accepted: values whose products and "
        "quotients a double holds"
    )
