"""A statement of the paper, the conditions it is read as, and whether they hold."""

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from .observed import ObservedRun
from .time_series import Number

Runs = Mapping[str, ObservedRun]

#: Sections of the paper, and the modules that hold their statements.
SECTIONS = {
    "3.1": "homogeneous",
    "3.2": "infiltration",
    "3.3": "escape",
    "3.4": "microenvironment",
    "ABS": "repeated_doses",
}


@dataclass(frozen=True)
class Condition:
    """A measured figure and its threshold: `value relation threshold`.  A value that is not finite fails."""

    what: str
    value: float
    relation: str
    threshold: float

    @property
    def margin(self) -> float:
        """How far the value is on the right side of the threshold; negative where it is on the wrong one."""
        return self.value - self.threshold if self.relation.startswith(">") else self.threshold - self.value

    @property
    def holds(self) -> bool:
        """Whether it is met."""
        return isfinite(self.value) and (self.margin >= 0.0 if self.relation.endswith("=") else self.margin > 0.0)


def at_least(what: str, value: Number, threshold: float) -> Condition:
    """The value is the threshold or more."""
    return Condition(what, float(value), ">=", threshold)


def above(what: str, value: Number, threshold: float) -> Condition:
    """The value is more than the threshold."""
    return Condition(what, float(value), ">", threshold)


def at_most(what: str, value: Number, threshold: float) -> Condition:
    """The value is the threshold or less."""
    return Condition(what, float(value), "<=", threshold)


def below(what: str, value: Number, threshold: float) -> Condition:
    """The value is less than the threshold."""
    return Condition(what, float(value), "<", threshold)


@dataclass(frozen=True)
class Statement:
    """What the paper says, under its number; `conditions` measures it on the runs of its section, by name."""

    number: str
    text: str
    conditions: Callable[[Runs], list[Condition]]

    @property
    def section(self) -> str:
        """One of `SECTIONS`."""
        return self.number.partition("-")[0]


@dataclass(frozen=True)
class Verdict:
    """A statement and what was measured."""

    statement: Statement
    conditions: list[Condition]

    @property
    def holds(self) -> bool:
        """Whether every condition is met."""
        return all(condition.holds for condition in self.conditions)


_STATEMENTS: dict[str, Statement] = {}


def states(number: str, text: str) -> Callable[[Callable[[Runs], list[Condition]]], None]:
    """Decorator of the function that measures the statement of this number."""

    def register(conditions: Callable[[Runs], list[Condition]]) -> None:
        assert number not in _STATEMENTS
        _STATEMENTS[number] = Statement(number, text, conditions)

    return register


def statements(sections: Iterable[str] = SECTIONS) -> list[Statement]:
    """The statements of these sections, in the order of their numbers."""
    for module in SECTIONS.values():
        importlib.import_module(f"{__package__}.{module}")
    wanted = list(sections)
    return [_STATEMENTS[number] for number in sorted(_STATEMENTS) if _STATEMENTS[number].section in wanted]


def judge(statement: Statement, runs: Runs) -> Verdict:
    """Measure a statement.  What is undefined (0/0, the peak of nothing) is not a number, and fails."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return Verdict(statement, statement.conditions(runs))
