"""Writes a run directory: the observers of `output/`, together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..spaces import BoxSpace
from ..tools.errors import NumericsError
from ..tools.ranks import together
from ..tools.signals import held_interrupts
from .assembly import Assembly
from .directory import prepare
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

    Raises InputError, on every rank, when the folder holds another run or cannot be written.
    """

    def __init__(self, out: Path, said: str, assembly: Assembly, began: float) -> None:
        scenario, comm = assembly.scenario, assembly.space.comm
        together(comm, lambda: prepare(out, said, scenario) if comm.rank == 0 else None)
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
