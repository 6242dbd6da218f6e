"""`[sweep]` of a run file: many runs from one file, a grid over any keys.

Each entry of the table is an axis, and the runs are all combinations of one value of each:

- a key and a list, `"initial.tumour.negative_fraction" = [0.0, 0.2]`: the values of that key;
- a name and a table, `regime = { base = {}, fast = { parameters = { NAME = 0.2 } } }`: cases, pieces of a run file;
- a name and a table with `sample`: points of a design over several keys, `scenario.samples`.

`--set` and the axes in their order make one change, in which the last that gives a key counts and nothing else is lost.
All of it lies on top of the file, as `--set` alone does.
"""

import re
from collections import Counter
from functools import reduce
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from ..tools.documents import DEEPEST
from ..tools.errors import InputError
from .reading import SWEEP, changed, locate_files, merged, read, under_key, validated
from .samples import sampled
from .scenario import Scenario

#: More runs than anyone means to start at once.
MOST = 10_000

#: More axes than anyone can name a run by.
MOST_AXES = 50


class Case(NamedTuple):
    """A value of an axis: its name, the changes that it makes, and what it says of the axis's keys."""

    label: str
    change: dict[str, Any]
    inputs: dict[str, Any]


class Sweep(NamedTuple):
    """The runs of a file, by name in its order; names of the cases by axis; and what each run has of each axis."""

    axes: dict[str, list[str]]
    runs: dict[str, Scenario]
    inputs: dict[str, dict[str, Any]]


def expand(path: Path, overrides: list[str]) -> dict[str, Scenario]:
    """The runs of a file by name, in the order of the file: FILE/CASE,CASE,...; one, FILE, where it has no `[sweep]`.

    The names are those of the run directories.
    Raises InputError where the file, or what it makes of a combination, is no run.
    """
    return read_sweep(path, overrides).runs


def read_sweep(path: Path, overrides: list[str]) -> Sweep:
    """The axes, none where the file has no `[sweep]`, and the runs as `expand` gives them."""
    tables, given = read(path), changed(overrides)
    table = merged(tables, given).get(SWEEP)
    if table is None:
        return Sweep({}, {path.stem: validated(merged(tables, given), path)}, {path.stem: {}})
    for said in (tables, given):
        said.pop(SWEEP, None)
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path}: {SWEEP} = {table!r}; accepted: a table of axes; docs/runfile.md says what they are")
    if len(table) > MOST_AXES:
        raise InputError(f"{path}: {SWEEP}: has {len(table)} axes; accepted: up to {MOST_AXES}")
    axes = {key: _axis(path, key, values, list(table)) for key, values in table.items()}
    if (count := prod(map(len, axes.values()))) > MOST:
        raise InputError(f"{path}: {SWEEP}: makes {count} runs; accepted: up to {MOST}")
    runs, inputs = {}, {}
    for cases in product(*axes.values()):
        labels = ",".join(case.label for case in cases)
        change = reduce(_merged_cases, (case.change for case in cases), given)
        name = f"{path.stem}/{labels}"
        runs[name] = validated(merged(tables, change), f"{path}: {SWEEP}: {labels}")
        inputs[name] = {key: value for case in cases for key, value in case.inputs.items()}
    return Sweep({key: [case.label for case in cases] for key, cases in axes.items()}, runs, inputs)


def _merged_cases(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both changes in one, whatever kinds and shapes they give: the name of a run says all of them.

    What one gives to a kind or shape that the other replaces stays, and is refused as that one's unknown key.
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _merged_cases(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result


def _axis(path: Path, key: str, values: object, keys: list[str]) -> list[Case]:
    """The cases of one axis."""
    if isinstance(values, dict) and "sample" in values:
        points = sampled(f"{path}: {SWEEP}.{key}", values)
        width = len(str(len(points)))
        cases = [
            Case(f"{key}={n:0{width}d}", reduce(merged, (under_key(*pair) for pair in point.items()), {}), point)
            for n, point in enumerate(points, 1)
        ]
    elif isinstance(values, dict) and values and all(isinstance(change, dict) for change in values.values()):
        cases = [Case(label, change, {key: label}) for label, change in values.items()]
    elif isinstance(values, list) and values and not any(isinstance(value, dict) for value in values):
        last = key.rpartition(".")[2]
        short = last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key
        if key.count(".") >= DEEPEST:
            raise InputError(f"{path}: {SWEEP}.{key}: more than {DEEPEST} parts; accepted: a key of a run file")
        cases = [Case(f"{short}={_text(value)}", under_key(key, value), {key: value}) for value in values]
    else:
        raise InputError(
            f"{path}: {SWEEP}.{key} = {values!r}; accepted: a list of values of that key, a table of cases, or one "
            "with 'sample'"
        )
    for case in cases:
        locate_files(case.change, path.parent)
    labels = [re.sub(r"[^\w.+=-]+", "-", case.label).strip("-.") for case in cases]
    times = Counter(labels)
    for label, case in zip(labels, cases, strict=True):
        if not label or times[label] > 1:
            raise InputError(
                f"{path}: {SWEEP}.{key}: '{case.label}' makes no name of its own; accepted: cases told apart"
            )
    return [case._replace(label=label) for label, case in zip(labels, cases, strict=True)]


def _text(value: object) -> str:
    """A value as part of a file's name: 0.2, 40-40-40, upwind."""
    if isinstance(value, list):
        return "-".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
