"""What the equations keep: totals, symmetries, and results that do not depend on the number of ranks."""

import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

import carmodel
from carmodel.commands.compare import compare
from carmodel.integrators import Exponential, Imex, Patankar, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import MODEL
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from tests.conftest import mpirun, smooth_state, without_reactions
from tests.verification.table import Row

BOX = ((10, 8, 6), (1.0, 0.9, 0.8))
TAXIS = without_reactions()._replace(chi_0=0.3)
#: Cells move between C and E, and between TA and TB; nothing else happens.
PASSING = without_reactions()._replace(k_e0=3.0, p_r=2.0, mu_0=1.0, nu=0.5, mu_1=4.0)
MAKERS = {
    "imex, exponential": ("box", lambda s, m: Exponential(s, m, rtol=1e-5, dt=0.05)),
    "imex, arkimex": ("box", lambda s, m: Imex(s, m, rtol=1e-5, dt=0.05)),
    "strang": ("box", lambda s, m: Strang(s, m)),
    "strang, mprk22": ("box", lambda s, m: Strang(s, m, reactions=Patankar(), taxis="hybrid")),
    "imex on FiPy's grid": ("grid", lambda s, m: Imex(s, m, rtol=1e-5, dt=0.05)),
    "coupled": ("grid", lambda s, m: Coupled(s, m, tolerance=1e-13)),
}


def conservation() -> Iterator[Row]:
    """Totals that diffusion and taxis keep, and those of pairs that pass cells to one another."""
    for name, (kind, make) in MAKERS.items():
        space = BoxSpace(*BOX) if kind == "box" else MeshSpace(grid_mesh(*BOX))
        start = _start(space)
        for what, p, pairs in (("diffusion and taxis keep totals", TAXIS, False), ("pairs keep sums", PASSING, True)):
            change = _totals(space, make, start, p, pairs)
            yield Row(f"{what}, {name}", 1e-12, float(np.abs(change).max()), False, "relative change in 0.4 days")
        space.destroy()


def _start(space):
    if isinstance(space, BoxSpace):
        return smooth_state(space)
    box = BoxSpace(*BOX)
    fields = box.owned(smooth_state(box)).reshape(7, -1)
    box.destroy()
    u = space.zeros(7)
    space.owned(u)[...] = fields
    return u


def _totals(space, make, start, p, pairs=False):
    """Relative change of the totals of all fields, or of the sums of pairs that pass cells."""

    def totals(u):
        sums = space.sum_min_max(u)[0]
        if not pairs:
            return sums
        return np.array([sums[a] + sums[b] for a, b in MODEL.arrows])

    integrator, u, t = make(space, Medium(p)), start.copy(), 0.0
    before = totals(u)
    while t < 0.4 - 1e-12:
        t += integrator.step(u, min(0.05, 0.4 - t))
    integrator.destroy()
    return (totals(u) - before) / before


def symmetry() -> Iterator[Row]:
    """A scenario that is symmetric in y and z stays so; turned axes turn the result."""
    shared = {"time": {"end": 2.0}, "output": {"every": 0.0}}
    for name, integrator in (
        ("imex", {}),
        ("strang", {"kind": "strang", "dt": 0.1}),
        ("strang, mprk22", {"kind": "strang", "dt": 0.1, "reaction": "mprk22"}),
        ("strang, jacobi", {"kind": "strang", "dt": 0.1, "diffusion": "jacobi"}),
    ):
        case = carmodel.case(space={"cells": [12, 9, 9]}, integrator=integrator, **shared)
        u = _last(case)
        yield Row(f"y and z alike, {name}", 1e-12, _apart(u, u.swapaxes(1, 2)), False, "12 x 9 x 9 cells, day 2")
        cells, lengths, centre = (12, 10, 8), (1.2, 1.0, 0.8), (0.5, 0.45, 0.35)
        worst, whole = 0.0, None
        for axes in permutations(range(3)):
            turned = _turned(cells, lengths, centre, axes, integrator, shared)
            back = _natural(_last(turned), axes)
            whole = back if whole is None else whole
            worst = max(worst, _apart(back, whole))
        yield Row(f"six turns of the axes, {name}", 1e-12, worst, False, "12 x 10 x 8 cells, day 2")


def _natural(u, axes):
    """Fields (fields, z, y, x) of a case whose axis n is axis `axes[n]` of the first one, in the order of that."""
    along = u.transpose(0, 3, 2, 1)  # x, y, z
    return np.moveaxis(along, [1, 2, 3], [1 + a for a in axes])


def _turned(cells, lengths, centre, axes, integrator, shared):
    names = "xyz"
    first = names[axes.index(0)]
    return carmodel.case(
        space={"cells": [cells[a] for a in axes], "lengths": [lengths[a] for a in axes]},
        initial={
            "tumour": {"shape": "ball", "centre": [centre[a] for a in axes], "radius": 0.25, "edge": 0.05},
            "cart": {"shape": "layer", "axis": first, "from": 0.0, "to": 0.2, "value": 0.5},
        },
        integrator=integrator,
        **shared,
    )


def _last(case):
    """Fields at the end, shape (fields, nz, ny, nx)."""
    return np.stack([carmodel.simulate(case).fields[name].values[-1] for name in MODEL.names])


def _apart(a, b):
    """Largest difference, each field's over its largest value."""
    scale = np.abs(b).max(axis=(1, 2, 3), keepdims=True)
    return float((np.abs(a - b) / scale).max())


def ranks() -> Iterator[Row]:
    """The same run on 1, 2 and 4 ranks."""
    kinds = {
        "imex": [],
        "imex, arkimex": ["integrator.method=arkimex"],
        "strang": ["integrator.kind=strang", "integrator.dt=0.1"],
        "strang, mprk22": ["integrator.kind=strang", "integrator.dt=0.1", "integrator.reaction=mprk22"],
        "imex on FiPy's grid": ["space.kind=mesh"],
        "coupled": ["space.kind=mesh", "integrator.kind=coupled", "integrator.dt=0.1"],
    }
    with tempfile.TemporaryDirectory(prefix="carmodel-") as name:
        file = Path(name) / "case.toml"
        file.write_text("[space]\ncells = [13, 11, 9]\n[time]\nend = 1.0\n")
        for kind, keys in kinds.items():
            overrides = [word for key in keys for word in ("--set", key)]
            folders = []
            for n in (1, 2, 4):
                folders.append(Path(name) / f"{kind}-{n}")
                answer = mpirun(n, "carmodel", "run", file, "--out", folders[-1], "--quiet", *overrides)
                if answer.code:
                    raise RuntimeError(answer.err)
            worst = max(
                float(np.max([found.relative_l2, found.relative_max]))
                for found in (compare(folder, folders[0]) for folder in folders[1:])
            )
            yield Row(f"2 and 4 ranks against 1, {kind}", 1e-10, worst, False, "13 x 11 x 9 cells, day 1")
