"""VTK images that a run file names: a field, or a diffusivity, as cell data."""

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
from ..tools.vtkreader import read_vtk
from .tissue import Tissue

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
        """The VTK image and its cell data, shape (nz, ny, nx): finite and not negative.

        Raises InputError, naming the key, when the file is not that.
        """
        array = self.array
        accepted = f"a VTK image (.vti, .pvti) with cell data '{array}'"
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

    def read_for_box(self, cells: Sequence[int], walls: Sequence[tuple[float, float]]) -> Array:
        """The cell data, shape (nz, ny, nx), of an image of a box's own cells; `walls` are where it ends, in cm.

        Raises InputError when it is another image.
        """
        image, values = self.read()
        found = tuple(reversed(values.shape))
        if found != tuple(cells):
            raise self._refused(f"has {found} cells", f"an image of the box's {tuple(cells)} cells")
        if not self.ignore_geometry and not _lies_at(image, cells, walls):
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
    """The image of a diffusivity, the parameter `name`."""
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
    walls = []
    if isinstance(scenario.space, Box):
        walls = scenario.space.walls
        if scenario.space.domain:
            origin = Tissue(scenario.space).origin
            walls = [(low, low + length) for low, length in zip(origin, scenario.space.lengths, strict=True)]
    for image in images:
        if isinstance(scenario.space, Box):
            image.read_for_box(scenario.space.cells, walls)
        else:
            image.read()


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
