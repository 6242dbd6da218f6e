"""What all tables of a run file share: unknown keys are errors, numbers are finite and within their ranges."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from ..model import Model
from ..models import DEFAULT, named

NonNegative = Annotated[FiniteFloat, Field(ge=0.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
Axis = Literal["x", "y", "z"]


def unknown_key(key: str, accepted: Iterable[str]) -> PydanticCustomError:
    """The error that a table accepts no such key."""
    accepted = sorted(accepted)
    close = get_close_matches(key, accepted, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return PydanticCustomError("unknown_key", f"unknown key '{key}'{hint}; accepted: {', '.join(accepted)}")


def one_of(names: Iterable[str]) -> str:
    """'a', 'b' or 'c'."""
    *others, last = (f"'{name}'" for name in names)
    return f"{', '.join(others)} or {last}" if others else last


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


#: The model of the run file that is being read; None where none says.
_READ: ContextVar[Model | None] = ContextVar("model of the run file that is being read", default=None)


@contextmanager
def reading_for(model: Model) -> Iterator[None]:
    """Tables that are made meanwhile belong to this model."""
    token = _READ.set(model)
    try:
        yield
    finally:
        _READ.reset(token)


def read_model() -> Model:
    """The model of the run file that is being read, the default one where none is."""
    return _READ.get() or named(DEFAULT)


class ModelTable(Table):
    """A table whose keys depend on the model."""

    _model: Model = PrivateAttr(default_factory=read_model)

    @property
    def model(self) -> Model:
        """The run's."""
        return self._model
