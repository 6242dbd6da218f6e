"""Reads volumes, one a line of stdin, in a process that they may kill: a `tests.fuzz.Worker`."""

from pathlib import Path

import numpy as np

from carmodel.tools.vtkreader import read_vtk
from tests.fuzz import answer_lines


def look(name: str) -> str:
    """What a run does with a volume; the complaint where it is refused."""
    try:
        volume = read_vtk(Path(name))
    except ValueError as error:
        return f"refused: {error}"
    numbers = [np.array(volume.cell_data[array]).ravel() for array in volume.cell_data.keys()]  # noqa: SIM118
    if not hasattr(volume, "dimensions"):
        volume.compute_cell_sizes(length=False, area=False)
        volume.cell_centers()
    return f"read: {volume.n_cells} cells in {volume.bounds}, {sum(map(len, numbers))} numbers"


if __name__ == "__main__":
    answer_lines(look)
