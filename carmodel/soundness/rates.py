"""What a model's functions give: called with floats at many states and parameters, none may be wrong at any.

The points are the corners of what a model declares and accepts, random ones, and where a search for negative rates
leads: a rate that is positive nearly everywhere is found out, too.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from ..model import Model
from ..tools.errors import InputError

#: Points that are drawn, and that the search begins from for each rate.
_RANDOM, _STARTS = 60, 2

#: Values of a field that are tried, in units of one and of the carrying capacity.
_STATES = (0.0, 1e-3, 1.0, 10.0)


def check_rates(model: Model) -> None:
    """Raise InputError that says which function gives a wrong value, and where."""
    functions = [*_functions(model)]
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):  # what is not finite is found by its value
        for point in _points(model, rng):
            for function in functions:
                if function.problem(point):
                    raise InputError(_simplest(function, point))
        for function in functions:
            _check_dependence(function, rng)
            _check_arrays(function, rng)
            for n in range(function.signed):
                for _ in range(_STARTS):
                    point = _lowest(function, n, _drawn(model, rng))
                    if function.problem(point):
                        raise InputError(_simplest(function, point))


@dataclass(frozen=True)
class Point:
    """A state and parameters of a model, as its named tuples."""

    model: Model
    u: Any
    p: Any

    def with_value(self, n: int, value: float) -> "Point":
        """The n-th of all fields and parameters at another value."""
        fields = len(self.u)
        if n < fields:
            return replace(self, u=self.u._replace(**{self.model.names[n]: value}))
        return replace(self, p=self.p._replace(**{self.model.parameter_names[n - fields]: value}))

    @property
    def values(self) -> tuple[float, ...]:
        """All fields, then all parameters."""
        return (*self.u, *self.p)


@dataclass(frozen=True)
class Function:
    """A function of a model, called with a state, parameters and whatever else it takes.

    `labels`: of the numbers that it gives.  `signed`: how many of them must not be negative.  `item`: the number of a
    taxis.
    """

    name: str
    plain: Callable[..., Any]
    model: Model
    labels: tuple[str, ...]
    signed: int
    item: int = -1

    def __call__(self, u: Any, p: Any) -> Any:
        """What it gives.  Raises InputError for its exceptions."""
        slow = (self.model.slow(u, p),) if self.name == "passing" else ()
        try:
            return self.plain(u, *slow, p)
        except Exception as error:
            said = str(error)
            for kind in (type(u), type(p)):  # as the file has them: `Model` renames them
                said = re.sub(rf"'({kind.__qualname__})_[^']*'", r"'\1'", said)
            where = _where(error, self.plain)
            raise InputError(f"{self.name}: {where}: {type(error).__name__}: {said}") from None

    def numbers(self, point: Point) -> tuple[Any, ...]:
        """The numbers at a point.  Raises InputError where it gives something else."""
        given = self(point.u, point.p)
        if self.item >= 0:
            given = (given,)
        if self.name in ("sources", "sinks") and type(given) is not self.model.Fields:
            raise InputError(f"{self.name}: gives a {type(given).__name__}; accepted: Fields(...)")
        if not isinstance(given, tuple):
            raise InputError(f"{self.name}: gives a {type(given).__name__}; accepted: a tuple, (NUMBER,) for one")
        if len(given) != len(self.labels):
            raise InputError(f"{self.name}: gives {len(given)} numbers; accepted: {self._count()}")
        return given

    def _count(self) -> str:
        pairs = f", one for each pair of `passes`: {', '.join(self.labels)}" if self.labels else ", `passes` is empty"
        return f"{len(self.labels)}" + (pairs if self.name == "passing" else ", as many wherever it is called")

    def problem(self, point: Point) -> str:
        """What is wrong with it at a point, or ""."""
        try:
            given = self.numbers(point)
        except InputError as error:
            return str(error)
        for n, (label, value) in enumerate(zip(self.labels, given, strict=True)):
            what = f"{self.name}: {label}" if label else self.name
            if not isinstance(value, float):
                whole = f", as {float(value)!r}" if isinstance(value, int) else ""
                return f"{what} is {value!r}, no float; accepted: a float{whole}"
            if not isfinite(value):
                return f"{what} = {value}; accepted: a finite number"
            if value < 0.0 and n < self.signed:
                return f"{what} = {float(value):g}; accepted: 0 or more"
        return ""


def _functions(model: Model) -> Iterator[Function]:
    """All of a model, those first that others take numbers of."""
    start = Point(model, model.Fields(*(1.0 for _ in model.names)), next(iter(model.presets.values())))
    given = Function("slow", model.slow, model, (), 0)(start.u, start.p)
    if not isinstance(given, tuple):
        raise InputError(f"slow: gives a {type(given).__name__}; accepted: a tuple, (NUMBER,) for one")
    yield Function("slow", model.slow, model, tuple(f"number {n}" for n in range(len(given))), 0)
    for name in ("sources", "sinks"):
        yield Function(name, getattr(model, name), model, model.names, len(model.names))
    pairs = tuple(f"from {a} to {b}" for a, b in model.passes)
    yield Function("passing", model.passing, model, pairs, len(pairs))
    for n, taxis in enumerate(model.taxis):
        yield Function(f"taxis {n}: sensitivity", taxis.sensitivity, model, ("",), 0, n)


def _where(error: Exception, function: Callable[..., Any]) -> str:
    """File and line of what a function raised; of the function itself where the call failed."""
    frames = extract_tb(error.__traceback__)[1:]
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    if frames:
        own = [frame for frame in frames if frame.filename == file]
        file, line = (own or frames)[-1].filename, (own or frames)[-1].lineno or line
    return f"{Path(file).name}, line {line}"


# ---- where ---------------------------------------------------------------------------------------------------------


def _states(model: Model) -> list[float]:
    """Values that a field is tried at."""
    capacity = {float(getattr(p, model.capacity)) for p in model.presets.values()} if model.capacity else set()
    return sorted({value * unit for value in _STATES for unit in {1.0, *capacity}})


def _candidates(model: Model, name: str) -> list[float]:
    """Values that a parameter is tried at: the ends of its range, those of the presets, and 0 where it may be that."""
    entry = model.table[name]
    ends = (entry.value, entry.low, entry.high, *(getattr(p, name) for p in model.presets.values()))
    values = {float(value) for value in ends if value is not None}
    return sorted({value for value in values if value > 0.0} | (set() if name in model.positive else {0.0}))


def _points(model: Model, rng: np.random.Generator) -> Iterator[Point]:
    """Corners, and random points among and between them."""
    zero, states = model.Fields(*(0.0 for _ in model.names)), _states(model)
    for p in model.presets.values():
        for value in states:
            yield Point(model, model.Fields(*(value for _ in model.names)), p)
            for name in model.names:
                yield Point(model, zero._replace(**{name: value}), p)
    one = model.Fields(*(1.0 for _ in model.names))
    preset = next(iter(model.presets.values()))
    for name in model.parameter_names:
        for value in _candidates(model, name):
            yield Point(model, one, preset._replace(**{name: value}))
            yield Point(model, zero, preset._replace(**{name: value}))
    for end in (0, -1):
        yield Point(model, one, model.Parameters(*(_candidates(model, name)[end] for name in model.parameter_names)))
    for _ in range(_RANDOM):
        yield _drawn(model, rng)


def _drawn(model: Model, rng: np.random.Generator) -> Point:
    """A random point: of the parameters a third at an end of what they may be, of the fields a fifth at zero."""

    def parameter(name: str) -> float:
        values = _candidates(model, name)
        return float(rng.choice(values) if rng.random() < 1 / 3 else rng.uniform(values[0], values[-1]))

    largest = _states(model)
    fields = (0.0 if rng.random() < 0.2 else rng.choice(largest[1:]) * 10.0 ** rng.uniform(-3, 0) for _ in model.names)
    p = model.Parameters(*map(parameter, model.parameter_names))
    return Point(model, model.Fields(*map(float, fields)), p)


def _axes(model: Model) -> list[list[float]]:
    """Values at which each field and each parameter is tried."""
    return [_states(model) for _ in model.names] + [_candidates(model, name) for name in model.parameter_names]


def _lowest(function: Function, n: int, point: Point) -> Point:
    """From a point to one where the n-th number is as low as changes of one value at a time make it."""
    best = function.numbers(point)[n]
    for _ in range(2):
        for axis, values in enumerate(_axes(function.model)):
            for value in values:
                other = point.with_value(axis, value)
                if not (lower := function.numbers(other)[n]) >= best:
                    best, point = lower, other
    return point


def _simplest(function: Function, point: Point) -> str:
    """What is wrong at a point, and where, with as many fields at 0 and parameters of the preset as it stays wrong."""
    model = function.model
    name, preset = next(iter(model.presets.items()))
    usual = (*(0.0 for _ in model.names), *preset)
    for axis, value in enumerate(usual):
        other = point.with_value(axis, value)
        if function.problem(other):
            point = other
    names = (*model.names, *model.parameter_names)
    found = zip(names, point.values, usual, strict=True)
    fields: list[str] = []
    parameters: list[str] = []
    for axis, (label, value, normal) in enumerate(found):
        if value != normal:
            (fields if axis < len(model.names) else parameters).append(f"{label} = {value:g}")
    state = ", ".join(fields) or "all fields 0"
    return f"{function.problem(point)}; so at {', '.join([state, *parameters])}, all else of preset {name!r}"


# ---- what values depend on, and other kinds of numbers -------------------------------------------------------------


def _check_dependence(function: Function, rng: np.random.Generator) -> None:
    """Raise InputError where a sensitivity depends on what is not said, or a function on what it is not given."""
    model = function.model
    for _ in range(3):
        point = replace(_drawn(model, rng), p=next(iter(model.presets.values())))
        given = function.numbers(point)
        if function.numbers(point) != given:
            raise InputError(f"{function.name}: gives other numbers when it is called again; accepted: always the same")
        if function.item < 0:
            continue
        taxis = model.taxis[function.item]
        for axis, name in enumerate(model.names):
            if name not in (taxis.along, *taxis.by) and function.numbers(point.with_value(axis, 0.37)) != given:
                raise InputError(f"{function.name}: depends on {name}; accepted: by = (..., {name!r})")
        if taxis.strength not in model.positive:
            still = replace(point, p=point.p._replace(**{taxis.strength: 0.0}))
            if function.numbers(still) != (0.0,):
                raise InputError(
                    f"{function.name} = {function.numbers(still)[0]:g} with {taxis.strength} = 0; accepted: 0, as "
                    f"strength = {taxis.strength!r} says"
                )


def _check_arrays(function: Function, rng: np.random.Generator) -> None:
    """Raise InputError unless arrays and complex numbers give what floats do: solvers and derivatives use these."""
    model, p = function.model, next(iter(function.model.presets.values()))
    states = [_drawn(model, rng).u for _ in range(4)]
    expected = np.array([function.numbers(Point(model, u, p)) for u in states]).T
    for kind in (float, complex):
        arrays = model.Fields(*np.array(states, dtype=kind).T)
        accepted = "; accepted: what takes arrays, as np.exp for math.exp and np.where for if"
        try:
            given = function(arrays, p)
            rows = [np.broadcast_to(row, len(states)) for row in ((given,) if function.item >= 0 else given)]
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{function.name}: with {kind.__name__} arrays: {error}{accepted}") from None
        if rows and not np.allclose(rows, expected, rtol=1e-12, atol=0.0, equal_nan=True):
            raise InputError(f"{function.name}: {kind.__name__} arrays give other numbers than floats{accepted}")
