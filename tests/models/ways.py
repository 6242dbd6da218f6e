"""Advances a model in every way there is, on all ranks of a job: `python -m tests.models.ways MODEL FOLDER`.

Each space and integrator leaves its fields in FOLDER/SPACE.npz, in an order of cells that does not depend on the ranks.
"""

import sys
from pathlib import Path

import numpy as np

from carmodel import models
from carmodel.integrators import Exponential, Heat, Heun, Imex, Jacobi, Krylov, Patankar, Strang
from carmodel.model import Medium
from carmodel.spaces import BoxSpace
from tests.meshes import MESHES, uniform
from tests.models import twelve_fields, two_fields

# After the meshes, which choose FiPy's matrices.
from carmodel.integrators.coupled import SCHEMES, Coupled  # isort: skip

CELLS, LENGTHS = (7, 6, 9), (1.0, 0.9, 0.8)
DAYS, DT = 0.04, 0.02

MODELS = {
    "two_fields": lambda: two_fields.MODEL,
    "polyakov": lambda: models.named("polyakov"),
    "dual_target": lambda: models.named("dual_target"),
    "twelve_fields": lambda: twelve_fields.MODEL,
}

SPACES = {
    "box": lambda: BoxSpace(CELLS, LENGTHS),
    "masked box": lambda: BoxSpace(CELLS, LENGTHS),
    "grid": lambda: uniform(CELLS, LENGTHS),
    "tetrahedra": MESHES["tetrahedra"],
}

BOXES = ("box", "masked box")


def ways(space):
    """Every integrator that a space takes, by name."""
    found = {"imex, arkimex": lambda s, m: Imex(s, m, rtol=1e-5, dt=DT)}
    if space == "box":
        found["imex, exponential"] = lambda s, m: Exponential(s, m, rtol=1e-5, dt=DT)
    diffusions = [Krylov("backward-euler"), Krylov("sdirk2"), *([Heat(), Jacobi(200)] if space == "box" else [])]
    for reactions in (Heun(), Patankar()):
        for diffusion in diffusions:
            if not (isinstance(reactions, Patankar) and isinstance(diffusion, Jacobi)):
                found[f"strang, {reactions}, {diffusion}"] = lambda s, m, r=reactions, d=diffusion: Strang(
                    s, m, reactions=r, diffusion=d, taxis="hybrid" if isinstance(r, Patankar) else "central"
                )
    if space not in BOXES:
        found |= {f"coupled, {scheme}": lambda s, m, x=scheme: Coupled(s, m, scheme=x) for scheme in SCHEMES}
    return found


def smooth(space, n):
    """Positive fields without a gradient at the walls, shape (n, n_local), from the places of the cells alone."""
    u = space.zeros(n)
    x, y, z = (np.pi * c / length for c, length in zip(space.centres, LENGTHS, strict=True))
    for f in range(n):
        waves = np.cos((f % 3) * x) * np.cos((f // 3 % 2 + 1) * y) * np.cos((f // 2 % 3) * z)
        space.owned(u[f])[...] = 0.4 + 0.02 * f + 0.3 * waves
    space.exchange(u, range(n))
    return u


def medium_of(model, space, kind):
    """Parameters with every taxis on; on the masked box the first diffusivity varies by cell."""
    p = next(iter(model.presets.values()))
    p = p._replace(**{t.strength: max(0.02, getattr(p, t.strength)) for t in model.taxis})
    if kind != "masked box":
        return Medium(p)
    name = next(iter(model.diffusivity.values()))
    mask = space.zeros(1)[0]
    x = space.centres[0]
    space.owned(mask)[...] = getattr(p, name) * (0.3 + 0.5 * (x > 0.4))
    space.exchange_field(mask)
    return Medium(p, {name: mask})


def in_order(space, u):
    """Fields of all cells by growing place, shape (fields, cells), on rank 0."""
    places = space.zeros(3)
    space.owned(places)[...] = np.broadcast_arrays(*space.centres)
    whole, where = space.gather(u), space.gather(places)
    if whole is None:
        return None
    where = where.reshape(3, -1).round(9)
    return whole.reshape(len(u), -1)[:, np.lexsort(where)]


def main(name, folder):
    """Write one file a space."""
    model = MODELS[name]()
    for kind, make_space in SPACES.items():
        space = make_space()
        found, medium = {}, medium_of(model, space, kind)
        for way, make in ways(kind).items():
            integrator, u, t = make(space, medium), smooth(space, len(model.names)), 0.0
            while t < DAYS * (1.0 - 1e-12):
                t += integrator.step(u, min(DT, DAYS - t))
            integrator.destroy()
            if (whole := in_order(space, u)) is not None:
                found[way] = whole
        if found:
            np.savez(Path(folder) / f"{kind}.npz", **found)
        space.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
