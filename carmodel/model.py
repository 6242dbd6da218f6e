"""What a model is: fields, parameters, reactions, diffusivities and taxis, declared in one file of `carmodel/models/`.

The type of the parameters says which model they belong to.  A model's functions are plain Python of a state `u` and
parameters `p`, both named tuples: compiled loops give them floats (`tuples`), other callers arrays, complex numbers,
intervals or FiPy variables.
"""

import math
from collections import Counter, namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .tools.errors import InputError

Array = NDArray[np.float64]
Numbers = tuple[Any, ...]


class Entry(NamedTuple):
    """A parameter: `value` where the source gives one, `low` and `high` None where it gives no range."""

    description: str
    unit: str
    value: float
    low: float | None
    high: float | None
    source: str


class Species(NamedTuple):
    """A field: what it is, and in which unit of the model's table."""

    description: str
    unit: str


class Taxis(NamedTuple):
    """The field `of` moves with the velocity sensitivity(u, p) grad `along`.

    `by`: the fields that the sensitivity depends on.  `strength`: the parameter that is zero where there is no taxis.
    """

    of: str
    along: str
    sensitivity: Callable[[Any, Any], Any]
    by: tuple[str, ...]
    strength: str


def extended(module: str, name: str, base: Any, *more: str) -> Any:
    """The class `name` of a module: a named tuple of the items of another one and `more`."""
    return namedtuple(name, (*base._fields, *more), module=module)


def nothing(*_: Any) -> Numbers:
    """No numbers: of a model where nothing passes, or nothing is slow."""
    return ()


@dataclass(frozen=True, eq=False)
class Model:
    """u_t = sources - sinks u + what passes + div(D grad u) - div(taxis), for each field.

    Parameters
    ----------
    name: the model's own, as run files give it.
    Fields: named tuple of numbers; its order is that of every array, table and file.
    Parameters: named tuple of numbers; its type is the model's mark.
    species: description and unit by field.
    table: description, unit, range and source by parameter.
    presets: sets of parameters by name; the first is the default.
    sources, sinks: of (u, p), as `Fields`: production in field unit/day and specific loss in 1/day; never negative.
    diffusivity: by field the parameter that is it, in cm^2/day.
    passes: pairs of fields; what the first loses by it the second gains.
    passing: of (u, slow, p): the specific rates of `passes`, 1/day, in their order.
    slow: of (u, p): the numbers that take an exponential; loops over cells take them in a loop of their own.
    taxis: which fields move along which.
    positive: parameters that divide something, and so must be above zero; all others may be zero.
    tumour: fields of tumour cells, those with most antigen first: `initial.tumour` of a run file fills the first and
        the last, their sum is the burden.
    cart: fields of CAR-T cells; the first is what `initial.cart` fills and what infusions add unless they say.
    capacity: the parameter that is the carrying capacity, in the unit of cell densities; "" where there is none.
    units: by preset the units of fields that differ from those of `species`.
    """

    name: str
    Fields: type
    Parameters: type
    species: Mapping[str, Species]
    table: Mapping[str, Entry]
    presets: Mapping[str, Any]
    sources: Callable[[Any, Any], Any]
    sinks: Callable[[Any, Any], Any]
    diffusivity: Mapping[str, str]
    passes: tuple[tuple[str, str], ...] = ()
    passing: Callable[[Any, Any, Any], Numbers] = nothing
    slow: Callable[[Any, Any], Numbers] = nothing
    taxis: tuple[Taxis, ...] = ()
    positive: frozenset[str] = frozenset()
    tumour: tuple[str, ...] = ()
    cart: tuple[str, ...] = ()
    capacity: str = ""
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.Parameters in MODELS:
            raise ValueError(f"model {self.name}: its Parameters are those of model {MODELS[self.Parameters].name}")
        for kind in (self.Fields, self.Parameters):
            _set_apart(kind)
        for kind in (self.Parameters, self.ByCell, self.OfRun):
            MODELS[kind] = self

    @cached_property
    def ByCell(self) -> Any:
        """Parameters of which some differ from cell to cell, as compiled loops take them.

        The numbers of all, shape (parameters,); which of them each row of the values, shape (rows, n_local), replaces;
        and these.
        """
        kind = self.Parameters
        names = ("numbers", "places", "values")
        return namedtuple(f"{kind.__name__}_by_cell", names, module=kind.__module__)

    @cached_property
    def OfRun(self) -> Any:
        """The same of a run of cells: a table of shape (parameters, cells)."""
        kind = self.Parameters
        return namedtuple(f"{kind.__name__}_of_run", ("table",), module=kind.__module__)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the fields."""
        return tuple(self.Fields._fields)  # type: ignore[attr-defined]

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(self.Parameters._fields)  # type: ignore[attr-defined]

    def place(self, name: str) -> int:
        """Of a field in the state."""
        return self.names.index(name)

    def units_of(self, preset: str) -> dict[str, str]:
        """Unit of each field in a run of a preset."""
        return {name: species.unit for name, species in self.species.items()} | dict(self.units.get(preset, {}))

    @cached_property
    def densities(self) -> tuple[str, ...]:
        """Fields in the unit of the carrying capacity."""
        unit = self.table[self.capacity].unit if self.capacity else None
        return tuple(name for name in self.names if self.species[name].unit == unit)

    @cached_property
    def arrows(self) -> list[tuple[int, int]]:
        """`passes` by places."""
        return [(self.place(a), self.place(b)) for a, b in self.passes]

    @cached_property
    def movers(self) -> dict[int, list[int]]:
        """Numbers of the taxes by the place of the field that moves: the velocities of one field add up."""
        places = [self.place(t.of) for t in self.taxis]
        return {f: [k for k, place in enumerate(places) if place == f] for f in sorted(set(places))}

    @cached_property
    def attractants(self) -> tuple[int, ...]:
        """Place of the field that each taxis follows."""
        return tuple(self.place(t.along) for t in self.taxis)

    def carriers(self, taxes: Iterable[int]) -> list[int]:
        """Places of the fields that the velocities of some taxes depend on."""
        return sorted({self.place(f) for k in taxes for f in (self.taxis[k].along, *self.taxis[k].by)})

    @cached_property
    def neighbours(self) -> tuple[int, ...]:
        """Places of the fields whose values in neighbouring cells taxis needs."""
        return tuple(sorted({self.place(f) for t in self.taxis for f in (t.of, t.along, *t.by)}))

    @cached_property
    def slow_count(self) -> int:
        """How many numbers `slow` gives."""
        u = self.Fields(*(1.0 for _ in self.names))
        return len(self.slow(u, next(iter(self.presets.values()))))


def overflow(*sets: Any) -> InputError:
    """What to raise where numbers made of some parameter sets overflow: it names the most extreme one."""
    pairs = [pair for p in sets for pair in p._asdict().items()]
    name, value = max(pairs, key=lambda pair: abs(math.log(pair[1] or 1.0)))
    return InputError(
        f"parameters: numbers overflow; the most extreme is {name} = {value:g}; accepted: values whose products and "
        "quotients a double holds"
    )


#: Models by the type of their parameters, as numbers, by cell, or of a run of cells.
MODELS: dict[type, Model] = {}

#: Classes that `_set_apart` has renamed, and how many of a name.
_APART: set[type] = set()
_COUNTS: Counter[str] = Counter()


def _set_apart(kind: type) -> None:
    """Rename a class of named tuples, for numba takes two whose names and items' names are the same for one.

    It would run one model's code for another: for a file's new version that of the old one.  The new name is that of
    the module, the same in every process: compiled code is kept under it.
    """
    if hasattr(kind, "_fields") and kind not in _APART:
        name = f"{kind.__name__}_{kind.__module__}".replace(".", "_")
        _APART.add(kind)
        _COUNTS[name] += 1
        kind.__name__ = name if _COUNTS[name] == 1 else f"{name}_{_COUNTS[name]}"  # a notebook's cell, run again


def model_of(p: Any) -> Model:
    """The model that parameters belong to."""
    return MODELS[type(p)]


@dataclass(frozen=True, eq=False)
class Medium:
    """What the fields live in: parameters, and instead of some of them arrays by cell.

    `given`: by parameter an array of shape (n_local,) with valid ghosts, another array whenever its values are others;
    None is as if it were not there.
    """

    parameters: Any
    given: Mapping[str, Array | None] = field(default_factory=dict)

    @cached_property
    def by_cell(self) -> dict[str, Array]:
        """The arrays that are there."""
        return {name: values for name, values in self.given.items() if values is not None}

    @property
    def numbers(self) -> list[float]:
        """Diffusivity of each field in cm^2/day; of one given by cell what the parameter says."""
        return [getattr(self.parameters, self.model.diffusivity[name]) for name in self.model.names]

    @property
    def model(self) -> Model:
        """The parameters' own."""
        return model_of(self.parameters)

    @cached_property
    def diffusivities(self) -> list[float | Array]:
        """Of each field in cm^2/day: a number, or by cell."""
        given = self.parameters._asdict() | self.by_cell
        return [given[self.model.diffusivity[name]] for name in self.model.names]

    @property
    def diffuses_evenly(self) -> bool:
        """Whether no diffusivity is given by cell."""
        return not self.by_cell.keys() & set(self.model.diffusivity.values())

    @cached_property
    def local(self) -> Any:
        """The parameters, arrays instead of numbers for those given by cell."""
        return self.parameters._replace(**self.by_cell)

    @cached_property
    def in_loops(self) -> Any:
        """What compiled loops over cells take: the parameters, or `Model.ByCell` of them."""
        used = {name: v for name, v in self.by_cell.items() if name not in self.model.diffusivity.values()}
        if not used:
            return self.parameters
        places = np.array([self.model.parameter_names.index(name) for name in used])
        return self.model.ByCell(np.array(self.parameters), places, np.stack(list(used.values())))

    def is_as(self, other: "Medium") -> bool:
        """Whether all parameters are the same numbers, or by cell the same arrays."""
        mine, others = self.by_cell, other.by_cell
        same = mine.keys() == others.keys() and all(mine[name] is others[name] for name in mine)
        return same and self.parameters == other.parameters

    def diffuses_as(self, other: "Medium") -> bool:
        """Whether all fields have the same number, or by cell the same array."""
        pairs = zip(self.diffusivities, other.diffusivities, strict=True)
        return all(a is b or (isinstance(a, float) and isinstance(b, float) and a == b) for a, b in pairs)

    @cached_property
    def moving(self) -> NDArray[np.bool_]:
        """Which of `model.movers` move: a taxis of theirs is not of strength zero."""
        taxis, movers = self.model.taxis, self.model.movers.values()
        on = [any(np.any(getattr(self.local, taxis[k].strength) != 0.0) for k in numbers) for numbers in movers]
        return np.array(on, dtype=bool)
