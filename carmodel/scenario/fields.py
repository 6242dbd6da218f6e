"""`[initial]` and `[[infusion]]` of a run file: the fields at t = 0, and what is added to one of them later."""

from collections.abc import Mapping
from math import hypot
from typing import Annotated, Any, NamedTuple, Self

from pydantic import ConfigDict, Discriminator, Tag, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..model import Model
from .shapes import Addition, Disk, Shape, TumourBall, TumourShape
from .space import Box
from .tables import ModelTable, NonNegative, Table, one_of, read_model, unknown_key

#: Keys of `[initial]` that are no fields.
SHAPES = ("tumour", "cart")

USUAL_TUMOUR = TumourBall(radius=0.2)
USUAL_CART = Disk.model_validate({"from": 0.0, "to": 0.05, "radius": 0.2, "value": 0.5})


class FieldFile(Table):
    """A volume with a field as cell data; `ignore_geometry`: its cells are the box's, wherever it says that it lies."""

    file: str
    ignore_geometry: bool = False


def _name_table_or_shape(value: object) -> str | None:
    if isinstance(value, Mapping):
        return "table" if "file" in value or "ignore_geometry" in value else "of shape"
    if isinstance(value, str):
        return "name"
    return "table" if isinstance(value, FieldFile) else "of shape" if isinstance(value, Table) else None


#: A field at t = 0: the name of a volume, a table with it, or a shape.
FieldAtStart = Annotated[
    Annotated[str, Tag("name")] | Annotated[FieldFile, Tag("table")] | Annotated[Shape, Tag("of shape")],
    Discriminator(
        _name_table_or_shape,
        custom_error_type="field",
        custom_error_message="accepted: a shape, the name of a volume, or a table with the 'file' that has it",
    ),
]


class Part(NamedTuple):
    """A shape of the state at t = 0: its key in the table, and the share of it that each field gets."""

    key: str
    shape: Shape
    shares: dict[str, float]


class Initial(ModelTable):
    """The state at t = 0: shapes of tumour and of CAR-T cells, shapes and volumes of single fields; all else is zero.

    What is given for a field replaces what the shapes `tumour` and `cart` would give it.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FieldAtStart]

    tumour: TumourShape | None = None
    cart: Shape | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_shapes(cls, table: object) -> object:
        if not isinstance(table, Mapping):
            return table
        accepted = (*(usual := _usual(read_model())), *read_model().names)
        for key in table:
            if key not in accepted:
                raise unknown_key(key, accepted)
        return usual | dict(table)

    @model_validator(mode="after")
    def _antigen_negative_cells_have_a_field(self) -> Self:
        if self.tumour and self.tumour.negative_fraction and len(self.model.tumour) == 1:
            raise ValueError(
                f"tumour.negative_fraction = {self.tumour.negative_fraction:g}; accepted: 0, the model "
                f"'{self.model.name}' has one field of tumour cells"
            )
        return self

    @property
    def files(self) -> dict[str, FieldFile]:
        """Files by field, for the fields that have one."""
        own: dict[str, Any] = self.__pydantic_extra__
        given = {name: own[name] for name in self.model.names if isinstance(own.get(name), str | FieldFile)}
        return {name: FieldFile(file=file) if isinstance(file, str) else file for name, file in given.items()}

    @property
    def parts(self) -> list[Part]:
        """The shapes, each with at least one field that gets some of it."""
        own: dict[str, Any] = self.__pydantic_extra__
        parts = []
        if self.cart:
            parts.append(Part("cart", self.cart, {self.model.cart[0]: 1.0}))
        if self.tumour:
            positive, negative = self.model.tumour[0], self.model.tumour[-1]
            f = self.tumour.negative_fraction
            parts.append(Part("tumour", self.tumour, {negative: f} | {positive: 1.0 - f}))
        kept = [part._replace(shares={k: v for k, v in part.shares.items() if k not in own}) for part in parts]
        shapes = [Part(name, own[name], {name: 1.0}) for name in own if not isinstance(own[name], str | FieldFile)]
        return [part for part in kept if part.shares] + shapes


def _usual(model: Model) -> dict[str, Any]:
    """The shapes that a model's run has unless it says: tumour and CAR-T cells, where the model has them."""
    usual = {"tumour": USUAL_TUMOUR if model.tumour else None, "cart": USUAL_CART if model.cart else None}
    return {key: shape for key, shape in usual.items() if shape is not None}


class Infusion(ModelTable):
    """Cells added to the field `to` at a time: a shape, or a multiple of that field at t = 0."""

    time: NonNegative
    to: str
    add: Addition

    @model_validator(mode="before")
    @classmethod
    def _of_cart_cells(cls, table: object) -> object:
        model = read_model()
        return {"to": model.cart[0], **table} if isinstance(table, Mapping) and model.cart else table

    @field_validator("to")
    @classmethod
    def _field_of_the_model(cls, name: str) -> str:
        if name not in (names := read_model().names):
            raise PydanticCustomError("field", "accepted: {names}", {"names": one_of(names)})
        return name


def with_usual_shapes(tables: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """A run file's tables with the shapes and values that the preset and the cells ask for, where it has none.

    A tumour of 1 and CAR-T cells of 0.5 are such in units of the carrying capacity; a preset may count cells per cm^3.
    Where cells are too wide for the usual shapes, these are a little wider than the cells.
    """
    parameters = tables.get("parameters", {})
    preset = parameters.get("preset") if isinstance(parameters, Mapping) else None
    values = model.presets.get(preset) if isinstance(preset, str) else None
    unit = getattr(values, model.capacity) if values and model.capacity else 1.0
    result = dict(tables)
    if isinstance(initial := tables.get("initial", {}), Mapping):
        usual = {key: shape for key, shape in _usual_shapes(tables.get("space"), unit).items() if key in _usual(model)}
        own = {name: initial[name] for name in model.densities if name in initial}
        shapes = {key: initial.get(key, shape) for key, shape in usual.items()} | own
        result["initial"] = dict(initial) | {key: _with_value(shape, unit) for key, shape in shapes.items()}
    if isinstance(infusions := tables.get("infusion"), list | tuple):
        densities = (None, *model.densities)  # None: where nothing is said, CAR-T cells are infused
        result["infusion"] = [
            dict(infusion) | {"add": _with_value(infusion["add"], unit)}
            if isinstance(infusion, Mapping) and "add" in infusion and infusion.get("to") in densities
            else infusion
            for infusion in infusions
        ]
    return result


def _usual_shapes(space: object, unit: float) -> dict[str, dict[str, Any]]:
    """Tables of a tumour and of CAR-T cells that cover some cell of a box, whose table is `space`."""
    tumour, cart = (
        shape.model_dump(by_alias=True, exclude_none=True) | {"value": unit * shape.value}
        for shape in (USUAL_TUMOUR, USUAL_CART)
    )
    keys = Box.model_fields.keys() - {"kind"}
    if isinstance(space, Mapping):
        space = {key: space[key] for key in keys & space.keys()}
    try:
        box = Box.model_validate(space)
    except ValidationError:  # the cells of a Gmsh file, or wrong, which `Scenario` reports
        return {"tumour": tumour, "cart": cart}
    h = [(high - low) / n for (low, high), n in zip(box.walls, box.cells, strict=True)]
    # From the middle of the box to the next centre of a cell.
    way = [0.5 * width if n % 2 == 0 else 0.0 for width, n in zip(h, box.cells, strict=True)]
    for shape, least in ((tumour, hypot(*way)), (cart, hypot(*way[1:]))):
        if shape["radius"] < least:
            shape["radius"] = 1.02 * least
    if cart["to"] < box.walls[0][0] + 0.5 * h[0]:
        cart["to"] = h[0]
    return {"tumour": tumour, "cart": cart}


def _with_value(shape: object, value: float) -> object:
    """A shape's table with a `value`, unless it has something in its place or is no shape's table."""
    if not isinstance(shape, Mapping) or shape.keys() & {"value", "amount", "initial", "file", "ignore_geometry"}:
        return shape
    return dict(shape) | {"value": value}
