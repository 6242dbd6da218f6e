"""What `carmodel steady` reports of any model: steady states, spectra and dispersion, as plain data and as text."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from rich import box as rules
from rich.console import Console
from rich.table import Table

from ..model import model_of, overflow
from ..scenario.scenario import Scenario
from ..scenario.space import Box
from .dispersion import Dispersion, dispersion, taxis_threshold, taxis_threshold_at
from .ode import as_fields, jacobian, residual
from .spectra import growth_rate, spectrum, verdict
from .steady import NOT_EXHAUSTIVE, SteadyState, search

Data = dict[str, Any]
#: Cells and lengths of a box; None where there is none.
Grid = tuple[Sequence[int], Sequence[float]] | None


def analyse_scenario(scenario: Scenario) -> Data:
    """Steady states, spectra and dispersion relations of a run file's parameters on its box, in plain data.

    On a Gmsh mesh there is no dispersion relation.  Raises InputError where parameters make numbers overflow.
    """
    p, grid = scenario.parameters.values, box_of(scenario)
    states = search(p)
    data = guarded(p, lambda: _analysis(p, states, grid))
    data["notes"] = [f"steady states: {NOT_EXHAUSTIVE}", *notes_of(scenario)]
    return data


def box_of(scenario: Scenario) -> Grid:
    """The box whose wavenumbers count."""
    space = scenario.space
    lengths: Sequence[float] | None = space.lengths or ((1.0, 1.0, 1.0) if space.cells else None)
    if isinstance(space, Box) and space.nodes_on_boundary:  # the walls stand half a cell outside
        lengths = [length * n / (n - 1) for length, n in zip(space.lengths, space.cells, strict=True)]
    return (space.cells, lengths) if space.cells and lengths else None


def notes_of(scenario: Scenario) -> list[str]:
    """What a dispersion relation leaves out."""
    masks = ", ".join(scenario.parameters.by_cell)
    notes = [f"{masks} varies in space: the dispersion relation takes the preset's number"] if masks else []
    return notes if box_of(scenario) else [*notes, "no box: no dispersion relation"]


def guarded(p: Any, analysis: Callable[[], Data]) -> Data:
    """The data of an analysis.  Raises InputError where the parameters make numbers overflow."""
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            data = analysis()
    except (ArithmeticError, np.linalg.LinAlgError):
        raise overflow(p) from None
    if not _finite(data):
        raise overflow(p)
    return data


def _finite(data: Any) -> bool:
    """Whether all numbers of some nested data are finite."""
    if isinstance(data, float):
        return math.isfinite(data)
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return all(map(_finite, parts))


def _analysis(p: Any, states: Iterable[SteadyState], grid: Grid) -> Data:
    return {
        "model": model_of(p).name,
        "notes": [],
        "parameters": p._asdict(),
        "box": {"cells": list(grid[0]), "lengths": list(grid[1])} if grid else None,
        "exhaustive": False,
        "steady_states": [_state(state, p, grid) for state in states],
    }


def _state(state: SteadyState, p: Any, grid: Grid) -> Data:
    data, found = state_data(state, p), dispersion(state.state, p, *grid) if grid else None
    thresholds: dict[str, Data | None] = {}
    for strength in _strengths(state, p) if data["growth"] < 0.0 else ():
        anywhere = taxis_threshold(state.state, p, strength)
        on_box = anywhere
        if anywhere and found:  # on a box it takes no less
            on_box = taxis_threshold_at(state.state, p, strength, found.k2, at_least=anywhere[0])
        thresholds[strength] = threshold_data(strength, on_box)
    return data | {"dispersion": dispersion_data(found) if found else None, "taxis_thresholds": thresholds}


def _strengths(state: SteadyState, p: Any) -> list[str]:
    """Parameters of the taxes whose field is there."""
    model = model_of(p)
    return list(dict.fromkeys(t.strength for t in model.taxis if state.state[model.place(t.of)] > 0.0))


def state_data(state: SteadyState, p: Any) -> Data:
    """A steady state and its spectrum."""
    J = jacobian(state.state, p)
    growth = growth_rate(J)
    return {
        "kind": state.kind,
        "phenotype": state.phenotype,
        "state": as_fields(state.state, p),
        "residual": residual(state.state, p),
        "verdict": verdict(growth, J),
        "growth": growth,
        "eigenvalues": [[float(value.real), float(value.imag)] for value in spectrum(J)],
        "jacobian": J.tolist(),
    }


def dispersion_data(found: Dispersion) -> Data:
    """The fastest of a box's wavenumbers."""
    n = found.fastest
    k = math.sqrt(found.k2[n])
    return {
        "growth_without_space": float(found.growth[0]),
        "largest_growth": float(found.growth[n]),
        "wavenumber": k,
        "wavelength": 2.0 * math.pi / k if k else None,
        "mode": found.modes[n].tolist(),
        "frequency": float(found.frequency[n]),
        "unstable_wavenumbers": int((found.growth > 0.0).sum()),
        "wavenumbers": int(found.k2.size),
        "spatially_unstable": found.spatially_unstable,
    }


def threshold_data(strength: str, found: tuple[float, float] | None) -> Data | None:
    """The least strength of taxis that destabilises a state, and the wavelength."""
    return {strength: found[0], "wavelength": 2.0 * math.pi / math.sqrt(found[1])} if found else None


# ---- for a person ------------------------------------------------------------------------------------------------


def write_report(data: Data, console: Console) -> None:
    """The analysis of any model as tables: with rules on a terminal, in plain columns elsewhere."""
    states = data["steady_states"]
    write_states(console, states)
    write_eigenvalues(console, states)
    if data["box"]:
        strengths = list(dict.fromkeys(name for s in states for name in s["taxis_thresholds"]))
        rows = {
            f"least {name} to destabilise": [threshold_text(name, s["taxis_thresholds"].get(name)) for s in states]
            for name in strengths
        }
        write_dispersion(console, data, rows)
    for note in data["notes"]:
        console.print(note, highlight=False)


def write_states(console: Console, states: Sequence[Data]) -> None:
    """The states in columns."""
    write_table(
        console,
        "Steady states",
        ["", *map(name_of, states)],
        [
            *([f, *(f"{s['state'][f]:.6g}" for s in states)] for f in (states[0]["state"] if states else ())),
            ["growth", *(f"{s['growth']:+.4g}" for s in states)],
            ["", *(s["verdict"] for s in states)],
            ["residual", *(f"{s['residual']:.0e}" for s in states)],
        ],
        "growth: largest real part of the Jacobian's spectrum, 1/day; residual in scaled units",
    )


def write_eigenvalues(console: Console, states: Sequence[Data]) -> None:
    """The spectra in columns."""
    rows = zip(*(s["eigenvalues"] for s in states), strict=True)
    write_table(
        console,
        "Eigenvalues, 1/day",
        ["", *map(name_of, states)],
        [[str(n), *(_complex(*value) for value in values)] for n, values in enumerate(rows, 1)],
    )


def write_dispersion(console: Console, data: Data, thresholds: dict[str, list[str]]) -> None:
    """What grows on the wavenumbers of the box, and `thresholds` of taxis, rows by their name."""
    found = [s["dispersion"] for s in data["steady_states"]]
    size = " x ".join(f"{length:g}" for length in data["box"]["lengths"])
    write_table(
        console,
        f"With diffusion and taxis, on the wavenumbers of a box of {size} cm",
        ["", *map(name_of, data["steady_states"])],
        [
            ["largest growth", *(f"{d['largest_growth']:+.4g}" for d in found)],
            ["its wavelength, cm", *(f"{d['wavelength']:.4g}" if d["wavelength"] else "none" for d in found)],
            ["its mode", *("({}, {}, {})".format(*d["mode"]) for d in found)],
            ["its frequency", *(f"{d['frequency']:.4g}" for d in found)],
            ["unstable wavenumbers", *(f"{d['unstable_wavenumbers']} of {d['wavenumbers']}" for d in found)],
            ["unstable by space alone", *("yes" if d["spatially_unstable"] else "no" for d in found)],
            *([name, *texts] for name, texts in thresholds.items()),
        ],
        "cos(k.x) that grows fastest, growth and frequency in 1/day; by space alone: stable at k = 0, not at all k",
    )


def threshold_text(strength: str, threshold: Data | None) -> str:
    """A threshold in a cell of a table."""
    return f"{threshold[strength]:.4g} at {threshold['wavelength']:.4g} cm" if threshold else "-"


def write_table(console: Console, title: str, columns: list[str], rows: Iterable[list[str]], note: str = "") -> None:
    """A table with its title and what there is to say about it."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=rules.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    console.print(table, highlight=False)
    if note:
        console.print(note, style="dim", highlight=False)
    console.print()


def name_of(state: Data) -> str:
    """Of a state, as the head of its column."""
    return f"{state['kind']} {state['phenotype']}".strip()


def _complex(real: float, imaginary: float) -> str:
    if imaginary == 0.0:
        return f"{real:.4g}"
    return f"{real:.4g} {'+' if imaginary > 0.0 else '-'} {abs(imaginary):.4g}i"
