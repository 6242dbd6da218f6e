"""Checkpoint files: the state of a run in HDF5, which all ranks write and any number of ranks read.

Rank 0 makes the file with room for every array, in natural order; then each rank puts its values where they belong, by
MPI.  No rank ever holds a whole field, and a full disk is found before anything is written into the room.  The first
bytes of the file, in front of HDF5's, hold a checksum of all others.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..spaces.layout import Layout, OfRanks, Shared, State
from ..tools.files import STATE_BYTES, open_regular

Array = NDArray[np.float64]

#: Bytes in front of HDF5's, which begin with `TITLE` and the checksum; those that are hashed at a time.
HEAD, PIECE = 512, 1 << 24
TITLE = b"carmodel checkpoint 1, sha256 "

#: Name in the file of what is no array, as JSON.
REST = "state"

# Keys of that JSON for an array of the file, for a small array, and for one value a rank.
_SHARED, _ARRAY, _OF_RANKS = "$shared", "$array", "$ranks"


class DamagedError(Exception):
    """Why a file is no whole checkpoint."""


def write(path: Path, state: State, comm: MPI.Intracomm) -> int:
    """Write a state to a file that is there whole or not at all, on the disk when this returns; its bytes; collective.

    Raises OSError, with the name of the file: on all ranks where rank 0 finds the disk full.
    """
    shared: dict[str, Shared] = {}
    rest = json.dumps(_packed(state, "", shared, comm))
    new = path.with_name(f"{path.name}.new")
    try:
        offsets, size = _at_root(comm, path, lambda: _with_room(new, rest, shared))
        with _errors_of(path):
            _transfer(comm, new, MPI.MODE_WRONLY, _written(shared, offsets))
        digest = _digest(new, size, comm)
        _at_root(comm, path, lambda: _finish(path, new, digest))
    except BaseException:
        if comm.rank == 0:
            with suppress(OSError):
                new.unlink()
        raise
    return int(size)


class StateFile:
    """A checkpoint, opened by all ranks; collective.

    Raises DamagedError, on every rank, where it is not whole.
    """

    def __init__(self, path: Path, comm: MPI.Intracomm) -> None:
        self._path, self._comm = path, comm
        found = comm.bcast(_complaint_of(lambda: self._head()) if comm.rank == 0 else None)
        if isinstance(found, str):
            raise DamagedError(found)
        size, digest = found
        same = _digest(path, size, comm) == digest
        if not comm.allreduce(same, MPI.LAND):
            raise DamagedError("its checksum is not that of its content")
        found = comm.bcast(_complaint_of(lambda: _opened(path)) if comm.rank == 0 else None)
        if isinstance(found, str):
            raise DamagedError(found)
        #: What is no array, and where the arrays begin, with their shapes.
        self._rest, self._arrays = found

    def _head(self) -> tuple[int, str]:
        """Size and checksum of the file."""
        with open_regular(self._path, STATE_BYTES) as file:
            head = file.read(HEAD)
            size = os.fstat(file.fileno()).st_size
        line = head.split(b"\n")[0]
        if not line.startswith(TITLE) or len(head) < HEAD:
            raise ValueError("is no checkpoint")
        return size, line.removeprefix(TITLE).decode("ascii", "replace")

    def read(self, key: str) -> Any:
        """What the state has under a key, its `Shared` parts as `Stored`; the same on all ranks."""
        return self._unpacked(self._rest[key])

    def _unpacked(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._unpacked(part) for part in value]
        if not isinstance(value, dict):
            return value
        if _SHARED in value:
            name = value[_SHARED]
            return Stored(self._path, self._comm, *self._arrays[name])
        if _ARRAY in value:
            return np.array(value[_ARRAY], dtype=value["kind"])
        if _OF_RANKS in value:
            every = np.array(value[_OF_RANKS], dtype=float)
            if len(every) == self._comm.size:
                return np.array(every[self._comm.rank])
            return every.sum(axis=0) if self._comm.rank == 0 else np.zeros_like(every[0])
        return {key: self._unpacked(part) for key, part in value.items()}


class Stored:
    """An array of a checkpoint, to be read by each rank for its part."""

    def __init__(self, path: Path, comm: MPI.Intracomm, offset: int, shape: tuple[int, ...]) -> None:
        self._path, self._comm, self._offset, self.shape = path, comm, offset, tuple(shape)

    def part(self, layout: Layout) -> Array:
        """This rank's part, shape (*leading, *layout.shape); collective.

        Raises DamagedError where the array is another.
        """
        depth = len(layout.whole)
        leading = self.shape[: len(self.shape) - depth]
        if self.shape[len(leading) :] != layout.whole:
            raise DamagedError(f"has an array of {self.shape} values where this run has {layout.whole}")
        result = np.empty((*leading, *layout.shape))
        parts = result.reshape(-1, *layout.shape)
        with _errors_of(self._path):
            _transfer(self._comm, self._path, MPI.MODE_RDONLY, _read(parts, layout, self._offset))
        return result


# ---- the parts of a state -------------------------------------------------------------------------------------------


def _packed(value: Any, name: str, shared: dict[str, Shared], comm: MPI.Intracomm) -> Any:
    """As JSON takes it; arrays that ranks share go to `shared`, by name; collective."""
    match value:
        case Shared():
            shared[name] = value
            return {_SHARED: name}
        case OfRanks(values):
            return {_OF_RANKS: [share.tolist() for share in comm.allgather(values)]}
        case np.ndarray():
            return {_ARRAY: value.tolist(), "kind": value.dtype.str}
        case np.generic():
            return value.item()
        case Mapping():
            return {key: _packed(part, f"{name}.{key}".lstrip("."), shared, comm) for key, part in value.items()}
        case list() | tuple():
            return [_packed(part, f"{name}.{n}", shared, comm) for n, part in enumerate(value)]
    return value


def _with_room(new: Path, rest: str, shared: Mapping[str, Shared]) -> tuple[list[int], int]:
    """Make the file, with room on the disk for every array; where each begins, and the size of the file."""
    new.unlink(missing_ok=True)  # left by a run that was killed, or somebody's link to somewhere else
    offsets = []
    try:
        with h5py.File(new, "x", userblock_size=HEAD, libver="v110") as file:
            file.create_dataset(REST, data=np.frombuffer(rest.encode(), dtype=np.uint8))
            for name, (values, layout) in shared.items():
                shape = (*values.shape[: values.ndim - len(layout.shape)], *layout.whole)
                room = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                room.set_layout(h5py.h5d.CONTIGUOUS)
                room.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                room.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                kind = h5py.h5t.IEEE_F64LE
                data = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), room)
                offsets.append(int(data.get_offset()))
    except OSError as error:
        raise OSError(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO)) from None
    size = max([new.stat().st_size, *(o + 8 * _whole(part) for o, part in zip(offsets, shared.values(), strict=True))])
    with new.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return offsets, size


def _whole(part: Shared) -> int:
    """Values of a shared array on all ranks."""
    leading = part.values.shape[: part.values.ndim - len(part.layout.shape)]
    return int(np.prod([*leading, *part.layout.whole]))


def _finish(path: Path, new: Path, digest: str) -> None:
    """Write the checksum, have the disk keep all, give the file its name."""
    with new.open("r+b") as file:
        file.write(TITLE + digest.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _opened(path: Path) -> tuple[Any, dict[str, tuple[int, tuple[int, ...]]]]:
    """What is no array, and offset and shape of what is.  Raises ValueError where the file holds anything else."""
    arrays = {}
    with h5py.File(path, "r") as file:
        for name in file:
            data = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
            if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.chunks:
                raise ValueError(f"holds {name}, which no run has written")
            if name != REST:
                arrays[name] = int(data.id.get_offset() or 0), data.shape
                if data.dtype != np.float64:
                    raise ValueError(f"holds {name} of another type")
        return json.loads(bytes(file[REST][()])), arrays


# ---- what ranks do together -----------------------------------------------------------------------------------------


def _written(shared: Mapping[str, Shared], offsets: list[int]) -> Iterator[tuple[int, Layout, Callable[[Any], None]]]:
    for (values, layout), offset in zip(shared.values(), offsets, strict=True):
        for n, part in enumerate(values.reshape(-1, *layout.shape)):
            yield offset + 8 * n * int(np.prod(layout.whole)), layout, _put(layout.in_order(part))


def _put(ordered: Array) -> Callable[[Any], None]:
    return lambda file: file.Write_all(ordered)


def _read(parts: Array, layout: Layout, offset: int) -> Iterator[tuple[int, Layout, Callable[[Any], None]]]:
    for n in range(len(parts)):
        yield offset + 8 * n * int(np.prod(layout.whole)), layout, _take(parts, n, layout)


def _take(parts: Array, n: int, layout: Layout) -> Callable[[Any], None]:
    def take(file: Any) -> None:
        ordered = np.empty(int(np.prod(layout.shape)))
        file.Read_all(ordered)
        parts[n] = layout.from_order(ordered)

    return take


def _transfer(
    comm: MPI.Intracomm, path: Path, mode: int, parts: Iterator[tuple[int, Layout, Callable[[Any], None]]]
) -> None:
    """Move parts of arrays to or from the file, each from an offset on, at the places of its layout; collective."""
    file = MPI.File.Open(comm, str(path), mode)
    try:
        for offset, layout, move in parts:
            place = layout.place()
            if place is not None:
                place.Commit()
            file.Set_view(offset, MPI.DOUBLE, place or MPI.DOUBLE)
            move(file)
            if place is not None:
                place.Free()
        if mode == MPI.MODE_WRONLY:
            file.Sync()
    finally:
        file.Close()


def _digest(path: Path, size: int, comm: MPI.Intracomm) -> str:
    """SHA-256 of the SHA-256s of the pieces of the file after its head; each rank reads its share; collective."""
    mine = {}
    with path.open("rb") as file:
        for n in range(comm.rank, -(-(size - HEAD) // PIECE), comm.size):
            file.seek(HEAD + n * PIECE)
            mine[n] = sha256(file.read(PIECE)).digest()
    pieces: dict[int, bytes] = {}
    for share in comm.allgather(mine):
        pieces |= share
    return sha256(b"".join(pieces[n] for n in sorted(pieces))).hexdigest()


def _at_root(comm: MPI.Intracomm, path: Path, action: Callable[[], Any]) -> Any:
    """Do something on rank 0 and tell all the result, or raise its OSError on all; collective."""
    result, failed = None, None
    if comm.rank == 0:
        try:
            result = action()
        except OSError as error:
            failed = error.errno, error.strerror
    result, failed = comm.bcast((result, failed))
    if failed:
        raise OSError(*failed, str(path))
    return result


def _complaint_of(action: Callable[[], Any]) -> Any:
    """What the action gives, or in words why it fails."""
    try:
        return action()
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Let MPI's errors of files be those of the system."""
    try:
        yield
    except MPI.Exception as error:
        full = error.Get_error_class() in (MPI.ERR_NO_SPACE, MPI.ERR_QUOTA)
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number) if full else error.Get_error_string(), str(path)) from None
