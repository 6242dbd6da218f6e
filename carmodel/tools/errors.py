"""The two kinds of failures that are not bugs: the command line turns them into one line and an exit code."""

from .messages import one_line


class _OneLineError(Exception):
    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class InputError(_OneLineError):
    """The user's input is wrong: file, key, value and what is accepted, in one line (exit code 2)."""


class NumericsError(_OneLineError):
    """The numerics failed: what, where and at which time, in one line (exit code 3)."""


class NotFiniteError(NumericsError):
    """A field is infinite or not a number, on every rank: a shorter step may help."""
