"""`carmodel run`: a run file, a run directory, signals and progress around a run, on one rank or many."""

from math import inf
from pathlib import Path
from time import perf_counter, time
from typing import NamedTuple

from ..scenario.reading import load
from ..tools import petsc
from ..tools.errors import InputError
from ..tools.ranks import ending_together, say, together
from ..tools.signals import caught_signals
from ..tools.walltime import deadline

#: Exit code of a run that stopped before its time was up, to be resumed.
STOPPED_IN_TIME = 4


class Wishes(NamedTuple):
    """How a run is to be made.

    out: its folder.  overrides: KEY=VALUE.  petsc_options: as on PETSc's command line.  quiet: no progress, no summary.
    resume: to go on in the folder.  walltime: how long it may take, as 11h50m; None is as SLURM says.
    """

    out: Path
    overrides: list[str]
    petsc_options: list[str]
    quiet: bool = False
    resume: bool = False
    walltime: str | None = None


def launch(file: Path, wishes: Wishes) -> int:
    """Simulate a run file; collective over MPI.COMM_WORLD.  Returns the exit code.

    Raises, on every rank, InputError before anything is written when the input is wrong, and NumericsError when the
    numerics fail.  A rank that is alone with an error, whatever it is, ends the job.
    """
    began, out, said = perf_counter(), wishes.out, f"--out {wishes.out}"
    began_at = time()
    try:
        petsc.start(wishes.petsc_options)
    except Exception as error:
        raise InputError(f"PETSc options {wishes.petsc_options}: {str(error).splitlines()[-1].strip()}") from None
    # PETSc takes its options when it is first imported, which these do.
    from mpi4py import MPI

    from ..runs.assembly import Assembly
    from ..runs.output.clamping import ClampingWarning
    from ..runs.output.progress import Progress
    from ..runs.resumption import Resumption, resumption
    from ..runs.writing import DirectoryWriter

    comm = MPI.COMM_WORLD
    with ending_together(comm) as owned:
        scenario = together(comm, lambda: load(file, wishes.overrides))
        until = together(comm, lambda: deadline(wishes.walltime, began_at) if comm.rank == 0 else inf)
        found = resumption(out, said, scenario, comm) if wishes.resume else Resumption()
        owned.callback(found.give_up)
        if found.is_finished:
            if comm.rank == 0:
                say(f"{said}: the run is finished; nothing to do")
            return 0
        assembly = Assembly(scenario, comm, str(file), say, found.saved)
        owned.callback(assembly.destroy)
        writer = DirectoryWriter(out, said, assembly, began, found.lock)
        owned.callback(writer.close)
        observers = [*writer.observers, ClampingWarning()]
        if not wishes.quiet:
            observers.append(Progress())
        with ending_together(comm, writer.give_up), caught_signals() as signals:
            simulation = assembly.simulation(observers, writer.guard(assembly, signals, until))
            with writer.told_of_a_full_disk(simulation):
                simulation.run()
    if comm.rank == 0 and not wishes.quiet:
        from ..results import RunDirectory
        from .summary import summary

        print(summary(RunDirectory(out)), flush=True)
    if simulation.out_of_time:
        return STOPPED_IN_TIME
    return 128 + simulation.stopped_by if simulation.stopped_by else 0
