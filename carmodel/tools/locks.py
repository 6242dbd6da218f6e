"""Advisory locks: the kernel drops them with the process that holds them, however it ends."""

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int | None:
    """Lock a file or folder for this process; the handle, to be closed by `os.close`, keeps the lock.

    None on file systems without locks.  Raises BlockingIOError where another process holds it, OSError where the path
    cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # over NFS a lock needs a handle to write with
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock; None where that is unknown, as on file systems without locks."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False
