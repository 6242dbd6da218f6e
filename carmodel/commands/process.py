"""How a command ends: what it says, with which exit code, and that all ranks end together."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from time import monotonic, sleep
from typing import NoReturn, TypeVar

from ..tools.environment import launched_rank
from ..tools.errors import InputError, NumericsError
from ..tools.messages import one_line, printable

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
        case BrokenPipeError(filename=None):  # whoever read our output has gone, as `head` does
            return 141, ""
        case OSError(filename=None, strerror=str(reason)):
            return 3, f"output: cannot be written: {reason}"
        case OSError(filename=str(name), strerror=str(reason)):
            return 3, one_line(f"{name}: {reason}")
    return 1, "".join(traceback.format_exception(error)).rstrip()


def end(error: BaseException | None, code: int = 0) -> int:
    """End a command that raised an error, or none: print what there is to say, once for all ranks; the exit code.

    A rank that is alone with its error ends the job.  Collective over MPI.COMM_WORLD where mpirun has started the
    process.  Alone, a bug is raised again, for Python to print.
    """
    text = ""
    if error is not None:
        code, text = explain(error)
    if not ("mpi4py.MPI" in sys.modules or launched_rank()):
        ranks = 1
    else:
        from mpi4py import MPI

        ranks = MPI.COMM_WORLD.size
    if ranks == 1:
        if error is not None and is_bug(error):
            raise error
        _say(text)
        return code
    # MPI's own end would wait for all ranks as well.
    if not all_ranks_arrive(PATIENCE if error else None):
        _abort(code, text)
    answers = MPI.COMM_WORLD.allgather((code, text))
    if MPI.COMM_WORLD.rank == 0:
        _say("\n".join(dict.fromkeys(said for _, said in answers if said)))
    return next((found for found, _ in answers if found), 0)


def is_bug(error: BaseException) -> bool:
    """Whether an error is a mistake in the program, whose traceback is wanted."""
    return explain(error)[1].startswith("Traceback")


@contextmanager
def ending_together(last_words: Callable[[str], None] = lambda _: None) -> Iterator[ExitStack]:
    """A stack of what is to be destroyed at the end; collective over MPI.COMM_WORLD, as destroying is.

    After an error of all ranks it is destroyed, too, and the error passes on.  A rank that is alone with its error
    ends the job at once: the others wait for it for ever.  `last_words` is then called with the error in one line.
    """
    from mpi4py import MPI

    with ExitStack() as stack:
        try:
            yield stack
        except BaseException as error:
            if MPI.COMM_WORLD.size > 1 and not all_ranks_arrive(PATIENCE):
                code, text = explain(error)
                rank = MPI.COMM_WORLD.rank
                if is_bug(error):
                    text = f"rank {rank}:\n{text}"
                elif not isinstance(error, InputError | NumericsError):
                    text = one_line(f"rank {rank}: {text or f'ended with exit code {code}'}")
                with suppress(Exception):
                    last_words(text.splitlines()[-1])
                _abort(code, text)
            raise


def all_ranks_arrive(patience: float | None) -> bool:
    """Whether all ranks call this, too; False after `patience` seconds without them, None being no limit."""
    from mpi4py import MPI

    deadline = monotonic() + (inf if patience is None else patience)
    barrier = MPI.COMM_WORLD.Ibarrier()
    while not barrier.Test():
        if monotonic() > deadline:
            return False
        sleep(0.005)
    return True


def together(action: Callable[[], T]) -> T:
    """Do something on every rank; if any rank finds the input wrong, all raise the first one's InputError."""
    from mpi4py import MPI

    result, complaint = None, None
    try:
        result = action()
    except InputError as error:
        complaint = str(error)
    if complaints := [text for text in MPI.COMM_WORLD.allgather(complaint) if text]:
        raise InputError(complaints[0])
    return result  # type: ignore[return-value]


def _say(text: str) -> None:
    if text:
        lines = [printable(line) + "\n" for line in text.split("\n")]
        with suppress(OSError):  # nobody reads it
            # In one piece: other ranks and mpirun write there as well.
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


def _abort(code: int, text: str) -> NoReturn:
    """End all ranks; `code` becomes mpirun's."""
    from mpi4py import MPI

    with suppress(OSError):
        sys.stdout.flush()
    _say(text)
    MPI.COMM_WORLD.Abort(code or 1)  # a rank that leaves the others alone has not done its work
    raise SystemExit(code or 1)  # not reached
