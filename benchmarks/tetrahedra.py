"""The quickstart on Gmsh's tetrahedra against a box of 64^3 cells, day 12: norms of all fields and burden.

    .venv/bin/python -m benchmarks.tetrahedra            # prints; some twenty minutes
    .venv/bin/python -m benchmarks.tetrahedra --write    # and renews its table in docs/validation.md

`strang` (of second order, "sdirk2") and `coupled` (BDF2) on meshes of 1.2 x 1.2 x 1.2 cm as Gmsh's defaults make them,
`imex` on the box.  Differences of two discretisations, two ways of cutting space and three of stepping in time.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.validation import ROOT, SCENARIO, with_section
from carmodel.integrators import Exponential, Krylov, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.integrators.protocol import Integrator
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS
from carmodel.runs.initial import initial_state
from carmodel.spaces import BoxSpace, Space
from carmodel.spaces.mesh import MeshSpace, gmsh_mesh

SIDE, END, PARAMETERS = SCENARIO.space.lengths[0], SCENARIO.time.end, SCENARIO.parameters.values
GEO = 'SetFactory("OpenCASCADE"); Box(1) = {{0, 0, 0, {0}, {0}, {0}}}; Mesh.MeshSizeMin = {1}; Mesh.MeshSizeMax = {1};'
SIZES = (0.12, 0.08, 0.06, 0.045)
HEADING = "## Tetrahedra"


def norms_and_burden(space: Space, integrator: Integrator, dt: float) -> np.ndarray:
    """At the end: the L2 norm of each field over the domain, and the integral of TA + TB; shape (8,)."""
    u, t = initial_state(SCENARIO.initial, space), 0.0
    while t < END - 1e-9:
        t += integrator.step(u, min(dt, END - t))
    integrator.destroy()
    own = space.owned(u).reshape(len(FIELDS), -1)
    volumes = np.ravel(space.relative_volumes) * space.cell_volume
    burden = (volumes * (own[2] + own[3])).sum()
    return np.append(np.sqrt((volumes * own**2).sum(axis=1)), burden)


def row(what: str, cells: int, found: np.ndarray, reference: np.ndarray) -> str:
    """A line of the table: differences in percent."""
    return f"| {what} | {cells} | " + " | ".join(f"{x:+.2f}" for x in 100.0 * (found / reference - 1.0)) + " |"


def table() -> str:
    """The figures as Markdown."""
    medium = Medium(PARAMETERS)
    lines = [f"| | cells | {' | '.join(FIELDS)} | burden |", "|---" * (len(FIELDS) + 3) + "|"]
    found = {}
    for n in (64, 48):
        box = BoxSpace((n, n, n), (SIDE, SIDE, SIDE))
        found[n] = norms_and_burden(box, Exponential(box, medium, taxis="central", rtol=1e-5), END)
        box.destroy()
    lines.append(row("imex, box of 48^3", 48**3, found[48], found[64]))
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cube.geo"
            file.write_text(GEO.format(SIDE, size))
            space = MeshSpace(gmsh_mesh(file))
        for name, make, dt in (
            ("strang", lambda on: Strang(on, medium, diffusion=Krylov("sdirk2")), 0.05),
            ("coupled", lambda on: Coupled(on, medium), 0.1),
        ):
            start = perf_counter()
            values = norms_and_burden(space, make(space), dt)
            lines.append(row(f"{name}, tetrahedra of {size} cm", space.n_cells, values, found[64]))
            print(f"{lines[-1]}  {perf_counter() - start:.0f} s", flush=True)
        space.destroy()
    return "\n".join(lines)


def main() -> None:
    """Print the table, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew its table in docs/validation.md")
    chosen = arguments.parse_args()
    text = (
        f"{HEADING}\n\nMade by `.venv/bin/python -m benchmarks.tetrahedra --write`.  The quickstart on day {END:g}: L2 "
        "norm of each field and tumour burden, in per cent beyond those of `imex` on a box of 64^3 cells.  Meshes are "
        "as Gmsh's defaults make them; `strang` steps 0.05 days with `sdirk2`, `coupled` 0.1 days with BDF2.\n\n"
        f"{table()}\n"
    )
    print(text)
    if chosen.write:
        document = ROOT / "docs/validation.md"
        document.write_text(with_section(document.read_text(encoding="utf-8"), HEADING, text), encoding="utf-8")


if __name__ == "__main__":
    main()
