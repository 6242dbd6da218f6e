"""Volumes for ParaView: `fields.pvd` with one `.vti` a time, or under MPI one `.pvti` whose pieces the ranks write."""

import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pyvista

from .. import FIELDS
from ..simulation import Observer, Simulation
from ..spaces import BoxSpace

FOLDER = "fields"
INDEX = "fields.pvd"


class VtkVolumes(Observer):
    """Writes cell data in float64, compressed.  The index is replaced at every output: ParaView can follow a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: list[tuple[float, str]] = []

    def output(self, run: Simulation) -> None:
        """Write this time's volume; collective."""
        space, name = run.space, f"{FOLDER}/t{run.outputs:05d}"
        if space.comm.rank == 0:
            (self._folder / FOLDER).mkdir(exist_ok=True)
        space.comm.barrier()
        image = local_image(space, run.u, run.t)
        if space.comm.size == 1:
            name += ".vti"
            image.save(self._folder / name)
        else:
            piece = f"{name}_{space.comm.rank}.vti"
            image.save(self._folder / piece)
            pieces = space.comm.gather((piece, image.extent))
            name += ".pvti"
            if pieces:
                (self._folder / name).write_text(_parallel_index(space, pieces), encoding="ascii")
        if space.comm.rank == 0:
            self._written.append((run.t, name))
            self._write_index()

    def _write_index(self) -> None:
        lines = "".join(f'    <DataSet timestep="{t!r}" file={quoteattr(name)}/>\n' for t, name in self._written)
        text = (
            '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">\n'
            f"  <Collection>\n{lines}  </Collection>\n</VTKFile>\n"
        )
        new = self._folder / f"{INDEX}.new"
        new.write_text(text, encoding="ascii")
        os.replace(new, self._folder / INDEX)


def local_image(space: BoxSpace, u: np.ndarray, t: float) -> pyvista.ImageData:
    """This rank's cells as a VTK image in the box's own indices, with the time as field data."""
    image = pyvista.ImageData(spacing=space.spacing, origin=_corner(space))
    image.extent = [limit for limits in space.ranges for limit in limits]
    for field, values in zip(FIELDS, space.owned(u), strict=True):
        image.cell_data[field] = values.ravel()
    image.field_data["TimeValue"] = [t]
    return image


def _corner(space: BoxSpace) -> tuple[float, ...]:
    return tuple(centre - 0.5 * h for centre, h in zip(space.first_centre, space.spacing, strict=True))


def _parallel_index(space: BoxSpace, pieces: list[tuple[str, tuple[int, ...]]]) -> str:
    """The `.pvti` that names the ranks' pieces, beside which it stands."""

    def numbers(values: tuple[float, ...]) -> str:
        return quoteattr(" ".join(map(repr, values)))

    whole = tuple(limit for n in space.cells for limit in (0, n))
    arrays = "".join(f'      <PDataArray type="Float64" Name="{field}"/>\n' for field in FIELDS)
    listed = "".join(
        f"    <Piece Extent={numbers(tuple(extent))} Source={quoteattr(Path(piece).name)}/>\n"
        for piece, extent in pieces
    )
    return (
        '<?xml version="1.0"?>\n<VTKFile type="PImageData" version="0.1" byte_order="LittleEndian">\n'
        f'  <PImageData WholeExtent={numbers(whole)} GhostLevel="0" Origin={numbers(_corner(space))} '
        f"Spacing={numbers(space.spacing)}>\n    <PCellData>\n{arrays}    </PCellData>\n{listed}"
        "  </PImageData>\n</VTKFile>\n"
    )
