"""`datapackage.json`: what the tables' columns mean and their units, as a Data Package (https://datapackage.org)."""

import json
from pathlib import Path
from typing import Any

from ...scenario.scenario import Scenario
from ...scenario.units import integral_unit
from ...tools.files import replacing
from ..directory import DATA_PACKAGE
from ..simulation import Observer, Simulation

_KINDS = {
    "mean": "mean over the domain",
    "min": "least value",
    "max": "largest value",
    "total": "integral over the domain",
    "clamped": "integral added so far by setting negative values to zero",
}


class DataPackage(Observer):
    """Written on rank 0 at the start.  The tables stay plain: a header and numbers."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self._path, self._content = folder / DATA_PACKAGE, content(scenario)

    def start(self, run: Simulation) -> None:
        """Write it."""
        if run.space.comm.rank == 0:
            with replacing(self._path) as new:
                new.write((json.dumps(self._content, indent=1) + "\n").encode("ascii"))


def content(scenario: Scenario) -> dict[str, Any]:
    """What is written: `resources` describe the tables, the rest what a reader needs to know of the model."""
    model = scenario.model
    units = model.units_of(scenario.parameters.preset)
    time = _column("t", "day", "time")
    series = [time, _column("dt", "day", "time since the row before; 0 at the start and after an infusion")]
    for field, species in model.species.items():
        for kind, meaning in _KINDS.items():
            unit = integral_unit(units[field]) if kind in ("total", "clamped") else units[field]
            series.append(_column(f"{kind}_{field}", unit, f"{species.description}: {meaning}"))
    line = [time, _column("s", "cm", "place along the line")]
    line += [_column(field, units[field], species.description) for field, species in model.species.items()]
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "run",
        **({"title": scenario.title} if scenario.title else {}),
        "resources": [
            _table("series", "one row a step, and one more after each infusion", series),
            _table("line", "the fields along a line at every output", line),
        ],
        "units": units,
        "model": {
            "name": model.name,
            "fields": {name: species.description for name, species in model.species.items()},
            "tumour": model.tumour,
            "cart": model.cart,
            "diffusivity": {name: model.diffusivity[name] for name in model.names},
        },
        "parameters": {name: entry._asdict() for name, entry in model.table.items()},
    }


def _column(name: str, unit: str, description: str) -> dict[str, str]:
    return {"name": name, "type": "number", "unit": unit, "description": description}


def _table(name: str, description: str, columns: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "description": description,
        "format": "csv",
        "encoding": "ascii",
        "schema": {"fields": columns},
    }
