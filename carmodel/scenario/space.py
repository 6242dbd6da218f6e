"""`[space]` of a run file: a box of cells, or a mesh."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, FiniteFloat, Tag, model_validator

from .tables import Table

Count = Annotated[int, Field(ge=1)]
# TOML has arrays, not tuples: the outer type is lenient, the numbers inside stay strict.
Length = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]
Lengths = Annotated[tuple[Length, Length, Length], Field(strict=False)]
Place = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
Point = Annotated[tuple[Place, Place, Place], Field(strict=False)]
Cells = Annotated[tuple[Count, Count, Count], Field(strict=False)]


Labels = Annotated[tuple[int, ...], Field(strict=False, min_length=1, max_length=10_000)]

#: The region that all of a domain belongs to.
TISSUE = "tissue"


class Domain(Table):
    """What of a box is tissue, from a segmentation: nothing passes its surface.

    `labels`: those of each region, by its name; the domain is `tissue`, others may lie in it or not.  `origin`: where
    the box begins in the image's coordinates, in cm; the tissue lies in the middle of the box unless given.  `unit`: of
    the file's lengths, which it says itself unless given.  `array`: which cell data of a VTK image.
    """

    mask: str
    labels: dict[str, Labels]
    origin: Point | None = None
    unit: Literal["m", "cm", "mm", "um"] | None = None
    array: str = "labels"

    @model_validator(mode="after")
    def _tissue_is_named(self) -> Self:
        if TISSUE not in self.labels:
            raise ValueError(f"labels: '{TISSUE}' is missing; accepted: the labels of all that fields live in")
        return self


class Box(Table):
    """A uniform box of cells; `lengths` in cm, a cube of 1 cm unless given; all of it tissue, or what `domain` says."""

    kind: Literal["box"] = "box"
    cells: Cells
    lengths: Lengths = (1.0, 1.0, 1.0)
    nodes_on_boundary: bool = False
    domain: Domain | None = None

    @model_validator(mode="after")
    def _possible_grid(self) -> Self:
        if prod(self.cells) >= 2**31:
            raise ValueError(f"cells = {list(self.cells)}; accepted: fewer than 2^31 cells in all")
        if self.domain and "lengths" not in self.model_fields_set:
            raise ValueError("lengths: missing; accepted with a domain: the edges of the box in cm")
        if self.domain and self.nodes_on_boundary:
            raise ValueError("nodes_on_boundary = true: accepted with a domain: false")
        if self.nodes_on_boundary and min(self.cells) < 2:
            raise ValueError(f"cells = {list(self.cells)}: at least 2 on each axis with nodes_on_boundary = true")
        return self

    @property
    def walls(self) -> list[tuple[float, float]]:
        """Where the walls stand along x, y, z, in cm: half a cell outside of nodes on the boundary."""
        if not self.nodes_on_boundary:
            return [(0.0, length) for length in self.lengths]
        halves = [0.5 * length / (n - 1) for length, n in zip(self.lengths, self.cells, strict=True)]
        return [(-half, length + half) for length, half in zip(self.lengths, halves, strict=True)]


class Mesh(Table):
    """A FiPy mesh: `mesh = "grid"` is its own `Grid3D` of `cells` and `lengths`, anything else a Gmsh file."""

    kind: Literal["mesh"]
    mesh: str = "grid"
    cells: Cells | None = None
    lengths: Lengths | None = None

    @model_validator(mode="after")
    def _grid_or_file(self) -> Self:
        if self.mesh == "grid" and not self.cells:
            raise ValueError("cells: missing")
        if self.mesh != "grid" and (self.cells or self.lengths):
            raise ValueError(f"cells and lengths are those of the file with mesh = '{self.mesh}'; accepted: neither")
        return self


def _kind(space: object) -> str:
    kind = space.get("kind", "box") if isinstance(space, Mapping) else getattr(space, "kind", "box")
    return f"kind = {kind}"


#: The table `[space]`.
SpaceTable = Annotated[
    Annotated[Box, Tag("kind = box")] | Annotated[Mesh, Tag("kind = mesh")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="accepted: 'box' or 'mesh'",
    ),
]
