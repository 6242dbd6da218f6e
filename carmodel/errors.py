"""The two ways a run can fail that are not bugs of ours; the command line turns them into one line and an exit code."""


class InputError(Exception):
    """The user's input is wrong: file, key, value and what is accepted, in one line (exit code 2)."""


class NumericsError(Exception):
    """The numerics failed: what, where and at which time, in one line (exit code 3)."""


class NotFiniteError(NumericsError):
    """A field is infinite or not a number, on every rank: a shorter step may help."""
