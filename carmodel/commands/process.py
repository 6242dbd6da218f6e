"""How a command ends: what it says, with which exit code, and that all ranks end together."""

import sys

from ..tools import ranks
from ..tools.environment import launched_rank
from ..tools.ranks import abort, all_ranks_arrive, explain, is_bug, say


def end(error: BaseException | None, code: int = 0) -> int:
    """End a command that raised an error, or none: print what there is to say, once for all ranks; the exit code.

    A rank that is alone with its error ends the job.  Collective over MPI.COMM_WORLD where mpirun has started the
    process.  Alone, a bug is raised again, for Python to print.
    """
    text = ""
    if error is not None:
        code, text = explain(error)
    comm = None
    if "mpi4py.MPI" in sys.modules or launched_rank():
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    if comm is None or comm.size == 1:
        if error is not None and is_bug(error):
            raise error
        say(text)
        return code
    # MPI's own end would wait for all ranks as well.
    if not all_ranks_arrive(comm, ranks.PATIENCE if error else None):
        abort(comm, code, text)
    answers = comm.allgather((code, text))
    if comm.rank == 0:
        say("\n".join(dict.fromkeys(said for _, said in answers if said)))
    return next((found for found, _ in answers if found), 0)
