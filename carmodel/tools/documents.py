"""Reads TOML and JSON that come from elsewhere: of bounded size and depth, with what can be printed.

What their parsers take is more than the rest of the program can work with: a key of a thousand parts is a thousand
tables in one another, an integer of five thousand digits cannot be printed.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from .files import JSON_BYTES, RUN_FILE_BYTES, read_text

#: Tables and lists in one another, and parts of a key.
DEEPEST = 24

#: Values in a document, tables and lists among them: a run file, and what a run writes about itself.
MOST_VALUES = {"run file": 250_000, "JSON": 1_000_000}

# tomllib takes a time that grows with the square of a key's parts, so this is looked for before.
_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{DEEPEST}}}""", re.ASCII)


def read_toml(path: Path, most: int = RUN_FILE_BYTES) -> tuple[dict[str, Any], int]:
    """The tables of a TOML file of at most `most` bytes, and how many it has.

    Raises ValueError that says what is wrong with it.
    """
    text = read_text(path, most, "utf-8-sig")
    return parse_toml(text), len(text.encode())


def parse_toml(text: str, what: str = "file") -> dict[str, Any]:
    """The tables of a TOML text.  Raises ValueError that says what is wrong with it."""
    if _LONG_KEY.search(text):
        raise ValueError(f"not a TOML {what}: a key of more than {DEEPEST} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"not a TOML {what}: lists or tables more than {DEEPEST} deep") from None
    except ValueError as error:
        raise ValueError(f"not a TOML {what}: {error}") from None
    check(tables, MOST_VALUES["run file"])
    return tables


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """What a JSON file of at most `most` bytes says.

    Raises ValueError that says what is wrong with it.
    """
    text = read_text(path, most)
    try:
        tree = json.loads(text)
    except RecursionError:
        raise ValueError(f"not JSON: lists or tables more than {DEEPEST} deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    check(tree, MOST_VALUES["JSON"])
    return tree


def check(tree: object, most: int) -> None:
    """Raise ValueError unless a tree of tables and lists is no larger and no deeper than the program can work with."""
    left: list[tuple[object, tuple[object, ...]]] = [(tree, ())]
    values = 0
    while left:
        value, keys = left.pop()
        values += 1
        if isinstance(value, dict):
            below: list[tuple[object, object]] = list(value.items())
        elif isinstance(value, list):
            below = list(enumerate(value))
        else:
            if problem := _problem(value):
                raise ValueError(f"{'.'.join(map(str, keys))}: {problem}")
            continue
        if len(keys) >= DEEPEST and below:
            raise ValueError(f"{'.'.join(map(str, keys))[:80]}...: lists or tables more than {DEEPEST} deep")
        if values + len(left) + len(below) > most:
            raise ValueError(f"holds more than {most} values")
        for key, part in below:
            if isinstance(key, str) and (problem := _problem(key)):
                raise ValueError(f"a key: {problem}")
            left.append((part, (*keys, key)))


def _problem(value: object) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "an integer of more than 64 bits"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeError:
            return "text that is no Unicode"
    return ""
