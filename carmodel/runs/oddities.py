"""What is legal in a run file but odd: one line each, before the run."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..scenario.scenario import Scenario
from ..scenario.shapes import InitialMultiple
from ..spaces import BoxSpace, Space
from ..tuples import balance, slow

#: A diffusivity may be so many times a table's single value without a warning.
USUAL = 10.0

#: Largest number of substeps that a run file may ask for.
MOST_SUBSTEPS = 1_000_000

#: Heun's method is stable for losses up to this over the length of its step.
STABLE = 2.0


def initial_peaks(scenario: Scenario) -> dict[str, float]:
    """Largest value that each field has by the shapes of the run file, doses included; files are not looked into."""
    peaks = dict.fromkeys(scenario.model.names, 0.0)
    for _, shape, shares in scenario.initial.parts:
        for name, share in shares.items():
            peaks[name] += share * float(shape.value)
    for infusion in scenario.infusion:
        if not isinstance(infusion.add, InitialMultiple) and infusion.add.amount is None:
            peaks[infusion.to] += float(infusion.add.value)
    return peaks


def odd_values(scenario: Scenario, peaks: Mapping[str, float]) -> Iterator[str]:
    """A line for each; `peaks` are largest values of the fields at the start, by name."""
    yield from _diffusivities(scenario)
    yield from _substeps(scenario, peaks)


def clipped_faces(space: Space) -> str:
    """A line where the fluxes through some faces of a mesh are wrong; "" where none are."""
    points = None if isinstance(space, BoxSpace) else space.points
    if not points or not points.clipped:
        return ""
    return (
        f"warning: space.mesh: {points.clipped:.2g} of the faces lie between tetrahedra whose circumcentres are in the "
        "wrong order: fluxes through them do not converge"
    )


def _diffusivities(scenario: Scenario) -> Iterator[str]:
    """Those outside the range of the model's table, where that has the preset's units: where it holds the preset's."""
    model, parameters = scenario.model, scenario.parameters
    usual = model.presets[parameters.preset]
    for name in dict.fromkeys(model.diffusivity.values()):
        low, high = model.table[name].low, model.table[name].high
        if low is None or high is None or name in parameters.masks or not low <= getattr(usual, name) <= high:
            continue
        least, most = (low / USUAL, high * USUAL) if low == high else (low, high)
        values = {name: getattr(parameters.values, name)}
        if given := parameters.by_region.get(name):
            values |= {f"{name}.by_region.{region}": value for region, value in given.by_region.items()}
        for key, value in values.items():
            if not least <= value <= most:
                known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                yield f"warning: parameters.{key} = {value:g}; the model's table has {known} {model.table[name].unit}"


def _parameter_sets(scenario: Scenario) -> list[Any]:
    """The run's parameters, and these with the value of each region that has one of its own."""
    parameters = scenario.parameters
    regions = {region for given in parameters.by_region.values() for region in given.by_region}
    sets = [parameters.values]
    for region in sorted(regions):
        own = {n: g.by_region[region] for n, g in parameters.by_region.items() if region in g.by_region}
        sets.append(parameters.values._replace(**own))
    return sets


def _substeps(scenario: Scenario, peaks: Mapping[str, float]) -> Iterator[str]:
    """Explicit reactions in steps that are too long for the fastest loss at the start."""
    choices, model = scenario.integrator, scenario.model
    if choices.kind != "strang" or choices.reaction != "rk2":
        return
    u = model.Fields(*(peaks[name] for name in model.names))
    with np.errstate(all="ignore"):
        losses = np.max([balance(u, slow(u, p), p)[1] for p in _parameter_sets(scenario)], axis=0)
    f = int(np.argmax(np.nan_to_num(losses)))
    step = 0.5 * choices.dt / choices.substeps
    if losses[f] * step <= STABLE:
        return
    enough = np.ceil(0.5 * choices.dt * losses[f] / STABLE)
    others = f"integrator.substeps = {enough:.0f} would do, or" if enough <= MOST_SUBSTEPS else "accepted:"
    yield (
        f"warning: integrator.substeps = {choices.substeps}: {model.names[f]} is lost at up to {losses[f]:.3g} a day, "
        f"too fast for explicit steps of {step:.3g} days; {others} reaction = 'mprk22'"
    )
