"""The domain of a run from a segmentation: its surface as a level set, where the box lies, volumes of its regions."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.special import ndtri

from ..scenario.space import TISSUE, Box, Domain
from ..spaces import Space
from ..spaces.cutbox import CutBoxSpace, LevelSet
from ..spaces.fractions import volume_shares
from ..tools.errors import InputError
from ..tools.ranks import together
from ..tools.scan import Scan, places_in, read_labels

Array = NDArray[np.float64]

#: Width of the filter that takes the staircase off a surface, in voxels.
SMOOTHING = 0.6

#: The level set is moved by at most this much, in widths of the filter, to enclose the volume of the voxels; by this
#: much to see what comes of it.
MOST_OFFSET, SMALL = 0.5, 0.1

#: Voxels around a region that the filter is taken over.
MARGIN = 5

#: The level set beyond: the probability that the filter leaves there is below rounding in single precision.
FAR = 4.5

#: Small cells along an edge of a cell.
LEAST_PARTS, MOST_PARTS = 2, 8


class Region(NamedTuple):
    """Volumes of a region in cm^3: in the image, and of its voxels whose centres are in the box."""

    labels: tuple[int, ...]
    volume: float
    in_box: float


class Tissue:
    """A segmentation in the box of a run: box and image have one system of coordinates.

    Parameters
    ----------
    space: the box and its domain.

    `origin`: where the box begins, in cm; the middle of the tissue is that of the box unless the run file says.

    Raises InputError, naming the key, where the file cannot be used, lacks a label, or has no tissue in the box.
    """

    def __init__(self, space: Box) -> None:
        assert space.domain
        self.box, self.domain = space, space.domain
        self.scan = _read(self.domain)
        present = set(np.unique(self.scan.values).tolist())
        for name, labels in self.domain.labels.items():
            if missing := [label for label in labels if label not in present]:
                raise InputError(
                    f"space.domain.labels.{name} = {list(labels)}: '{self.domain.mask}' has no voxel labelled "
                    f"{missing[0]}; accepted: {', '.join(map(str, sorted(present)))}"
                )
        low, high = self.extent
        middle = 0.5 * (low + high)
        self.origin = np.array(self.domain.origin or middle - 0.5 * np.array(space.lengths))
        if self.regions[TISSUE].in_box == 0.0:
            raise InputError(
                f"space.domain: the tissue lies at {_region(low, high)} cm, none of it in the box at "
                f"{_region(self.origin, self.origin + space.lengths)} cm; accepted: a box with tissue in it"
            )

    @cached_property
    def extent(self) -> tuple[Array, Array]:
        """Least and largest coordinates of the tissue's voxels, in cm, shape (3,) each."""
        voxels = np.argwhere(self._of(self.domain.labels[TISSUE]))
        low, high = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        places = corners @ self.scan.affine[:3, :3].T + self.scan.affine[:3, 3]
        return places.min(axis=0), places.max(axis=0)

    @property
    def part_in_box(self) -> tuple[Array, Array]:
        """The corners of the tissue's extent within the box."""
        low, high = self.extent
        return np.maximum(low, self.origin), np.minimum(high, self.origin + np.array(self.box.lengths))

    @cached_property
    def regions(self) -> dict[str, Region]:
        """By name."""
        return {name: self._measured(labels) for name, labels in self.domain.labels.items()}

    @property
    def parts(self) -> int:
        """Small cells along each edge of a cell: as fine as the voxels, within limits."""
        coarsest = max(length / n for length, n in zip(self.box.lengths, self.box.cells, strict=True))
        return min(MOST_PARTS, max(LEAST_PARTS, ceil(coarsest / float(self.scan.voxel.min()) - 0.01)))

    def surface(self, region: str, reach: float = 0.0) -> LevelSet:
        """Of a region and what is at most `reach` cm beyond it: negative inside.

        Where the filtered share of the region is one half: for a flat surface filtered by a Gaussian, the distance in
        units of its width is what the normal distribution's quantile makes of the share.
        """
        inside = self._of(self.domain.labels[region])
        if reach > 0.0:
            inside = distance_transform_edt(~inside, sampling=self.scan.voxel) <= reach
        return _Surface(inside, self.scan.affine)

    def labels_at(self, x: Array, y: Array, z: Array) -> NDArray[np.int32]:
        """The label of the voxel at points, arrays of one shape, in cm; 0 beyond the image."""
        places = np.rint(self.scan.places(x, y, z)).astype(np.int64)
        shape = np.array(self.scan.values.shape).reshape(3, *[1] * (places.ndim - 1))
        inside = ((places >= 0) & (places < shape)).all(axis=0)
        i, j, k = np.where(inside, places, 0)
        return np.where(inside, self.scan.values[i, j, k], 0).astype(np.int32)

    def record(self) -> dict[str, object]:
        """What the manifest keeps."""
        return {
            "mask": self.domain.mask,
            "unit": self.scan.unit,
            "voxels": list(self.scan.values.shape),
            "affine": self.scan.affine.tolist(),
            "regions": {name: region._asdict() for name, region in self.regions.items()},
        }

    def lines(self) -> list[str]:
        """For `check`: what was understood, a line each."""
        low, high = self.extent
        voxel = " x ".join(f"{edge:.4g}" for edge in self.scan.voxel)
        lines = [
            f"domain: {self.domain.mask}: {' x '.join(map(str, self.scan.values.shape))} voxels of {voxel} cm, "
            f"lengths in {self.scan.unit}",
            f"domain: the tissue lies at {_region(low, high)} cm, the box at "
            f"{_region(self.origin, self.origin + self.box.lengths)} cm",
        ]
        for name, region in self.regions.items():
            share = region.in_box / region.volume if region.volume else 0.0
            lines.append(
                f"domain: {name} {list(region.labels)}: {region.volume:.4g} cm^3, {share:.1%} of it in the box"
            )
        return lines

    def oddities(self) -> list[str]:
        """Warnings: tissue that the box cuts off, or volumes that no organ has."""
        found, tissue = [], self.regions[TISSUE]
        if (share := tissue.in_box / tissue.volume) < 0.99:
            found.append(f"warning: space.domain: the box holds {share:.1%} of the tissue's volume")
        if (share := tissue.in_box / float(np.prod(self.box.lengths))) < 0.05:
            found.append(f"warning: space.domain: the tissue fills {share:.2%} of the box: is the unit right?")
        return found

    def _of(self, labels: Iterable[int]) -> NDArray[np.bool_]:
        return np.isin(self.scan.values, list(labels))

    def _measured(self, labels: tuple[int, ...]) -> Region:
        voxels = np.argwhere(self._of(labels))
        places = voxels @ self.scan.affine[:3, :3].T + self.scan.affine[:3, 3]
        ends = self.origin, self.origin + self.box.lengths
        in_box = ((places >= ends[0]) & (places <= ends[1])).all(axis=1).sum()
        volume = self.scan.voxel_volume
        return Region(tuple(labels), len(voxels) * volume, float(in_box) * volume)


class _Surface:
    """The level set of a region's voxels."""

    def __init__(self, inside: NDArray[np.bool_], affine: Array) -> None:
        where = np.argwhere(inside)
        self._affine = affine
        if not len(where):
            self._level, self._first = np.full((2, 2, 2), FAR, dtype=np.float32), np.zeros(3)
            return
        first, last = where.min(axis=0), where.max(axis=0) + 1
        part = inside[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
        share = gaussian_filter(np.pad(part, MARGIN).astype(np.float32), SMOOTHING, mode="constant")
        level = np.clip(-ndtri(share), -FAR, FAR).astype(np.float32)
        self._level = level - _offset(level, float(part.sum()))
        self._first = first - MARGIN

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        points = np.meshgrid(x, y, z, indexing="ij", sparse=True)
        places = places_in(self._affine, *points) - self._first.reshape(3, 1, 1, 1)
        found = map_coordinates(self._level, places, order=1, mode="constant", cval=FAR, output=float)
        return np.ascontiguousarray(found.transpose(2, 1, 0))


def _offset(level: NDArray[np.float32], volume: float) -> float:
    """Where the level set encloses so many voxels: the filter draws curved surfaces in."""
    offset = 0.0
    for _ in range(2):  # by secants
        inside, more = (
            float(volume_shares(np.asarray(level - t, np.float64), 1).sum()) for t in (offset, offset + SMALL)
        )
        offset += SMALL * (volume - inside) / max(more - inside, 1e-300)
    return float(np.clip(offset, -MOST_OFFSET, MOST_OFFSET))


def _read(domain: Domain) -> Scan:
    try:
        return read_labels(Path(domain.mask), domain.array, domain.unit)
    except ValueError as error:
        text = str(error)
        accepted = "" if "accepted:" in text else "; accepted: a segmentation (.nii, .nii.gz, .nrrd, .vti)"
        raise InputError(f"space.domain.mask = '{domain.mask}': {text}{accepted}") from None


def _region(low: Array, high: Array) -> str:
    return " x ".join(f"{a:.4g}..{b:.4g}" for a, b in zip(low, high, strict=True))


def cut_box(box: Box, comm: MPI.Intracomm) -> CutBoxSpace:
    """The box of a run with a domain; collective.  Raises InputError as `Tissue`, on every rank."""
    tissue = together(comm, lambda: Tissue(box))
    surface = tissue.surface(TISSUE)
    space = CutBoxSpace(box.cells, box.lengths, surface, tissue.parts, tuple(tissue.origin), comm)
    space.regions = lambda name, reach: space.shares_of(tissue.surface(name, reach))
    space.tissue = tissue
    return space


def parameter_of_regions(values: Mapping[str, float], usual: float, space: Space) -> Array:
    """A parameter that regions have, shape (n_local,), ghosts `usual`: the mean over each cell's small cells.

    Of several regions that hold a point the last one counts; elsewhere it is `usual`.
    """
    assert isinstance(space, CutBoxSpace)  # the scenario's validation has seen to it
    of_cells, parts, tissue = np.full(space.n_local, usual), space.parts, space.tissue
    ends = [space.corners(axis, parts)[parts:-parts] for axis in range(3)]
    x, y, z = (0.5 * (corners[:-1] + corners[1:]) for corners in ends)
    own = space.owned(of_cells)
    for layer, of_layer in enumerate(own):
        points = np.meshgrid(z[layer * parts : (layer + 1) * parts], y, x, indexing="ij", sparse=True)
        labels = tissue.labels_at(*points[::-1])
        fine = np.full(labels.shape, usual)
        for name, value in values.items():
            fine[np.isin(labels, tissue.domain.labels[name])] = value
        _, ny, nx = own.shape
        of_layer[...] = fine.reshape(parts, ny, parts, nx, parts).mean(axis=(0, 2, 4))
    return of_cells
