"""Run directories that no run has made, and what the statements say of them."""

from pathlib import Path

import numpy as np

from carmodel.models.polyakov import MODEL
from carmodel.paper.claims import ObservedRun, experiments, judge, statements
from carmodel.tools.csvfile import KINDS

BY_NUMBER = {statement.number: statement for statement in statements()}

COLUMNS = ["t", "dt", *(f"{kind}_{field}" for field in MODEL.names for kind in KINDS)]

SCENARIO = experiments(["3.4"], [])["3.4-base"]


def invented(folder: Path, t, **means) -> ObservedRun:
    """A run directory with these means over time and nothing else of interest."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "run.toml").write_text(SCENARIO.toml().replace("end = 15.0", f"end = {float(t[-1])}"))
    columns = {name: np.zeros(len(t)) for name in COLUMNS} | {"t": np.asarray(t, float)}
    columns |= {f"mean_{field}": np.broadcast_to(values, len(t)) for field, values in means.items()}
    rows = np.column_stack([columns[name] for name in COLUMNS])
    text = ",".join(COLUMNS) + "\n" + "\n".join(",".join(map(repr, map(float, row))) for row in rows)
    (folder / "series.csv").write_text(text + "\n")
    return ObservedRun(folder)


def verdict(number, runs):
    return judge(BY_NUMBER[number], runs)
