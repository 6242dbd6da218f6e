"""Signals that ask a process to stop: noted while a run lasts, held back while they would do harm."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from time import perf_counter
from types import FrameType


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block has ended.

    For the first import of VTK: broken off inside, it ends in a crash or in errors of its own.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """The signals that came in, in order, SIGUSR1 among them; handlers are put back at the end.

    One that asks to stop more than a second after the first such ends the process at once: mpirun sends its own twice.
    """
    received: list[int] = []
    first = inf

    def note(number: int, _frame: object) -> None:
        nonlocal first
        if number == signal.SIGUSR1:
            received.append(number)
            return
        if perf_counter() > first + 1.0:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        first = min(first, perf_counter())
        received.append(number)

    with signals_handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2), note):
        yield received


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """Ctrl-C is noted for a run that stops after its step; a second one is KeyboardInterrupt at once, as usual.

    Only where Python's own handler would take it: a program's own is left alone, and other threads than the main one
    get no signals.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            signal.default_int_handler(number, frame)
        received.append(number)

    main = threading.current_thread() is threading.main_thread()
    usual = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with signals_handled((signal.SIGINT,) if usual else (), note):
        yield received


@contextmanager
def signals_handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals handled in another way; the handlers of before are put back at the end.

    What is ignored already, as nohup does with SIGHUP, stays so.
    """
    before = {n: signal.signal(n, handler) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)
