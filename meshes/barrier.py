"""Writes barrier.vti: D_C of a thin wall across tissue, a hundredth of the tissue's own.

    .venv/bin/python meshes/barrier.py          # renews meshes/barrier.vti

The box is 1.0 x 0.2 x 0.2 cm in 80 x 4 x 4 cells, the wall stands at 0.40 <= x <= 0.45.
"""

from pathlib import Path

import numpy as np
import pyvista

from carmodel.models.polyakov import PRESETS

CELLS, LENGTHS = (80, 4, 4), (1.0, 0.2, 0.2)
WALL = (0.40, 0.45)


def main() -> None:
    """Write the volume beside this script."""
    spacing = [length / n for length, n in zip(LENGTHS, CELLS, strict=True)]
    image = pyvista.ImageData(dimensions=[n + 1 for n in CELLS], spacing=spacing)
    x = image.cell_centers().points[:, 0]
    tissue = PRESETS["normalised"].D_C
    image.cell_data["D_C"] = np.where((x > WALL[0]) & (x < WALL[1]), 0.01 * tissue, tissue)
    image.save(Path(__file__).with_suffix(".vti"))


if __name__ == "__main__":
    main()
