"""Who destroys PETSc objects and communicators: what made them, also where it was made only half-way."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Owner:
    """Destroys what it owns when it is destroyed."""

    _owned: ExitStack | None = None

    def adopt(self, thing: T, destroy: Callable[[], Any] | None = None) -> T:
        """Take over something that `destroy`, its own method unless given, frees."""
        if self._owned is None:
            self._owned = ExitStack()
        self._owned.callback(destroy or thing.destroy)  # type: ignore[attr-defined]
        return thing

    def destroy(self) -> None:
        """Free what is owned, the last first; once freed, nothing more happens; collective."""
        if self._owned is not None:
            self._owned.close()


S = TypeVar("S", bound=Owner)


def destroyed_if_unfinished(make: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """For an `__init__`, or the part of it that makes what is owned: where it raises, that is destroyed."""

    @functools.wraps(make)
    def guarded(self: S, *arguments: P.args, **named: P.kwargs) -> None:
        try:
            make(self, *arguments, **named)
        except BaseException:
            self.destroy()
            raise

    return guarded
