"""Section 2.2 for one parameter set: everything that `carmodel steady` reports, as plain data and as text."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich import box as rules
from rich.console import Console
from rich.table import Table

from .. import FIELDS
from ..model import overflow
from ..models.polyakov import Parameters
from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..theory.dispersion import dispersion, taxis_threshold, taxis_threshold_at
from ..theory.ode import as_fields, jacobian, residual
from ..theory.spectra import growth_rate, spectrum, verdict
from .propositions import CE, TATB, Block, Proposition, block, proposition_1, proposition_2
from .steady import SteadyState, candidates, coexistence, growth_roots, healthy, tumour_states

Data = dict[str, Any]


def analyse_scenario(scenario: Scenario) -> Data:
    """`analyse` for a run file: its parameters on its box; on a Gmsh mesh without a dispersion relation.

    Raises InputError where `steady.check` does.
    """
    space = scenario.space
    lengths: Sequence[float] | None = space.lengths or ((1.0, 1.0, 1.0) if space.cells else None)
    if isinstance(space, Box) and space.nodes_on_boundary:  # the walls stand half a cell outside
        lengths = [length * n / (n - 1) for length, n in zip(space.lengths, space.cells, strict=True)]
    data = analyse(scenario.parameters.values, space.cells, lengths)
    if scenario.parameters.masks:
        data["notes"].append("D_C varies in space: the dispersion relation takes the preset's number")
    if not data["box"]:
        data["notes"].append("no box: no dispersion relation")
    return data


def analyse(p: Parameters, cells: Sequence[int] | None, lengths: Sequence[float] | None) -> Data:
    """Steady states, spectra, blocks, propositions and dispersion relations, in numbers, texts, lists and dicts.

    `cells` and `lengths` are those of the box whose wavenumbers count; None: no dispersion relation.  Numbers that do
    not exist are None.  Raises InputError where `steady.check` does, and where parameters make numbers overflow.
    """
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            data = _analysis(p, cells, lengths)
    except (ArithmeticError, np.linalg.LinAlgError):
        data = None
    if not data or not _finite(data):
        raise overflow(p)
    return data


def _finite(data: Any) -> bool:
    """Whether all numbers of some nested data are finite."""
    if isinstance(data, float):
        return math.isfinite(data)
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return all(map(_finite, parts))


def _analysis(p: Parameters, cells: Sequence[int] | None, lengths: Sequence[float] | None) -> Data:
    found = coexistence(p)
    tumours = tumour_states(p)
    states = [healthy(), *tumours, *found.states]
    roots = growth_roots(p)
    return {
        "notes": [],
        "parameters": p._asdict(),
        "box": {"cells": list(cells), "lengths": list(lengths)} if cells and lengths else None,
        "steady_states": [_state(state, p, cells, lengths) for state in states],
        "tumour_formulas": [
            {
                "formula": candidate.formula,
                "growth": candidate.growth,
                "admissible": candidate.admissible,
                "steady": not candidate.reason,
                "state": as_fields(candidate.state, p) if candidate.admissible else None,
                "residual": candidate.residual if candidate.admissible else None,
                "reason": candidate.reason,
            }
            for candidate in candidates(p)
        ],
        "quadratic": {"roots": list(roots), "discriminant": (roots[1] - roots[0]) ** 2},
        "coexistence": {
            "count": len(found.states),
            "largest_C": found.largest_C,
            "complete": not found.open,
            "open": [list(interval) for interval in found.open],
            "why_open": found.why_open,
            "intervals": found.boxes,
        },
        "propositions": [_proposition(proposition_1(p))]
        + [_proposition(proposition_2(state, p)) | {"phenotype": state.phenotype} for state in tumours],
    }


def _state(state: SteadyState, p: Parameters, cells: Sequence[int] | None, lengths: Sequence[float] | None) -> Data:
    J = jacobian(state.state, p)
    growth = growth_rate(J)
    anywhere = taxis_threshold(state.state, p, "chi_0") if growth < 0.0 and state.state[0] > 0.0 else None
    return {
        "kind": state.kind,
        "phenotype": state.phenotype,
        "state": as_fields(state.state, p),
        "residual": residual(state.state, p),
        "verdict": verdict(growth, J),
        "growth": growth,
        "eigenvalues": [[float(value.real), float(value.imag)] for value in spectrum(J)],
        "jacobian": J.tolist(),
        "blocks": {"C,E": _block(block(state.state, p, CE)), "TA,TB": _block(block(state.state, p, TATB))},
        "dispersion": _dispersion(state, p, cells, lengths, anywhere) if cells and lengths else None,
        "taxis_threshold_at_any_wavelength": _threshold(anywhere),
    }


def _block(found: Block) -> Data:
    return {
        "matrix": found.matrix.tolist(),
        "trace": found.trace,
        "determinant": found.determinant,
        "conditions_hold": found.holds,
        "growth": found.growth,
    }


def _dispersion(
    state: SteadyState,
    p: Parameters,
    cells: Sequence[int],
    lengths: Sequence[float],
    anywhere: tuple[float, float] | None,
) -> Data:
    """`anywhere` is the least chi_0 that destabilises the state at any wavelength: on a box it takes no less."""
    found = dispersion(state.state, p, cells, lengths)
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
        "taxis_threshold": _threshold(
            taxis_threshold_at(state.state, p, "chi_0", found.k2, at_least=anywhere[0]) if anywhere else None
        ),
    }


def _threshold(found: tuple[float, float] | None) -> Data | None:
    return {"chi_0": found[0], "wavelength": 2.0 * math.pi / math.sqrt(found[1])} if found else None


def _proposition(found: Proposition) -> Data:
    return {
        "number": found.number,
        "conditions": found.conditions,
        "block_growth": found.block_growth,
        "growth": found.growth,
        "agrees": found.agrees,
        "statement": found.statement,
    }


# ---- for a person ------------------------------------------------------------------------------------------------


def write_report(data: Data, console: Console) -> None:
    """The analysis as tables: with rules on a terminal, in plain columns elsewhere."""
    states = data["steady_states"]
    names = [_name(s) for s in states]
    _table(
        console,
        "Steady states",
        ["", *names],
        [
            *([f, *(f"{s['state'][f]:.6g}" for s in states)] for f in FIELDS),
            ["growth", *(f"{s['growth']:+.4g}" for s in states)],
            ["", *(s["verdict"] for s in states)],
            ["residual", *(f"{s['residual']:.0e}" for s in states)],
        ],
        "growth: largest real part of the Jacobian's spectrum, 1/day; residual in scaled units",
    )
    search = data["coexistence"]
    open_ones = ", ".join("[{:.6g}, {:.6g}]".format(*interval) for interval in search["open"])
    console.print(
        "Coexistence: "
        + (
            f"none: rho_C K_T/(m(0) + delta_CT K_T) - K_C = {search['largest_C']:.6g} is not positive"
            if search["largest_C"] <= 0.0
            else f"{search['count']} on 0 < C < {search['largest_C']:.6g}, "
            + (
                "proved complete by interval bounds"
                if search["complete"]
                else f"not settled on C in {open_ones} ({search['why_open']})"
            )
        ),
        highlight=False,
    )
    console.print()
    _table(
        console,
        "The paper's tumour states",
        ["formula", "R(N*) 1/day", "TA", "TB", "verdict"],
        [
            [
                c["formula"],
                f"{c['growth']:.6g}",
                *(f"{c['state'][f]:.6g}" if c["state"] else "-" for f in ("TA", "TB")),
                c["reason"] or f"steady state (residual {c['residual']:.0e})",
            ]
            for c in data["tumour_formulas"]
        ],
    )
    _table(
        console,
        "Eigenvalues, 1/day",
        ["", *names],
        [[str(n + 1), *(_complex(*s["eigenvalues"][n]) for s in states)] for n in range(len(FIELDS))],
    )
    _table(
        console,
        "Blocks",
        ["", "block", "trace", "determinant", "trace < 0 < det", "growth"],
        [
            [
                _name(s),
                f"({name})",
                f"{b['trace']:.6g}",
                f"{b['determinant']:.6g}",
                "yes" if b["conditions_hold"] else "no",
                f"{b['growth']:+.4g}",
            ]
            for s in states
            for name, b in s["blocks"].items()
        ],
        "(32) and (35) at E_0, (41) at E_T; conditions (38) are those of (TA,TB) at E_0, (48) those of (C,E) at E_T",
    )
    _table(
        console,
        "Propositions",
        ["", "conditions", "finding", "spectrum agrees"],
        [
            [
                f"{q['number']}",
                ("(38)" if q["number"] == 1 else "(48)") + (" hold" if q["conditions"] else " fail"),
                q["statement"],
                "yes" if q["agrees"] else "no",
            ]
            for q in data["propositions"]
        ],
    )
    if data["box"]:
        _dispersion_table(console, data)
    for note in data["notes"]:
        console.print(note, highlight=False)


def _dispersion_table(console: Console, data: Data) -> None:
    states = data["steady_states"]
    found = [s["dispersion"] for s in states]
    here = [d["taxis_threshold"] for d in found]
    anywhere = [s["taxis_threshold_at_any_wavelength"] for s in states]
    size = " x ".join(f"{length:g}" for length in data["box"]["lengths"])
    _table(
        console,
        f"With diffusion and taxis, on the wavenumbers of a box of {size} cm",
        ["", *map(_name, states)],
        [
            ["largest growth", *(f"{d['largest_growth']:+.4g}" for d in found)],
            ["its wavelength, cm", *(f"{d['wavelength']:.4g}" if d["wavelength"] else "none" for d in found)],
            ["its mode", *("({}, {}, {})".format(*d["mode"]) for d in found)],
            ["its frequency", *(f"{d['frequency']:.4g}" for d in found)],
            ["unstable wavenumbers", *(f"{d['unstable_wavenumbers']} of {d['wavenumbers']}" for d in found)],
            ["unstable by space alone", *("yes" if d["spatially_unstable"] else "no" for d in found)],
            ["least chi_0 to destabilise", *map(_chi_0, here)],
            ["the same, any wavelength", *map(_chi_0, anywhere)],
        ],
        "cos(k.x) that grows fastest, growth and frequency in 1/day; by space alone: stable at k = 0, not at all k",
    )


def _chi_0(threshold: Data | None) -> str:
    return "{chi_0:.4g} at {wavelength:.4g} cm".format(**threshold) if threshold else "-"


def _table(console: Console, title: str, columns: list[str], rows: Iterable[list[str]], note: str = "") -> None:
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


def _name(state: Data) -> str:
    return f"{state['kind']} {state['phenotype']}".strip()


def _complex(real: float, imaginary: float) -> str:
    if imaginary == 0.0:
        return f"{real:.4g}"
    return f"{real:.4g} {'+' if imaginary > 0.0 else '-'} {abs(imaginary):.4g}i"
