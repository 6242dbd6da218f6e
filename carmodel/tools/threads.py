"""How many threads a rank may use: all its cores alone, one under MPI, where ranks fill the cores themselves."""

import functools
import os
from contextlib import ExitStack
from types import TracebackType

import numba
from mpi4py import MPI
from threadpoolctl import ThreadpoolController

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


class Threads:
    """`with Threads(cells):` compiled loops inside use `thread_count(cells)` threads, afterwards as many as before.

    BLAS, which PETSc's vectors use, has one thread inside: its threads and those of the loops would wait for each other
    by keeping a core busy.
    """

    def __init__(self, cells: int) -> None:
        self.count = min(thread_count(cells), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
        self._after: list[ExitStack] = []

    def __enter__(self) -> None:
        after = ExitStack()
        after.callback(numba.set_num_threads, numba.get_num_threads())
        numba.set_num_threads(self.count)
        after.enter_context(_thread_pools().limit(limits=1, user_api="blas"))
        self._after.append(after)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._after.pop().close()


@functools.cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
