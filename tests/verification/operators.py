"""Manufactured solutions: each operator alone against exact derivatives of smooth fields, and all equations together.

The fields are products of cosines, whose normal derivatives vanish at the walls.
"""

from collections.abc import Iterator

import numpy as np

from carmodel.integrators import Exponential, Imex, Strang
from carmodel.model import Medium
from carmodel.models.polyakov import MODEL, PRESETS
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tuples import balance, slow
from tests.conftest import without_reactions
from tests.verification.table import Row, order

LENGTHS = (1.0, 0.8, 1.2)
GRIDS = (8, 16, 32)
#: Taxis strong enough for its part of the error to show, weak enough for cell Peclet numbers below 2 on these grids.
P = PRESETS["normalised"]._replace(chi_0=0.2, D_C=0.05)
ORDERS = {"central": 2.0, "upwind": 1.0, "scharfetter-gummel": 2.0, "hybrid": 2.0}
#: Longest step of `strang`, of first order in time, on 8 cells; on finer grids it shrinks as the error in space does.
LONGEST = 0.01
WAVES = [(1, 1, 2), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 1, 1), (1, 0, 1), (0, 1, 1)]


class Exact:
    """Seven smooth fields at points, with their gradients and Laplacians: u = a + b cos cos cos."""

    def __init__(self, points) -> None:
        x = np.broadcast_arrays(*points)
        self.u, self.gradient, self.laplacian = [], [], []
        for f, waves in enumerate(WAVES):
            k = [np.pi * n / length for n, length in zip(waves, LENGTHS, strict=True)]
            cosines = [np.cos(kk * xx) for kk, xx in zip(k, x, strict=True)]
            sines = [np.sin(kk * xx) for kk, xx in zip(k, x, strict=True)]
            b = 0.2
            product = cosines[0] * cosines[1] * cosines[2]
            self.u.append(0.5 + 0.05 * f + b * product)
            self.gradient.append(
                [-b * k[a] * sines[a] * np.prod([cosines[c] for c in range(3) if c != a], axis=0) for a in range(3)]
            )
            self.laplacian.append(-b * sum(kk**2 for kk in k) * product)
        self.u = np.array(self.u)

    def taxis(self, p):
        """div(chi(A) C grad S), the derivative of chi by a complex step."""
        C, S, A = (MODEL.place(name) for name in "CSA")
        chi = self._sensitivity(self.u, p)
        nudged = self.u.astype(complex)
        nudged[A] += 1e-30j
        slope = self._sensitivity(nudged, p).imag / 1e-30
        along = sum(
            (chi * c + slope * a * self.u[C]) * s
            for c, a, s in zip(self.gradient[C], self.gradient[A], self.gradient[S], strict=True)
        )
        return along + chi * self.u[C] * self.laplacian[S]

    @staticmethod
    def _sensitivity(u, p):
        return MODEL.taxis[0].sensitivity(MODEL.Fields(*u), p)

    def reactions(self, p):
        """Production minus loss of each field."""
        fields = MODEL.Fields(*self.u)
        production, loss = balance(fields, slow(fields, p), p)
        parts = zip(production, loss, self.u, strict=True)
        return np.array([np.broadcast_to(P - L * u, u.shape) for P, L, u in parts])

    def diffusion(self, p):
        """D times the Laplacian of each field."""
        return np.array([D * lap for D, lap in zip(Medium(p).numbers, self.laplacian, strict=True)])

    def all(self, p):
        """The rate of change that eqs (1)-(7) ask for."""
        rate = self.reactions(p) + self.diffusion(p)
        rate[MODEL.place("C")] -= self.taxis(p)
        return rate


def spaces(n) -> Iterator[tuple[str, object]]:
    """A box and FiPy's grid of n cells along x, others along y and z."""
    cells = (n, n, n // 2)
    yield "box", BoxSpace(cells, LENGTHS)
    yield "FiPy grid", MeshSpace(grid_mesh(cells, LENGTHS))


def state_of(space, exact):
    """The exact fields on the cells, ghosts valid."""
    u = space.zeros(7)
    space.owned(u)[...] = exact.u
    space.exchange(u, range(7))
    return u


def rms(difference):
    """Root mean square over the cells."""
    return float(np.sqrt(np.mean(difference**2)))


def explicit_rate(space, u, p, taxis):
    """Reactions and taxis as the integrators take them, without ghosts."""
    out = np.empty((7, space.n_owned))
    space.explicit_rate(u, out, Medium(p), taxis)
    return out.reshape(7, *space.owned_shape)


def diffusion_rate(space, u, diffusivities):
    """Diffusion as ARKIMEX takes it, without ghosts."""
    out = np.zeros((7, space.n_owned))
    space.subtract_diffusion(u, out, diffusivities)
    return -out.reshape(7, *space.owned_shape)


def in_space() -> Iterator[Row]:
    """Each operator alone, and all of them, on halved cells."""
    errors: dict[str, list[float]] = {}
    expected: dict[str, float] = {}

    def note(what, wanted, error):
        errors.setdefault(what, []).append(error)
        expected[what] = wanted

    still = without_reactions()._replace(chi_0=P.chi_0, D_C=P.D_C)
    for n in GRIDS:
        for kind, space in spaces(n):
            exact = Exact(space.centres)
            u = state_of(space, exact)
            medium = Medium(P)
            found = diffusion_rate(space, u, medium.diffusivities)
            D = np.array(medium.numbers).reshape(-1, *[1] * (found.ndim - 1))
            note(f"diffusion, {kind}", 2.0, rms((found - exact.diffusion(P)) / D))
            note(f"diffusivity by cell, {kind}", 2.0, _varying(space, exact, u))
            for taxis, wanted in ORDERS.items():
                found = explicit_rate(space, u, still, taxis)[0] - exact.reactions(still)[0]
                note(f"taxis, {taxis}, {kind}", wanted, rms(found + exact.taxis(still)))
            found = explicit_rate(space, u, P, "central") + diffusion_rate(space, u, medium.diffusivities)
            note(f"all equations, {kind}", 2.0, rms(found - exact.all(P)))
            space.destroy()
    for what, several in errors.items():
        yield Row(what, expected[what], order(several), True, f"rates against exact ones, {GRIDS} cells along x")


def _varying(space, exact, u):
    """Error of div(D grad C) for a diffusivity that varies with x."""
    x = np.broadcast_arrays(*space.centres)[0]
    k = np.pi / LENGTHS[0]
    D = space.zeros()
    space.owned(D)[...] = 0.05 + 0.03 * np.cos(k * x)
    space.exchange_field(D)
    found = diffusion_rate(space, u, [D, *Medium(P).diffusivities[1:]])[0]
    wanted = (0.05 + 0.03 * np.cos(k * x)) * exact.laplacian[0] - 0.03 * k * np.sin(k * x) * exact.gradient[0][0]
    return rms(found - wanted)


def reactions_alone() -> Iterator[Row]:
    """The rates of reactions are exact in every cell."""
    space = BoxSpace((8, 6, 5), LENGTHS)
    exact = Exact(space.centres)
    p = P._replace(chi_0=0.0)
    error = np.abs(explicit_rate(space, state_of(space, exact), p, "central") - exact.reactions(p)).max()
    space.destroy()
    yield Row("reactions, box", 1e-14, float(error), False, "rate of change against its exact value")


def solutions() -> Iterator[Row]:
    """The error of fields after a while, with the forcing that would keep the exact ones at rest."""
    makers = {
        "imex, exponential": (BoxSpace, lambda s, m: Exponential(s, m, taxis="central", rtol=1e-8, dt=0.01)),
        "imex, arkimex": (BoxSpace, lambda s, m: Imex(s, m, taxis="central", rtol=1e-8, dt=0.01)),
        "imex on FiPy's grid": (_mesh, lambda s, m: Imex(s, m, taxis="central", rtol=1e-8, dt=0.01)),
        "strang": (BoxSpace, lambda s, m: Strang(s, m, taxis="central")),
    }
    for name, (make_space, make) in makers.items():
        errors = []
        for n in GRIDS:
            space = make_space((n, n, n // 2), LENGTHS)
            errors.append(_forced(space, make, LONGEST * (8 / n) ** 2 if name == "strang" else 0.1))
            space.destroy()
        yield Row(f"fields held at rest, {name}", 2.0, order(errors), True, f"after 0.1 days, {GRIDS} cells along x")


def _mesh(cells, lengths):
    return MeshSpace(grid_mesh(cells, lengths))


def _forced(space, make, longest):
    """Error of all fields after 0.1 days of `forced`."""
    from tests.verification import forced

    exact = Exact(space.centres)
    p = forced.Parameters(*P, D_F=0.0)
    u = space.zeros(14)
    own = space.owned(u)
    own[:7] = exact.u
    own[7:] = forced.LIFT - exact.all(P)  # the forcing is minus the rate
    assert own.min() > 0.0
    integrator = make(space, Medium(p))
    t = 0.0
    while t < 0.1 * (1.0 - 1e-12):
        t += integrator.step(u, min(longest, 0.1 - t))
    integrator.destroy()
    return rms(space.owned(u)[:7] - exact.u)
