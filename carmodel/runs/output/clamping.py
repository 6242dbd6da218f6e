"""What is said of negative values and what makes them: on stderr while a run goes on, in its manifest, by `info`."""

import sys

import numpy as np

from ..simulation import Observer, Simulation, remedy

#: Cell Peclet number up to which central taxis keeps fields positive.
SAFE_PECLET = 2.0


def remarks(run: Simulation) -> dict[tuple[str, str], tuple[float, str]]:
    """By measure and field, those that are too much: how much, and a line about it."""
    integrator = run.integrator
    limit = f", more than integrator.rtol = {integrator.negligible:g}" if integrator.adaptive else ""
    advice = f"{limit}; {remedy(integrator)} may avoid that"
    measures = {
        "clamped": (run.clamped_share, "setting negative values to zero has made {:.3g}% of it by t = {:.4g}"),
        "undershoot": (run.undershoot, "values down to -{:.3g}% of its largest were accepted by t = {:.4g}"),
    }
    found = {
        (measure, run.names[f]): (float(values[f]), f"{run.names[f]}: {line.format(100.0 * values[f], run.t)}{advice}")
        for measure, (values, line) in measures.items()
        for f in np.flatnonzero(values > integrator.negligible)
    }
    for name, number in run.peclet.items():
        if number > SAFE_PECLET:
            line = f"{name}: the cell Peclet number has reached {number:.3g} by t = {run.t:.4g}; above {SAFE_PECLET:g}"
            advice = 'smaller cells or another integrator.taxis than "central" avoid that'
            found["peclet", name] = number, f"{line} central taxis may make it negative; {advice}"
    return found


class ClampingWarning(Observer):
    """Writes each remark on rank 0, again at each tenfold; a quiet run too, or only its manifest would know."""

    def __init__(self) -> None:
        self._warned: dict[tuple[str, str], float] = {}

    def step(self, run: Simulation) -> None:
        """Look at what there is to remark so far."""
        for what, (value, line) in remarks(run).items():
            if value > 10.0 * self._warned.get(what, 0.0):
                self._warned[what] = value
                if run.space.comm.rank == 0:
                    print(f"warning: {line}", file=sys.stderr, flush=True)
