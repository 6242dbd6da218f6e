"""What a model declares: names that are names and belong together, units, ranges, presets."""

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from math import isfinite
from types import FunctionType
from typing import Any

from ..model import Entry, Model, Species, Taxis
from ..tools.errors import InputError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

#: What a named tuple has already.
_OF_TUPLES = ("count", "index")

#: What fields cannot be called: keys of a run file's [initial], and columns of tables.
_NOT_FIELDS = {"tumour", "cart", "t", "dt", "s", "i", "j", "k", "x", "y", "z"}

#: PETSc options of a field begin with its name, in any case; these begin with one of these.
_PETSC = {"ts", "imex", "snes", "ksp", "pc", "mat", "vec", "dm", "da", "is", "mg", "sub", "log", "options", "malloc"}

#: What parameters cannot be called: keys of a run file's [parameters].
_NOT_PARAMETERS = {"preset"}


def check_declarations(model: Model) -> None:
    """Raise InputError that says which declaration of a model is wrong."""
    if not (isinstance(model.name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", model.name)):
        raise InputError(f"name = {model.name!r}; accepted: small letters, digits and _, a letter first")
    for what in ("Fields", "Parameters"):
        _check_class(what, getattr(model, what))
    _check_names("Fields", model.names, _NOT_FIELDS)
    _check_names("Parameters", model.parameter_names, _NOT_PARAMETERS)
    _check_cases(model.names)
    for name in ("sources", "sinks", "passing", "slow"):
        _check_function(name, getattr(model, name))
    _check_species(model)
    _check_table(model)
    _check_presets(model)
    _check_keys("diffusivity", model.diffusivity, model.names)
    for field, parameter in model.diffusivity.items():
        _check_declared(f"diffusivity of {field}", [parameter], model.parameter_names)
    _check_passes(model)
    _check_taxis(model)
    _check_roles(model)


def _check_class(what: str, kind: Any) -> None:
    names = getattr(kind, "_fields", None)
    if not (isinstance(kind, type) and issubclass(kind, tuple) and isinstance(names, tuple)):
        raise InputError(f"{what} = {kind!r}; accepted: a class of named tuples (NamedTuple)")
    # Others find the class by its name: compiled code on disk.
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        raise InputError(f"{what}: its module has no {kind.__qualname__} that is this class; accepted: class {what}")
    if not names:
        raise InputError(f"{what}: is empty; accepted: one name or more")


def _check_names(what: str, names: Iterable[str], others: Collection[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(f"{what}: {name!r}; accepted: at most 64 of A-Z, a-z, 0-9 and _, a letter first")
        if name in others or name in _OF_TUPLES:
            taken = ", ".join(sorted({*others, *_OF_TUPLES}))
            raise InputError(f"{what}: {name!r} means something else already; accepted: none of {taken}")


def _check_cases(names: Iterable[str]) -> None:
    """PETSc reads the names of its options in any case."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in _PETSC:
            raise InputError(f"Fields: {name!r} is how options of PETSc begin; accepted: another name")
        if other := seen.get(name.lower()):
            raise InputError(f"Fields: {other!r} and {name!r}; accepted: names that differ by more than their case")
        seen[name.lower()] = name


def _check_function(what: str, function: object) -> None:
    if not isinstance(function, FunctionType):
        raise InputError(f"{what} = {function!r}; accepted: a function")


def _check_text(what: str, text: object) -> None:
    if not (isinstance(text, str) and text.strip()):
        raise InputError(f"{what} = {text!r}; accepted: a text")


def _check_keys(what: str, table: object, names: Collection[str]) -> None:
    """Raise InputError unless a table has these keys and no others."""
    if not isinstance(table, Mapping):
        raise InputError(f"{what} = {table!r}; accepted: a dict with a key for each of {', '.join(names)}")
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{what}: has no {missing[0]!r}; accepted: a key for each of {', '.join(names)}")
    _check_declared(what, table, names)


def _check_declared(what: str, given: Iterable[object], names: Collection[str]) -> None:
    if unknown := [name for name in given if name not in names]:
        raise InputError(f"{what}: {unknown[0]!r} is not declared; accepted: {', '.join(names)}")


def _check_tuple(what: str, given: object, names: Collection[str]) -> None:
    """Raise InputError unless these are names, none of them twice."""
    if not isinstance(given, tuple | list):
        raise InputError(f"{what} = {given!r}; accepted: a tuple of names, (NAME,) for one")
    _check_declared(what, given, names)
    if len(set(given)) < len(given):
        raise InputError(f"{what} = {given!r}; accepted: each name once")


def _check_species(model: Model) -> None:
    _check_keys("species", model.species, model.names)
    for name, species in model.species.items():
        if not isinstance(species, Species):
            raise InputError(f"species of {name} = {species!r}; accepted: Species(description, unit)")
        _check_text(f"species of {name}: description", species.description)
        _check_text(f"species of {name}: unit", species.unit)


def _check_table(model: Model) -> None:
    _check_keys("table", model.table, model.parameter_names)
    for name, entry in model.table.items():
        if not isinstance(entry, Entry):
            accepted = "Entry(description, unit, value, low, high, source)"
            raise InputError(f"table of {name} = {entry!r}; accepted: {accepted}")
        for what in ("description", "unit", "source"):
            _check_text(f"table of {name}: {what}", getattr(entry, what))
        _check_number(f"table of {name}: value", entry.value, name in model.positive)
        if (entry.low is None) != (entry.high is None):
            raise InputError(f"table of {name}: low = {entry.low}, high = {entry.high}; accepted: both, or None twice")
        if entry.low is not None and entry.high is not None:
            _check_number(f"table of {name}: low", entry.low)
            _check_number(f"table of {name}: high", entry.high)
            if not entry.low <= entry.value <= entry.high:
                raise InputError(
                    f"table of {name}: value = {entry.value:g}; accepted: from low = {entry.low:g} to high = "
                    f"{entry.high:g}"
                )


def _check_number(what: str, value: object, positive: bool = False) -> None:
    """Raise InputError unless a value is one that a run file could give."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0.0:
        raise InputError(f"{what} = {value!r}; accepted: a finite number, 0 or more")
    if positive and value == 0.0:
        raise InputError(f"{what} = 0, and the parameter is one of `positive`; accepted: a number above 0")


def _check_presets(model: Model) -> None:
    if not isinstance(model.presets, Mapping) or not model.presets:
        raise InputError(f"presets = {model.presets!r}; accepted: a dict of one set of Parameters or more")
    for name, p in model.presets.items():
        _check_text("presets: name", name)
        if type(p) is not model.Parameters:
            raise InputError(f"presets: {name!r} is a {type(p).__name__}; accepted: Parameters(...)")
        for parameter in model.parameter_names:
            value, what = getattr(p, parameter), f"presets: {name!r}: {parameter}"
            _check_number(what, value, parameter in model.positive)
            if not isinstance(value, float):
                raise InputError(f"{what} = {value!r}; accepted: a float, as {float(value)!r}")


def _check_passes(model: Model) -> None:
    if not isinstance(model.passes, tuple | list):
        raise InputError(f"passes = {model.passes!r}; accepted: a tuple of pairs of fields")
    for pair in model.passes:
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise InputError(f"passes: {pair!r}; accepted: pairs of fields")
        _check_declared("passes", pair, model.names)
        if pair[0] == pair[1]:
            raise InputError(f"passes: {pair!r}; accepted: from one field to another")
    if len({*map(tuple, model.passes)}) < len(model.passes):
        raise InputError("passes: a pair stands there twice; accepted: each once, with the sum of the rates")


def _check_taxis(model: Model) -> None:
    if not isinstance(model.taxis, tuple | list):
        raise InputError(f"taxis = {model.taxis!r}; accepted: a tuple, (Taxis(...),) for one")
    for n, taxis in enumerate(model.taxis):
        what = f"taxis {n}"
        if not isinstance(taxis, Taxis):
            raise InputError(f"{what} = {taxis!r}; accepted: Taxis(of, along, sensitivity, by, strength)")
        for key in ("of", "along"):
            _check_declared(f"{what}: {key}", [getattr(taxis, key)], model.names)
        if taxis.of == taxis.along:
            raise InputError(f"{what}: {taxis.of!r} along itself; accepted: along another field")
        _check_tuple(f"{what}: by", taxis.by, model.names)
        _check_declared(f"{what}: strength", [taxis.strength], model.parameter_names)
        _check_function(f"{what}: sensitivity", taxis.sensitivity)


def _check_roles(model: Model) -> None:
    if not isinstance(model.positive, frozenset | set):
        raise InputError(f"positive = {model.positive!r}; accepted: a frozenset of parameters")
    _check_declared("positive", sorted(model.positive), model.parameter_names)
    _check_tuple("tumour", model.tumour, model.names)
    _check_tuple("cart", model.cart, model.names)
    if both := {*model.tumour} & {*model.cart}:
        raise InputError(f"cart: {min(both)!r} is one of `tumour` as well; accepted: one of them")
    if model.capacity != "":
        _check_declared("capacity", [model.capacity], model.parameter_names)
        if model.capacity not in model.positive:
            raise InputError(f"capacity = {model.capacity!r}; accepted: one of `positive`, densities are divided by it")
    if not isinstance(model.units, Mapping):
        raise InputError(f"units = {model.units!r}; accepted: a dict of dicts, preset: field: unit")
    _check_declared("units", model.units, model.presets)
    for preset, units in model.units.items():
        if not isinstance(units, Mapping):
            raise InputError(f"units of {preset!r} = {units!r}; accepted: a dict, field: unit")
        _check_declared(f"units of {preset!r}", units, model.names)
        for field, unit in units.items():
            _check_text(f"units of {preset!r}: {field}", unit)
