"""The middle step of the splitting: diffusion of all fields, and taxis of C where it is implicit, in three schemes."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from .. import FIELDS
from ..linear import KrylovDiffusion, lift
from ..migration import Migration
from ..owner import Owner, destroyed_if_unfinished
from ..parameters import Parameters
from ..spaces import BoxSpace, Space

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

    `iterations`, shape (7,), counts Krylov iterations, a transform as one; `preconditioners` names what each field
    uses.

    Raises ValueError for another scheme or one that the space cannot do, InputError for PETSc options that PETSc
    refuses.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        space: Space,
        parameters: Parameters,
        *,
        D_C: Array | None = None,
        scheme: str = "backward-euler",
        taxis: str | None = None,
    ) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"scheme: {scheme!r} is unknown; accepted: {', '.join(SCHEMES)}")
        if scheme == "exact" and (D_C is not None or not isinstance(space, BoxSpace)):
            raise ValueError("the heat semigroup is known for a box of cells and a constant D_C")
        self.space, self.scheme = space, scheme
        self._diffusivities = parameters.diffusivities
        on_cells = space.zeros() + parameters.D_C if D_C is None else D_C
        self._krylov = self.adopt(
            KrylovDiffusion(space, [*self._diffusivities] if D_C is None else [D_C, *self._diffusivities[1:]])
        )
        self._migration = self.adopt(Migration(space, on_cells, taxis)) if taxis else None
        self._before = np.empty(space.owned_shape)
        self._carriers = space.zeros(2)  # S and A
        self.iterations = self._krylov.iterations
        self.preconditioners: dict[str, str] = {}

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state, shape (7, n_local), by dt days of diffusion; collective.

        Raises NumericsError when a solver does not converge.
        """
        for f in range(len(FIELDS)):
            self._diffuse(f, u, dt)
        lift(self.space, u)

    def solve_with_taxis(self, u: Array, dt: float, parameters: Parameters) -> None:
        """As `solve`, with the taxis of C at these parameters; ghosts need not be valid; collective."""
        assert self._migration
        S, A = self._carriers
        self._carriers[:] = u[4:6]
        for f in range(1, len(FIELDS)):
            self._diffuse(f, u, dt)
        self._carriers += u[4:6]
        self._carriers *= 0.5
        self.space.exchange(self._carriers, range(2))
        two_stages = SCHEMES[self.scheme] == 2
        self._migration.renew(GAMMA * dt if two_stages else dt, S, A, parameters)
        C = self.space.owned(u[0])
        if two_stages:
            self._sdirk2(self._migrate, C)
        else:
            self._migrate(C)
        lift(self.space, u)

    def _migrate(self, C: Array) -> None:
        assert self._migration
        self.iterations[0] += self._migration.solve(C)
        self.preconditioners[FIELDS[0]] = self._migration.method

    def _diffuse(self, f: int, u: Array, dt: float) -> None:
        values = self.space.owned(u[f])
        if self.scheme == "exact":
            assert self._krylov.transform
            self._krylov.transform.heat(values, dt * self._diffusivities[f])
            self.iterations[f] += 1
            self.preconditioners[FIELDS[f]] = "cosine transform"
            return
        if self.scheme == "sdirk2":
            self._sdirk2(lambda stage: self._krylov.solve_field(f, stage, GAMMA * dt), values)
        else:
            self._krylov.solve_field(f, values, dt)
        self.preconditioners[FIELDS[f]] = self._krylov.preconditioners[FIELDS[f]]

    def _sdirk2(self, solve: Callable[[Array], None], values: Array) -> None:
        """A step in place from `solve`, one of backward Euler over gamma dt; u + (1 - gamma) dt k from u and u_1."""
        ratio = (1.0 - GAMMA) / GAMMA
        self._before[...] = values
        solve(values)
        values *= ratio
        self._before *= 1.0 - ratio
        values += self._before
        solve(values)
