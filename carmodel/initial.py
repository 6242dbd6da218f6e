"""The state at t = 0 and the diffusivity of C: shapes of the run file, or volumes read from files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import FIELDS
from .errors import InputError
from .images import read_image
from .scenario import Ball, Disk, Initial, Layer, Mask
from .spaces import BoxSpace

Array = NDArray[np.float64]


def profile(shape: Ball | Disk | Layer, space: BoxSpace) -> Array:
    """A shape's values on this rank's own cells: `value` inside, smoothed over `edge` at its surfaces."""
    x = space.centres
    centre = getattr(shape, "centre", None) or space.middle
    result = np.full(space.owned_shape, float(shape.value))
    if isinstance(shape, Ball):
        r = np.sqrt(sum((xi - ci) ** 2 for xi, ci in zip(x, centre, strict=True)))
        return result * _inside(r - shape.radius, shape.edge)
    along = "xyz".index(shape.axis)
    result *= _inside(shape.start - x[along], shape.edge) * _inside(x[along] - shape.stop, shape.edge)
    if isinstance(shape, Disk):
        across = [i for i in range(3) if i != along]
        rho = np.sqrt(sum((x[i] - centre[i]) ** 2 for i in across))
        result *= _inside(rho - shape.radius, shape.edge)
    return result


def _inside(distance: Array, edge: float) -> Array:
    """1 inside a surface, 0 beyond it; `distance` is the signed distance beyond."""
    if edge == 0.0:
        return (distance <= 0.0).astype(float)
    return 0.5 * (1.0 - np.tanh(distance / edge))


def initial_state(initial: Initial, space: BoxSpace) -> Array:
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
        whole = read_volume(Path(file), field, space.cells, f"initial.{field}")
        space.owned(u[FIELDS.index(field)])[...] = _own_part(whole, space)
    return u


def diffusivity_of_C(mask: Mask, space: BoxSpace) -> Array:
    """D_C(x) from a volume, shape (n_local,), ghosts not set.

    Raises InputError when the file cannot be used or holds negative values.
    """
    D_C = space.zeros()
    whole = read_volume(Path(mask.mask), mask.array, space.cells, "parameters.D_C.mask")
    space.owned(D_C)[...] = _own_part(whole, space)
    return D_C


def _own_part(whole: Array, space: BoxSpace) -> Array:
    x, y, z = (slice(*limits) for limits in space.ranges)
    part: Array = whole[z, y, x]
    return part


def read_volume(path: Path, array: str, cells: tuple[int, ...], key: str) -> Array:
    """Cell data `array` of a VTK image (.vti), shape (nz, ny, nx): finite and not negative, on the run's own grid.

    Raises InputError, naming `key`, when it is not that.
    """

    def refuse(found: str) -> InputError:
        return InputError(f"{key} = '{path}': {found}; accepted: a .vti file with cell data '{array}' on {cells} cells")

    try:
        image = read_image(path)
    except ValueError as error:
        raise refuse(str(error)) from None
    if array not in image.cell_data:
        raise refuse(f"has cell data {sorted(image.cell_data.keys())}")
    found = tuple(n - 1 for n in image.dimensions)
    if found != tuple(cells):
        raise refuse(f"has {found} cells")
    values = np.asarray(image.cell_data[array])
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise refuse(f"'{array}' is not one number a cell")
    values = values.astype(float)
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise refuse(f"'{array}' has values that are negative or not finite")
    return values.reshape(tuple(reversed(cells)))
