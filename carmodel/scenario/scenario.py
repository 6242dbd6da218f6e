"""What a run file may say: its tables, their types, ranges and defaults.  `docs/runfile.md` lists the keys."""

import re
from collections.abc import Mapping
from math import hypot, isfinite, prod
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from .. import FIELDS
from ..models.polyakov import MODEL, PRESETS, Parameters
from .shapes import Addition, Disk, Shape, TumourBall, TumourShape
from .tables import Axis, NonNegative, Positive, Table, unknown_key

#: Infusions of a run, and interventions: the resolved run file must be one that can be read.
MOST_EVENTS = 5_000

Count = Annotated[int, Field(ge=1)]
Few = Annotated[int, Field(ge=1, le=1_000_000)]
# TOML has arrays, not tuples: the outer type is lenient, the numbers inside stay strict.
Length = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]
Lengths = Annotated[tuple[Length, Length, Length], Field(strict=False)]
Cells = Annotated[tuple[Count, Count, Count], Field(strict=False)]
Across = Annotated[tuple[FiniteFloat, FiniteFloat], Field(strict=False)]


class Box(Table):
    """A uniform box of cells; `lengths` in cm, a cube of 1 cm unless given."""

    kind: Literal["box"] = "box"
    cells: Cells
    lengths: Lengths = (1.0, 1.0, 1.0)
    nodes_on_boundary: bool = False

    @model_validator(mode="after")
    def _possible_grid(self) -> Self:
        if prod(self.cells) >= 2**31:
            raise ValueError(f"cells = {list(self.cells)}; accepted: fewer than 2^31 cells in all")
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


Space = Annotated[
    Annotated[Box, Tag("kind = box")] | Annotated[Mesh, Tag("kind = mesh")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message="accepted: 'box' or 'mesh'",
    ),
]


class Mask(Table):
    """A spatially varying diffusivity: cell data `array` of the volume `mask`.

    `ignore_geometry`: the volume's cells are the box's, wherever it says that it lies.
    """

    mask: str
    array: str = "D_C"
    ignore_geometry: bool = False


class FieldFile(Table):
    """A volume with a field as cell data; `ignore_geometry` as of a mask."""

    file: str
    ignore_geometry: bool = False


def _number_or_table(value: object) -> str:
    return "table" if isinstance(value, Mapping | Mask) else "number"


NumberOrMask = Annotated[
    Annotated[NonNegative, Tag("number")] | Annotated[Mask, Tag("table")], Discriminator(_number_or_table)
]


def _name_or_table(value: object) -> str:
    return "table" if isinstance(value, Mapping | FieldFile) else "name"


NameOrTable = Annotated[Annotated[str, Tag("name")] | Annotated[FieldFile, Tag("table")], Discriminator(_name_or_table)]


class Initial(Table):
    """The state at t = 0: two shapes, or fields from files; all else is zero."""

    tumour: TumourShape = TumourBall(radius=0.2)
    cart: Shape = Disk.model_validate({"from": 0.0, "to": 0.05, "radius": 0.2, "value": 0.5})
    C: NameOrTable | None = None
    E: NameOrTable | None = None
    TA: NameOrTable | None = None
    TB: NameOrTable | None = None
    S: NameOrTable | None = None
    A: NameOrTable | None = None
    H: NameOrTable | None = None

    @property
    def files(self) -> dict[str, FieldFile]:
        """Files by field, for the fields that have one."""
        given = {field: file for field in FIELDS if (file := getattr(self, field)) is not None}
        return {field: FieldFile(file=file) if isinstance(file, str) else file for field, file in given.items()}

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shapes that are not replaced by files, by key."""
        files = self.files
        shapes: dict[str, Shape] = {} if "C" in files else {"cart": self.cart}
        return shapes if {"TA", "TB"} <= files.keys() else shapes | {"tumour": self.tumour}


def with_usual_shapes(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A run file's tables with the shapes and values that the preset and the cells ask for, where it has none.

    A tumour of 1 and CAR-T cells of 0.5 are such in units of K_T; Table 1 counts cells per cm^3.  Where cells are too
    wide for the usual shapes, these are a little wider than the cells.
    """
    parameters = tables.get("parameters", {})
    preset = parameters.get("preset") if isinstance(parameters, Mapping) else None
    unit = PRESETS[preset].K_T if isinstance(preset, str) and preset in PRESETS else 1.0
    result = dict(tables)
    if isinstance(initial := tables.get("initial", {}), Mapping):
        usual = _usual_shapes(tables.get("space"), unit)
        shapes = {key: _with_value(initial.get(key, shape), unit) for key, shape in usual.items()}
        result["initial"] = dict(initial) | shapes
    if isinstance(infusions := tables.get("infusion"), list | tuple):
        result["infusion"] = [
            dict(infusion) | {"add": _with_value(infusion["add"], unit)}
            if isinstance(infusion, Mapping) and "add" in infusion
            else infusion
            for infusion in infusions
        ]
    return result


def _usual_shapes(space: object, unit: float) -> dict[str, dict[str, Any]]:
    """Tables of a tumour and of CAR-T cells that cover some cell of a box, whose table is `space`."""
    usual = Initial()
    tumour, cart = (
        shape.model_dump(by_alias=True, exclude_none=True) | {"value": unit * shape.value}
        for shape in (usual.tumour, usual.cart)
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
    """A shape's table with a `value`, unless it has something in its place or is no table."""
    if not isinstance(shape, Mapping) or shape.keys() & {"value", "amount", "initial"}:
        return shape
    return dict(shape) | {"value": value}


class Time(Table):
    """Days simulated."""

    end: Annotated[FiniteFloat, Field(gt=0.0, le=1e9)]


class Integrator(Table):
    """How the state advances."""

    kind: Literal["imex", "strang", "coupled"] = "imex"
    method: Literal["auto", "exponential", "arkimex"] = "auto"
    rtol: Annotated[FiniteFloat, Field(ge=1e-13, le=1.0)] = 1e-4
    dt: Positive = 0.01
    taxis: Literal["central", "upwind", "scharfetter-gummel", "hybrid"] = "hybrid"
    substeps: Few = 1
    reaction: Literal["rk2", "mprk22"] = "rk2"
    diffusion: Literal["ksp", "jacobi"] = "ksp"
    diffusion_scheme: Literal["backward-euler", "sdirk2", "exact"] = "backward-euler"
    jacobi_iterations: Few = 60
    jacobi_tolerance: NonNegative = 1e-8
    scheme: Literal["bdf2", "backward-euler"] = "bdf2"

    @model_validator(mode="before")
    @classmethod
    def _default_taxis(cls, table: object) -> object:
        """Central where nothing else is asked for; `imex` and "mprk22" promise what needs a positive one."""
        if not isinstance(table, Mapping) or "taxis" in table:
            return table
        kind = table.get("kind", "imex")
        positive = kind == "imex" or (kind == "strang" and table.get("reaction") == "mprk22")
        return {**table, "taxis": "hybrid" if positive else "central"}

    @model_validator(mode="after")
    def _jacobi_is_the_published_program(self) -> Self:
        published = {"reaction": "rk2", "diffusion_scheme": "backward-euler"}
        for key, only in published.items() if self.diffusion == "jacobi" else ():
            if (given := getattr(self, key)) != only:
                raise ValueError(f"{key} = '{given}'; accepted with diffusion = 'jacobi': '{only}'")
        return self


class Line(Table):
    """A line along an axis through a point of the plane across it; the middle of the box unless given."""

    axis: Axis = "x"
    through: Across | None = None


class Output(Table):
    """What is written, and when."""

    every: NonNegative = 0.5
    formats: Annotated[tuple[Literal["vtk", "csv"], ...], Field(strict=False)] = ("vtk",)
    line: Line = Line()
    checkpoint_every: Literal[0] = 0  # no checkpoints yet


def check_parameters(values: Mapping[str, float], *others: str) -> None:
    """Raise what pydantic takes for an error unless all names are of Table 1 and what must be positive is.

    `others`: keys that are accepted beside these names.
    """
    for name, value in values.items():
        if name not in Parameters._fields:
            raise unknown_key(name, (*others, *Parameters._fields))
        if name in MODEL.positive and value <= 0.0:
            raise ValueError(f"{name} = {value:g}; accepted: greater than 0")


class ParametersTable(Table):
    """A preset and the values that replace its own: any name of Table 1; D_C may be a volume instead of a number."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, NonNegative]

    preset: Literal["normalised", "table1", "published_code"] = "normalised"
    D_C: NumberOrMask | None = None

    @model_validator(mode="after")
    def _names_of_table_1(self) -> Self:
        check_parameters(self.__pydantic_extra__, "preset")
        return self

    @property
    def values(self) -> Parameters:
        """The parameters of the run; a mask leaves the preset's D_C."""
        given = dict(self.__pydantic_extra__)
        if isinstance(self.D_C, float):
            given["D_C"] = self.D_C
        return PRESETS[self.preset]._replace(**given)

    @property
    def mask(self) -> Mask | None:
        """The volume that D_C is taken from, if any."""
        return self.D_C if isinstance(self.D_C, Mask) else None


class Infusion(Table):
    """Functional CAR-T cells added at a time: a shape, or a multiple of the C of t = 0."""

    time: NonNegative
    add: Addition


class Intervention(Table):
    """Parameters that change at a time: to values (`set`), or by factors on what they are then (`scale`)."""

    time: NonNegative
    values: dict[str, NonNegative] = Field(default={}, alias="set")
    factors: dict[str, NonNegative] = Field(default={}, alias="scale")

    @field_validator("values", "factors")
    @classmethod
    def _names_of_table_1(cls, changes: dict[str, float]) -> dict[str, float]:
        check_parameters(changes)
        return changes

    @model_validator(mode="after")
    def _something_and_nothing_twice(self) -> Self:
        if not (self.values or self.factors):
            raise ValueError("changes nothing; accepted: 'set = { NAME = value }', 'scale = { NAME = factor }' or both")
        if both := self.values.keys() & self.factors.keys():
            raise ValueError(f"{min(both)} stands in 'set' and in 'scale'; accepted: one of them")
        return self

    def changed(self, parameters: Parameters) -> Parameters:
        """The parameters after it."""
        scaled = {name: getattr(parameters, name) * factor for name, factor in self.factors.items()}
        return parameters._replace(**self.values, **scaled)


class Scenario(Table):
    """A validated run file."""

    title: str = ""
    space: Space
    parameters: ParametersTable = ParametersTable()
    initial: Initial = Initial()
    infusion: Annotated[tuple[Infusion, ...], Field(strict=False, max_length=MOST_EVENTS)] = ()
    intervention: Annotated[tuple[Intervention, ...], Field(strict=False, max_length=MOST_EVENTS)] = ()
    time: Time
    integrator: Integrator = Integrator()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _usual_shapes(cls, tables: object) -> object:
        return with_usual_shapes(tables) if isinstance(tables, Mapping) else tables

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.integrator.kind == "coupled" and self.space.kind != "mesh":
            raise ValueError('integrator.kind = "coupled" is made of FiPy terms; accepted: space.kind = "mesh"')
        if self.integrator.kind == "coupled" and self.integrator.taxis == "hybrid":
            raise ValueError(
                "integrator.taxis = 'hybrid'; accepted with kind = 'coupled': 'central', 'upwind' or "
                "'scharfetter-gummel'"
            )
        if self.integrator.diffusion == "jacobi":
            if self.parameters.mask:
                raise ValueError('integrator.diffusion = "jacobi" has a constant D_C; accepted with a mask: "ksp"')
            if self.space.kind != "box":
                raise ValueError('integrator.diffusion = "jacobi" has a box of cells; accepted on a mesh: "ksp"')
        for key, by_transform, others in (
            ("diffusion_scheme", "exact", "'backward-euler' or 'sdirk2'"),
            ("method", "exponential", "'auto' or 'arkimex'"),
        ):
            given = getattr(self.integrator, key)
            if given == by_transform and (self.parameters.mask or self.space.kind != "box"):
                where = "with a mask for D_C" if self.parameters.mask else "on a mesh"
                raise ValueError(
                    f"integrator.{key} = '{given}' has a box of cells and a constant D_C; accepted {where}: {others}"
                )
        if self.space.kind != "box" and "csv" in self.output.formats:
            raise ValueError("output.formats = 'csv' is for boxes; accepted on a mesh: 'vtk'")
        volumes = {f"initial.{field}": file for field, file in self.initial.files.items()}
        for key, volume in (volumes | {"parameters.D_C": self.parameters.mask}).items():
            if self.space.kind != "box" and volume and volume.ignore_geometry:
                raise ValueError(f"{key}: ignore_geometry = true is for boxes; accepted on a mesh: false")
        if self.integrator.dt < self.time.end / 1e9:
            raise ValueError(f"integrator.dt = {self.integrator.dt:g}; accepted: at least time.end / 1e9")
        if self.output.every and self.output.every < self.time.end / 1e6:
            raise ValueError(f"output.every = {self.output.every:g}; accepted: 0, or at least time.end / 1e6")
        through, axis = self.output.line.through, self.output.line.axis
        if through and self.space.lengths:
            across = [length for name, length in zip("xyz", self.space.lengths, strict=True) if name != axis]
            if not all(0.0 <= x <= length for x, length in zip(through, across, strict=True)):
                raise ValueError(f"output.line.through = {list(through)}; accepted: inside the box, up to {across}")
        self._check_events()
        return self

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
                if not isfinite(value) or (name in MODEL.positive and value == 0.0):
                    raise ValueError(
                        f"intervention.{n}.scale: {name} = {factor:g} makes {name} {value:g}; accepted: a factor that "
                        f"leaves it finite{' and greater than 0' if name in MODEL.positive else ''}"
                    )

    def tables(self) -> dict[str, Any]:
        """The run file with every default written out; validating it gives this scenario again."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        tables["parameters"] = {"preset": self.parameters.preset} | self.parameters.values._asdict()
        if self.parameters.mask:
            tables["parameters"]["D_C"] = self.parameters.mask.model_dump()
        return tables

    def toml(self) -> str:
        """`tables()` as the text of a run file."""
        text = tomli_w.dumps(self.tables())
        # TOML lets characters stand that some terminals obey.
        return re.sub(r"[^ -~\n]", lambda c: c[0] if c[0].isprintable() else f"\\U{ord(c[0]):08X}", text)
