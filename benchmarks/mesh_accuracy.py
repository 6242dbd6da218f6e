"""How well two-point fluxes diffuse on Gmsh's cells: decay rate of the slowest mode against the exact one.

    .venv/bin/python -m benchmarks.mesh_accuracy            # prints
    .venv/bin/python -m benchmarks.mesh_accuracy --write    # and renews docs/meshes.md

A bar of 1 x 0.3 x 0.3 cm with D = 1 cm^2/day: cos(pi x) decays at pi^2 per day.  The rate is that of the operator
itself, by inverse iteration; no time step has a part in it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from carmodel.spaces.mesh import MeshSpace, gmsh_mesh
from carmodel.tools.petsc import PETSc

ROOT = Path(__file__).parents[1]
SIZES = (0.1, 0.05, 0.03, 0.02)
BAR = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 0.3, 0.3};
Rotate {{0, 1, 0}, {0, 0, 0}, -Pi/2} { Surface{1}; }
SHAPE
"""
TETRAHEDRA = "Extrude {1, 0, 0} { Surface{1}; }\nMesh.MeshSizeMin = H;\nMesh.MeshSizeMax = H;"
GRADED = (
    'Extrude {1, 0, 0} { Surface{1}; }\nField[1] = MathEval; Field[1].F = "H * (0.4 + 0.8 * x)";\n'
    "Background Field = 1; Mesh.MeshSizeExtendFromBoundary = 0;"
)
BRICKS = (
    "Transfinite Curve{:} = 0.3 / H + 1;\nTransfinite Surface{1};\nRecombine Surface{1};\n"
    "Extrude {1, 0, 0} { Surface{1}; Layers{1 / H}; Recombine; }"
)


def decay_rate(space: MeshSpace) -> float:
    """Rate of the slowest mode that is not constant, in 1/day."""
    dt = 1.0
    matrix = space.diffusion_matrix(1.0, dt)
    volumes, x = space.relative_volumes, space.centres[0]
    solver = PETSc.KSP().create(space.comm)
    solver.setOperators(matrix)
    solver.setType("cg")
    solver.getPC().setType("gamg")
    solver.setTolerances(rtol=1e-12)
    b, v = space.create_vector(), space.create_vector()
    mode = np.cos(np.pi * x)
    for _ in range(30):
        mode -= (mode * volumes).sum() / volumes.sum()
        mode /= np.sqrt((mode**2 * volumes).sum())
        b.array[:] = volumes * mode
        solver.solve(b, v)
        factor = (mode * volumes * v.array).sum()
        mode = v.array.copy()
    for part in (solver, matrix, b, v):
        part.destroy()
    return float((1.0 / factor - 1.0) / dt)


def table() -> str:
    """The figures as Markdown."""
    lines = ["| cells | size, cm | number | rate / exact | faces clipped |", "|---|---|---|---|---|"]
    for kind, shape in (
        ("tetrahedra, Gmsh's defaults", TETRAHEDRA),
        ("tetrahedra, `Mesh.Optimize = 0`", TETRAHEDRA + "\nMesh.Optimize = 0;"),
        ("tetrahedra that grow threefold", GRADED),
        ("bricks", BRICKS),
    ):
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "bar.geo"
                file.write_text(BAR.replace("SHAPE", shape.replace("H", str(size))))
                space = MeshSpace(gmsh_mesh(file))
            clipped = f"{space.points.clipped:.2%}" if space.points else ""
            lines.append(f"| {kind} | {size} | {space.n_cells} | {decay_rate(space) / np.pi**2:.5f} | {clipped} |")
            space.destroy()
    return "\n".join(lines)


def main() -> None:
    """Print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/meshes.md")
    chosen = arguments.parse_args()
    text = (
        "# Diffusion on Gmsh's cells\n\nMade by `.venv/bin/python -m benchmarks.mesh_accuracy --write`.  A bar of "
        "1 x 0.3 x 0.3 cm, D = 1 cm^2/day: decay rate of the slowest mode over the exact pi^2.  The gradient on a "
        "face is taken from its two cells.  Between the centroids of tetrahedra that is off by some 5 % whatever "
        "their size; between their weighted circumcentres (`carmodel/spaces/circumcentres.py`) it converges.  A "
        f"face is clipped where no weights make the distance positive.\n\n{table()}\n"
    )
    print(text)
    if chosen.write:
        (ROOT / "docs/meshes.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
