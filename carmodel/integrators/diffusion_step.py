"""The middle step of the splitting: diffusion of all fields, and taxis of C where it is implicit, in three schemes."""

from collections.abc import Callable
from itertools import compress
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..solvers.diffusion import KrylovDiffusion, lift
from ..solvers.migration import Migration
from ..spaces import BoxSpace, Space
from ..tools.owner import Owner, destroyed_if_unfinished

Array = NDArray[np.float64]

#: Order in time of each scheme, by the name of the run file.
SCHEMES = {"backward-euler": 1, "sdirk2": 2, "exact": 2}

#: The parameter of `sdirk2`, which makes it of order 2 and L-stable.
GAMMA = 1.0 - 1.0 / sqrt(2.0)


class Diffusion(Owner):
    """Steps of u_t = div(D grad u) by one of three schemes.

    "backward-euler": order 1, non-negative.  "sdirk2": the two-stage diagonally implicit Runge-Kutta scheme of
    Alexander (1977), doi 10.1137/0714068, order 2 and L-stable: two backward-Euler steps of gamma dt, the second from
    u + (1 - gamma) dt k with k = (u_1 - u) / (gamma dt).  It may undershoot zero near sharp edges.  "exact": the heat
    semigroup of the discrete Laplacian by cosine transform, without an error in time and non-negative; for boxes with
    a constant D_C.

    With taxis the velocity of C comes from the means of S and A before and after their own diffusion, which is of order
    2 (the exponential midpoint rule of a linear system); C then migrates by the same scheme, or by "sdirk2" where the
    others diffuse exactly: no transform solves for taxis.

    Parameters
    ----------
    space: where the fields live.
    parameters: of which the diffusivities are taken.
    D_C: diffusivity of C by cell, shape (n_local,) with valid ghosts; `parameters.D_C` everywhere unless given.
    scheme: a name in `SCHEMES`.
    taxis: scheme of the taxis flux, for `solve_with_taxis`; None where that is not wanted.

    `iterations`, shape (fields,), counts Krylov iterations, a transform as one; `preconditioners` names what each field
    uses.

    Raises ValueError for another scheme or one that the space cannot do, InputError for PETSc options that PETSc
    refuses.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        space: Space,
        medium: Medium,
        *,
        scheme: str = "backward-euler",
        taxis: str | None = None,
    ) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"scheme: {scheme!r} is unknown; accepted: {', '.join(SCHEMES)}")
        if scheme == "exact" and (medium.by_cell or not isinstance(space, BoxSpace)):
            raise ValueError("the heat semigroup is known for a box of cells and a constant D_C")
        self.space, self.scheme, self.medium, model = space, scheme, medium, medium.model
        self._diffusivities, self._names = medium.diffusivities, model.names
        self._krylov = self.adopt(KrylovDiffusion(space, self._diffusivities, model.names))
        self._migrations = {
            f: self.adopt(Migration(space, model.names[f], space.zeros() + self._diffusivities[f], taxis))
            for f in model.movers
            if taxis
        }
        #: Places of the fields that velocities depend on.
        self._carriers = model.carriers(range(len(model.taxis)))
        self._before = np.empty(space.owned_shape)
        self._means = space.zeros(len(model.names))  # of the fields that carry others
        self.iterations = self._krylov.iterations
        self.preconditioners: dict[str, str] = {}

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state, shape (fields, n_local), by dt days of diffusion; collective.

        Raises NumericsError when a solver does not converge.
        """
        for f in range(len(u)):
            self._diffuse(f, u, dt)
        lift(self.space, u)

    def solve_with_taxis(self, u: Array, dt: float, medium: Medium) -> None:
        """As `solve`, with taxis at these parameters; ghosts need not be valid; collective."""
        movers = dict(compress(medium.model.movers.items(), medium.moving))
        self._means[self._carriers] = u[self._carriers]
        for f in range(len(u)):
            if f not in movers:
                self._diffuse(f, u, dt)
        self._means[self._carriers] += u[self._carriers]
        self._means[self._carriers] *= 0.5
        self.space.exchange(self._means, self._carriers)
        chi = self.space.sensitivities(self._means, medium)
        two_stages = SCHEMES[self.scheme] == 2
        for f, taxes in movers.items():
            S = tuple(self._means[medium.model.attractants[k]] for k in taxes)
            self._migrations[f].renew(GAMMA * dt if two_stages else dt, S, tuple(chi[k] for k in taxes))
            values = self.space.owned(u[f])
            if two_stages:
                self._sdirk2(lambda stage, f=f: self._migrate(f, stage), values)  # type: ignore[misc]
            else:
                self._migrate(f, values)
        lift(self.space, u)

    def _migrate(self, f: int, values: Array) -> None:
        self.iterations[f] += self._migrations[f].solve(values)
        self.preconditioners[self._names[f]] = self._migrations[f].method

    def _diffuse(self, f: int, u: Array, dt: float) -> None:
        values = self.space.owned(u[f])
        if self.scheme == "exact":
            assert self._krylov.transform
            self._krylov.transform.heat(values, dt * self.medium.numbers[f])
            self.iterations[f] += 1
            self.preconditioners[self._names[f]] = "cosine transform"
            return
        if self.scheme == "sdirk2":
            self._sdirk2(lambda stage: self._krylov.solve_field(f, stage, GAMMA * dt), values)
        else:
            self._krylov.solve_field(f, values, dt)
        self.preconditioners[self._names[f]] = self._krylov.preconditioners[self._names[f]]

    def _sdirk2(self, solve: Callable[[Array], None], values: Array) -> None:
        """A step in place from `solve`, one of backward Euler over gamma dt; u + (1 - gamma) dt k from u and u_1."""
        ratio = (1.0 - GAMMA) / GAMMA
        self._before[...] = values
        solve(values)
        values *= ratio
        self._before *= 1.0 - ratio
        values += self._before
        solve(values)
