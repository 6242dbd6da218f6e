"""Writes a run directory: the observers of `output/`, together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from ..spaces import BoxSpace
from ..tools.errors import NumericsError
from ..tools.ranks import together
from ..tools.signals import held_interrupts
from .assembly import Assembly
from .checkpoints import Checkpoints
from .directory import prepare, renew_run_file
from .output.data_package import DataPackage
from .output.line import LineProfile
from .output.manifest import Manifest
from .output.published_csv import PublishedCsv
from .output.series import Series
from .simulation import Observer, Simulation


class DirectoryWriter:
    """Makes the run directory of an assembled run and has the observers that fill it; collective.

    Parameters
    ----------
    out: the folder; it may be there, without a run in it.
    said: the user's words for it, as messages name it.
    began: `perf_counter()` at the start of the run, for its manifest.
    lock: of the run directory that an assembly from a checkpoint goes on in, as of `directory.claim`.

    Raises InputError, on every rank, when the folder holds another run or cannot be written.
    """

    def __init__(self, out: Path, said: str, assembly: Assembly, began: float, lock: int | None = None) -> None:
        scenario, comm, saved = assembly.scenario, assembly.space.comm, assembly.saved
        self._lock = lock
        if saved is None:
            self._lock = together(comm, lambda: prepare(out, said, scenario) if comm.rank == 0 else None)
        elif comm.rank == 0:
            self._lock = renew_run_file(out, lock, scenario)
        self._out = out
        self._manifest = Manifest(out, began, scenario.model)
        #: Told of the run, the manifest last: it says how the others fared.
        self.observers: list[Observer] = [
            DataPackage(out, scenario),
            Series(out),
            LineProfile(out, scenario.output.line),
            *_volumes(out, assembly),
            self._manifest,
        ]
        states = saved.read("observers") if saved else {}
        for observer in self.observers:
            if (name := type(observer).__name__) in states:
                observer.restore(states[name])

    def guard(self, assembly: Assembly, signals: list[int], deadline: float = inf) -> Checkpoints:
        """What saves the run into its directory; arguments as of `Checkpoints`."""
        at = assembly.saved.read("run")["t"] if assembly.saved else 0.0
        return Checkpoints(self._out, assembly.scenario, self.observers, signals, deadline=deadline, started_at=at)

    def close(self) -> None:
        """Give the directory free."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def give_up(self, reason: str) -> None:
        """Say on any rank why the run ends, if it has a manifest yet."""
        self._manifest.give_up(reason)

    @contextmanager
    def told_of_a_full_disk(self, simulation: Simulation) -> Iterator[None]:
        """Turn an OSError of the run into a NumericsError that says what is saved."""
        try:
            yield
        except OSError as error:
            raise NumericsError(
                f"{error.filename or self._out}: cannot be written: {error.strerror}; "
                f"saved: {simulation.outputs} outputs"
            ) from error


def _volumes(out: Path, assembly: Assembly) -> Iterator[Observer]:
    scenario, space = assembly.scenario, assembly.space
    if "vtk" in scenario.output.formats:
        with held_interrupts():
            from .output.vtk import VtkVolumes  # brings in VTK
        yield VtkVolumes(out, scenario.model.units_of(scenario.parameters.preset))
    if "csv" in scenario.output.formats and isinstance(space, BoxSpace):
        yield PublishedCsv(out, space)
