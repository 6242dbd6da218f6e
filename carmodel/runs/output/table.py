"""A CSV file that grows by whole rows: what a full disk leaves of a row is taken back."""

import csv
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from pathlib import Path

#: Characters kept before they are written.
BUFFER = 1 << 16


class TableFile:
    """Rows of one CSV file, written in whole rows when `flush` is called or the buffer is full.

    `size`: bytes of a file that is there, to go on after; what follows them is cut off.

    Raises OSError, with the file's name, when the file exists (or, with a size, is shorter) or cannot be written; it
    then holds the rows up to the last `flush` that succeeded.
    """

    def __init__(self, path: Path, columns: Iterable[str], size: int | None = None) -> None:
        self.path = path
        new = os.O_CREAT | os.O_EXCL if size is None else 0
        self._handle = os.open(path, os.O_WRONLY | new, 0o666)
        #: Bytes of whole rows in the file.
        self.size = size or 0
        self._text = StringIO(newline="")
        self._rows = csv.writer(self._text)
        if size is None:
            self._rows.writerow(columns)
            return
        if os.fstat(self._handle).st_size < size:
            os.close(self._handle)
            raise OSError(errno.EIO, f"has less than the {size} bytes it had at the checkpoint", str(path))
        os.ftruncate(self._handle, size)
        os.lseek(self._handle, size, os.SEEK_SET)

    def add(self, row: Iterable[float]) -> None:
        """Add a row of numbers, each with all its digits."""
        self._rows.writerow([repr(float(value)) for value in row])
        if self._text.tell() >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what has been added."""
        rest = memoryview(self._text.getvalue().encode("ascii"))
        size = self.size + len(rest)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.size = size
        self._text.seek(0)
        self._text.truncate()

    def keep(self) -> int:
        """Write what has been added, and have the disk keep it; the file's size."""
        self.flush()
        os.fsync(self._handle)
        return self.size

    def close(self) -> None:
        """Write what has been added, and close."""
        try:
            self.flush()
        finally:
            os.close(self._handle)
