"""Lines on stderr about fields of which clamping has made more than a little."""

import sys

import numpy as np

from .. import FIELDS
from ..simulation import Observer, Simulation

#: Share of a field's largest total from which what clamping added is worth a line.
NOTABLE = 0.01


class ClampingWarning(Observer):
    """Writes on rank 0, again at each tenfold; a quiet run warns too, or only its series would know."""

    def __init__(self) -> None:
        self._notable = np.full(len(FIELDS), NOTABLE)

    def step(self, run: Simulation) -> None:
        """Look at what clamping has added so far."""
        shares = run.clamped_share
        for f in np.flatnonzero(shares > self._notable):
            self._notable[f] = 10.0 * shares[f]
            if run.space.comm.rank == 0:
                print(
                    f"warning: {FIELDS[f]}: setting negative values to zero has made {shares[f]:.1%} of it by "
                    f't = {run.t:.4g}; smaller steps or cells, or another integrator.taxis than "central", may avoid '
                    "that",
                    file=sys.stderr,
                    flush=True,
                )
