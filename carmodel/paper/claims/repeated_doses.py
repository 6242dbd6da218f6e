"""The abstract's repeated administration: runs `doses/off,m` and `doses/full,m` of m doses, m = 1 ... 5."""

import numpy as np

from .statement import Condition, Runs, above, states
from .time_series import Array

DOSES = (1, 2, 3, 4, 5)


def _gains(runs: Runs, switching: str) -> Array:
    """By how much each further dose lowers N(T)/N(0)."""
    return -np.diff([runs[f"doses/{switching},{m}"].residual for m in DOSES])


def _improves(runs: Runs, switching: str) -> list[Condition]:
    return [above("least gain of N(T)/N(0) from a further dose", _gains(runs, switching).min(), 1e-4)]


def _diminishes(runs: Runs, switching: str) -> list[Condition]:
    return [above("least loss of gain from dose to dose", -np.diff(_gains(runs, switching)).max(), 1e-5)]


@states("ABS-01", "repeated administration improves tumour control (without switching)")
def _(runs: Runs) -> list[Condition]:
    return _improves(runs, "off")


@states("ABS-01s", "repeated administration improves tumour control (with switching)")
def _(runs: Runs) -> list[Condition]:
    return _improves(runs, "full")


@states("ABS-02", "... with diminishing returns (without switching)")
def _(runs: Runs) -> list[Condition]:
    return _diminishes(runs, "off")


@states("ABS-02s", "... with diminishing returns (with switching)")
def _(runs: Runs) -> list[Condition]:
    return _diminishes(runs, "full")
