"""High order without splitting, where diffusion is diagonal: an exponential Runge-Kutta method, steps by error."""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers import phi
from ..spaces import BoxSpace
from ..spaces.cosine import CosineTransform
from ..spaces.layout import OfRanks, Shared, State
from ..tools.errors import NumericsError
from ..tools.owner import Owner, destroyed_if_unfinished
from .adaptive import Attempt, StepSize, measure, relative_undershoot, root_mean_squares

Array = NDArray[np.float64]

#: A step is this part of the one whose error would be just small enough, and so many times the one before at most and
#: at least.
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0

#: Share of what is left until a time to land on that the first of the last two steps takes.
LANDING = 0.5

#: Values below zero of this part of a field's largest are the transform's rounding: the next step starts without them
#: having been taken out.
ROUNDING = 1e-14


class Exponential(Owner):
    """Eqs (1)-(7) by Krogstad's method of fourth order (2005, doi 10.1016/j.jcp.2004.08.006, ETDRK4-B).

    u' = L u + G(u) with L the diffusion of each field and G the reactions and taxis.  L is diagonal among the cosines
    of a box, and e^(t L) is taken exactly: four evaluations of G a step and no error from diffusion alone.  Stages are
    computed among the cosines, G among the cells.  The step's embedded error is that of third order of Whalen, Brio and
    Moloney (2015, doi 10.1016/j.jcp.2014.09.038), which uses the first stage of the step to come; its root mean square
    over cells and fields, each field's in units of its own, is held below `rtol`.

    Diffusion and taxis together are positive in all schemes but "central"; high order is not: steps that undershoot are
    repeated shorter (`adaptive.Undershoot`).  What is accepted below zero becomes zero and counts in `clamped`.

    The cosines are the state.  The array given to `step` holds its values in the cells, during a step those of stages.
    It is read for a first step, after `restart`, and where it is another array than the last: who changes its values
    between two steps calls `restart`.

    Parameters
    ----------
    space: a box.
    medium: a model's parameters.
    taxis: "central", "upwind", "scharfetter-gummel" or "hybrid".
    rtol: error to aim at, relative to each field's size.
    dt: first step, also after a discontinuity, in days.
    clamp: False leaves negative values as they come.
    adapt: False makes every step `dt` days long, whatever its error, unless it is cut short to land or for an
        undershoot.
    """

    adaptive = True
    order = 4

    @destroyed_if_unfinished
    def __init__(
        self,
        space: BoxSpace,
        medium: Medium,
        *,
        taxis: str = "hybrid",
        rtol: float = 1e-4,
        dt: float = 0.01,
        clamp: bool = True,
        adapt: bool = True,
    ) -> None:
        self.space, self.taxis, self.rtol, self.clamp, self.adapt = space, taxis, rtol, clamp, adapt
        self.model = medium.model
        n = len(self.model.names)
        #: Sum over this rank's cells of what clamping added to each field so far, shape (fields,).
        self.clamped: Array = np.zeros(n)
        self.step_size = StepSize(rtol, self.model.names, dt, LANDING)
        self.negligible = rtol  # clamping more than this is a larger error than `rtol`
        #: Wall time spent, in seconds, by phase.
        self.seconds = {"reaction_taxis": 0.0, "diffusion": 0.0, "time_stepper": 0.0}
        self._transform = self.adopt(CosineTransform(space))
        modes = (n, *self._transform.modes_shape)
        # Cosines of the state before and after the step, of the rates of its stages and after it, of a stage.
        self._u, self._new, self._N_1, self._N_2, self._N_3, self._N_5, self._stage = np.zeros((7, *modes))
        self._scratch, self._squares = np.empty((modes[0] * modes[1], 6, modes[3])), np.empty(modes[:2])
        # Fields on their way to and from their cosines; these themselves where their places are the same.
        self._cells = None if self._transform.in_place else np.empty((n, *space.owned_shape))
        #: The caller's array on the cells, with ghosts; None until a step begins from what it holds.
        self._field: Array | None = None
        self._set(medium)

    def _set(self, medium: Medium) -> None:
        assert medium.diffuses_evenly  # a diffusivity by cell is not diagonal among cosines
        self.medium, self._D = medium, np.array(medium.diffusivities)

    def step(self, u: Array, dt: float) -> float:
        """Advance the state, shape (fields, n_local), in place by at most dt days; return the days made.  Collective.

        Raises NumericsError when no step is short enough for the tolerance.
        """
        start, inside = perf_counter(), self._seconds_inside()
        with self.space.threads:
            if self._field is not u:
                self._field = u
                self._renew()
            try:
                made, below, _ = self.step_size.accepted(dt, self)
            except NumericsError:
                self._show_state()
                raise
        self._keep(below)
        self.seconds["time_stepper"] += perf_counter() - start - (self._seconds_inside() - inside)
        return made

    def restart(self, medium: Medium) -> None:
        """The state or the equations have changed at once: go on with these, from a small step; collective."""
        self._set(medium)
        self._field = None
        self.step_size.restart()

    @property
    def deepest_undershoot(self) -> Array:
        """How far below zero accepted steps left each field, relative to its largest value then, shape (fields,)."""
        return self.step_size.undershoot.accepted

    def figures(self) -> dict[str, Any]:
        """Counts for the manifest."""
        return {
            "method": "exponential Runge-Kutta 4 (Krogstad)",
            **self.step_size.figures(),
        }

    def state(self) -> State:
        """What `restore` takes: the cosines are the state, and what the cells hold would not give them to the digit."""
        state = {"clamped": OfRanks(self.clamped), "step_size": self.step_size.state(), "seconds": dict(self.seconds)}
        if self._field is None:  # the next step begins from the cells
            return state
        layout = self._transform.layout
        return state | {
            "cosines": Shared(self._u, layout),
            "rates": Shared(self._N_1, layout),
            "sizes": self._sizes,
            "largest": self._largest,
        }

    def restore(self, state: State, u: Array) -> None:
        """Go on with the array `u` as the one whose `state` that was; collective."""
        self.clamped[:] = state["clamped"]
        self.step_size.restore(state["step_size"])
        self.seconds |= state["seconds"]
        if "cosines" in state:
            layout = self._transform.layout
            self._u[...], self._N_1[...] = state["cosines"].part(layout), state["rates"].part(layout)
            self._sizes, self._largest, self._field = state["sizes"], state["largest"], u

    # ---- one step ------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """From the state on the cells: its cosines, its rates, and the sizes of its fields."""
        fields = self._u if self._cells is None else self._cells
        fields[...] = self.space.owned(self._cell_values)
        self._sizes, _, self._largest = measure(self.space, fields.reshape(len(fields), -1))
        self._transform.to_modes(fields, self._u)
        self._rate(self._N_1)

    def attempt(self, h: float) -> Attempt:
        """The state after a step of h days, among the cosines and on the cells; collective."""
        self._combine(phi.SECOND, h, self._stage)
        self._to_cells()
        self._rate(self._N_2)
        self._combine(phi.THIRD, h, self._stage)
        self._to_cells()
        self._rate(self._N_3)
        self._combine(phi.FOURTH, h, self._stage)
        self._to_cells()
        self._rate(self._N_3)
        self._combine(phi.STEP, h, self._new)
        self._stage[...] = self._new
        fields = self._to_cells()
        self._new_sizes, least, largest = measure(self.space, fields.reshape(len(fields), -1))
        self._new_largest = largest
        return Attempt(h, relative_undershoot(self._new_sizes, least, np.maximum(largest, self._largest)))

    def proposed(self, made: float) -> tuple[float, bool]:
        """The length that the error of the step of `made` days asks for, and whether it may be kept; collective."""
        self._rate(self._N_5)
        factor = self._growth(made) if self.adapt else 1.0
        return factor * made, factor >= SAFETY

    def _growth(self, h: float) -> float:
        """How many times as long the next step is to be as this one of h days; below `SAFETY`, this one is to be."""
        stages = self._N_3, self._N_5
        phi.squared_errors(h, self._D, self._transform.eigenvalues, stages, self._squares, self._scratch)
        errors = root_mean_squares(self.space, self._squares.sum(axis=1))
        rates = root_mean_squares(self.space, np.einsum("fkji,fkji->f", self._N_1, self._N_1))
        scale = self.step_size.scale.update(self._sizes, rates, h)
        error = np.sqrt(np.mean((errors / scale) ** 2)) / self.rtol
        if not np.isfinite(error):
            return SHRINK
        return float(np.clip(SAFETY * max(error, 1e-30) ** (-1.0 / self.order), SHRINK, GROW))

    def _keep(self, below: Array) -> None:
        """The new state, which reaches `below` zero, becomes the one that the next step starts from."""
        self._u, self._new = self._new, self._u
        self._N_1, self._N_5 = self._N_5, self._N_1
        self._sizes, self._largest = self._new_sizes, self._new_largest
        if self.clamp:
            for f, field in enumerate(self._cell_values):
                self.clamped[f] += self.space.clamp(field)
            if below.max() > ROUNDING:
                self._renew()

    def _show_state(self) -> None:
        """After attempts that are all given up, the array holds the state before them again."""
        self._stage[...] = self._u
        self._to_cells()
        for field in self._cell_values if self.clamp else ():
            self.space.clamp(field)  # the transform's rounding

    # ---- between cosines and cells -------------------------------------------------------------------------------

    @property
    def _cell_values(self) -> Array:
        assert self._field is not None
        return self._field

    def _combine(self, what: int, h: float, out: Array) -> None:
        start = perf_counter()
        cosines = self._u, self._N_1, self._N_2, self._N_3
        phi.combine(what, h, self._D, self._transform.eigenvalues, cosines, out, self._scratch)
        self.seconds["diffusion"] += perf_counter() - start

    def _to_cells(self) -> Array:
        """Take the stage from its cosines to the cells; returns it without ghosts, shape (fields, nz, ny, nx)."""
        start = perf_counter()
        fields = self._stage if self._cells is None else self._cells
        self._transform.to_fields(self._stage, fields)
        self.space.owned(self._cell_values)[...] = fields
        self.seconds["diffusion"] += perf_counter() - start
        return fields

    def _rate(self, N: Array) -> None:
        """Cosines of the reactions and taxis of what is on the cells."""
        start = perf_counter()
        self.space.exchange(self._cell_values, self.model.neighbours)
        rate = N if self._cells is None else self._cells
        self.space.explicit_rate(self._cell_values, rate.reshape(len(rate), -1), self.medium, self.taxis)
        middle = perf_counter()
        self._transform.to_modes(rate, N)
        self.seconds["reaction_taxis"] += middle - start
        self.seconds["diffusion"] += perf_counter() - middle

    def _seconds_inside(self) -> float:
        return self.seconds["reaction_taxis"] + self.seconds["diffusion"]
