"""The state at t = 0 and the diffusivity of C: shapes of the run file, or volumes read from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import FIELDS
from .errors import InputError
from .scenario import Box, Initial, Mask, Scenario
from .shapes import Ball, Disk, Layer, Slab
from .spaces import BoxSpace, Space
from .spaces.meshfile import ACCEPTED, read_mesh_file
from .vtkfile import read_vtk

Array = NDArray[np.float64]


def profile(shape: Ball | Disk | Layer, space: Space) -> Array:
    """A shape's values on this rank's own cells: `value` inside, smoothed over `edge` at its surfaces."""
    return np.ones(space.owned_shape) * profile_at(shape, space.centres, space.middle)


def profile_at(shape: Ball | Disk | Layer, x: Sequence[Any], middle: Sequence[float]) -> Array:
    """A shape's values at points: x, y, z in cm, arrays that broadcast; `middle` is where it is unless it says."""
    centre = getattr(shape, "centre", None) or middle
    value = float(shape.value)
    if isinstance(shape, Ball):
        r = np.sqrt(sum((xi - ci) ** 2 for xi, ci in zip(x, centre, strict=True)))
        return value * _inside(r - shape.radius, shape.edge)
    along = "xyz".index(shape.axis)
    result = value * (_inside(shape.start - x[along], shape.edge) * _inside(x[along] - shape.stop, shape.edge))
    if isinstance(shape, Disk):
        across = [i for i in range(3) if i != along]
        rho = np.sqrt(sum((x[i] - centre[i]) ** 2 for i in across))
        result = result * _inside(rho - shape.radius, shape.edge)
    return result


def core(shape: Ball | Disk | Layer, middle: Sequence[float]) -> list[float]:
    """The point of a shape where its value is largest, in cm; `middle` is where it is unless it says."""
    point = list(getattr(shape, "centre", None) or middle)
    if isinstance(shape, Slab):
        point["xyz".index(shape.axis)] = 0.5 * (shape.start + shape.stop)
    return point


def _inside(distance: Array, edge: float) -> Array:
    """1 inside a surface, 0 beyond it; `distance` is the signed distance beyond."""
    if edge == 0.0:
        return (distance <= 0.0).astype(float)
    with np.errstate(over="ignore"):  # an edge of next to nothing is a sharp cut
        return 0.5 * (1.0 - np.tanh(distance / edge))


def initial_state(initial: Initial, space: Space) -> Array:
    """The state at t = 0, shape (7, n_local), ghosts not set.

    Raises InputError when a file of `initial` cannot be used.
    """
    u = space.zeros(len(FIELDS))
    C, _, TA, TB = (space.owned(u[f]) for f in range(4))
    C[...] = profile(initial.cart, space)
    tumour = profile(initial.tumour, space)
    TA[...] = (1.0 - initial.tumour.negative_fraction) * tumour
    TB[...] = initial.tumour.negative_fraction * tumour
    for field, file in initial.files.items():
        space.owned(u[FIELDS.index(field)])[...] = own_values(Path(file), field, space, f"initial.{field}")
    return u


def diffusivity_of_C(mask: Mask, space: Space) -> Array:
    """D_C(x) from a volume, shape (n_local,), ghosts not set.

    Raises InputError when the file cannot be used or holds negative values.
    """
    D_C = space.zeros()
    space.owned(D_C)[...] = own_values(Path(mask.mask), mask.array, space, "parameters.D_C.mask")
    return D_C


def own_values(path: Path, array: str, space: Space, key: str) -> Array:
    """Cell data `array` of a VTK image (.vti) on this rank's own cells.

    A box takes an image of as many cells as its own; a mesh takes, at each cell's centre, the image's cell there.
    Raises InputError, naming `key`, when the file is not that.
    """
    image, values = read_cell_data(path, array, key)
    found = tuple(reversed(values.shape))
    if isinstance(space, BoxSpace):
        if found != space.cells:
            raise InputError(
                f"{key} = '{path}': has {found} cells; accepted: an image of the box's {space.cells} cells"
            )
        x, y, z = (slice(*limits) for limits in space.ranges)
    else:
        x, y, z = (
            np.floor((centre - low) / h).astype(int)
            for centre, low, h in zip(space.centres, image.bounds[::2], image.spacing, strict=True)
        )
        if any((i < 0).any() or (i >= n).any() for i, n in zip((x, y, z), found, strict=True)):
            raise InputError(f"{key} = '{path}': covers {tuple(image.bounds)}; accepted: an image that covers the mesh")
    own: Array = values[z, y, x]
    return own


def read_cell_data(path: Path, array: str, key: str) -> tuple[Any, Array]:
    """A VTK image and its cell data `array`, shape (nz, ny, nx): finite and not negative.

    Raises InputError, naming `key`, when the file is not that.
    """

    def refuse(found: str) -> InputError:
        return InputError(f"{key} = {str(path)!r}: {found}; accepted: a VTK image (.vti) with cell data '{array}'")

    try:
        image = read_vtk(path)
    except ValueError as error:
        raise refuse(str(error)) from None
    if not hasattr(image, "dimensions"):
        raise refuse("is no image")
    if min(image.dimensions) < 2:  # its cells are squares, which VTK numbers all the same
        raise refuse(f"is flat: {' x '.join(map(str, image.dimensions))} points")
    if array not in image.cell_data:
        raise refuse(f"has cell data {sorted(image.cell_data.keys())}")
    values = np.asarray(image.cell_data[array])
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise refuse(f"'{array}' is not one number a cell")
    values = values.astype(float).reshape(tuple(n - 1 for n in reversed(image.dimensions)))
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise refuse(f"'{array}' has values that are negative or not finite")
    return image, values


def check_files(scenario: Scenario) -> None:
    """Read the volumes that a run file names, without a space to put them on; a mesh must be one.

    Raises InputError when one cannot be used.
    """
    mesh = getattr(scenario.space, "mesh", "grid")
    if mesh != "grid":
        try:
            read_mesh_file(Path(mesh))
        except ValueError as error:
            raise InputError(f"space.mesh = '{mesh}': {error}; accepted: {ACCEPTED}") from None
    files = [(file, field, f"initial.{field}") for field, file in scenario.initial.files.items()]
    if mask := scenario.parameters.mask:
        files.append((mask.mask, mask.array, "parameters.D_C.mask"))
    for file, array, key in files:
        _, values = read_cell_data(Path(file), array, key)
        found = tuple(reversed(values.shape))
        if isinstance(scenario.space, Box) and found != scenario.space.cells:
            cells = scenario.space.cells
            raise InputError(f"{key} = '{file}': has {found} cells; accepted: an image of the box's {cells} cells")
