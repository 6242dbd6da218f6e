"""What the judges share: random sets with their states, and the form of a finding."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from carmodel.models.polyakov import PRESETS, Parameters
from carmodel.paper.steady import Coexistence, SteadyState, coexistence, tumour_states
from tests.perturbations import sets_of_all_kinds

P, TABLE = PRESETS["normalised"], PRESETS["table1"]

HOLDS, CONDITION, FAILS = "holds", "holds under a condition", "does not hold"


class Finding(NamedTuple):
    """A verdict with the figures behind it."""

    verdict: str
    evidence: str


class Statement(NamedTuple):
    """What the paper says where, who judges it, and the test that holds the judgement."""

    name: str
    place: str
    text: str
    judge: Callable[[int], Finding]
    test: str


def decide(always: bool, sometimes: bool = False) -> str:
    """The verdict of what was computed."""
    return HOLDS if always else CONDITION if sometimes else FAILS


@cache
def samples(n: int) -> tuple[Parameters, ...]:
    """n sets, every other one with rho_C > delta_CT K_C in effect, so that coexistence is met often."""
    return tuple(sets_of_all_kinds(np.random.default_rng(22), n))


@cache
def tumours(n: int) -> tuple[tuple[Parameters, SteadyState], ...]:
    """The sets that have a state E_T, with it."""
    return tuple((p, state) for p in samples(n) for state in tumour_states(p))


@cache
def coexisting(n: int) -> tuple[tuple[Parameters, Coexistence], ...]:
    """All sets with their states E_CT."""
    return tuple((p, coexistence(p)) for p in samples(n))
