"""Opens files that come from elsewhere: regular ones, up to a size that the reader states, and nothing else.

A device or a pipe may hold a reader for ever, and an endless file fills the memory.  What a run writes anew is written
beside the old file, never through a link that stands there.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: Largest sizes: a run file with its bases; a model; a manifest or verdicts; an index of volumes.
RUN_FILE_BYTES, MODEL_BYTES, JSON_BYTES, INDEX_BYTES = 2_000_000, 1_000_000, 16_000_000, 16_000_000

#: Largest size of a checkpoint.
STATE_BYTES = 1 << 44

#: Largest sizes: a table in CSV; a mesh; a volume; a line of text.
TABLE_BYTES, MESH_BYTES, VOLUME_BYTES, LINE_CHARACTERS = 8_000_000_000, 8_000_000_000, 200_000_000_000, 1_000_000

_KINDS = {
    stat.S_IFDIR: "is a folder",
    stat.S_IFIFO: "is a pipe, no file",
    stat.S_IFSOCK: "is a socket, no file",
    stat.S_IFCHR: "is a device, no file",
    stat.S_IFBLK: "is a device, no file",
}


def open_regular(path: Path, most: int) -> BinaryIO:
    """A regular file of at most `most` bytes, open for reading.

    Raises ValueError that says in a few words why it is not.
    """
    try:
        _check(os.stat(path), most)  # before opening it: opening a device may start something
        # What stands there may have changed since; a pipe would wait for somebody who writes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _check(os.fstat(handle), most)
            return open(handle, "rb")
        except BaseException:
            os.close(handle)
            raise
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.  Raises ValueError as `open_regular`."""
    with open_regular(path, most) as file:
        try:
            content = file.read(most + 1)  # it may have grown, and some under /proc do not tell their size
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
    if content is None:  # it would have had to wait
        raise ValueError("cannot be read now")
    if len(content) > most:
        raise ValueError(f"has more than {most} bytes")
    return content


def read_text(path: Path, most: int, encoding: str = "utf-8") -> str:
    """The text of a regular file of at most `most` bytes.

    Raises ValueError as `open_regular`, and where it is no such text.
    """
    try:
        return read_bytes(path, most).decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"is no text in {encoding.removesuffix('-sig').upper()}") from None


def _check(found: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(_KINDS.get(stat.S_IFMT(found.st_mode), "is no file"))
    if found.st_size > most:
        raise ValueError(f"has {found.st_size} bytes; at most {most} are read")


def kept_on_disk(paths: Iterable[Path]) -> None:
    """Have the disk keep what was written to files, and their names in their folders.  Raises OSError."""
    paths = list(paths)
    for path in (*paths, *{path.parent for path in paths}):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends; where the block fails it is gone again.

    Its name is that of `path` with ".new".  Raises OSError when it cannot be made.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # left by a run that was killed, or somebody's link to somewhere else
    try:
        with new.open("xb") as file:
            yield file
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
