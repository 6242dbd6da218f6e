"""Reads arrays from `.npz` files that come from elsewhere: the sizes that they state are held against the file."""

import os
import struct
import warnings
import zipfile
import zlib
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .files import VOLUME_BYTES, open_regular
from .memory import available, in_words

#: Arrays in a file, and bytes of its list of them.
MOST, LONGEST = 1000, 1_000_000

#: What Python's and numpy's readers raise where a file is not what it should be, beside ValueError.
_ERRORS = (
    OSError, EOFError, NotImplementedError, RuntimeError, MemoryError, SyntaxError, OverflowError, TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_arrays(path: Path, *names: str) -> list[NDArray[np.float64]]:
    """Arrays of numbers by name, of whatever shape, as float64.

    Raises ValueError that says what is wrong with the file.
    """
    with open_regular(path, VOLUME_BYTES) as file:
        _check_list(file)
        try:
            with zipfile.ZipFile(file) as members, warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                return [_read(members, f"{name}.npy") for name in names]
        except _ERRORS as error:
            raise ValueError(f"is damaged: {error}") from None


def _check_list(file: BinaryIO) -> None:
    """Python reads the list of a file's members whole, however long it says that it is."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    end = file.read().rjust(98, b"\0")
    if end[-22:-18] != b"PK\5\6":
        raise ValueError("is no .npz")
    count, length = struct.unpack("<HL", end[-12:-6])
    if end[-42:-38] == b"PK\6\7":  # a file of more than 4 GB says it before, in longer numbers
        count, length = struct.unpack("<QQ", end[32:48])
    if count > MOST or length > LONGEST:
        raise ValueError(f"has a list of {count} arrays in {length} bytes")


def _read(members: zipfile.ZipFile, name: str) -> NDArray[np.float64]:
    try:
        member = members.getinfo(name)
    except KeyError:
        raise ValueError(f"has no array '{name.removesuffix('.npy')}'") from None
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("is compressed in another way than numpy does")
    with members.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"'{name}' is of version {version}")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, kind = read_header(stream)
        size, rest = prod(shape) * kind.itemsize, member.file_size - stream.tell()
        if kind.kind not in "fiu" or size != rest:
            raise ValueError(f"'{name}' is {shape} of {kind}, in {rest} bytes")
        if 2 * size > (room := available()):
            raise ValueError(f"'{name}' takes {in_words(2 * size)} of memory; {in_words(room)} are left")
        content = stream.read(size)
    if len(content) != size:
        raise ValueError(f"'{name}' is cut off")
    values = np.frombuffer(content, kind).reshape(shape[::-1] if fortran else shape)
    return np.asarray(values.T if fortran else values, float)
