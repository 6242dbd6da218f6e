"""How many threads a rank may use: all its cores alone, one under MPI, where ranks fill the cores themselves."""

import os

import numba
from mpi4py import MPI

#: Cells from which sharing a loop among threads pays: below, waking and awaiting them costs more than the loop.
WORTHWHILE = 20_000


def thread_count(cells: int) -> int:
    """Threads for loops over so many cells: `OMP_NUM_THREADS` where it says so, else the cores this process may run on.

    1 on several ranks and for few cells.  Of OpenMP's list of numbers, one a level of nested loops, the first counts.
    """
    if MPI.COMM_WORLD.size > 1 or cells < WORTHWHILE:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    cores = len(os.sched_getaffinity(0))
    return min(int(wanted), cores) if wanted.isdecimal() and int(wanted) > 0 else cores


def limit_threads(cells: int) -> None:
    """Let the compiled loops use as many."""
    numba.set_num_threads(min(thread_count(cells), numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
