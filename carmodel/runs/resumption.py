"""How a run goes on in its directory, as `carmodel run --resume` has it."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mpi4py import MPI

from ..scenario.scenario import Scenario
from ..tools.documents import read_json, read_toml
from ..tools.errors import InputError
from ..tools.ranks import say, together
from .checkpoints import newest
from .directory import MANIFEST, RUN_FILE, claim, clear
from .statefile import StateFile


class Resumption(NamedTuple):
    """What is in a run directory: the checkpoint to go on from, if any; a lock on the run file; whether all is done."""

    saved: StateFile | None = None
    lock: int | None = None
    is_finished: bool = False

    def give_up(self) -> None:
        """Give the directory free."""
        if self.lock is not None:
            with suppress(OSError):
                os.close(self.lock)


def resumption(
    out: Path, said: str, scenario: Scenario, comm: MPI.Intracomm, tell: Callable[[str], Any] = say
) -> Resumption:
    """Look for what a scenario can go on from in the folder `out`; collective.

    Where there is nothing, `tell` is told so on rank 0, and what a run without a checkpoint left there is removed.
    `said`: the user's words for the folder.

    Raises InputError, on every rank, where the folder holds another run, or one that goes on.
    """
    found = together(comm, lambda: _claimed(out, said, scenario) if comm.rank == 0 else None)
    is_there, is_finished = comm.bcast((found is not None, found is not None and found.is_finished))
    mine = found or Resumption()
    if is_finished:
        return Resumption(None, mine.lock, True)
    saved = newest(out, scenario, comm, tell) if is_there else None
    if saved is None and comm.rank == 0:
        tell(f"{said}: {'no checkpoint' if is_there else 'no run'} to go on from; it starts at t = 0")
    if saved is None and is_there:
        together(comm, lambda: _cleared(out, said, mine))
        return Resumption()
    return Resumption(saved, mine.lock)


def _claimed(out: Path, said: str, scenario: Scenario) -> Resumption | None:
    """None where no run is in the folder."""
    if not os.path.lexists(out / RUN_FILE):
        return None
    lock = claim(out, said, scenario)
    with suppress(ValueError):
        manifest = read_json(out / MANIFEST)
        tables, _ = read_toml(out / RUN_FILE)
        ended = isinstance(manifest, dict) and manifest.get("status") == "finished"
        return Resumption(None, lock, ended and tables.get("time", {}).get("end") == scenario.time.end)
    return Resumption(None, lock)


def _cleared(out: Path, said: str, mine: Resumption) -> None:
    if mine.lock is None:
        return
    try:
        clear(out)
    except OSError as error:
        raise InputError(f"{said}: cannot be written: {error.strerror}; accepted: a folder to write in") from None
    finally:
        mine.give_up()
