"""`sweep.csv`: inputs and outcomes of the runs of a sweep, one a row."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results import RunDirectory, is_run_directory
from ..tools.errors import InputError
from ..tools.files import replacing
from .summary import burden_of

Array = NDArray[np.float64]

_REDUCED: dict[str, Callable[[Array], Any]] = {
    "max": np.max,
    "min": np.min,
    "last": lambda values: values[-1],
    "first": lambda values: values[0],
}


class Outcome(NamedTuple):
    """A column of `series.csv`, or `burden`, made one number: its value on a day, or by a function."""

    text: str
    column: str
    how: str
    day: float

    def of(self, series: Mapping[str, Array]) -> float:
        """The number.  Raises InputError where there is no such column, or no such day."""
        if self.column not in series:
            raise InputError(f"--outcome {self.text}: accepted: {', '.join(series)}")
        values = series[self.column]
        if self.how:
            return float(_REDUCED[self.how](values))
        if self.day > series["t"][-1] * (1.0 + 1e-9):
            return float("nan")
        return float(np.interp(self.day, series["t"], values))


def parsed(text: str) -> Outcome:
    """`total_TA@6`, linear between the steps, `max(mean_C)`, or a column alone for its last value.

    Raises InputError for anything else.
    """
    if found := re.fullmatch(r"(\w+)@(\d+(?:\.\d*)?)", text):
        return Outcome(text, found[1], "", float(found[2]))
    if found := re.fullmatch(rf"({'|'.join(_REDUCED)})\((\w+)\)", text):
        return Outcome(text, found[2], found[1], 0.0)
    if re.fullmatch(r"\w+", text):
        return Outcome(text, text, "last", 0.0)
    raise InputError(
        f"--outcome {text}: accepted: a column of series.csv or 'burden', as total_TA, total_TA@6 on day 6, or "
        f"{', '.join(f'{name}(...)' for name in _REDUCED)}"
    )


def outcomes(run: RunDirectory, wanted: Sequence[Outcome] = ()) -> dict[str, Any]:
    """Status, days, tumour burden and its lowest, CAR-T cells and their peak, totals at the end, and what is `wanted`.

    Of a run that was killed before its first row, its status alone.
    """
    found: dict[str, Any] = {"status": run.status}
    try:
        series = dict(run.series)
    except InputError:
        if run.status == "finished":
            raise
        return found
    t = series["t"]
    found["days"] = float(t[-1])
    if run.tumour:
        burden = series["burden"] = burden_of(run, series)
        lowest = int(np.argmin(burden))
        rest = sum(series[f"total_{name}"][-1] for name in run.tumour[1:])
        found |= {
            "burden_start": burden[0],
            "burden_end": burden[-1],
            "burden_lowest": burden[lowest],
            "day_of_lowest_burden": t[lowest],
            "antigen_negative_share_end": rest / burden[-1] if burden[-1] > 0.0 else np.nan,
        }
    for name in run.cart[:1]:
        cells = series[f"total_{name}"]
        peak = int(np.argmax(cells))
        found |= {f"{name}_peak": cells[peak], f"day_of_{name}_peak": t[peak]}
    found |= {f"total_{name}_end": series[f"total_{name}"][-1] for name in run.names}
    found |= {outcome.text: outcome.of(series) for outcome in wanted}
    found["seconds"] = run.manifest["wall_seconds"]["total"]
    return found


def write_table(inputs: Mapping[str, Mapping[str, Any]], folder: Path, name: str, wanted: Sequence[Outcome]) -> Path:
    """Write `folder`/`name`/sweep.csv: a row a run, with its inputs, whether it is there or not; its path.

    Raises InputError where it cannot be written, or an outcome is none of the runs'.
    """
    import pandas

    rows = []
    for run, given in inputs.items():
        row: dict[str, Any] = {"run": run, **{key: _plain(value) for key, value in given.items()}}
        there = is_run_directory(folder / run)
        rows.append(row | (outcomes(RunDirectory(folder / run), wanted) if there else {"status": "missing"}))
    path = folder / name / "sweep.csv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            new.write(pandas.DataFrame(rows).to_csv(index=False).encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; accepted: a folder to write in") from None
    return path


def _plain(value: Any) -> Any:
    """A value as a table takes it: lists as text."""
    return value if isinstance(value, str | int | float | bool) else str(value)
