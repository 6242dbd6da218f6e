"""The state at t = 0 and diffusivities by cell: shapes of the run file, or images read from files."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scenario.fields import Initial
from ..scenario.parameters import Mask
from ..scenario.scenario import Scenario
from ..scenario.shapes import Ball, Disk, InitialMultiple, Layer, Region, Slab
from ..spaces import BoxSpace, Space
from ..spaces.cutbox import CutBoxSpace
from ..tools.errors import InputError
from .images import initial_images, mask_image

Array = NDArray[np.float64]

#: Shares of the carrying capacity that a density may have without a warning.
USUAL = (1e-6, 100.0)


def profile(shape: Ball | Disk | Layer | Region, space: Space) -> Array:
    """A shape's values on this rank's own cells: `value` inside, smoothed over `edge` at its surfaces.

    Of a region, `value` times the share of the cell that it has.
    """
    if isinstance(shape, Region):
        assert isinstance(space, CutBoxSpace)  # the scenario's validation has seen to it
        return float(shape.value) * space.regions(shape.region, shape.reach)
    values = np.ones(space.owned_shape) * profile_at(shape, space.centres, space.middle)
    if space.outside is not None:
        values[space.outside] = 0.0
    return values


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


def reaches(shape: Ball | Disk | Layer, space: Space) -> bool:
    """Whether some point of the domain has half of the shape's largest value; collective.

    A smooth edge never ends: of a shape outside it leaves next to nothing in the cells by the wall, which an amount
    would blow up.  All points of the cells count, not their centres: of a narrow shape that lies between centres
    these may have next to nothing too, and yet it is inside.
    """
    if shape.edge == 0.0:  # a sharp cut is there or not
        return True
    point: list[Any] = core(shape, space.middle)
    largest = float(profile_at(shape, point, space.middle))
    if isinstance(space, BoxSpace):
        for i, (first, h, n) in enumerate(zip(space.first_centre, space.spacing, space.cells, strict=True)):
            point[i] = np.clip(point[i], first - 0.5 * h, first + (n - 0.5) * h)
    else:
        point = list(np.clip(point, space.low, space.high))
        if not space.is_grid:
            # Tetrahedra do not tell how far they reach: cubes of twice their width hold them, slivers apart.
            h = (space.relative_volumes * space.cell_volume) ** (1 / 3)
            point = [np.clip(p, x - h, x + h) for p, x in zip(point, space.centres, strict=True)]
    field = space.zeros(1)
    space.owned(field[0])[...] = profile_at(shape, point, space.middle)
    return float(space.sum_min_max(field)[2][0]) >= 0.5 * largest


def check_covers(shape: Ball | Disk | Layer | Region, space: Space, what: str, or_else: str = "") -> None:
    """Raise InputError, which starts with `what`, where a shape puts nothing into any cell; collective."""
    if integral(profile(shape, space), space) == 0.0:
        raise InputError(f"{what}: the shape covers no cell's centre; accepted: one that covers some{or_else}")
    if not isinstance(shape, Region) and not reaches(shape, space):
        raise InputError(f"{what}: the shape is outside, its edge alone reaches in; accepted: one inside{or_else}")


def integral(values: Array, space: Space) -> float:
    """Integral over the domain of values on this rank's own cells; collective."""
    field = space.zeros(1)
    space.owned(field[0])[...] = values
    return float(space.sum_min_max(field)[0][0]) * space.cell_volume


def _inside(distance: Array, edge: float) -> Array:
    """1 inside a surface, 0 beyond it; `distance` is the signed distance beyond."""
    if edge == 0.0:
        return (distance <= 0.0).astype(float)
    with np.errstate(over="ignore"):  # an edge of next to nothing is a sharp cut
        return 0.5 * (1.0 - np.tanh(distance / edge))


def initial_state(initial: Initial, space: Space) -> Array:
    """The state at t = 0, shape (fields, n_local), ghosts not set; collective.

    Raises InputError when a file of `initial` cannot be used, or a shape with a value above zero puts nothing anywhere.
    """
    for key, shape, _ in initial.parts:
        if shape.value > 0.0:
            check_covers(shape, space, f"initial.{key}: value = {shape.value:g}", ", or value = 0 for none")
    model = initial.model
    u = space.zeros(len(model.names))
    for _, shape, shares in initial.parts:
        whole = profile(shape, space)
        for name, share in shares.items():
            space.owned(u[model.place(name)])[...] = share * whole
    for name, image in initial_images(initial).items():
        space.owned(u[model.place(name)])[...] = image.own_values(space)
    if space.outside is not None:
        space.owned(u)[:, space.outside] = 0.0
    return u


def density_warning(scenario: Scenario, largest: Mapping[str, float] = MappingProxyType({})) -> str:
    """One line where a density is far from the carrying capacity, as one in other units is; "" where none is.

    `largest`: largest values of fields that come from files, by field.
    """
    model = scenario.model
    if not model.capacity:
        return ""
    capacity, counted = getattr(scenario.parameters.values, model.capacity), model.densities
    densities = {
        f"initial.{key}: value": shape.value
        for key, shape, shares in scenario.initial.parts
        if not shares.keys().isdisjoint(counted)
    }
    densities |= {f"initial.{field}: largest value": value for field, value in largest.items() if field in counted}
    for n, infusion in enumerate(scenario.infusion):
        if infusion.to not in counted or isinstance(infusion.add, InitialMultiple):
            continue
        if infusion.add.amount is None:
            densities[f"infusion.{n}.add: value"] = infusion.add.value
    for what, density in densities.items():
        if density > 0.0 and not USUAL[0] <= density / capacity <= USUAL[1]:
            return (
                f"warning: {what} = {density:g}, the carrying capacity {model.capacity} = {capacity:g}: are both in "
                f"the units of parameters.preset = '{scenario.parameters.preset}'?"
            )
    return ""


def parameter_by_cell(name: str, mask: Mask, space: Space, positive: bool) -> Array:
    """A parameter from a volume: shape (n_local,), ghosts not set.

    Raises InputError when the file cannot be used or holds negative values, or zeros where it must be `positive`.
    """
    values = space.zeros()
    values[:] = 1.0  # outside, and beyond walls: what no loop stumbles over
    space.owned(values)[...] = mask_image(name, mask).own_values(space)
    if space.outside is not None:
        space.owned(values)[space.outside] = 1.0
    if positive and values.min() == 0.0:
        raise InputError(f"parameters.{name}.mask = '{mask.mask}': has zeros; accepted: greater than 0")
    return values
