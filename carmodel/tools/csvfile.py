"""Reads tables of numbers in CSV that come from elsewhere: a header, then as many numbers in each row."""

import warnings
from collections.abc import Iterator
from io import TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .files import LINE_CHARACTERS, TABLE_BYTES, open_regular
from .memory import available, in_words

#: What `series.csv` has of each field, as in mean_C.
KINDS = ("mean", "min", "max", "total", "clamped")

Array = NDArray[np.float64]


def read_columns(path: Path, *names: str, of_run: bool = False) -> dict[str, Array]:
    """Columns of a table by name; those of `names` are among them.

    `of_run`: a run wrote it, so a last row without its end is cut off and left out.
    Raises InputError where it is no such table.
    """
    try:
        with _text(path) as file, warnings.catch_warnings():
            warnings.filterwarnings("error", "loadtxt: input contained no data", UserWarning)
            lines = _lines(file, whole=of_run)
            header = _header(lines)
            values = np.loadtxt(_bounded(lines), delimiter=",", ndmin=2)
    except (OSError, ValueError, StopIteration, UserWarning) as error:
        reason = str(error).splitlines()[0] if str(error) and not isinstance(error, StopIteration) else "it is empty"
        raise InputError(f"{path}: cannot be read as a table: {reason}") from None
    if values.shape[1:] != (len(header),):
        raise InputError(f"{path}: {values.shape[-1]} columns under a header of {len(header)}")
    if missing := [name for name in names if name not in header]:
        raise InputError(f"{path}: no column {missing[0]}; accepted: {','.join(names)}")
    return dict(zip(header, values.T, strict=True))


def read_first(path: Path, name: str) -> float:
    """The first number of a column.  Raises InputError where there is none, or it is not finite."""
    try:
        with _text(path) as file:
            lines = _lines(file, whole=False)
            value = float(dict(zip(_header(lines), next(lines).split(","), strict=True))[name])
        if not isfinite(value):
            raise ValueError
    except (OSError, ValueError, KeyError, StopIteration):
        raise InputError(f"{path}: not a CSV file with a column {name}") from None
    return value


def _text(path: Path) -> TextIO:
    return TextIOWrapper(open_regular(path, TABLE_BYTES), encoding="ascii", newline="")


def _header(lines: Iterator[str]) -> list[str]:
    return next(lines).strip().split(",")


def _lines(file: TextIO, *, whole: bool) -> Iterator[str]:
    """The lines of a file; `whole`: those with an end only."""
    while line := file.readline(LINE_CHARACTERS):
        if len(line) == LINE_CHARACTERS:
            raise ValueError(f"a line of more than {LINE_CHARACTERS} characters")
        if line.endswith("\n") or not whole:
            yield line


def _bounded(lines: Iterator[str]) -> Iterator[str]:
    """The same lines, as long as their numbers fit into memory."""
    room = available() // 2
    left = room // 8  # bytes of a number
    for line in lines:
        left -= line.count(",") + 1
        if left < 0:
            raise ValueError(f"its numbers take more than {in_words(room)}, half of the memory that is left")
        yield line
