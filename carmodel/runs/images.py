"""Images that a run file names, a field or a parameter: cell data of VTK images, voxels of a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scenario.fields import Initial
from ..scenario.parameters import Mask
from ..scenario.scenario import Scenario
from ..scenario.space import Box
from ..spaces import BoxSpace, Space
from ..spaces.meshfile import ACCEPTED, read_mesh_file
from ..tools.errors import InputError
from ..tools.scan import SCANS, Scan, read_scan
from ..tools.vtkreader import read_vtk
from .tissue import MOST_PARTS, Tissue

Array = NDArray[np.float64]

#: How far an image may lie from the box, in cells: what rounding in any file makes is less.
NEAR = 0.01


@dataclass(frozen=True)
class NamedImage:
    """A file, the array to read, the key that names it; `ignore_geometry`: it may lie anywhere."""

    file: str
    array: str
    key: str
    ignore_geometry: bool

    def read(self) -> tuple[Any, Array]:
        """A VTK image and its cell data, shape (nz, ny, nx): finite and not negative.

        Raises InputError, naming the key, when the file is not that.
        """
        array = self.array
        accepted = f"a VTK image with cell data '{array}', or a scan"
        try:
            image = read_vtk(Path(self.file))
        except ValueError as error:
            raise self._refused(str(error), accepted) from None
        if not hasattr(image, "dimensions"):
            raise self._refused("is no image", accepted)
        if min(image.dimensions) < 2:  # its cells are squares, which VTK numbers all the same
            raise self._refused(f"is flat: {' x '.join(map(str, image.dimensions))} points", accepted)
        if array not in image.cell_data:
            raise self._refused(f"has cell data {sorted(image.cell_data.keys())}", accepted)
        values = np.asarray(image.cell_data[array])
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise self._refused(f"'{array}' is not one number a cell", accepted)
        values = values.astype(float).reshape(tuple(n - 1 for n in reversed(image.dimensions)))
        if not np.isfinite(values).all() or values.min() < 0.0:
            raise self._refused(f"'{array}' has values that are negative or not finite", accepted)
        return image, values

    @property
    def is_scan(self) -> bool:
        """Whether it says where its voxels lie, of any size, instead of being of the space's own cells."""
        return self.file.lower().endswith(SCANS)

    def read_scan(self, low: Array, high: Array) -> Scan:
        """The scan, finite and not negative, that covers what lies between two corners in cm, shape (3,) each.

        Raises InputError, naming the key, when it is not that.
        """
        try:
            scan = read_scan(Path(self.file), self.array)
        except ValueError as error:
            raise self._refused(str(error), f"a scan ({', '.join(SCANS)})") from None
        if not np.isfinite(scan.values).all() or scan.values.min() < 0.0:
            raise self._refused("has voxels that are negative or not finite", "numbers from 0 on")
        if not scan.covers(low, high):
            raise self._refused(
                f"does not cover {_region(zip(low, high, strict=True))} cm",
                "a scan that does: its affine says where its voxels lie",
            )
        return scan

    def read_for_box(self, cells: Sequence[int], walls: Sequence[tuple[float, float]]) -> Array:
        """The cell data, shape (nz, ny, nx), of an image of a box's own cells; `walls` are where it ends, in cm.

        Raises InputError when it is another image.
        """
        elsewhere = False
        if self.is_scan:  # its cells are the box's, wherever it says that it lies
            scan = self.read_scan(np.zeros(0), np.zeros(0))
            values = np.asarray(scan.values.T, float)
        else:
            image, values = self.read()
            elsewhere = not self.ignore_geometry and not _lies_at(image, cells, walls)
        found = tuple(reversed(values.shape))
        if found != tuple(cells):
            raise self._refused(f"has {found} cells", f"an image of the box's {tuple(cells)} cells")
        if elsewhere:
            key = ".".join(self.key.split(".")[:2])
            raise self._refused(
                f"lies at {_region(np.reshape(image.bounds, (3, 2)))}",
                f"the box's {_region(walls)} cm, or {key} with ignore_geometry = true",
            )
        return values

    def own_values(self, space: Space) -> Array:
        """The cell data on this rank's own cells.

        A box takes an image of its own cells; a mesh takes, at each cell's centre, the image's cell there.
        Raises InputError, naming the key, when the file is not that.
        """
        own: Array
        if self.is_scan and not self.ignore_geometry:
            scan = self.read_scan(*extent_of(space))
            if isinstance(space, BoxSpace):
                return _means(scan, space)
            return scan.interpolated(*space.centres)
        if isinstance(space, BoxSpace):
            edges = zip(space.first_centre, space.spacing, space.cells, strict=True)
            walls = [(first - 0.5 * h, first + (n - 0.5) * h) for first, h, n in edges]
            values = self.read_for_box(space.cells, walls)
            x, y, z = (slice(*limits) for limits in space.ranges)
            own = values[z, y, x]
            return own
        image, values = self.read()
        if not _is_upright(image):
            raise self._refused("has turned axes", "an image along x, y and z")
        places = [
            np.floor((centre - low) / h).astype(int)
            for centre, low, h in zip(space.centres, image.bounds[::2], image.spacing, strict=True)
        ]
        if any((i < 0).any() or (i >= n).any() for i, n in zip(places, reversed(values.shape), strict=True)):
            raise self._refused(f"covers {_region(np.reshape(image.bounds, (3, 2)))}", "an image that covers the mesh")
        own = values[tuple(reversed(places))]
        return own

    def _refused(self, found: str, accepted: str) -> InputError:
        return InputError(f"{self.key} = '{self.file}': {found}; accepted: {accepted}")


def initial_images(initial: Initial) -> dict[str, NamedImage]:
    """The images of the state at t = 0, by field."""
    return {
        field: NamedImage(given.file, field, f"initial.{field}", given.ignore_geometry)
        for field, given in initial.files.items()
    }


def mask_image(name: str, mask: Mask) -> NamedImage:
    """The image of the parameter `name`."""
    return NamedImage(mask.mask, mask.array, f"parameters.{name}.mask", mask.ignore_geometry)


def check_files(scenario: Scenario) -> None:
    """Read the images that a run file names, without a space to put them on; a mesh must be one.

    Raises InputError when one cannot be used.
    """
    mesh = getattr(scenario.space, "mesh", "grid")
    if mesh != "grid":
        try:
            read_mesh_file(Path(mesh))
        except ValueError as error:
            raise InputError(f"space.mesh = '{mesh}': {error}; accepted: {ACCEPTED}") from None
    images = list(initial_images(scenario.initial).values())
    images += [mask_image(name, mask) for name, mask in scenario.parameters.masks.items()]
    walls, tissue = [], None
    if isinstance(scenario.space, Box):
        walls = scenario.space.walls
        if scenario.space.domain and images:
            tissue = Tissue(scenario.space)
            walls = [(low, low + length) for low, length in zip(tissue.origin, scenario.space.lengths, strict=True)]
    low, high = np.transpose(walls) if walls else (np.zeros(0), np.zeros(0))
    if tissue:
        low, high = tissue.part_in_box
    for image in images:
        if image.is_scan and not image.ignore_geometry:
            image.read_scan(low, high)
        elif isinstance(scenario.space, Box):
            image.read_for_box(scenario.space.cells, walls)
        else:
            image.read()


def extent_of(space: Space) -> tuple[Array, Array]:
    """Corners in cm between which its cells lie, of a box with a domain the tissue, shape (3,) each; collective."""
    if isinstance(space, BoxSpace):
        if (tissue := getattr(space, "tissue", None)) is not None:
            low, high = tissue.part_in_box
        else:
            low = np.array(space.first_centre) - 0.5 * np.array(space.spacing)
            high = low + np.array(space.spacing) * space.cells
        return low, high
    return np.array([x.min() for x in space.centres]), np.array([x.max() for x in space.centres])


def _means(scan: Scan, space: BoxSpace) -> Array:
    """Of each own cell, shape (nz, ny, nx): the mean over small cells about as fine as the voxels."""
    parts = [min(MOST_PARTS, max(1, round(h / float(scan.voxel.min())))) for h in space.spacing]
    shape = space.owned_shape
    axes = [
        first + h * ((np.arange(start * n, stop * n) + 0.5) / n - 0.5)
        for first, h, (start, stop), n in zip(space.first_centre, space.spacing, space.ranges, parts, strict=True)
    ]
    means = np.empty(shape)
    for k in range(shape[0]):
        z = axes[2][k * parts[2] : (k + 1) * parts[2]]
        fine = scan.interpolated(*np.meshgrid(axes[0], axes[1], z, indexing="ij"))
        means[k] = fine.reshape(shape[2], parts[0], shape[1], parts[1], parts[2]).mean(axis=(1, 3, 4)).T
    return means


def _lies_at(image: Any, cells: Sequence[int], walls: Sequence[tuple[float, float]]) -> bool:
    """Whether an image of a box's cells lies where the box does."""
    spacing = [(high - low) / n for (low, high), n in zip(walls, cells, strict=True)]
    bounds = np.reshape(image.bounds, (3, 2))
    near = NEAR * np.array(spacing)[:, None]
    return _is_upright(image) and bool((np.abs(bounds - np.array(walls)) <= near).all())


def _is_upright(image: Any) -> bool:
    return bool(image.GetDirectionMatrix().IsIdentity())


def _region(bounds: Any) -> str:
    return " x ".join(f"{low:.6g}..{high:.6g}" for low, high in bounds)
