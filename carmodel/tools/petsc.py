"""Starts PETSc as carmodel wants it; the rest of the package imports `PETSc` from here, which starts it if need be."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import petsc4py

if TYPE_CHECKING:
    from petsc4py import PETSc as PETSc

#: PETSc would read options from the current folder, and options may load libraries: a user who wants such a file says
#: so, with -options_file FILE.  Its signal handlers would end a run at the first broken pipe or hang-up.
OPTIONS = ("-skip_petscrc", "-no_signal_handler")


def start(options: Sequence[str] = ()) -> None:
    """Start PETSc with options as on its command line; what has been started stays as it is.

    Raises what PETSc raises where it cannot read them.
    """
    petsc4py.init(["carmodel", *OPTIONS, *options])


def __getattr__(name: str) -> Any:
    if name != "PETSc":
        raise AttributeError(name)
    start()  # before the import below, which would start it with the options of the current folder
    from petsc4py import PETSc

    return PETSc
