"""Section 2.2 for one parameter set: everything that `carmodel steady` reports, as plain data and as text."""

from rich.console import Console

from ..model import Model
from ..models.polyakov import MODEL, Parameters
from ..scenario.scenario import Scenario
from ..theory.analysis import (
    Data,
    Grid,
    box_of,
    dispersion_data,
    guarded,
    name_of,
    notes_of,
    state_data,
    threshold_data,
    threshold_text,
    write_dispersion,
    write_eigenvalues,
    write_states,
    write_table,
)
from ..theory.dispersion import dispersion, taxis_threshold, taxis_threshold_at
from ..theory.ode import as_fields
from ..theory.steady import SteadyState
from .propositions import CE, TATB, Block, Proposition, block, proposition_1, proposition_2
from .steady import candidates, coexistence, growth_roots, healthy, tumour_states


def is_about(model: Model) -> bool:
    """Whether section 2.2 of the paper is about a model."""
    return model is MODEL


def analyse_scenario(scenario: Scenario) -> Data:
    """`analyse` for a run file: its parameters on its box; on a Gmsh mesh without a dispersion relation.

    Raises InputError where `steady.check` does.
    """
    data = analyse(scenario.parameters.values, box_of(scenario))
    data["notes"] += notes_of(scenario)
    return data


def analyse(p: Parameters, grid: Grid) -> Data:
    """Steady states, spectra, blocks, propositions and dispersion relations, in numbers, texts, lists and dicts.

    `grid`: cells and lengths of the box whose wavenumbers count; None: no dispersion relation.  Numbers that do not
    exist are None.  Raises InputError where `steady.check` does, and where parameters make numbers overflow.
    """
    return guarded(p, lambda: _analysis(p, grid))


def _analysis(p: Parameters, grid: Grid) -> Data:
    found = coexistence(p)
    tumours = tumour_states(p)
    states = [healthy(), *tumours, *found.states]
    roots = growth_roots(p)
    return {
        "notes": [],
        "parameters": p._asdict(),
        "box": {"cells": list(grid[0]), "lengths": list(grid[1])} if grid else None,
        "steady_states": [_state(state, p, grid) for state in states],
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


def _state(state: SteadyState, p: Parameters, grid: Grid) -> Data:
    data = state_data(state, p)
    moves = data["growth"] < 0.0 and state.state[0] > 0.0
    anywhere = taxis_threshold(state.state, p, "chi_0") if moves else None
    return data | {
        "blocks": {"C,E": _block(block(state.state, p, CE)), "TA,TB": _block(block(state.state, p, TATB))},
        "dispersion": _dispersion(state, p, grid, anywhere) if grid else None,
        "taxis_threshold_at_any_wavelength": threshold_data("chi_0", anywhere),
    }


def _block(found: Block) -> Data:
    return {
        "matrix": found.matrix.tolist(),
        "trace": found.trace,
        "determinant": found.determinant,
        "conditions_hold": found.holds,
        "growth": found.growth,
    }


def _dispersion(state: SteadyState, p: Parameters, grid: Grid, anywhere: tuple[float, float] | None) -> Data:
    """`anywhere` is the least chi_0 that destabilises the state at any wavelength: on a box it takes no less."""
    assert grid is not None
    found = dispersion(state.state, p, *grid)
    here = taxis_threshold_at(state.state, p, "chi_0", found.k2, at_least=anywhere[0]) if anywhere else None
    return dispersion_data(found) | {"taxis_threshold": threshold_data("chi_0", here)}


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
    write_states(console, states)
    console.print(_coexistence(data["coexistence"]), highlight=False)
    console.print()
    _write_formulas(console, data["tumour_formulas"])
    write_eigenvalues(console, states)
    _write_blocks(console, states)
    _write_propositions(console, data["propositions"])
    if data["box"]:
        thresholds = {
            "least chi_0 to destabilise": [s["dispersion"]["taxis_threshold"] for s in states],
            "the same, any wavelength": [s["taxis_threshold_at_any_wavelength"] for s in states],
        }
        rows = {name: [threshold_text("chi_0", t) for t in found] for name, found in thresholds.items()}
        write_dispersion(console, data, rows)
    for note in data["notes"]:
        console.print(note, highlight=False)


def _coexistence(search: Data) -> str:
    """How the states E_CT were searched for."""
    if search["largest_C"] <= 0.0:
        found = f"none: rho_C K_T/(m(0) + delta_CT K_T) - K_C = {search['largest_C']:.6g} is not positive"
        return f"Coexistence: {found}"
    open_ones = ", ".join("[{:.6g}, {:.6g}]".format(*interval) for interval in search["open"])
    settled = f"not settled on C in {open_ones} ({search['why_open']})"
    if search["complete"]:
        settled = "proved complete by interval bounds"
    return f"Coexistence: {search['count']} on 0 < C < {search['largest_C']:.6g}, {settled}"


def _write_formulas(console: Console, formulas: list[Data]) -> None:
    write_table(
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
            for c in formulas
        ],
    )


def _write_blocks(console: Console, states: list[Data]) -> None:
    write_table(
        console,
        "Blocks",
        ["", "block", "trace", "determinant", "trace < 0 < det", "growth"],
        [
            [
                name_of(s),
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


def _write_propositions(console: Console, propositions: list[Data]) -> None:
    write_table(
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
            for q in propositions
        ],
    )
