"""The middle step of the splitting: diffusion of all fields, and taxis where it is implicit; three solvers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import compress
from math import sqrt
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.diffusion import HeatDiffusion, KrylovDiffusion, clip_rounding
from ..solvers.jacobi import JacobiDiffusion
from ..solvers.migration import Migration
from ..spaces import BoxSpace, Space
from ..spaces.layout import State
from ..tools.owner import Owner, destroyed_if_unfinished

Array = NDArray[np.float64]
#: Changes a field on this rank's own cells in place.
Solve = Callable[[Array], None]

#: The parameter of SDIRK2, which makes it of order 2 and L-stable.
GAMMA = 1.0 - 1.0 / sqrt(2.0)


class Scheme(NamedTuple):
    """A step made of solves of backward Euler over a part of it, `stage`: `advance(solve, values)` in place."""

    order: int
    stage: float
    advance: Callable[[Solve, Array], None]


def _once(solve: Solve, values: Array) -> None:
    solve(values)


def _sdirk2(solve: Solve, values: Array) -> None:
    """The second solve starts from u + (1 - gamma) dt k with k = (u_1 - u) / (gamma dt)."""
    ratio = (1.0 - GAMMA) / GAMMA
    before = (1.0 - ratio) * values
    solve(values)
    values *= ratio
    values += before
    solve(values)


BACKWARD_EULER = Scheme(1, 1.0, _once)
EXACT = Scheme(2, 1.0, _once)  # of order 2 together with what it is split from

#: The two-stage diagonally implicit Runge-Kutta scheme of Alexander (1977), doi 10.1137/0714068.
SDIRK2 = Scheme(2, GAMMA, _sdirk2)

#: By the name of the run file.
SCHEMES = {"backward-euler": BACKWARD_EULER, "sdirk2": SDIRK2}


@dataclass(frozen=True)
class Krylov:
    """Implicit diffusion by `solvers.diffusion.KrylovDiffusion`, on any space.

    `scheme`: "backward-euler" (the paper's, eq. (60)), order 1, non-negative; or "sdirk2", order 2, L-stable, which may
    undershoot zero near sharp edges.  Implicit taxis takes the same scheme.

    Raises ValueError for another scheme.
    """

    scheme: str = "backward-euler"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"scheme: {self.scheme!r} is unknown; accepted: {', '.join(SCHEMES)}")

    @property
    def order(self) -> int:
        """Of accuracy in time."""
        return SCHEMES[self.scheme].order

    def build(self, space: Space, medium: Medium, taxis: str | None) -> "DiffusionStep":
        """Its steps on a space; arguments as those of `DiffusionStep`."""
        solver = KrylovDiffusion(space, medium.diffusivities, medium.model.names)
        scheme = SCHEMES[self.scheme]
        return DiffusionStep(space, medium, solver, schemes=(scheme, scheme), taxis=taxis)


@dataclass(frozen=True)
class Heat:
    """Exact diffusion: the heat semigroup of the discrete Laplacian, non-negative; a box with constant diffusivities.

    Implicit taxis takes "sdirk2": no transform solves for taxis.
    """

    order: ClassVar[int] = EXACT.order

    def build(self, space: Space, medium: Medium, taxis: str | None) -> "DiffusionStep":
        """Its steps on a space; arguments as those of `DiffusionStep`.

        Raises ValueError where the heat semigroup is not known.
        """
        if not medium.diffuses_evenly or not isinstance(space, BoxSpace):
            raise ValueError("the heat semigroup is known for a box of cells and constant diffusivities")
        solver = HeatDiffusion(space, medium.numbers, medium.model.names)
        return DiffusionStep(space, medium, solver, schemes=(EXACT, SDIRK2), taxis=taxis)


@dataclass(frozen=True)
class Jacobi:
    """Backward Euler by the published program's Jacobi sweeps (`solvers.jacobi.JacobiDiffusion`): `most`, `tolerance`.

    A box with constant diffusivities; taxis is explicit.
    """

    most: int = 60
    tolerance: float = 1e-8
    order: ClassVar[int] = BACKWARD_EULER.order

    def build(self, space: Space, medium: Medium, taxis: str | None) -> JacobiDiffusion:
        """Its steps on a space.  Raises ValueError where the published program has none."""
        if taxis is not None:
            raise ValueError("the published program's Jacobi solver goes with explicit taxis: with Heun")
        if not medium.diffuses_evenly or not isinstance(space, BoxSpace):
            raise ValueError("the published program's Jacobi solver has a box of cells and constant diffusivities")
        return JacobiDiffusion(space, medium.model.names, self.most, self.tolerance)


class DiffusionStep(Owner):
    """Steps of u_t = div(D grad u), or of u_t = div(D grad u) - div(taxis).

    With taxis, velocities come from the means of the fields that they depend on before and after the diffusion of
    these, which is of order 2 (the exponential midpoint rule of a linear system); then the fields that move migrate.

    Parameters
    ----------
    space: where the fields live.
    medium: a model's parameters, and diffusivities by cell.
    solver: of diffusion, field by field; destroyed with this object.
    schemes: that of diffusion and that of migration.
    taxis: scheme of the taxis flux; None where taxis is not part of this step.

    `iterations`, shape (fields,), counts Krylov iterations, a transform as one; `preconditioners` names what each field
    uses.

    Raises InputError for PETSc options that PETSc refuses.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        space: Space,
        medium: Medium,
        solver: KrylovDiffusion | HeatDiffusion,
        *,
        schemes: tuple[Scheme, Scheme],
        taxis: str | None,
    ) -> None:
        self.space, self._solver = space, self.adopt(solver)
        self._diffusion, self._migration = schemes
        model, D = medium.model, medium.diffusivities
        self._names = model.names
        self._migrations = {
            f: self.adopt(Migration(space, model.names[f], space.zeros() + D[f], taxis)) for f in model.movers if taxis
        }
        #: Places of the fields that velocities depend on, and their means.
        self._carriers = model.carriers(range(len(model.taxis)))
        self._means = space.zeros(len(model.names) if taxis else 0)
        self.iterations = solver.iterations
        self.preconditioners: dict[str, str] = {}

    def solve(self, u: Array, dt: float, medium: Medium) -> None:
        """Advance all fields of the state, shape (fields, n_local), by dt days; ghosts need not be valid; collective.

        `medium`: as given at first, but for parameters that are not diffusivities.
        Raises NumericsError when a solver does not converge.
        """
        if self._migrations and medium.moving.any():
            self._diffuse_and_migrate(u, dt, medium)
        else:
            for f in range(len(u)):
                self._diffuse(f, u, dt)
        clip_rounding(self.space, u)

    def state(self) -> State:
        """What `restore` takes; migrating fields get a new system each step."""
        return {"solver": self._solver.state(), "methods": dict(self.preconditioners)}

    def restore(self, state: State) -> None:
        """Solve as the one whose `state` that was; collective."""
        self._solver.restore(state["solver"])
        self.preconditioners |= state["methods"]

    def _diffuse(self, f: int, u: Array, dt: float) -> None:
        h = self._diffusion.stage * dt
        self._diffusion.advance(lambda values: self._solver.solve_field(f, values, h), self.space.owned(u[f]))
        self.preconditioners[self._names[f]] = self._solver.preconditioners[self._names[f]]

    def _diffuse_and_migrate(self, u: Array, dt: float, medium: Medium) -> None:
        movers = dict(compress(medium.model.movers.items(), medium.moving))
        self._means[self._carriers] = u[self._carriers]
        for f in range(len(u)):
            if f not in movers:
                self._diffuse(f, u, dt)
        self._means[self._carriers] += u[self._carriers]
        self._means[self._carriers] *= 0.5
        self.space.exchange(self._means, self._carriers)
        chi = self.space.sensitivities(self._means, medium)
        for f, taxes in movers.items():
            S = tuple(self._means[medium.model.attractants[k]] for k in taxes)
            self._migrations[f].renew(self._migration.stage * dt, S, tuple(chi[k] for k in taxes))
            self._migration.advance(partial(self._migrate, f), self.space.owned(u[f]))

    def _migrate(self, f: int, values: Array) -> None:
        self.iterations[f] += self._migrations[f].solve(values)
        self.preconditioners[self._names[f]] = self._migrations[f].method
