"""The verdicts as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...tools.errors import InputError
from .statement import Condition, Verdict

_SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many hold, and which do not."""
    failed = [verdict.statement.number for verdict in verdicts if not verdict.holds]
    text = f"{len(verdicts) - len(failed)} of {len(verdicts)} statements hold"
    return f"{text}; not: {', '.join(failed)}" if failed else text


def write_table(verdicts: Sequence[Verdict], console: Console) -> None:
    """One block a statement: number, what the paper says, what was measured and asked, verdict."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("no.", no_wrap=True)
    table.add_column("the paper says", ratio=4)
    table.add_column("measured", ratio=4)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("asked", no_wrap=True)
    table.add_column("", no_wrap=True)
    for verdict in verdicts:
        style = "green" if verdict.holds else "bold red"
        for n, condition in enumerate(verdict.conditions):
            first = n == 0
            table.add_row(
                verdict.statement.number if first else "",
                verdict.statement.text if first else "",
                Text(condition.what, style="" if condition.holds else "red"),
                Text(f"{condition.value:.4g}", style="" if condition.holds else "red"),
                f"{_SIGNS[condition.relation]} {condition.threshold:g}",
                Text("holds" if verdict.holds else "FAILS", style=style) if first else "",
            )
    console.print(table)
    console.print(tally(verdicts), style="green" if all(v.holds for v in verdicts) else "bold red", highlight=False)


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The same as lists and numbers; null where a figure is not finite."""
    return [
        {
            "number": verdict.statement.number,
            "section": verdict.statement.section,
            "statement": verdict.statement.text,
            "holds": verdict.holds,
            "conditions": [_condition(condition) for condition in verdict.conditions],
        }
        for verdict in verdicts
    ]


def write_json(verdicts: Sequence[Verdict], file: Path) -> None:
    """`as_json` and the tally into a file.  Raises InputError where it cannot be written."""
    text = json.dumps({"tally": tally(verdicts), "statements": as_json(verdicts)}, indent=1, allow_nan=False)
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json {file}: cannot be written: {error.strerror}; accepted: a file") from None


def _condition(condition: Condition) -> dict[str, Any]:
    finite = isfinite(condition.value)
    return {
        "what": condition.what,
        "value": condition.value if finite else None,
        "relation": condition.relation,
        "threshold": condition.threshold,
        "margin": condition.margin if finite else None,
        "holds": condition.holds,
    }
