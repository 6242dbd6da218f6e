"""`[sweep]` of a run file: many runs from one file, a grid over any keys.

Each entry of the table is an axis, and the runs are all combinations of one value of each:

- a key and a list, `"initial.tumour.negative_fraction" = [0.0, 0.2]`: the values of that key;
- a name and a table, `regime = { base = {}, fast = { parameters = { r_T = 0.2 } } }`: cases, pieces of a run file.

Later axes lie on top of earlier ones, and all of them on top of the file and of `--set`.
"""

import re
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from .errors import InputError
from .runfile import SWEEP, locate_files, merged, read, under_key, validated
from .scenario import Scenario

#: More runs than anyone means to start at once.
MOST = 10_000

#: A case and what it changes.
Case = tuple[str, dict[str, Any]]


def expand(path: Path, overrides: list[str]) -> dict[str, Scenario]:
    """The runs of a file by name, in the order of the file: FILE/CASE,CASE,...; one, FILE, where it has no `[sweep]`.

    The names are those of the run directories.
    Raises InputError where the file, or what it makes of a combination, is no run.
    """
    tables = read(path, overrides)
    table = tables.pop(SWEEP, None)
    if table is None:
        return {path.stem: validated(tables, path)}
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path}: {SWEEP} = {table!r}; accepted: a table of axes; docs/runfile.md says what they are")
    axes = [_axis(path, key, values, list(table)) for key, values in table.items()]
    if (count := prod(map(len, axes))) > MOST:
        raise InputError(f"{path}: {SWEEP}: makes {count} runs; accepted: up to {MOST}")
    runs = {}
    for cases in product(*axes):
        labels, changed = ",".join(label for label, _ in cases), tables
        for _, change in cases:
            changed = merged(changed, change)
        runs[f"{path.stem}/{labels}"] = validated(changed, f"{path}: {SWEEP}: {labels}")
    return runs


def _axis(path: Path, key: str, values: object, keys: list[str]) -> list[Case]:
    """The cases of one axis."""
    if isinstance(values, dict) and values and all(isinstance(change, dict) for change in values.values()):
        cases = list(values.items())
    elif isinstance(values, list) and values and not any(isinstance(value, dict) for value in values):
        last = key.rpartition(".")[2]
        short = last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key
        cases = [(f"{short}={_text(value)}", under_key(key, value)) for value in values]
        for _, change in cases:
            locate_files(change, path.parent)
    else:
        raise InputError(
            f"{path}: {SWEEP}.{key} = {values!r}; accepted: a list of values of that key, or a table of cases"
        )
    labels = [re.sub(r"[^\w.+=-]+", "-", label).strip("-.") for label, _ in cases]
    for label, (given, _) in zip(labels, cases, strict=True):
        if not label or labels.count(label) > 1:
            raise InputError(f"{path}: {SWEEP}.{key}: '{given}' makes no name of its own; accepted: cases told apart")
    return [(label, change) for label, (_, change) in zip(labels, cases, strict=True)]


def _text(value: object) -> str:
    """A value as part of a file's name: 0.2, 40-40-40, upwind."""
    if isinstance(value, list):
        return "-".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
