"""`[time]`, `[integrator]` and `[output]` of a run file."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from .tables import Axis, NonNegative, Positive, Table

Few = Annotated[int, Field(ge=1, le=1_000_000)]
# TOML has arrays, not tuples: the outer type is lenient, the numbers inside stay strict.
Across = Annotated[tuple[FiniteFloat, FiniteFloat], Field(strict=False)]


class Time(Table):
    """Days simulated."""

    end: Annotated[FiniteFloat, Field(gt=0.0, le=1e9)]


class IntegratorChoices(Table):
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
    checkpoint_every: NonNegative = 0.0
    checkpoint_minutes: NonNegative = 10.0
    checkpoint_at_end: bool = False
