"""How adaptive integrators choose their steps: tried, then kept or repeated shorter for error or undershoot."""

from math import inf
from typing import NamedTuple, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..spaces import Space
from ..spaces.layout import State
from ..tools.errors import NumericsError

Array = NDArray[np.float64]

#: A field smaller than this part of the largest it has been counts as that large when its error is measured.
NEGLIGIBLE = 1e-3

#: Steps below this part of a day mean that the tolerance cannot be met.
SHORTEST = 1e-12

#: After a rejection for undershoot the step is this part of the rejected one.
SHORTENED = 0.25


def first_attempt(natural: float, limit: float, share: float) -> float:
    """Days to try: the natural step, cut to what is left until `limit` or, of the last two, to `share` of it."""
    return limit if limit <= natural * (1.0 + 1e-9) else min(natural, share * limit)


def next_attempt(proposed: float, made: float, natural: float) -> float:
    """The natural step after one of `made` days whose error proposes another length.

    One that was cut short to land on a time says nothing against the longer one that was due.
    """
    return proposed if made >= natural else max(proposed, natural)


def root_mean_squares(space: Space, sums: Array) -> Array:
    """Of each field from its sum of squares over this rank's cells, shape (fields,); collective."""
    total = np.empty_like(sums)
    space.comm.Allreduce(sums, total, MPI.SUM)
    return np.sqrt(total / space.n_cells)


def measure(space: Space, fields: Array) -> tuple[Array, Array, Array]:
    """Root mean square, least and largest value of each field, shape (fields, n_owned), over all ranks; collective."""
    with np.errstate(all="ignore"):  # a step too long may leave what is no number; it is repeated
        sums = np.einsum("fi,fi->f", fields, fields)
    extremes = np.concatenate([-fields.min(axis=1), fields.max(axis=1)])
    space.comm.Allreduce(MPI.IN_PLACE, extremes, MPI.MAX)
    return root_mean_squares(space, sums), -extremes[: len(fields)], extremes[len(fields) :]


class ErrorScale:
    """The size of each field, which its error is divided by: at least `NEGLIGIBLE` of the largest it has been."""

    def __init__(self, fields: int) -> None:
        #: Largest root mean square that each field has had, shape (fields,).
        self.largest: Array = np.zeros(fields)

    def update(self, sizes: Array, rate: Array, dt: float) -> Array:
        """From the root mean squares of the fields, and of their rates, before a step of dt days, shape (fields,) each.

        The scale of a field that starts at zero is what the rate makes of it, in each attempt anew: an attempt far too
        long makes of it what will never be.  Infinite where a field stays zero.
        """
        self.largest = np.maximum(self.largest, sizes)
        scale = np.maximum(np.maximum(sizes, dt * rate), NEGLIGIBLE * self.largest)
        scale[scale == 0.0] = inf
        return scale


class Attempt(NamedTuple):
    """A step on trial: its days, how far each field reaches below zero (`relative_undershoot`), and how many longer
    ones the method itself has given up for their error.
    """

    made: float
    below: Array
    rejections: int = 0


class Method(Protocol):
    """What makes the steps that `StepSize` chooses."""

    def attempt(self, h: float) -> Attempt:
        """Try a step of h days, or of fewer; collective."""

    def proposed(self, made: float) -> tuple[float, bool]:
        """The length that the error of the last attempt, of `made` days, asks for; whether it may be kept; collective.

        Asked only of attempts whose undershoot is accepted.
        """


class StepSize:
    """Lengths of steps: the next one by the error of the last, a shorter one for an attempt that is not kept.

    All that adaptive integrators remember from step to step, but for the state, is here.
    `rtol` is what errors and undershoots are held against, `names` those of the fields, `dt` the first step, also after
    a discontinuity, in days, `landing` the share of what is left until a time that the first of the last two steps
    takes.
    """

    def __init__(self, rtol: float, names: tuple[str, ...], dt: float, landing: float) -> None:
        self.scale, self.undershoot = ErrorScale(len(names)), Undershoot(rtol, names)
        #: Attempts that were not kept, by reason.
        self.rejected = {"error": 0, "undershoot": 0}
        self._rtol, self._landing = rtol, landing
        #: Days of the first step, also after a discontinuity, and of the next one where nothing cuts it short.
        self.first = self.next = dt

    def restart(self) -> None:
        """The state or the equations have changed at once: go on with a small step."""
        self.next = min(self.next, self.first)
        self.undershoot.forget()

    def state(self) -> State:
        """What `restore` takes: all that is remembered."""
        return {
            "first": self.first,
            "next": self.next,
            "rejected": dict(self.rejected),
            "largest": self.scale.largest,
            "undershoot": self.undershoot.state(),
        }

    def restore(self, state: State) -> None:
        """Remember what another one did."""
        self.first, self.next, self.rejected = state["first"], state["next"], dict(state["rejected"])
        self.scale.largest = state["largest"]
        self.undershoot.restore(state["undershoot"])

    def start_with(self, dt: float) -> None:
        """Have another first step, in days."""
        self.first = self.next = dt

    def accepted(self, limit: float, method: Method) -> Attempt:
        """The step of at most `limit` days that is kept, of those that the method tries; collective.

        Raises NumericsError where none is short enough.
        """
        before = self.state()
        try:
            return self._accepted(limit, method)
        except NumericsError:  # as if it had not been tried
            self.restore(before)
            raise

    def _accepted(self, limit: float, method: Method) -> Attempt:
        natural = self.next
        h = first_attempt(natural, limit, self._landing)
        self.undershoot.begin()
        while True:
            attempt = method.attempt(h)
            self.rejected["error"] += attempt.rejections
            if not self.undershoot.accepts(attempt.below, attempt.made):
                self.rejected["undershoot"] += 1
                h = natural = SHORTENED * attempt.made
                continue
            proposed, is_kept = method.proposed(attempt.made)
            if is_kept:
                break
            self.rejected["error"] += 1
            h = natural = proposed
            if h < SHORTEST:
                raise NumericsError(f"no step is short enough for integrator.rtol = {self._rtol:g}")
        self.undershoot.keep(attempt.below, attempt.made)
        self.next = proposed if attempt.rejections else next_attempt(proposed, attempt.made, natural)
        return attempt

    def figures(self) -> dict[str, object]:
        """Counts for the manifest."""
        return {
            "rejected_steps": sum(self.rejected.values()),
            "rejected_for": dict(self.rejected),
            "undershoot": dict(zip(self.undershoot.names, self.undershoot.accepted.tolist(), strict=True)),
        }


class Undershoot:
    """Which values below zero are a step's fault.

    A step that undershoots by more than `rtol` of a field's largest value is repeated with a shorter one, unless
    shorter ones undershoot as much in a day: then the cause is the discretisation in space (central taxis at cell
    Peclet numbers above 2).
    """

    def __init__(self, rtol: float, names: tuple[str, ...]) -> None:
        self._rtol, self.names = rtol, names
        self._best = inf
        #: Largest accepted undershoot of each field, relative to its largest value then, shape (fields,).
        self.accepted: Array = np.zeros(len(names))
        self.forget()

    def forget(self) -> None:
        """What shorter steps do not avoid may be less after the equations have changed."""
        self._unavoidable = 0.0  # in a day

    def state(self) -> State:
        """What `restore` takes."""
        return {"accepted": self.accepted, "unavoidable": self._unavoidable}

    def restore(self, state: State) -> None:
        """Remember what another one did."""
        self.accepted, self._unavoidable = state["accepted"], state["unavoidable"]

    def begin(self) -> None:
        """A step is tried for the first time."""
        self._best = inf

    def accepts(self, below: Array, made: float) -> bool:
        """Whether a step of `made` days that reaches `below` zero, shape (fields,), may be kept.

        Raises NumericsError where no shorter step can be tried.
        """
        depth = float(below.max())
        # Shorter steps that undershoot less, but no less in a day: not the stepper's doing.
        if not self._is_new(depth, made) or depth / made > 0.5 * self._best:
            return True
        if made < SHORTEST:
            what = f"undershoots by {depth:.2g}" if depth < inf else "is no longer finite"
            raise NumericsError(f"{self.names[int(below.argmax())]} {what} even in a step of {made:.2g} days")
        self._best = depth / made
        return False

    def keep(self, below: Array, made: float) -> None:
        """Such a step is kept: what it undershoots by counts, and later ones may undershoot by as much in a day."""
        depth = float(below.max())
        if self._is_new(depth, made):
            self._unavoidable = depth / made
        self.accepted = np.maximum(self.accepted, below)

    def _is_new(self, depth: float, made: float) -> bool:
        """Whether that is more than is asked for and than was found unavoidable."""
        return depth > max(self._rtol, 2.0 * self._unavoidable * made)


def relative_undershoot(sizes: Array, least: Array, largest: Array) -> Array:
    """How far each field reaches below zero in units of its largest value, shape (fields,): 1 where it has none.

    Infinite for all if a field is no longer finite.
    """
    if not np.isfinite(sizes).all():
        return np.full(len(sizes), inf)
    return np.divide(np.maximum(-least, 0.0), largest, out=1.0 * (least < 0.0), where=largest > 0.0)
