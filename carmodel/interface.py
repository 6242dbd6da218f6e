"""What scripts and notebooks drive runs with: `carmodel.case`, `carmodel.simulate` and `carmodel.open`."""

import warnings
from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .datasets import Run
from .model import Model
from .models import sound
from .results import RunDirectory
from .runs.simulation import Guard, Observer, Simulation
from .scenario.reading import WITHOUT_FILE, located, merged, one_run, read, under_key
from .scenario.scenario import Scenario
from .tools.errors import InputError
from .tools.ranks import ending_together
from .tools.signals import noted_interrupts

if TYPE_CHECKING:
    from mpi4py import MPI


def case(base: Scenario | str | PathLike[str] | None = None, /, **tables: Any) -> Scenario:
    """A validated scenario: what a run file says, in Python.

    `base` is another case, or a run file, that the tables are laid upon; without one a box of 40^3 cells, 1 cm, 1 day.
    `tables` are tables and keys of a run file (docs/runfile.md), as `time={"end": 3.0}`; dotted keys stand in a
    dictionary, as `**{"parameters.gamma": 0.5}`.  `model` may be a `Model` itself.

    Raises InputError that names key, value and what is accepted.

    >>> import carmodel
    >>> base = carmodel.case(space={"cells": [8, 8, 8]}, time={"end": 0.5})
    >>> carmodel.case(base, parameters={"gamma": 0.0}).parameters.values.gamma
    0.0
    """
    source: Any = "case"
    if isinstance(base, Scenario):
        below = base.given
    elif base is None:
        below = WITHOUT_FILE
    elif isinstance(base, str | PathLike):
        source = Path(fspath(base))
        below = read(source)
    else:
        raise InputError(f"case: {base!r}; accepted: a case, the name of a run file, or nothing")
    change: dict[str, Any] = {}
    for key, value in tables.items():
        change = merged(change, under_key(key, _plain(value)), {})
    given = merged(below, located(change, Path()))
    if isinstance(model := given.get("model"), Model):
        sound(model)
    return one_run(given, source)


def simulate(
    case: Scenario,
    *observers: Observer | Callable[[Simulation], None],
    out: str | PathLike[str] | None = None,
    comm: "MPI.Intracomm | None" = None,
    resume: bool = False,
) -> Run:
    """Run a case in this process; collective over `comm`.

    Without `out` nothing is written: tables are kept on every rank, fields on rank 0.  Ctrl-C stops the run after its
    step, what `out` holds is whole, and KeyboardInterrupt is raised.  Of density and clamping it warns on rank 0.

    `case` is what the function `case` gives, or a `Run.case`.  `observers` are told of what happens, in this order; a
    function is called with the `Simulation` at every output.  `out` is the run directory to be written, as by `carmodel
    run --out`: a folder that is not there, or an empty one.  `comm` is the communicator (mpi4py) whose ranks share the
    cells, MPI.COMM_WORLD unless given.  `resume`: go on from the newest checkpoint in `out`, if there is one.

    Raises InputError where the case or the folder cannot be used, NumericsError where the numerics fail.

    >>> import carmodel
    >>> run = carmodel.simulate(carmodel.case(space={"cells": [8, 8, 8]}, time={"end": 0.1}))
    >>> run.series["t"].iloc[-1]
    0.1
    """
    began = perf_counter()
    if not isinstance(case, Scenario):
        raise InputError(f"simulate: {type(case).__name__}; accepted: what carmodel.case gives")
    if not all(isinstance(observer, Observer) or callable(observer) for observer in observers):
        raise InputError("simulate: an observer is none; accepted: carmodel.Observer, or a function of the run")
    if resume and out is None:
        raise InputError("simulate: resume = True; accepted with out, the run directory to go on in")
    from mpi4py import MPI

    from .runs.assembly import Assembly
    from .runs.recording import Recording
    from .runs.resumption import Resumption, resumption
    from .runs.writing import DirectoryWriter
    from .tools.petsc import PETSc  # noqa: F401  starts it without the options of the current folder

    comm = comm or MPI.COMM_WORLD
    told = [observer if isinstance(observer, Observer) else _AtOutputs(observer) for observer in observers]
    sound(case.model)
    with ending_together(comm) as owned:
        folder, said = Path(fspath(out or "")), f"out = {str(out)!r}"
        found = resumption(folder, said, case, comm, _warn) if resume and out is not None else Resumption()
        owned.callback(found.give_up)
        if found.is_finished:
            return Run(RunDirectory(folder), folder)
        assembly = Assembly(case, comm, "case", _warn, found.saved)
        owned.callback(assembly.destroy)
        if out is None:
            recording = Recording(case)
            with noted_interrupts() as signals:
                guard = Guard(lambda: signals[0] if signals else 0)
                simulation = assembly.simulation([recording, *told], guard)
                simulation.run()
            run = Run(recording)
        else:
            writer = DirectoryWriter(folder, said, assembly, began, found.lock)
            owned.callback(writer.close)
            with ending_together(comm, writer.give_up), noted_interrupts() as signals:
                simulation = assembly.simulation([*told, *writer.observers], writer.guard(assembly, signals))
                with writer.told_of_a_full_disk(simulation):
                    simulation.run()
            comm.barrier()  # rank 0 has written
            run = Run(RunDirectory(folder), folder)
    if simulation.stopped_by:
        raise KeyboardInterrupt
    if comm.rank == 0:
        for line in run.warnings:
            _warn(line)
    return run


def open_run(folder: str | PathLike[str]) -> Run:
    """A run directory, read as it is asked for; also of a run that goes on, or of one that was killed.

    Raises InputError where the folder is none.
    """
    path = Path(fspath(folder))
    return Run(RunDirectory(path), path)


class _AtOutputs(Observer):
    """Calls a function at every output."""

    def __init__(self, function: Callable[[Simulation], None]) -> None:
        self._function = function

    def output(self, run: Simulation) -> None:
        self._function(run)


def _warn(line: str) -> None:
    """In the words of the command line, at the line of the program that called `simulate`."""
    warnings.warn(line, stacklevel=3)


def _plain(value: Any) -> Any:
    """What a run file could hold, of numpy's numbers and arrays, paths, tuples and nested tables."""
    match value:
        case Model() | str():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return value.tolist()
        case PathLike():
            return fspath(value)
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
