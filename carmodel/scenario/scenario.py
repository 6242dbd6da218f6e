"""The whole of a run file, validated.  `docs/runfile.md` lists the keys."""

import re
from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Annotated, Any, Self

import tomli_w
from pydantic import BeforeValidator, Field, InstanceOf, ModelWrapValidatorHandler, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from ..model import Model
from ..models import DEFAULT, named
from ..tools.errors import InputError
from .choices import IntegratorChoices, Output, Time
from .fields import Infusion, Initial, with_usual_shapes
from .parameters import Intervention, ParametersTable
from .shapes import Region
from .space import Box, SpaceTable
from .tables import Table, one_of, reading_for

#: Infusions of a run, and interventions: the resolved run file must be one that can be read.
MOST_EVENTS = 5_000


def _found(model: Any) -> Model:
    """A model, or the one of that name."""
    if isinstance(model, Model):
        return model
    try:
        return named(model)
    except InputError as error:
        raise PydanticCustomError("unknown_key", "{text}", {"text": str(error)}) from None


ModelByName = Annotated[InstanceOf[Model], BeforeValidator(_found), PlainSerializer(lambda model: model.name)]


class Scenario(Table):
    """A validated run file."""

    title: str = ""
    model: ModelByName = Field(default=DEFAULT, validate_default=True)
    space: SpaceTable
    parameters: ParametersTable = Field(default_factory=ParametersTable)
    initial: Initial = Field(default_factory=Initial)
    infusion: Annotated[tuple[Infusion, ...], Field(strict=False, max_length=MOST_EVENTS)] = ()
    intervention: Annotated[tuple[Intervention, ...], Field(strict=False, max_length=MOST_EVENTS)] = ()
    time: Time
    integrator: IntegratorChoices = IntegratorChoices()
    output: Output = Output()

    @model_validator(mode="wrap")
    @classmethod
    def _of_a_model(cls, tables: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Which keys there are, and what they mean unless given, is the model's to say."""
        if not isinstance(tables, Mapping):
            return validate(tables)
        model = _found(tables.get("model", DEFAULT))
        with reading_for(model):
            scenario = validate(with_usual_shapes(tables, model) | {"model": model})
        scenario.__dict__["given"] = dict(tables)
        return scenario

    @cached_property
    def given(self) -> dict[str, Any]:
        """The tables that this was made of, without the defaults: what others are merged on.

        No field: what was left to a default makes no other scenario.
        """
        return self.tables()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.integrator.kind == "coupled" and self.space.kind != "mesh":
            raise ValueError('integrator.kind = "coupled" is made of FiPy terms; accepted: space.kind = "mesh"')
        if self.integrator.kind == "coupled" and self.integrator.taxis == "hybrid":
            raise ValueError(
                "integrator.taxis = 'hybrid'; accepted with kind = 'coupled': 'central', 'upwind' or "
                "'scharfetter-gummel'"
            )
        jacobi, uneven = self.integrator.diffusion == "jacobi", self.parameters.diffusivities_by_cell
        if jacobi and uneven:
            raise ValueError('integrator.diffusion = "jacobi" has constant diffusivities; accepted with a mask: "ksp"')
        if jacobi and self.space.kind != "box":
            raise ValueError('integrator.diffusion = "jacobi" has a box of cells; accepted on a mesh: "ksp"')
        domain = self.space.domain if isinstance(self.space, Box) else None
        if jacobi and domain:
            raise ValueError('integrator.diffusion = "jacobi" has a whole box of cells; accepted with a domain: "ksp"')
        if domain and "csv" in self.output.formats:
            raise ValueError("output.formats = 'csv' is for whole boxes; accepted with a domain: 'vtk'")
        self._check_regions(domain.labels if domain else {})
        for key, by_transform, others in (
            ("diffusion_scheme", "exact", "'backward-euler' or 'sdirk2'"),
            ("method", "exponential", "'auto' or 'arkimex'"),
        ):
            given = getattr(self.integrator, key)
            if given == by_transform and (uneven or domain or self.space.kind != "box"):
                where = f"with a mask for {uneven[0]}" if uneven else "with a domain" if domain else "on a mesh"
                raise ValueError(
                    f"integrator.{key} = '{given}' has a box of cells and constant diffusivities; accepted {where}: "
                    f"{others}"
                )
        if self.space.kind != "box" and "csv" in self.output.formats:
            raise ValueError("output.formats = 'csv' is for boxes; accepted on a mesh: 'vtk'")
        volumes: dict[str, Any] = {f"initial.{field}": file for field, file in self.initial.files.items()}
        volumes |= {f"parameters.{name}": mask for name, mask in self.parameters.masks.items()}
        for key, volume in volumes.items():
            if self.space.kind != "box" and volume.ignore_geometry:
                raise ValueError(f"{key}: ignore_geometry = true is for boxes; accepted on a mesh: false")
        if self.integrator.dt < self.time.end / 1e9:
            raise ValueError(f"integrator.dt = {self.integrator.dt:g}; accepted: at least time.end / 1e9")
        if self.output.every and self.output.every < self.time.end / 1e6:
            raise ValueError(f"output.every = {self.output.every:g}; accepted: 0, or at least time.end / 1e6")
        through, axis = self.output.line.through, self.output.line.axis
        if through and self.space.lengths and not domain:
            across = [length for name, length in zip("xyz", self.space.lengths, strict=True) if name != axis]
            if not all(0.0 <= x <= length for x, length in zip(through, across, strict=True)):
                raise ValueError(f"output.line.through = {list(through)}; accepted: inside the box, up to {across}")
        self._check_events()
        return self

    def _check_regions(self, regions: Mapping[str, Any]) -> None:
        """Shapes and parameters may name regions of the domain only."""
        named: dict[str, Any] = {f"initial.{part.key}.region": part.shape for part in self.initial.parts}
        named |= {f"infusion.{n}.add.region": infusion.add for n, infusion in enumerate(self.infusion)}
        wanted = {key: shape.region for key, shape in named.items() if isinstance(shape, Region)}
        for name, given in self.parameters.by_region.items():
            wanted |= {f"parameters.{name}.by_region.{region}": region for region in given.by_region}
        for key, region in wanted.items():
            if region not in regions:
                accepted = one_of(regions) if regions else "regions of space.domain.labels, which is missing"
                raise ValueError(f"{key} = '{region}': is no region; accepted: {accepted}")

    def _check_events(self) -> None:
        for key in ("infusion", "intervention"):
            for n, event in enumerate(getattr(self, key)):
                if event.time > self.time.end:
                    raise ValueError(f"{key}.{n}.time = {event.time}; accepted: from 0 to time.end = {self.time.end}")
        parameters = self.parameters.values
        for n, change in sorted(enumerate(self.intervention), key=lambda numbered: numbered[1].time):
            parameters = change.changed(parameters)
            for name, factor in change.factors.items():
                value = getattr(parameters, name)
                if not isfinite(value) or (name in self.model.positive and value == 0.0):
                    raise ValueError(
                        f"intervention.{n}.scale: {name} = {factor:g} makes {name} {value:g}; accepted: a factor that "
                        f"leaves it finite{' and greater than 0' if name in self.model.positive else ''}"
                    )

    def tables(self) -> dict[str, Any]:
        """The run file with every default written out; validating it gives this scenario again."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        tables["parameters"] = {"preset": self.parameters.preset} | self.parameters.values._asdict()
        for name, given in self.parameters.by_cell.items():
            tables["parameters"][name] = given.model_dump()
        return tables

    def toml(self) -> str:
        """`tables()` as the text of a run file."""
        text = tomli_w.dumps(self.tables())
        # TOML lets characters stand that some terminals obey.
        return re.sub(r"[^ -~\n]", lambda c: c[0] if c[0].isprintable() else f"\\U{ord(c[0]):08X}", text)
