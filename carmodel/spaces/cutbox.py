"""`CutBoxSpace`: a box of cells that the wall of a domain cuts; nothing passes the wall."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..model import Medium
from ..tools.errors import InputError
from ..tools.owner import destroyed_if_unfinished
from . import cutstencils
from .box import BoxSpace, States
from .fluxes import TAXIS_SCHEMES, harmonic_mean
from .fractions import area_shares, volume_shares
from .layout import Shared, State
from .stencils import Mover, Stage

Array = NDArray[np.float64]
#: A level set, negative inside: its values at all points of three axes x, y, z in cm, shape (z, y, x).
LevelSet = Callable[[Array, Array, Array], Array]

#: Cells with a smaller share inside are left out, and those with no wider face.
SMALLEST, NARROWEST = 1e-4, 1e-3

#: What a cell's largest open face may be over its share: an explicit step through it is so many times shorter.
STEEPEST = 2.0

#: Times that cells ask their neighbours for volume, and how they ask those that have none, beside those that have.
PASSES, UNABLE = 12, 1e-3

#: Corners of small cells that are looked at together.
TOGETHER = 4_000_000

#: The array's axis of x, y, z.
_AXES = (2, 1, 0)


class CutBoxSpace(BoxSpace):
    """A box of which a part is inside a domain: cells and faces count by their shares there.

    The balance of a cell holds fluxes times the open shares of its faces, and divides by the share of the cell.  Values
    are those at the cells' centres.  A small cell would change too fast for explicit steps: it takes volume from its
    neighbours, which changes results by O(h^2); where these have none to spare, its faces are narrowed.

    Parameters
    ----------
    cells, lengths, origin, comm: as of `BoxSpace`.
    level: the level set of the domain.
    parts: small cells along each edge of a cell, in which the level set counts as linear.

    Raises InputError where the domain has no cell in the box.
    """

    @destroyed_if_unfinished
    def __init__(
        self,
        cells: Sequence[int],
        lengths: Sequence[float],
        level: LevelSet,
        parts: int = 2,
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        comm: MPI.Intracomm | None = None,
    ) -> None:
        super().__init__(cells, lengths, comm=comm, origin=origin)
        self.parts = parts
        inside, faces = self._measured(level)
        #: Share of each local cell that is inside, ghosts included, and of its faces towards x+, y+, z+ that is open.
        self.inside, self.open_faces = inside, faces
        self._close_walls()
        self._leave_out(self.inside < SMALLEST)
        self._cut_shares = np.maximum(inside[1:-1, 1:-1, 1:-1], SMALLEST)  # a copy: before volume is shared
        self._leave_out(self._widest() < NARROWEST)
        self._share_volume()
        self._narrow_faces()
        #: What of each own cell a region has, shape (nz, ny, nx), by its name and its reach; set by who knows them.
        self.regions: Callable[[str, float], Array] = self._no_regions
        #: What its domain comes from, for whoever has made it.
        self.tissue: Any = None
        #: Shares of the own cells.
        self.own_shares = self.inside[1:-1, 1:-1, 1:-1].copy()
        self.relative_volumes = self.own_shares
        self.whole = self.comm.allreduce(float(self.own_shares.sum()))
        if self.whole == 0.0:
            raise InputError("space.domain: has no cell in the box; accepted: a box with a part of the tissue in it")
        self._holds = self.own_shares > 0.0
        self.outside = ~self._holds
        n = int(self._holds.sum())
        self._matrix_size = n, self.comm.allreduce(n)
        self._inverse = np.divide(1.0, self.inside, out=np.zeros_like(self.inside), where=self.inside > 0.0)
        self._conductances: dict[float | int, tuple[Any, Array]] = {}

    # ---- geometry ------------------------------------------------------------------------------------------------

    def corners(self, axis: int, parts: int) -> Array:
        """Coordinates of the corners of small cells along x, y or z, of this rank's cells and a ghost at each end."""
        (start, stop), h = self.ranges[axis], self.spacing[axis]
        low = self.first_centre[axis] - 0.5 * h
        numbers = np.arange((start - 1) * parts, (stop + 1) * parts + 1)
        return np.asarray(low + numbers * (h / parts))

    def shares_of(self, level: LevelSet) -> Array:
        """What of the tissue of this rank's own cells is inside another surface, shape (nz, ny, nx), from 0 to 1."""
        shares = self._slabs(level, lambda values, _last: [volume_shares(values, self.parts)])[0][1:-1, 1:-1, 1:-1]
        of_tissue = np.divide(shares, self._cut_shares, out=np.zeros_like(shares), where=self._holds)
        return np.minimum(of_tissue, 1.0)

    def _no_regions(self, name: str, _reach: float) -> Array:
        raise KeyError(name)

    def _slabs(self, level: LevelSet, measure: Callable[[Array, bool], list[Array]]) -> list[Array]:
        """What `measure` finds in slabs along z, which together fit into the memory, one after the other."""
        x, y, z = (self.corners(axis, self.parts) for axis in range(3))
        layers = self.ghosted_shape[0]
        thick = max(1, TOGETHER // (x.size * y.size * self.parts))
        found = []
        for first in range(0, layers, thick):
            last = min(first + thick, layers)
            found.append(measure(level(x, y, z[first * self.parts : last * self.parts + 1]), last == layers))
        return [np.concatenate(pieces) for pieces in zip(*found, strict=True)]

    def _measured(self, level: LevelSet) -> tuple[Array, Array]:
        """Shares of the local cells and of their faces towards x+, y+, z+."""

        def measure(values: Array, _last: bool) -> list[Array]:
            across = [area_shares(values, self.parts, axis) for axis in _AXES]
            return [volume_shares(values, self.parts), across[0][:, :, 1:], across[1][:, 1:], across[2][1:]]

        inside, *faces = self._slabs(level, measure)
        return inside, np.stack(faces)

    def _close_walls(self) -> None:
        """Nothing is open towards the ghosts beyond the box's walls."""
        for axis in range(3):
            along = _AXES[axis]
            for end, wall, ghost in ((0, self._walls[2 * axis], 0), (-2, self._walls[2 * axis + 1], -1)):
                if wall:
                    self.open_faces[axis][_at(along, end)] = 0.0
                    self.inside[_at(along, ghost)] = 0.0

    def _leave_out(self, cells: NDArray[np.bool_]) -> None:
        """Close cells, given with their ghosts, and all faces of theirs."""
        self.inside[cells] = 0.0
        self.renew(self.inside)
        for axis, faces in enumerate(self.open_faces):
            along = _AXES[axis]
            faces[self.inside == 0.0] = 0.0
            before, after = _at(along, slice(None, -1)), _at(along, slice(1, None))
            faces[before][self.inside[after] == 0.0] = 0.0

    def renew(self, field: Array) -> None:
        """Make ghosts valid; those beyond the walls become zero; collective."""
        self.exchange_field(field.reshape(-1))
        for axis in range(3):
            for wall, ghost in zip(self._walls[2 * axis : 2 * axis + 2], (0, -1), strict=True):
                if wall:
                    field[_at(_AXES[axis], ghost)] = 0.0

    def _sides(self) -> Iterator[tuple[Array, Callable[[Array], Array]]]:
        """Of the own cells: open shares of one face after the other, and what takes an array's values beyond it."""
        for axis in range(3):
            along = _AXES[axis]
            for shift in (-1, 1):
                own = [slice(1, -1)] * 3
                beyond = list(own)
                beyond[along] = slice(0, -2) if shift < 0 else slice(2, None)
                faces = self.open_faces[axis][tuple(beyond if shift < 0 else own)]
                yield faces, lambda field, place=tuple(beyond): field[place]  # type: ignore[misc]

    def _widest(self) -> Array:
        """Largest open share among the faces of each local cell; collective."""
        widest = np.zeros_like(self.inside)
        own = widest[1:-1, 1:-1, 1:-1]
        for faces, _ in self._sides():
            np.maximum(own, faces, out=own)
        self.renew(widest)
        return widest

    def _share_volume(self) -> None:
        """Small cells take what they lack from neighbours that have more than they need, by their open faces.

        One that is asked for more than it can spare asks for that itself, the next time.
        """
        own = (slice(1, -1),) * 3
        wanted, unmet = self._widest() / STEEPEST, np.zeros_like(self.inside)
        for _ in range(PASSES):
            lack, spare = np.maximum(wanted + unmet - self.inside, 0.0), np.maximum(self.inside - wanted, 0.0)
            weight = np.where(self.inside > 0.0, spare + UNABLE, 0.0)
            reach, asking, asked, got = (np.zeros_like(self.inside) for _ in range(4))
            for faces, beyond in self._sides():
                reach[own] += faces * beyond(weight)
            np.divide(lack, reach, out=asking, where=reach > 0.0)
            self.renew(asking)
            for faces, beyond in self._sides():
                asked[own] += faces * beyond(asking)
            asked *= weight
            granted = np.minimum(1.0, np.divide(spare, asked, out=np.ones_like(spare), where=asked > 0.0))
            self.renew(granted)
            for faces, beyond in self._sides():
                got[own] += faces * beyond(weight) * beyond(granted)
            self.inside[own] += (asking * got - asked * granted)[own]
            self.renew(self.inside)
            unmet = np.maximum(asked - spare, 0.0)
            self.renew(unmet)

    def _narrow_faces(self) -> None:
        """Where no neighbour had enough to spare, faces are not wider than their cells allow."""
        for axis, faces in enumerate(self.open_faces):
            before, after = _at(_AXES[axis], slice(None, -1)), _at(_AXES[axis], slice(1, None))
            smaller = np.minimum(self.inside[before], self.inside[after])
            np.minimum(faces[before], STEEPEST * smaller, out=faces[before])

    # ---- fields --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """What `is_as` takes: the shares of the cells."""
        return {"inside": Shared(self.own_shares, self.layout)}

    def is_as(self, state: State) -> bool:
        """As `BoxSpace.is_as`."""
        apart = np.abs(state["inside"].part(self.layout) - self.own_shares).max(initial=0.0)
        return bool(self.comm.allreduce(float(apart), MPI.MAX) <= 1e-12)

    def sum_min_max(self, u: Array) -> tuple[Array, Array, Array]:
        """As `BoxSpace.sum_min_max`, over the cells inside, by their shares."""
        local = np.array([cutstencils.sum_min_max(field, self.inside) for field in self.grid(u)])
        return self._reduced(local)

    def clamp(self, field: Array) -> float:
        """As `BoxSpace.clamp`, by the cells' shares."""
        return float(cutstencils.clamp_field(self.grid(field), self._inverse))

    def across_faces(self, field: Array) -> Iterator[tuple[Array, Array]]:
        """As `BoxSpace.across_faces`, of open faces."""
        for axis, (left, right) in enumerate(super().across_faces(field)):
            inner = [slice(1, -1)] * 3
            inner[axis] = slice(None, -1)
            is_open = self.open_faces[_AXES[axis]][tuple(inner)] > 0.0
            yield left[is_open], right[is_open]

    # ---- operators -----------------------------------------------------------------------------------------------

    def explicit_stage(self, states: States, stage: Stage, medium: Medium, taxis: str, clamped: Array) -> None:
        """As `BoxSpace.explicit_stage`."""
        on_grid = tuple(self.grid(state) for state in states)
        cut = self.open_faces, self._inverse
        transport = self._transport(medium, taxis)
        cutstencils.explicit_stage(on_grid, stage, transport, cut, medium.in_loops, clamped)

    def explicit_rate(self, v: Array, out: Array, medium: Medium, taxis: str) -> None:
        """As `BoxSpace.explicit_rate`."""
        out = out.reshape(-1, *self.owned_shape)
        cut = self.open_faces, self._inverse
        cutstencils.explicit_rate(self.grid(v), out, self._transport(medium, taxis), cut, medium.in_loops)

    def subtract_diffusion(self, u: Array, out: Array, diffusivities: Sequence[float | Array]) -> None:
        """As `BoxSpace.subtract_diffusion`."""
        for field, result, D in zip(self.grid(u), out.reshape(-1, *self.owned_shape), diffusivities, strict=True):
            cutstencils.subtract_diffusion(field, result, self.conductance(D), self._inverse)

    def conductance(self, D: float | Array) -> Array:
        """Open share times D / h^2 of all faces, kept for each diffusivity."""
        key = D if isinstance(D, float) else id(D)
        if key not in self._conductances or self._conductances[key][0] is not D:
            on_cells = self.grid(np.array(np.broadcast_to(D, (self.n_local,)), float))
            made = np.zeros_like(self.open_faces)
            cutstencils.conductances(on_cells, self.open_faces, self._inverse_spacing, made)
            if len(self._conductances) > 16:  # media that have gone
                self._conductances.clear()
            self._conductances[key] = D, made
        return self._conductances[key][1]

    @property
    def matrix_size(self) -> tuple[int, int]:
        """As `BoxSpace.matrix_size`."""
        return self._matrix_size

    def unknowns(self, values: Array | float) -> Array:
        """As `BoxSpace.unknowns`."""
        return np.broadcast_to(values, self.owned_shape)[self._holds]

    def take_unknowns(self, values: Array, unknowns: Array) -> None:
        """As `BoxSpace.take_unknowns`; cells outside stay as they are."""
        values[self._holds] = unknowns

    def _diffusion_rows(self, D: Array, dt: float, column: NDArray[np.int64]) -> Array:
        """As `BoxSpace._diffusion_rows`, V - dt V div(D grad), V being the shares of the cells."""
        value = np.zeros(column.shape)
        value[:, 0] = self.unknowns(self.own_shares)
        for side, (faces, beyond) in enumerate(self._sides(), 1):
            conductance = self.unknowns(faces * harmonic_mean.py_func(D[1:-1, 1:-1, 1:-1], beyond(D)))
            conductance *= dt / self.spacing[(side - 1) // 2] ** 2
            value[:, 0] += conductance
            value[:, side] = -conductance
        return value

    def _columns(self) -> NDArray[np.int64]:
        """As `BoxSpace._columns`, of the cells that hold something."""
        return super()._columns()[self._holds.ravel()]

    def _global_numbers(self) -> NDArray[np.int64]:
        """As `BoxSpace._global_numbers`; -1 outside too."""
        numbers = np.zeros(self.ghosted_shape)
        first = self.comm.exscan(self._matrix_size[0]) or 0
        self.owned(numbers.reshape(-1))[self._holds] = first + np.arange(self._matrix_size[0])
        self.renew(numbers)
        return np.where(self.inside > 0.0, numbers, -1.0).astype(np.int64)

    def migration_rows(self, values: Array, dt: float, mover: Mover, taxis: str) -> None:
        """As `BoxSpace.migration_rows`: V - dt V (div(D grad) - div(taxis)), V being the shares of the cells."""
        u, D, S, chi = mover
        on_grid = self.grid(u), self.grid(D), tuple(map(self.grid, S)), tuple(map(self.grid, chi))
        grid = self.inside, self._inverse_spacing
        cutstencils.migration_rows(values, dt, TAXIS_SCHEMES[taxis], on_grid, self.open_faces, grid)


def _at(axis: int, place: Any) -> tuple[Any, ...]:
    """An index along one axis of three."""
    index: list[Any] = [slice(None)] * 3
    index[axis] = place
    return tuple(index)
