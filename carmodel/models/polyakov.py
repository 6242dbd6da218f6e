"""The model of Polyakov (2026), eqs (1)-(8): CAR-T cells against a tumour that loses its antigen.

The paper's Table 1 with units, ranges and sources, and the presets of the run file.  Units named here are those of
Table 1.  The equations need others for some entries (delta_CT multiplies C TA, so 1/day only fits densities counted in
K_T): the `normalised` preset is the consistent set, in which cell densities are fractions of the carrying capacity.
"""

from typing import Any, NamedTuple

import numpy as np

from ..model import Entry, Model, Species, Taxis


class Fields(NamedTuple):
    """The seven fields: the order of every state, table and file."""

    C: float
    E: float
    TA: float
    TB: float
    S: float
    A: float
    H: float


#: The fields' names.
FIELDS = Fields._fields

_CELLS = "cells/cm^3"

SPECIES = {
    "C": Species("functional CAR-T cells", _CELLS),
    "E": Species("exhausted CAR-T cells", _CELLS),
    "TA": Species("antigen-positive tumour cells", _CELLS),
    "TB": Species("antigen-negative tumour cells", _CELLS),
    "S": Species("chemoattractant", "mg/ml"),
    "A": Species("immunosuppressive factor", "mg/ml"),
    "H": Species("hypoxia", "1"),
}


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
    "table1": _TABLE_1_VALUES,
    "published_code": _TABLE_1_VALUES._replace(lambda_S=0.46),
}


def sources(u: Any, p: Any) -> Fields:
    """Production in eqs (1)-(7) but for `passing`, in field unit/day."""
    T = u.TA + u.TB
    return Fields(
        C=p.rho_C * (u.C * u.TA) / (p.K_C + u.C),
        E=0.0,
        TA=p.r_T * u.TA,
        TB=p.r_T * u.TB,
        S=p.sigma_S * u.TA,
        A=p.sigma_A * T + p.sigma_M * (u.H / (p.K_H + u.H)),
        H=p.eta * T,
    )


def sinks(u: Any, p: Any) -> Fields:
    """Specific loss in eqs (1)-(7) but for `passing`, in 1/day; what crowding takes from growth counts as loss."""
    crowding = p.r_T / p.K_T * (u.TA + u.TB)  # in this order the quotient is taken once, not in every cell
    return Fields(
        C=p.delta_CT * u.TA + p.d_C,
        E=p.d_E,
        TA=crowding + p.gamma * u.C + p.d_TA,
        TB=crowding + p.d_TB,
        S=p.lambda_S,
        A=p.lambda_A,
        H=p.lambda_H,
    )


def slow(u: Any, p: Any) -> tuple[Any]:
    """mu_BA(C) of eq. (8), in 1/day."""
    return (p.mu_1 * np.exp(-p.xi * u.C),)


def passing(u: Any, slow: Any, p: Any) -> tuple[Any, Any, Any, Any]:
    """Specific rates, in 1/day, from C to E, back, from TA to TB, and back: k_e, p_r/(1 + A), mu_AB and mu_BA."""
    return p.k_e0 * (1.0 + p.beta_A * u.A + p.beta_H * u.H), p.p_r / (1.0 + u.A), p.mu_0 + p.nu * u.C, slow[0]


def chi_C(u: Any, p: Any) -> Any:
    """chi_C(A) of eq. (8)."""
    return p.chi_0 / (1.0 + p.alpha_A * u.A)


MODEL = Model(
    "polyakov",
    Fields,
    Parameters,
    SPECIES,
    TABLE_1,
    PRESETS,
    sources,
    sinks,
    diffusivity={"C": "D_C", "E": "D_E", "TA": "D_T", "TB": "D_T", "S": "D_S", "A": "D_A", "H": "D_H"},
    passes=(("C", "E"), ("E", "C"), ("TA", "TB"), ("TB", "TA")),
    passing=passing,
    slow=slow,
    taxis=(Taxis("C", along="S", sensitivity=chi_C, by=("A",), strength="chi_0"),),
    positive=frozenset({"K_C", "K_T", "K_H"}),
    tumour=("TA", "TB"),
    cart=("C", "E"),
    capacity="K_T",
    units={"normalised": dict.fromkeys(("C", "E", "TA", "TB"), "K_T") | dict.fromkeys("SAH", "reference levels")},
)
