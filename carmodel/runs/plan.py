"""When a run writes, and how long its steps are where the integrator does not choose them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from .dosing import Schedule, same_time


def output_times(end: float, every: float, events: Sequence[float] = ()) -> list[float]:
    """0, every, 2 every, ..., end; only 0 and end where `every` is 0.

    One that is an event's time but for rounding is that time to the digit.
    """
    times = [n * every for n in range(ceil(end / every * (1.0 - 1e-12)))] if every else [0.0]
    times.append(end)
    for t in events:
        if (n := same_time(times, t, end)) is not None:
            times[n] = t
    return times


def equal_steps(start: float, stop: float, dt: float) -> tuple[int, float]:
    """Number and length of the fewest equal steps from start to stop that are not longer than dt.

    Where dt fits, the length is dt to the digit, so that solvers set up for dt serve the whole run.
    """
    span = stop - start
    n = max(1, ceil(span / dt * (1.0 - 1e-9)))
    return n, dt if abs(n * dt - span) <= 1e-9 * span else span / n


@dataclass(frozen=True)
class Plan:
    """Days simulated, between outputs (0: none but the last), and in the longest step; infusions and interventions.

    Adaptive integrators choose their own steps.
    """

    end: float
    every: float
    dt: float
    schedule: Schedule | None = None
