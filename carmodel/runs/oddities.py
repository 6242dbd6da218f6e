"""What is legal in a run file but odd: one line each, before the run."""

from collections.abc import Iterator, Mapping

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
        value = getattr(parameters.values, name)
        if not least <= value <= most:
            known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            yield f"warning: parameters.{name} = {value:g}; the model's table has {known} {model.table[name].unit}"


def _substeps(scenario: Scenario, peaks: Mapping[str, float]) -> Iterator[str]:
    """Explicit reactions in steps that are too long for the fastest loss at the start."""
    choices, model = scenario.integrator, scenario.model
    if choices.kind != "strang" or choices.reaction != "rk2":
        return
    p, u = scenario.parameters.values, model.Fields(*(peaks[name] for name in model.names))
    with np.errstate(all="ignore"):
        losses = np.array([float(loss) for loss in balance(u, slow(u, p), p)[1]])
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
