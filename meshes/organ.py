"""Writes meshes/organ.nii.gz: a lobed tumour with a necrotic core in an irregular organ that a vessel crosses.

    .venv/bin/python meshes/organ.py [--voxel CM] [FILE]

Labels: 1 organ, 2 tumour, 3 necrosis, 4 the vessel's inside.  The organ is some 2.4 x 2 x 1.8 cm large, voxels are
cubes of 0.025 cm, lengths in the file in mm.  Nothing is downloaded: all shapes are formulas.
"""

import argparse
from pathlib import Path

import nibabel
import numpy as np

FILE = Path(__file__).with_name("organ.nii.gz")
LENGTHS = np.array([2.8, 2.4, 2.2])


def organ(voxel: float) -> np.ndarray:
    """Labels of the voxels, whose edges are so many cm; the first corner is at -LENGTHS / 2."""
    counts = np.rint(LENGTHS / voxel).astype(int)
    x, y, z = np.meshgrid(*((np.arange(n) + 0.5) * voxel - 0.5 * n * voxel for n in counts), indexing="ij")
    angle, height = np.arctan2(y, x), z / 0.9
    bumps = 0.08 * np.sin(3.0 * angle + 2.0 * z) + 0.05 * np.cos(5.0 * angle - 3.0 * z)
    bumps = 1.0 + bumps * np.minimum(1.0, 4.0 * (x**2 + y**2))  # none on the axis, where the angle has no value
    body = np.sqrt((x / 1.2) ** 2 + (y / 1.0) ** 2 + height**2) < bumps
    notch = (x - 0.1) ** 2 + (y + 1.15) ** 2 + (z - 0.1) ** 2 < 0.35**2
    labels = np.where(body & ~notch, 1, 0)
    lobes = [((0.25, 0.1, 0.0), 0.34), ((0.5, 0.32, 0.12), 0.24), ((0.08, 0.35, -0.14), 0.22)]
    # Balls that flow into one another: the sum of what each has at a point.
    field = sum(np.exp(-2.0 * (((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / r**2 - 1.0)) for (a, b, c), r in lobes)
    labels[(field > 1.0) & (labels == 1)] = 2
    labels[(field > 5.0) & (labels == 2)] = 3
    along = y + 0.25 * np.sin(2.0 * x) + 0.4
    vessel = along**2 + (z - 0.15 * np.cos(2.0 * x)) ** 2 < 0.11**2
    labels[vessel & body] = 4
    return labels.astype(np.uint8)


def save(file: Path, labels: np.ndarray, voxel: float) -> None:
    """As NIfTI in mm, x to the right, y to the front, z up."""
    affine = np.diag([10.0 * voxel] * 3 + [1.0])
    affine[:3, 3] = 10.0 * (0.5 * voxel - 0.5 * voxel * np.array(labels.shape))
    image = nibabel.Nifti1Image(labels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, file)


def main() -> None:
    """Write the file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--voxel", type=float, default=0.025, help="edge of a voxel in cm")
    arguments.add_argument("file", nargs="?", type=Path, default=FILE)
    chosen = arguments.parse_args()
    save(chosen.file, organ(chosen.voxel), chosen.voxel)


if __name__ == "__main__":
    main()
