"""FiPy meshes of one box for the tests: uniform, graded and tetrahedral, as mesh spaces."""

import numpy as np

from carmodel.spaces.mesh import MeshSpace

# After carmodel.spaces.mesh, which chooses FiPy's matrices and says where gmsh is.
from fipy import Gmsh3D, Grid3D  # isort: skip

BOX = (1.0, 0.9, 0.8)
TETRAHEDRA = """
SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 0.9, 0.8};
Mesh.MeshSizeMin = 0.25; Mesh.MeshSizeMax = 0.25; General.Verbosity = 1;
"""


class Space(MeshSpace):
    """A mesh space that tells the tests which cells are the rank's own, and their volumes."""

    @property
    def own(self):
        return np.asarray(self.mesh._localNonOverlappingCellIDs)

    @property
    def volumes(self):
        return np.asarray(self.mesh.cellVolumes)


def uniform(cells=(6, 7, 8), lengths=BOX):
    nx, ny, nz = cells
    dx, dy, dz = (length / n for length, n in zip(lengths, cells, strict=True))
    return Space(Grid3D(nx=nx, ny=ny, nz=nz, dx=dx, dy=dy, dz=dz))


def graded():
    d = [np.linspace(1.0, 3.0, n) for n in (8, 7, 6)]
    dx, dy, dz = (length * widths / widths.sum() for length, widths in zip(BOX, d, strict=True))
    return Space(Grid3D(dx=dx, dy=dy, dz=dz))


def tetrahedra():
    return Space(Gmsh3D(TETRAHEDRA))


MESHES = {"uniform": uniform, "graded": graded, "tetrahedra": tetrahedra}


def smooth(space):
    """Seven smooth positive fields, each different, with zero normal gradient at the walls; shape (7, n_local)."""
    x, y, z = (np.pi * c / length for c, length in zip(space.mesh.cellCenters.value, BOX, strict=True))
    waves = [(1, 1, 2), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 0, 1), (0, 2, 1), (1, 1, 0)]
    return np.array(
        [0.4 + 0.1 * f / 7 + 0.25 * np.cos(a * x) * np.cos(b * y) * np.cos(c * z) for f, (a, b, c) in enumerate(waves)]
    )
