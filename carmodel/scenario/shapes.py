"""Shapes that a run file may give to cells: balls, disks and layers, and regions of a segmentation."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from .tables import Axis, NonNegative, Table

Edge = Annotated[FiniteFloat, Field(ge=0.0, le=1e9)]
Size = Annotated[FiniteFloat, Field(gt=0.0, le=1e9)]
Place = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
Fraction = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
# TOML has arrays, not tuples: the outer type is lenient, the numbers inside stay strict.
Point = Annotated[tuple[Place, Place, Place], Field(strict=False)]


class Ball(Table):
    """All points within `radius` of `centre` (the middle of the box unless given)."""

    shape: Literal["ball"] = "ball"
    centre: Point | None = None
    radius: Size
    value: NonNegative = 1.0
    edge: Edge = 0.0


class Slab(Table):
    """What disk and layer share: two planes across an axis."""

    axis: Axis = "x"
    start: Place = Field(alias="from")
    stop: Place = Field(alias="to")
    value: NonNegative = 1.0
    edge: Edge = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start > self.stop:
            raise ValueError(f"from = {self.start:g} lies beyond to = {self.stop:g}; accepted: from <= to")
        return self


class Disk(Slab):
    """Between two planes and within `radius` of the line along `axis` through `centre`."""

    shape: Literal["disk"] = "disk"
    centre: Point | None = None
    radius: Size


class Layer(Slab):
    """Between two planes."""

    shape: Literal["layer"] = "layer"


class Region(Table):
    """A region of `space.domain`, and the tissue that is at most `reach` cm beyond its surface."""

    shape: Literal["region"] = "region"
    region: str
    reach: Edge = 0.0
    value: NonNegative = 1.0
    edge: ClassVar[float] = 0.0


Shape = Annotated[Ball | Disk | Layer | Region, Field(discriminator="shape")]


class TumourBall(Ball):
    """A ball of tumour: the share `negative_fraction` of it is of cells without antigen."""

    negative_fraction: Fraction = 0.0


class TumourDisk(Disk):
    """A disk of tumour."""

    negative_fraction: Fraction = 0.0


class TumourLayer(Layer):
    """A layer of tumour."""

    negative_fraction: Fraction = 0.0


class TumourRegion(Region):
    """A region of tumour."""

    negative_fraction: Fraction = 0.0


TumourShape = Annotated[TumourBall | TumourDisk | TumourLayer | TumourRegion, Field(discriminator="shape")]


class Dose(Table):
    """What shapes of an infusion share: `amount`, the integral that the shape is given, stands for `value`."""

    amount: NonNegative | None = None

    @model_validator(mode="before")
    @classmethod
    def _value_or_amount(cls, tables: object) -> object:
        if isinstance(tables, Mapping) and "value" in tables and "amount" in tables:
            raise ValueError(
                f"value = {tables['value']!r} and amount = {tables['amount']!r}; accepted: one of them, the density in "
                "the shape or its integral"
            )
        return tables

    @model_serializer(mode="wrap")
    def _without_value(self, table: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As the run file says it: no `value` beside an amount."""
        return {key: entry for key, entry in table(self).items() if key != "value" or self.amount is None}


class DoseBall(Ball, Dose):
    """A ball of added cells."""


class DoseDisk(Disk, Dose):
    """A disk of added cells."""


class DoseLayer(Layer, Dose):
    """A layer of added cells."""


class DoseRegion(Region, Dose):
    """A region that cells are added to."""


DoseShape = Annotated[DoseBall | DoseDisk | DoseLayer | DoseRegion, Field(discriminator="shape")]


class InitialMultiple(Table):
    """The field as it was at t = 0, times `initial`."""

    initial: NonNegative


def _shape_or_initial(add: object) -> str:
    return (
        "of a field"
        if isinstance(add, InitialMultiple) or (isinstance(add, Mapping) and "initial" in add)
        else "of shape"
    )


Addition = Annotated[
    Annotated[DoseShape, Tag("of shape")] | Annotated[InitialMultiple, Tag("of a field")],
    Discriminator(_shape_or_initial),
]
