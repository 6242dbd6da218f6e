"""`[parameters]` and `[[intervention]]` of a run file: values of the model's parameters, at the start and later."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..model import Model
from .tables import ModelTable, NonNegative, Table, one_of, read_model, unknown_key


class Mask(Table):
    """A parameter by cell: cell data `array` of the volume `mask`, named after the parameter unless given.

    `ignore_geometry`: the volume's cells are the box's, wherever it says that it lies.
    """

    mask: str
    array: str
    ignore_geometry: bool = False


class ByRegion(Table):
    """A parameter by region of `space.domain`, of several that hold a point the last; elsewhere the preset's."""

    by_region: dict[str, NonNegative]


def _number_or_table(value: object) -> str:
    if isinstance(value, ByRegion) or (isinstance(value, Mapping) and "by_region" in value):
        return "regions"
    return "table" if isinstance(value, Mapping | Mask) else "number"


NumberOrMask = Annotated[
    Annotated[NonNegative, Tag("number")] | Annotated[Mask, Tag("table")] | Annotated[ByRegion, Tag("regions")],
    Discriminator(_number_or_table),
]


def check_parameters(model: Model, values: Mapping[str, float], *others: str) -> None:
    """Raise what pydantic takes for an error unless all names are the model's and what must be positive is.

    `others`: keys that are accepted beside these names.
    """
    for name, value in values.items():
        if name not in model.parameter_names:
            raise unknown_key(name, (*others, *model.parameter_names))
        if name in model.positive and value <= 0.0:
            raise ValueError(f"{name} = {value:g}; accepted: greater than 0")


class ParametersTable(ModelTable):
    """A preset and the values that replace its own: any parameter of the model.

    A parameter may be a volume or regions instead of a number; the preset's own number then stands in `values`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, NumberOrMask]

    preset: str = Field(default_factory=lambda: next(iter(read_model().presets)))

    @model_validator(mode="before")
    @classmethod
    def _arrays_are_named(cls, table: object) -> object:
        if not isinstance(table, Mapping):
            return table
        return {
            name: {"array": name, **v} if isinstance(v, Mapping) and "by_region" not in v else v
            for name, v in table.items()
        }

    @field_validator("preset")
    @classmethod
    def _preset_of_the_model(cls, preset: str) -> str:
        if preset not in (presets := read_model().presets):
            raise PydanticCustomError("preset", "accepted: {presets}", {"presets": one_of(presets)})
        return preset

    @model_validator(mode="after")
    def _names_of_the_model(self) -> Self:
        numbers = {name: value for name, value in self.__pydantic_extra__.items() if isinstance(value, float)}
        check_parameters(self.model, numbers, "preset")
        for name in self.by_cell:
            if name not in self.model.parameter_names:
                raise unknown_key(name, ("preset", *self.model.parameter_names))
        for name, given in self.by_region.items():
            for region, value in given.by_region.items():
                if name in self.model.positive and value == 0.0:
                    raise ValueError(f"{name}.by_region.{region} = {value:g}; accepted: greater than 0")
        return self

    @property
    def values(self) -> Any:
        """The parameters of the run, the model's named tuple; a mask leaves the preset's number."""
        numbers = {name: value for name, value in self.__pydantic_extra__.items() if isinstance(value, float)}
        return self.model.presets[self.preset]._replace(**numbers)

    @property
    def masks(self) -> dict[str, Mask]:
        """The volumes that parameters are taken from."""
        return {name: value for name, value in self.__pydantic_extra__.items() if isinstance(value, Mask)}

    @property
    def by_region(self) -> dict[str, ByRegion]:
        """Values that regions have, by parameter."""
        return {name: value for name, value in self.__pydantic_extra__.items() if isinstance(value, ByRegion)}

    @property
    def by_cell(self) -> dict[str, Mask | ByRegion]:
        """Volumes and regions, by parameter."""
        return self.masks | self.by_region

    @property
    def diffusivities_by_cell(self) -> list[str]:
        """Which of them are diffusivities."""
        return [name for name in self.by_cell if name in self.model.diffusivity.values()]


class Intervention(ModelTable):
    """Parameters that change at a time: to values (`set`), or by factors on what they are then (`scale`)."""

    time: NonNegative
    values: dict[str, NonNegative] = Field(default={}, alias="set")
    factors: dict[str, NonNegative] = Field(default={}, alias="scale")

    @field_validator("values", "factors")
    @classmethod
    def _names_of_the_model(cls, changes: dict[str, float]) -> dict[str, float]:
        check_parameters(read_model(), changes)
        return changes

    @model_validator(mode="after")
    def _something_and_nothing_twice(self) -> Self:
        if not (self.values or self.factors):
            raise ValueError("changes nothing; accepted: 'set = { NAME = value }', 'scale = { NAME = factor }' or both")
        if both := self.values.keys() & self.factors.keys():
            raise ValueError(f"{min(both)} stands in 'set' and in 'scale'; accepted: one of them")
        return self

    def changed(self, parameters: Any) -> Any:
        """The parameters after it, of the type of those before."""
        scaled = {name: getattr(parameters, name) * factor for name, factor in self.factors.items()}
        return parameters._replace(**self.values, **scaled)
