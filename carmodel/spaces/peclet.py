"""The cell Peclet number of taxis: above 2 the central scheme may make a field negative."""

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from . import Space

Array = NDArray[np.float64]


def largest_peclet_numbers(space: Space, u: Array, medium: Medium) -> dict[str, float]:
    """|v| h / D of each field that moves, its largest value on any face, by name; collective.

    v is the velocity of taxis, h the distance of the cells on both sides.  The ghosts of what v depends on are renewed.
    """
    model = medium.model
    space.exchange(u, model.carriers(range(len(model.taxis))))
    fields = model.Fields(*u)
    found = np.zeros(len(model.movers))
    with np.errstate(all="ignore"):
        for n, (f, taxes) in enumerate(model.movers.items()):
            D = space.across_faces(space.zeros() + medium.diffusivities[f])
            speeds: list[Array] = []
            for k in taxes:
                chi = space.zeros() + model.taxis[k].sensitivity(fields, medium.local)
                pairs = zip(space.across_faces(chi), space.across_faces(u[model.attractants[k]]), strict=True)
                parts = [0.5 * (chi_l + chi_r) * (S_r - S_l) for (chi_l, chi_r), (S_l, S_r) in pairs]
                speeds = [a + b for a, b in zip(speeds, parts, strict=True)] if speeds else parts
            for speed, (D_l, D_r) in zip(speeds, D, strict=True):
                numbers = np.abs(speed) * (D_l + D_r) / (2.0 * D_l * D_r)
                found[n] = max(found[n], float(np.nanmax(numbers, initial=0.0)))
    space.comm.Allreduce(MPI.IN_PLACE, found, MPI.MAX)
    return dict(zip((model.names[f] for f in model.movers), found.tolist(), strict=True))
