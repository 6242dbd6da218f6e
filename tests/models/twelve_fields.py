"""Twelve fields: cells pass round a ring of six, two kinds of them move, one along two attractants; slow rates."""

from typing import Any, NamedTuple

import numpy as np

from carmodel.model import Entry, Model, Species, Taxis


class Fields(NamedTuple):
    """Six stages of cells, two hunters, two attractants, a poison, a food."""

    X0: float
    X1: float
    X2: float
    X3: float
    X4: float
    X5: float
    G: float
    K: float
    S: float
    R: float
    P: float
    F: float


class Parameters(NamedTuple):
    """Rates in 1/day, diffusivities in cm^2/day."""

    D_X: float
    D_G: float
    D_K: float
    D_S: float
    D_R: float
    forward: float
    back: float
    kill: float
    growth: float
    make: float
    decay: float
    steep: float
    chi_S: float
    chi_R: float
    chi_K: float


TABLE = {
    "D_X": Entry("diffusivity of the stages", "cm^2/day", 1e-3, 1e-4, 1e-2, "made up"),
    "D_G": Entry("diffusivity of G", "cm^2/day", 0.01, 1e-3, 0.1, "made up"),
    "D_K": Entry("diffusivity of K", "cm^2/day", 0.008, 1e-3, 0.1, "made up"),
    "D_S": Entry("diffusivity of S, P and F", "cm^2/day", 0.02, 1e-3, 0.1, "made up"),
    "D_R": Entry("diffusivity of R", "cm^2/day", 0.3, 0.1, 1.0, "made up"),
    "forward": Entry("rate to the next stage", "1/day", 0.6, 0.1, 2.0, "made up"),
    "back": Entry("rate to the stage before", "1/day", 0.2, 0.0, 2.0, "made up"),
    "kill": Entry("killing by G and K", "1/day", 0.5, 0.0, 2.0, "made up"),
    "growth": Entry("growth on food", "1/day", 0.3, 0.0, 2.0, "made up"),
    "make": Entry("secretion", "1/day", 0.4, 0.0, 2.0, "made up"),
    "decay": Entry("decay rate", "1/day", 0.5, 0.1, 2.0, "made up"),
    "steep": Entry("steepness of the switch", "1", 2.0, 0.1, 5.0, "made up"),
    "chi_S": Entry("sensitivity of G to S", "cm^2/day", 0.02, 0.0, 0.1, "made up"),
    "chi_R": Entry("sensitivity of G to R", "cm^2/day", 0.015, 0.0, 0.1, "made up"),
    "chi_K": Entry("sensitivity of K to S", "cm^2/day", 0.01, 0.0, 0.1, "made up"),
}


def stages(u: Any) -> Any:
    """All cells of the ring."""
    return u.X0 + u.X1 + u.X2 + u.X3 + u.X4 + u.X5


def saturated(x: Any) -> Any:
    """From 0 to 1."""
    return x / (1.0 + x)


def sources(u: Any, p: Any) -> Fields:
    """Growth on food, secretion."""
    fed = p.growth * saturated(u.F)
    ring = stages(u)
    return Fields(
        X0=fed * u.X0,
        X1=0.0,
        X2=0.0,
        X3=fed * u.X3,
        X4=0.0,
        X5=0.0,
        G=p.growth * u.G * saturated(ring),
        K=p.growth * u.K * saturated(u.X3),
        S=p.make * ring,
        R=p.make * u.X5,
        P=p.make * (u.G + u.K),
        F=p.make,
    )


def sinks(u: Any, p: Any) -> Fields:
    """Killing, poisoning, decay."""
    hit, poisoned = p.kill * (u.G + u.K), p.kill * saturated(u.P)
    return Fields(
        X0=hit,
        X1=hit,
        X2=hit,
        X3=hit,
        X4=hit,
        X5=hit,
        G=poisoned,
        K=poisoned,
        S=p.decay,
        R=p.decay,
        P=p.decay,
        F=p.decay,
    )


def slow(u: Any, p: Any) -> tuple[Any, Any]:
    """Two switches."""
    return np.exp(-p.steep * u.P), np.exp(-p.steep * u.S)


def passing(_u: Any, slow: Any, p: Any) -> tuple[Any, ...]:
    """Round the ring and back."""
    f, b = p.forward * slow[0], p.back * slow[1]
    return f, f, f, f, f, f, b, b


def chi_S(u: Any, p: Any) -> Any:
    """Poison dulls."""
    return p.chi_S / (1.0 + u.P)


def chi_R(u: Any, p: Any) -> Any:
    """Food dulls."""
    return p.chi_R / (1.0 + u.F)


def chi_K(_u: Any, p: Any) -> Any:
    """The same everywhere."""
    return p.chi_K


RING = ("X0", "X1", "X2", "X3", "X4", "X5")

MODEL = Model(
    "twelve_fields",
    Fields,
    Parameters,
    {name: Species(f"field {name}", "1") for name in Fields._fields},
    TABLE,
    {"made up": Parameters(**{name: entry.value for name, entry in TABLE.items()})},
    sources,
    sinks,
    diffusivity=dict.fromkeys(RING, "D_X") | {"G": "D_G", "K": "D_K", "S": "D_S", "R": "D_R", "P": "D_S", "F": "D_S"},
    passes=(*zip(RING, (*RING[1:], RING[0]), strict=True), ("X1", "X0"), ("X4", "X2")),
    passing=passing,
    slow=slow,
    taxis=(
        Taxis("G", along="S", sensitivity=chi_S, by=("P",), strength="chi_S"),
        Taxis("K", along="S", sensitivity=chi_K, by=(), strength="chi_K"),
        Taxis("G", along="R", sensitivity=chi_R, by=("F",), strength="chi_R"),
    ),
)
