"""How ranks act as one: an error of all ranks is raised on all; an error of one rank ends the whole job."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, NumericsError
from .messages import one_line, printable

if TYPE_CHECKING:  # most commands do without MPI
    from mpi4py import MPI

Array = NDArray[np.float64]
T = TypeVar("T")

#: Seconds that a rank with an error waits for the others.  An error that all ranks share reaches all at once.
PATIENCE = 3.0


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code of an error, and what to print: one line, nothing, or the traceback of a bug (code 1)."""
    match error:
        case InputError():
            return 2, str(error)
        case NumericsError():
            return 3, str(error)
        case MemoryError():
            return 3, one_line(f"out of memory: {error}" if str(error) else "out of memory")
        case KeyboardInterrupt():
            return 130, "interrupted"
        case SystemExit(code=int(code)):
            return code, ""
        case SystemExit(code=None):
            return 0, ""
        case SystemExit(code=text):
            return 1, one_line(text)
        case BrokenPipeError(filename=None):  # the reader of our output has ended, as `head` does
            return 141, ""
        case OSError(filename=None, strerror=str(reason)):
            return 3, f"output: cannot be written: {reason}"
        case OSError(filename=str(name), strerror=str(reason)):
            return 3, one_line(f"{name}: {reason}")
    return 1, "".join(traceback.format_exception(error)).rstrip()


def is_bug(error: BaseException) -> bool:
    """Whether an error is a mistake in the program, whose traceback is wanted."""
    return explain(error)[1].startswith("Traceback")


@contextmanager
def ending_together(comm: "MPI.Intracomm", last_words: Callable[[str], None] = lambda _: None) -> Iterator[ExitStack]:
    """A stack of what is to be destroyed at the end; collective over `comm`, as destroying is.

    After an error of all ranks it is destroyed, too, and the error is raised.  A rank that is alone with its error
    ends the job at once, because the others would wait for it for ever.  `last_words` is then called with the
    error in one line.
    """
    with ExitStack() as stack:
        try:
            yield stack
        except BaseException as error:
            if comm.size > 1 and not all_ranks_arrive(comm, PATIENCE):
                code, text = explain(error)
                if is_bug(error):
                    text = f"rank {comm.rank}:\n{text}"
                elif not isinstance(error, InputError | NumericsError):
                    text = one_line(f"rank {comm.rank}: {text or f'ended with exit code {code}'}")
                with suppress(Exception):
                    last_words(text.splitlines()[-1])
                abort(comm, code, text)
            raise


def all_ranks_arrive(comm: "MPI.Intracomm", patience: float | None) -> bool:
    """Whether all ranks call this, too; False after `patience` seconds without them, None being no limit."""
    deadline = monotonic() + (inf if patience is None else patience)
    barrier = comm.Ibarrier()
    while not barrier.Test():
        if monotonic() > deadline:
            return False
        sleep(0.005)
    return True


def together(comm: "MPI.Intracomm", action: Callable[[], T]) -> T:
    """Do something on every rank; if any rank finds the input wrong, all raise the first one's InputError."""
    result, complaint = None, None
    try:
        result = action()
    except InputError as error:
        complaint = str(error)
    if complaints := [text for text in comm.allgather(complaint) if text]:
        raise InputError(complaints[0])
    return result  # type: ignore[return-value]


def gathered(comm: "MPI.Intracomm", values: Array) -> Array | None:
    """Arrays of all ranks, each of shape (n,) with an n of its own, in a row on rank 0; None elsewhere; collective."""
    counts = comm.gather(len(values))
    if counts is None:
        comm.Gatherv(values, None)
        return None
    whole = np.empty(sum(counts))
    comm.Gatherv(values, (whole, counts))
    return whole


def say(text: str) -> None:
    """Write lines on stderr, unless there are none."""
    if text:
        lines = [printable(line) + "\n" for line in text.split("\n")]
        with suppress(OSError):  # stderr may be closed
            # In one piece: other ranks and mpirun write there as well.
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


def abort(comm: "MPI.Intracomm", code: int, text: str) -> NoReturn:
    """End all ranks; `code` becomes mpirun's."""
    with suppress(OSError):
        sys.stdout.flush()
    say(text)
    comm.Abort(code or 1)  # never 0: the job has not been done
    raise SystemExit(code or 1)  # not reached
