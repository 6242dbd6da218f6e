"""Volumes for ParaView: `fields.pvd` with one file a time, or under MPI one index whose pieces the ranks write.

Boxes are images (`.vti`, `.pvti`), meshes are unstructured grids (`.vtu`, `.pvtu`).
"""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyvista
from numpy.typing import NDArray
from vtkmodules.vtkCommonCore import vtkDataArray
from vtkmodules.vtkIOXML import vtkXMLImageDataWriter, vtkXMLUnstructuredGridWriter

from ...spaces import BoxSpace, Space
from ...spaces.layout import State
from ...tools.files import kept_on_disk, replacing
from ...tools.vtkreader import complaints
from ..directory import VOLUMES, VOLUMES_FOLDER
from ..simulation import Observer, Simulation
from ..volumes import HIDDEN, HIDDEN_CELL


class VtkVolumes(Observer):
    """Writes cell data in float64, compressed, with the fields' units.

    The index is replaced at every output: ParaView can follow a run.
    """

    def __init__(self, folder: Path, units: Mapping[str, str]) -> None:
        self._folder, self._units = folder, units
        self._written: list[tuple[float, str]] = []
        self._not_kept: list[Path] = []
        self._mesh: pyvista.UnstructuredGrid | None = None

    def output(self, run: Simulation) -> None:
        """Write this time's volume; collective."""
        space, name = run.space, f"{VOLUMES_FOLDER}/t{run.outputs:05d}"
        suffix = "vti" if isinstance(space, BoxSpace) else "vtu"
        if space.comm.rank == 0:
            self._make_folder()
        space.comm.barrier()
        volume = self._volume(space)
        for field, values in zip(run.names, space.owned(run.u), strict=True):
            volume.cell_data[field] = values.ravel()
            volume.GetCellData().GetArray(field).GetInformation().Set(vtkDataArray.UNITS_LABEL(), self._units[field])
        if space.outside is not None:
            volume.cell_data[HIDDEN] = np.where(space.outside, HIDDEN_CELL, 0).astype(np.uint8).ravel()
        volume.field_data["TimeValue"] = [run.t]
        if space.comm.size == 1:
            name = f"{name}.{suffix}"
            self._save(volume, name)
        else:
            piece = f"{name}_{space.comm.rank}.{suffix}"
            self._save(volume, piece)
            pieces = space.comm.gather((Path(piece).name, getattr(volume, "extent", ())))
            name = f"{name}.p{suffix}"
            if pieces:
                data = _cell_data(self._units, space.outside is not None)
                text = _image_index(space, data, pieces) if isinstance(space, BoxSpace) else _grid_index(data, pieces)
                with replacing(self._folder / name) as new:
                    new.write(text.encode("ascii"))
                self._not_kept.append(self._folder / name)
        if space.comm.rank == 0:
            self._written.append((run.t, name))
            self._write_index()

    def state(self) -> State:
        """Volumes so far: their times and names."""
        kept_on_disk(self._not_kept)
        self._not_kept.clear()
        return {"written": [[t, name] for t, name in self._written]}

    def restore(self, state: State) -> None:
        """Go on after these volumes; those that came later are removed."""
        self._written = [(t, name) for t, name in state["written"]]

    def start(self, run: Simulation) -> None:
        """Remove the volumes of what is simulated once more."""
        if run.space.comm.rank == 0 and self._written:
            for path in (self._folder / VOLUMES_FOLDER).glob("t*"):
                number = re.match(r"t(\d+)(?=[._])", path.name)
                if number and int(number[1]) >= run.outputs:
                    path.unlink()
            self._write_index()

    def _make_folder(self) -> None:
        """For the first volume only: where earlier ones are gone, going on would leave an index of missing files."""
        if not self._written:
            (self._folder / VOLUMES_FOLDER).mkdir(exist_ok=True)
        elif not (last := self._folder / self._written[-1][1]).exists():
            raise FileNotFoundError(errno.ENOENT, "was removed while the run lasted", str(last))

    def _volume(self, space: Space) -> Any:
        if isinstance(space, BoxSpace):
            return _image(space)
        if self._mesh is None:
            self._mesh = _grid(space)
        return self._mesh

    def _save(self, volume: Any, name: str) -> None:
        _save(volume, self._folder / name)
        self._not_kept.append(self._folder / name)

    def _write_index(self) -> None:
        lines = "".join(f'    <DataSet timestep="{t!r}" file={quoteattr(name)}/>\n' for t, name in self._written)
        with replacing(self._folder / VOLUMES) as new:
            new.write(_xml("Collection", f"  <Collection>\n{lines}  </Collection>\n").encode("ascii"))


def _save(volume: Any, path: Path) -> None:
    """Write whole or not at all.  VTK's writers say in their return value what PyVista's `save` does not ask for."""
    writer: Any = vtkXMLImageDataWriter() if isinstance(volume, pyvista.ImageData) else vtkXMLUnstructuredGridWriter()
    writer.SetInputData(volume)
    with replacing(path) as new:
        writer.SetFileName(os.fsencode(new.name))  # a name may be in no encoding
        with complaints() as said:
            written = writer.Write()
        if not written or writer.GetErrorCode() or said():
            raise OSError(writer.GetErrorCode() or 0, "VTK could not write it whole", str(path))


def _image(space: BoxSpace) -> pyvista.ImageData:
    """This rank's cells as a VTK image in the box's own indices."""
    image = pyvista.ImageData(spacing=space.spacing, origin=_corner(space))
    image.extent = [limit for limits in space.ranges for limit in limits]
    return image


def _grid(space: Any) -> pyvista.UnstructuredGrid:
    """This rank's cells of a mesh: tetrahedra and other solids in Gmsh's order of corners, which is VTK's."""
    corners = np.asarray(space.mesh.vertexCoords).T
    cells: NDArray[np.int64] = space.owned(np.ma.filled(space.mesh._orderedCellVertexIDs, -1)).T
    count = (cells >= 0).sum(axis=1)
    kinds: NDArray[Any]
    if space.is_grid:
        cells = cells[:, ::-1]  # FiPy counts a brick's corners down from the far one, VTK's voxel up to it
        kinds = np.full(len(cells), pyvista.CellType.VOXEL)
    else:
        solid = {
            4: pyvista.CellType.TETRA,
            5: pyvista.CellType.PYRAMID,
            6: pyvista.CellType.WEDGE,
            8: pyvista.CellType.HEXAHEDRON,
        }
        kinds = np.array([solid[n] for n in count])
    rows = np.column_stack([count, cells])
    grid = pyvista.UnstructuredGrid(rows[rows >= 0], kinds, corners)
    # VTK notes the range of points in its files from the second volume on, unless it is known before the first.
    grid.GetPoints().GetData().GetRange(-1)
    return grid


def _corner(space: BoxSpace) -> tuple[float, ...]:
    return tuple(centre - 0.5 * h for centre, h in zip(space.first_centre, space.spacing, strict=True))


def _xml(kind: str, content: str) -> str:
    return (
        f'<?xml version="1.0"?>\n<VTKFile type="{kind}" version="0.1" byte_order="LittleEndian">\n{content}</VTKFile>\n'
    )


def _cell_data(units: Mapping[str, str], hides: bool) -> str:
    """The arrays of an index, with their units as VTK's writers tell them; `hides`: with the one of hidden cells."""
    arrays = "".join(
        f'      <PDataArray type="Float64" Name="{field}">\n        <InformationKey name="UNITS_LABEL" '
        f'location="vtkDataArray">{escape(units[field])}</InformationKey>\n      </PDataArray>\n'
        for field in units
    )
    hidden = f'      <PDataArray type="UInt8" Name="{HIDDEN}"/>\n' if hides else ""
    return f"    <PCellData>\n{arrays}{hidden}    </PCellData>\n"


def _image_index(space: BoxSpace, cell_data: str, pieces: list[tuple[str, tuple[int, ...]]]) -> str:
    """The `.pvti` that names the ranks' pieces, beside which it stands."""

    def numbers(values: tuple[float, ...]) -> str:
        return quoteattr(" ".join(map(repr, values)))

    whole = tuple(limit for n in space.cells for limit in (0, n))
    listed = "".join(
        f"    <Piece Extent={numbers(tuple(extent))} Source={quoteattr(name)}/>\n" for name, extent in pieces
    )
    return _xml(
        "PImageData",
        f'  <PImageData WholeExtent={numbers(whole)} GhostLevel="0" Origin={numbers(_corner(space))} '
        f"Spacing={numbers(space.spacing)}>\n{cell_data}{listed}  </PImageData>\n",
    )


def _grid_index(cell_data: str, pieces: list[tuple[str, tuple[int, ...]]]) -> str:
    """The `.pvtu` that names the ranks' pieces, beside which it stands."""
    points = '    <PPoints>\n      <PDataArray type="Float64" Name="Points" NumberOfComponents="3"/>\n    </PPoints>\n'
    listed = "".join(f"    <Piece Source={quoteattr(name)}/>\n" for name, _ in pieces)
    return _xml(
        "PUnstructuredGrid",
        f'  <PUnstructuredGrid GhostLevel="0">\n{cell_data}{points}{listed}  </PUnstructuredGrid>\n',
    )
