"""Reads a run file: merged with its base and the command line's overrides, files located, validated."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..tools.documents import DEEPEST, parse_toml, read_toml
from ..tools.errors import InputError
from ..tools.files import RUN_FILE_BYTES
from .fields import SHAPES
from .scenario import Scenario

#: Run files on top of one another; far more than anyone means.
DEEPEST_BASE = 50

#: The table of a run file that makes many runs of it (`sweep.py`).
SWEEP = "sweep"

#: The `kind` of a table that does not say.
DEFAULT_KINDS = {"space": "box", "integrator": "imex"}

#: What stands where no run file is given: the keys that have no default.
WITHOUT_FILE: dict[str, Any] = {"space": {"cells": [40, 40, 40]}, "time": {"end": 1.0}}


def load(path: Path | None, overrides: Iterable[str] = ()) -> Scenario:
    """Read and validate a run file; `overrides` are KEY=VALUE with dotted keys and TOML values.

    Without a path: `WITHOUT_FILE`, a cube of 1 cm, and every default.

    Raises InputError that names the file, the key, the value and what is accepted.
    """
    return one_run(merged(read(path), changed(overrides)), path or "--set")


def one_run(tables: dict[str, Any], source: Path | str) -> Scenario:
    """As `validated`, of tables that must not ask for many runs."""
    if SWEEP in tables:
        raise InputError(f"{source}: {SWEEP}: makes many runs of one file; accepted by: carmodel sweep")
    return validated(tables, source)


def read(path: Path | None) -> dict[str, Any]:
    """The tables of a run file as they stand, merged with its base, files located.

    Raises InputError where they cannot be read.
    """
    return _read(path, (), RUN_FILE_BYTES) if path else merged({}, WITHOUT_FILE)


def changed(overrides: Iterable[str]) -> dict[str, Any]:
    """The tables that overrides, KEY=VALUE, lay on top of a run file, files located.

    Raises InputError where one cannot be read.
    """
    change: dict[str, Any] = {}
    for override in overrides:
        # Among themselves, integrator.dt=0.1 and integrator.kind=strang may come in any order.
        change = merged(change, _changed_by(override), {})
    return change


def validated(tables: dict[str, Any], source: Path | str) -> Scenario:
    """The scenario of a run file's tables.

    Raises InputError that names `source`, the key, the value and what is accepted.
    """
    try:
        return Scenario.model_validate(tables)
    except ValidationError as error:
        raise InputError(f"{source}: {first_problem(error, tables)}") from None


def _read(path: Path, above: tuple[Path, ...], most: int) -> dict[str, Any]:
    """The tables of a run file on top of those of its `base`, files named in them located; `most` bytes in all."""
    if len(above) > DEEPEST_BASE:
        raise InputError(
            f"{path}: base: more than {DEEPEST_BASE} run files on top of one another; do they form a circle?"
        )
    try:
        tables, size = read_toml(path, most)
    except ValueError as error:
        raise InputError(f"{path}: {error}; accepted: a run file (TOML)") from None
    locate_files(tables, path.parent)
    base = tables.pop("base", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise InputError(f"{path}: base = {base!r}; accepted: the name of a run file")
    return merged(_read(path.parent / base, (*above, path), most - size), tables)


def merged(
    below: dict[str, Any], above: dict[str, Any], default_kinds: Mapping[str, str] = DEFAULT_KINDS
) -> dict[str, Any]:
    """One run file's tables on top of another's, table by table.

    A table of another `kind` or `shape` has other keys, and replaces the one below it: whole but for what both kinds of
    space have.
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = value
        if isinstance(value, dict) and isinstance(under, dict):
            kinds = under.get("kind", default_kinds.get(key)), value.get("kind")
            shapes = under.get("shape"), value.get("shape")
            same = all(one == other or None in (one, other) for one, other in (kinds, shapes))
            if not same:
                under = {name: under[name] for name in _kept(key, value) if name in under}
            result[key] = merged(under, value, default_kinds)
    return result


def _kept(key: str, table: dict[str, Any]) -> tuple[str, ...]:
    """What a table of another kind leaves of the one below it: the cells of a space, unless a Gmsh file has its own."""
    return ("cells", "lengths") if key == "space" and table.get("mesh", "grid") == "grid" else ()


def under_key(key: str, value: Any) -> dict[str, Any]:
    """The tables in which a dotted key has a value."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def located(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same tables, with the names of volumes made absolute."""
    locate_files(tables, folder)
    return tables


def locate_files(tables: dict[str, Any], folder: Path) -> None:
    """Make the names of volumes absolute: as seen from the run file, else from the current folder."""

    def locate(table: object, key: str) -> None:
        if isinstance(table, dict) and isinstance(name := table.get(key), str):
            found = next((p for p in (folder / name, Path(name)) if os.path.isfile(p)), folder / name)
            table[key] = os.path.abspath(found)

    parameters = tables.get("parameters")
    for value in parameters.values() if isinstance(parameters, dict) else ():
        locate(value, "mask")
    space = tables.get("space")
    if isinstance(space, dict) and space.get("mesh") != "grid":
        locate(space, "mesh")
    if isinstance(space, dict):
        locate(space.get("domain"), "mask")
    initial = tables.get("initial")
    for key, value in list(initial.items()) if isinstance(initial, dict) else ():
        if key not in SHAPES:
            locate(initial, key)
            locate(value, "file")
    sweep = tables.get(SWEEP)
    for axis in sweep.values() if isinstance(sweep, dict) else ():
        for case in axis.values() if isinstance(axis, dict) else ():
            if isinstance(case, dict):
                locate_files(case, folder)


def _changed_by(override: str) -> dict[str, Any]:
    """The tables of KEY=VALUE, files in them located."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override}: accepted: KEY=VALUE, as in space.cells=[20,20,20]")
    if key.count(".") >= DEEPEST:
        raise InputError(f"--set {override}: a key of more than {DEEPEST} parts; accepted: a key of a run file")
    try:
        override.encode()
        (value,) = parse_toml(f"value = {text}", "value").values()
    except UnicodeError:
        raise InputError(f"--set {override!r}: not UTF-8") from None
    except ValueError as error:
        value = text.strip()  # a word without quotes, as shells leave it
        if value.startswith(("[", "{", "'", '"')) or not value or "\n" in value or len(value) > 1000:
            raise InputError(f"--set {override}: {error}") from None
    change = under_key(key.strip(), value)
    locate_files(change, Path())
    return change


_SHAPES = "'ball', 'disk', 'layer'"
# What pydantic puts into the location of a problem inside a union, beside the keys.
_UNION_TAGS = {
    "ball",
    "disk",
    "layer",
    "number",
    "name",
    "table",
    "regions",
    "of shape",
    "of a field",
    "kind = box",
    "kind = mesh",
}


def first_problem(error: ValidationError, tables: dict[str, Any]) -> str:
    """Key, value and what is accepted, of the first problem pydantic found."""
    problem, *others = error.errors()
    keys: list[str] = []
    current: Any = tables
    tagged = False
    for part in problem["loc"]:
        if not tagged and isinstance(current, dict) and part == current.get("shape"):
            tagged = True  # a shape's name, which may be a key of it too
            continue
        try:
            current = current[part]
        except (KeyError, IndexError, TypeError):
            if part in _UNION_TAGS:
                continue
        keys.append(str(part))
    message = (
        problem["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "accepted:")
        .replace("a valid tuple", "a list")
        .replace("a valid dictionary", "a table")
    )
    name = ".".join(keys)
    if problem["type"].startswith("union_tag"):
        shape = repr(problem["input"]["shape"]) if "shape" in problem["input"] else "missing"
        text = f"{name}.shape = {shape}; accepted: {_SHAPES}"
        if name.endswith(".add"):
            text += ", or 'initial = FACTOR' in place of a shape"
    elif problem["type"] == "tuple_type" and isinstance(problem["input"], dict):
        text = f"{name} = {problem['input']!r}; accepted: a list of such tables, each under [[{name}]]"
    elif problem["type"] == "unknown_kind":
        text = f"{name}.kind = {problem['input'].get('kind')!r}; {message}"
    elif problem["type"].startswith("model"):
        text = f"{name} = {problem['input']!r}; accepted: a table"
    elif problem["type"] == "missing":
        text = f"{name}: missing; docs/runfile.md says what is accepted"
    elif problem["type"] in ("unknown_key", "value_error"):
        text = f"{name}: {message}" if name else message
    else:
        text = f"{name} = {problem['input']!r}; {message}"
    return text + (f" (and {len(others)} more)" if others else "")
