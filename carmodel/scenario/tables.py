"""What all tables of a run file share: unknown keys are errors, numbers are finite and within their ranges."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError

NonNegative = Annotated[FiniteFloat, Field(ge=0.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
Axis = Literal["x", "y", "z"]


def unknown_key(key: str, accepted: Iterable[str]) -> PydanticCustomError:
    """The error that a table accepts no such key."""
    accepted = sorted(accepted)
    close = get_close_matches(key, accepted, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return PydanticCustomError("unknown_key", f"unknown key '{key}'{hint}; accepted: {', '.join(accepted)}")


class Table(BaseModel):
    """A table of the run file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def accepted_keys(cls) -> list[str]:
        """The keys this table accepts, as the run file spells them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, tables: object) -> object:
        if isinstance(tables, Mapping) and cls.model_config["extra"] == "forbid":
            for key in tables:
                if key not in (accepted := cls.accepted_keys()):
                    raise unknown_key(key, accepted)
        return tables
