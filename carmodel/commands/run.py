"""`carmodel run`: a run file, a run directory, signals and progress around a run, on one rank or many."""

from pathlib import Path
from time import perf_counter

from ..scenario.reading import load
from ..tools import petsc
from ..tools.errors import InputError
from ..tools.ranks import ending_together, say, together
from ..tools.signals import caught_signals


def launch(file: Path, out: Path, overrides: list[str], petsc_options: list[str], quiet: bool) -> int:
    """Simulate a run file into the folder `out`; collective over MPI.COMM_WORLD.  Returns the exit code.

    Raises, on every rank, InputError before anything is written when the input is wrong, and NumericsError when the
    numerics fail.  A rank that is alone with an error, whatever it is, ends the job.
    """
    began = perf_counter()
    try:
        petsc.start(petsc_options)
    except Exception as error:
        raise InputError(f"PETSc options {petsc_options}: {str(error).splitlines()[-1].strip()}") from None
    # PETSc takes its options when it is first imported, which these do.
    from mpi4py import MPI

    from ..runs.assembly import Assembly
    from ..runs.output.clamping import ClampingWarning
    from ..runs.output.progress import Progress
    from ..runs.writing import DirectoryWriter

    comm = MPI.COMM_WORLD
    with ending_together(comm) as owned:
        scenario = together(comm, lambda: load(file, overrides))
        assembly = Assembly(scenario, comm, str(file), say)
        owned.callback(assembly.destroy)
        writer = DirectoryWriter(out, f"--out {out}", assembly, began)
        observers = [*writer.observers, ClampingWarning()]
        if not quiet:
            observers.append(Progress())
        with ending_together(comm, writer.give_up), caught_signals() as signals:
            simulation = assembly.simulation(observers, lambda: signals[0] if signals else 0)
            with writer.told_of_a_full_disk(simulation):
                simulation.run()
    if comm.rank == 0 and not quiet:
        from ..results import RunDirectory
        from .summary import summary

        print(summary(RunDirectory(out)), flush=True)
    return 128 + simulation.stopped_by if simulation.stopped_by else 0
