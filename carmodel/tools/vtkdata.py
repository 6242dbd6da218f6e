"""The numbers of an array in a VTK XML file: where they are, whether all are there, what they are."""

import zlib
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

#: VTK's compressors; None for none.
COMPRESSORS = (None, "vtkZLibDataCompressor", "vtkLZ4DataCompressor")

#: Bytes of a block before it was compressed, and blocks of an array.
LARGEST_BLOCK, MOST_BLOCKS = 1 << 28, 10_000_000


@dataclass(frozen=True)
class Stored:
    """An array in a file, from byte `start` to at most `stop`.

    `form`: "ascii", "base64" or "raw".  `word`: the type of the counts that stand before the numbers;
    `order`: of the bytes of both.
    """

    file: BinaryIO
    start: int
    stop: int
    form: str
    compressor: str | None
    word: np.dtype[Any]
    order: Literal["<", ">"]

    def check(self, size: int, values: int) -> None:
        """Raise ValueError unless there are so many bytes, or in ASCII room for so many values."""
        if self.form == "ascii":
            if 2 * values - 1 > self.stop - self.start:
                raise ValueError("is cut off")
        elif (found := self._size()) != size:
            raise ValueError(f"has {found} bytes for {size}")

    def check_texts(self, count: int, most: int) -> None:
        """Raise ValueError unless there are so many texts of at most so many bytes, each with a zero at its end."""
        size = self.stop - self.start if self.form == "ascii" else self._size()
        if size > most:
            raise ValueError(f"has {size} bytes of text")
        values = self.values("u1")
        if (values == 0).sum() != count or values[-1:].any():
            raise ValueError(f"has not {count} texts")

    def values(self, kind: str) -> NDArray[Any]:
        """The integers, of a numpy type without its byte order.  Raises ValueError where they cannot be read."""
        if self.form == "ascii":
            text = self._read(self.start, self.stop - self.start, raw=True).partition(b"<")[0]
            try:
                return np.array(text.split() or np.zeros(0)).astype(np.int64)
            except (ValueError, OverflowError):
                raise ValueError("is damaged") from None
        size, width = self._size(), self.word.itemsize
        if self.compressor is None:
            content = self._read(self.start, width + size)[width:]
        elif self.compressor == "vtkZLibDataCompressor":
            content = b"".join(self._blocks())
        else:
            raise ValueError("is compressed by LZ4; accepted of cells and texts: by zlib or not at all")
        return np.frombuffer(content, np.dtype(kind).newbyteorder(self.order))

    def _size(self) -> int:
        """Bytes of the numbers, that are all in the file if its counts are true."""
        if self.compressor is None:
            (size,) = self._words(1)
            self._check_room(self.start, self.word.itemsize + size)
            return size
        count, block, last = self._words(3)
        if not 0 <= last <= block <= LARGEST_BLOCK or count > MOST_BLOCKS or (count and not block):
            raise ValueError(f"has {count} blocks of {block} bytes")
        self._check_room(self._first_block(count), sum(self._words(3 + count)[3:]))
        return (count - bool(last)) * block + last if count else 0

    def _blocks(self) -> list[bytes]:
        count, block, _, *lengths = self._words(3 + self._words(1)[0])
        packed = self._read(self._first_block(count), sum(lengths))
        blocks, begin = [], 0
        for length in lengths:
            try:
                blocks.append(zlib.decompressobj().decompress(packed[begin : begin + length], block))
            except zlib.error:
                raise ValueError("is damaged") from None
            begin += length
        return blocks

    def _first_block(self, count: int) -> int:
        """Where the blocks start: in base64 the counts are a text of their own."""
        counts = (3 + count) * self.word.itemsize
        return self.start + (counts if self.form == "raw" else _characters(counts))

    def _words(self, count: int) -> list[int]:
        content = self._read(self.start, count * self.word.itemsize)
        return [int(word) for word in np.frombuffer(content, self.word)]

    def _check_room(self, begin: int, size: int) -> None:
        if begin + (size if self.form == "raw" else size * 4 // 3) > self.stop:
            raise ValueError("is cut off")

    def _read(self, begin: int, size: int, *, raw: bool = False) -> bytes:
        """So many bytes from a place in the file."""
        raw = raw or self.form == "raw"
        length = size if raw else _characters(size)
        if begin + length > self.stop:
            raise ValueError("is cut off")
        self.file.seek(begin)
        content = self.file.read(length)
        try:
            content = content if raw else b64decode(content, validate=True)[:size]
        except ValueError:
            raise ValueError("is damaged") from None
        if len(content) != size:
            raise ValueError("is cut off")
        return content


def _characters(size: int) -> int:
    """Of so many bytes in base64."""
    return 4 * -(-size // 3)
