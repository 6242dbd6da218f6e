"""The schedule of a run: infusions add cells to a field, interventions change parameters, each at its time."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..scenario.fields import Infusion
from ..scenario.parameters import Intervention
from ..scenario.shapes import InitialMultiple
from ..spaces import Space
from ..spaces.layout import Shared, State
from ..tools.errors import InputError
from .initial import check_covers, integral, profile

Array = NDArray[np.float64]

#: Times closer to one another than this part of the run are one: 0.3 and 3 x 0.1 are.
ROUNDING = 1e-9


def same_time(times: Sequence[float], t: float, end: float) -> int | None:
    """Index of the one among sorted times that is t but for rounding, in a run to `end`; None if none is."""
    i = bisect_left(times, t - ROUNDING * end)
    return i if i < len(times) and times[i] <= t + ROUNDING * end else None


@dataclass(frozen=True)
class Event:
    """Something that happens at a time, in days.

    `change`: what it is.  `factor`: of an infusion, what its shape's profile (or the field at t = 0) is multiplied by;
    `amount`: the integral of what it adds, in the field's unit times cm^3.
    """

    time: float
    change: Infusion | Intervention
    factor: float = 0.0
    amount: float = 0.0

    @property
    def is_infusion(self) -> bool:
        """Whether it changes the state."""
        return isinstance(self.change, Infusion)

    def record(self) -> dict[str, Any]:
        """What happened, for the manifest."""
        change = self.change.model_dump(by_alias=True, exclude_none=True, exclude_defaults=not self.is_infusion)
        kind = "infusion" if self.is_infusion else "intervention"
        record = {"event": kind} | change | {"time": self.time}
        return record | {"amount": self.amount} if self.is_infusion else record


class Schedule:
    """Events in the order in which they happen: by time, interventions before infusions, then as the run file has them.

    Parameters
    ----------
    space: where the fields live.
    u: state at t = 0, shape (fields, n_local), of which infusions may take multiples.
    medium: parameters before any event.
    end: days simulated.

    `medium` is that of now.  `events` is the plan, `happened` what of it came to pass.

    Raises InputError, on every rank, when an infusion cannot be made as asked.
    """

    def __init__(
        self,
        infusions: Sequence[Infusion],
        interventions: Sequence[Intervention],
        space: Space,
        u: Array,
        medium: Medium,
        *,
        end: float,
    ) -> None:
        self.medium, self._space = medium, space
        place = medium.model.place
        multiplied = {infusion.to for infusion in infusions if isinstance(infusion.add, InitialMultiple)}
        self._initial = {name: space.owned(u[place(name)]).copy() for name in multiplied}
        events = [Event(change.time, change) for change in interventions]
        events += [self._measured(infusion, f"infusion.{n}.add") for n, infusion in enumerate(infusions)]
        times = [0.0, end]
        for event in events:
            if same_time(times, event.time, end) is None:
                insort(times, event.time)
        landed = [replace(event, time=times[same_time(times, event.time, end) or 0]) for event in events]
        self.events = sorted(landed, key=lambda event: event.time)
        self.happened: list[Event] = []

    def state(self) -> State:
        """What `restore` takes, and the medium and `initial` fields to make the schedule with again."""
        layout, owned = self._space.layout, self._space.owned
        return {
            "happened": len(self.happened),
            "parameters": list(self.medium.parameters),
            "by_cell": {name: Shared(owned(values), layout) for name, values in self.medium.by_cell.items()},
            "initial": {name: Shared(self._initial[name], layout) for name in sorted(self._initial)},
        }

    def restore(self, state: State) -> None:
        """Go on after what had happened."""
        self.happened = self.events[: state["happened"]]

    @property
    def times(self) -> list[float]:
        """When something happens, in order, each time once."""
        return sorted({event.time for event in self.events})

    def happen(self, t: float, u: Array) -> Iterator[Event]:
        """Let what is due at t happen to the state, shape (fields, n_local), and the parameters, one event at a time.

        Ghosts of the state are not renewed.
        """
        for event in self.events[len(self.happened) :]:
            if event.time > t:
                return
            if isinstance(event.change, Infusion):
                field = u[self.medium.model.place(event.change.to)]
                self._space.owned(field)[...] += event.factor * self._profile(event.change)
            else:
                self._change(event.change)
            self.happened.append(event)
            yield event

    def _change(self, change: Intervention) -> None:
        by_cell = {name: values for name, values in self.medium.by_cell.items() if name not in change.values}
        for name in by_cell.keys() & change.factors.keys():
            # A new array: spaces and integrators know by its identity that it is another.
            with np.errstate(over="ignore"):  # the solver says what it cannot solve
                by_cell[name] = by_cell[name] * change.factors[name]
        self.medium = Medium(change.changed(self.medium.parameters), by_cell)

    def _measured(self, infusion: Infusion, key: str) -> Event:
        """An infusion with its factor and amount; collective."""
        add, whole = infusion.add, integral(self._profile(infusion), self._space)
        if isinstance(add, InitialMultiple):
            given, wanted, factor, amount = f"initial = {add.initial:g}", 0.0, add.initial, add.initial * whole
        elif add.amount is None:
            given, wanted, factor, amount = f"value = {add.value:g}", add.value, 1.0, whole
        else:
            given, wanted, amount = f"amount = {add.amount:g}", add.amount, add.amount
            factor = amount / whole if whole > 0.0 else 0.0
        if wanted > 0.0 and not isinstance(add, InitialMultiple):
            check_covers(add, self._space, f"{key}: {given}")
        if not isfinite(factor) or not isfinite(amount):
            raise InputError(f"{key}: {given}: adds more than a number can say; accepted: a finite integral")
        return Event(infusion.time, infusion, factor, amount)

    def _profile(self, infusion: Infusion) -> Array:
        add = infusion.add
        return self._initial[infusion.to] if isinstance(add, InitialMultiple) else profile(add, self._space)
