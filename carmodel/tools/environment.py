"""Environment variables: set for a while for a library that reads them, and what mpirun says in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: One of these is set by mpirun, mpiexec or srun in each process they start.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")


def launched_rank() -> str | None:
    """Number of this process among those that mpirun, mpiexec or srun has started; None where none of them has."""
    return next((os.environ[name] for name in RANKS if os.environ.get(name)), None)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables of this process and of those that it starts meanwhile; afterwards they are as before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
