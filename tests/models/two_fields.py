"""Two fields: cells N that grow, crowd, secrete an attractant S and follow it (Keller and Segel with growth)."""

from typing import Any, NamedTuple

from carmodel.model import Entry, Model, Species, Taxis


class Fields(NamedTuple):
    """Cells and what they follow."""

    N: float
    S: float


class Parameters(NamedTuple):
    """Rates in 1/day, diffusivities in cm^2/day."""

    D_N: float
    D_S: float
    growth: float
    capacity: float
    sigma: float
    decay: float
    chi: float


TABLE = {
    "D_N": Entry("diffusivity of cells", "cm^2/day", 0.01, 1e-3, 0.1, "made up"),
    "D_S": Entry("diffusivity of the attractant", "cm^2/day", 0.02, 1e-3, 0.1, "made up"),
    "growth": Entry("growth rate", "1/day", 0.8, 0.0, 2.0, "made up"),
    "capacity": Entry("carrying capacity", "cells", 1.5, 0.5, 2.0, "made up"),
    "sigma": Entry("secretion", "1/day", 0.5, 0.0, 2.0, "made up"),
    "decay": Entry("decay rate", "1/day", 0.4, 0.0, 2.0, "made up"),
    "chi": Entry("sensitivity", "cm^2/day", 0.02, 0.0, 0.1, "made up"),
}


def sources(u: Any, p: Any) -> Fields:
    """Growth and secretion."""
    return Fields(N=p.growth * u.N, S=p.sigma * u.N)


def sinks(u: Any, p: Any) -> Fields:
    """Crowding and decay."""
    return Fields(N=p.growth / p.capacity * u.N, S=p.decay)


def sensitivity(_u: Any, p: Any) -> Any:
    """The same everywhere."""
    return p.chi


MODEL = Model(
    "two_fields",
    Fields,
    Parameters,
    {"N": Species("cells", "1"), "S": Species("attractant", "1")},
    TABLE,
    {"made up": Parameters(**{name: entry.value for name, entry in TABLE.items()})},
    sources,
    sinks,
    diffusivity={"N": "D_N", "S": "D_S"},
    taxis=(Taxis("N", along="S", sensitivity=sensitivity, by=(), strength="chi"),),
    positive=frozenset({"capacity"}),
)
