"""Two CAR-T products: C kills antigen-positive tumour cells, D antigen-negative ones; all else as in `polyakov`.

The second product is what the paper's discussion calls dual targeting.  D grows on contact with TB as C does on contact
with TA, is lost by it, dies and follows the chemoattractant by rates of its own; it does not become exhausted.  With D
zero, or with gamma_2 = rho_D = delta_DT = 0, the other seven fields are those of `polyakov`.
"""

from typing import Any

from ..model import Entry, Model, Species, Taxis, extended
from . import polyakov

Fields = extended(__name__, "Fields", polyakov.Fields, "D")
Parameters = extended(
    __name__, "Parameters", polyakov.Parameters, "D_D", "rho_D", "delta_DT", "d_D", "gamma_2", "chi_D"
)

_ASSUMED = "assumed: that of the first product"


def _as(name: str, description: str) -> Entry:
    """The entry of a parameter of the first product, for the second one."""
    return polyakov.TABLE_1[name]._replace(description=description, source=_ASSUMED)


def sources(u: Any, p: Any) -> Any:
    """Production; D proliferates on contact with antigen-negative cells."""
    C, E, TA, TB, S, A, H = polyakov.sources(u, p)
    return Fields(C, E, TA, TB, S, A, H, D=p.rho_D * u.D * u.TB / (p.K_C + u.D))


def sinks(u: Any, p: Any) -> Any:
    """Specific loss; D kills antigen-negative cells at the rate gamma_2."""
    C, E, TA, TB, S, A, H = polyakov.sinks(u, p)
    return Fields(C, E, TA, TB + p.gamma_2 * u.D, S, A, H, D=p.delta_DT * u.TB + p.d_D)


def chi_D(u: Any, p: Any) -> Any:
    """Sensitivity of D, suppressed by A as that of C."""
    return p.chi_D / (1.0 + p.alpha_A * u.A)


MODEL = Model(
    "dual_target",
    Fields,
    Parameters,
    species=polyakov.SPECIES | {"D": Species("CAR-T cells against antigen-negative tumour cells", "cells/cm^3")},
    table=polyakov.TABLE_1
    | {
        "D_D": _as("D_C", "diffusivity of the second product"),
        "rho_D": _as("rho_C", "proliferation rate of the second product"),
        "delta_DT": _as("delta_CT", "loss rate of the second product on contact with tumour cells"),
        "d_D": _as("d_C", "death rate of the second product"),
        "gamma_2": _as("gamma", "killing rate of antigen-negative tumour cells"),
        "chi_D": _as("chi_0", "chemotactic sensitivity of the second product"),
    },
    presets={
        name: Parameters(*p, D_D=p.D_C, rho_D=p.rho_C, delta_DT=p.delta_CT, d_D=p.d_C, gamma_2=p.gamma, chi_D=p.chi_0)
        for name, p in polyakov.PRESETS.items()
    },
    sources=sources,
    sinks=sinks,
    diffusivity={**polyakov.MODEL.diffusivity, "D": "D_D"},
    passes=polyakov.MODEL.passes,
    passing=polyakov.passing,
    slow=polyakov.slow,
    taxis=(*polyakov.MODEL.taxis, Taxis("D", along="S", sensitivity=chi_D, by=("A",), strength="chi_D")),
    positive=polyakov.MODEL.positive,
    tumour=polyakov.MODEL.tumour,
    cart=("C", "D", "E"),
    capacity=polyakov.MODEL.capacity,
    units={"normalised": {**polyakov.MODEL.units["normalised"], "D": "K_T"}},
)
