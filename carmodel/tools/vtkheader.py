"""Checks what a VTK XML file says about its content against the file itself, before VTK reads it.

VTK believes an extent, a count or the size of a block, and reserves that much memory or writes that far.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .files import INDEX_BYTES, VOLUME_BYTES, open_regular
from .memory import available, in_words
from .vtkdata import COMPRESSORS, Stored
from .xmltree import Element, parse

#: The kind of data that a suffix stands for; other suffixes are images.
KINDS = {".vti": "ImageData", ".pvti": "PImageData", ".vtu": "UnstructuredGrid", ".pvtu": "PUnstructuredGrid"}

#: VTK's names of types, and numpy's.
TYPES = {
    **{f"Int{8 * n}": f"i{n}" for n in (1, 2, 4, 8)},
    **{f"UInt{8 * n}": f"u{n}" for n in (1, 2, 4, 8)},
    **{f"Float{8 * n}": f"f{n}" for n in (4, 8)},
}

#: Numbers of a tuple, and bytes of a text, that are believed.
MOST_COMPONENTS, LONGEST_TEXT = 1000, 1_000_000

#: Corners of the cells that VTK numbers so: tetrahedron, voxel, hexahedron, wedge, pyramid.
CORNERS = {10: 4, 11: 8, 12: 8, 13: 6, 14: 5}

_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)

Extent = tuple[int, ...]


@dataclass(frozen=True)
class ArrayHeader:
    """What an array is: VTK's name of its type, numbers of a tuple, bytes."""

    type: str
    components: int
    size: int


@dataclass(frozen=True)
class Header:
    """What a file holds: arrays by group (CellData, PointData, Points, ...) and name, and an image's extent."""

    arrays: dict[tuple[str, str], ArrayHeader]
    extent: Extent = ()

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(array.size for array in self.arrays.values())


def check_vtk(path: Path) -> None:
    """Raise ValueError, in a few words, unless VTK can read a file without harm.

    It is regular; each array is in it, as long as the extent or the counts say; all fit into memory; cells have corners
    that are there.  An index names such files beside or below it, and what it says of them is true.
    """
    kind = KINDS.get(path.suffix, KINDS[".vti"])
    if kind.startswith("P"):
        size = _check_index(path, kind)
    else:
        header, whole = _read_header(path, kind)
        if header.extent != whole:
            raise ValueError("has a piece that is not the whole image")
        size = header.size
    if size > (room := available()):
        raise ValueError(f"holds arrays of {in_words(size)}; {in_words(room)} of memory are left")


def inside(folder: Path, name: str) -> Path:
    """The file that an index in a folder names.  Raises ValueError where it is not beside or below it."""
    if not name or "\0" in name or os.path.isabs(name) or ".." in Path(name).parts:
        raise ValueError(f"names '{name[:100]}'; accepted: files beside or below it")
    return folder / name


# ---- files with numbers ----------------------------------------------------------------------------------------------


def _read_header(path: Path, kind: str) -> tuple[Header, Extent]:
    """What a `.vti` or `.vtu` holds, and the extent of the image of which it may be a piece."""
    with open_regular(path, VOLUME_BYTES) as file:
        root = parse(file, last="AppendedData")
        storage = _Storage(file, root)
        main = _main(root, kind)
        _check_parts(main, "FieldData", "Piece")
        pieces = main.all("Piece")
        if len(pieces) != 1:
            raise ValueError(f"has {len(pieces)} pieces; accepted: one")
        (piece,) = pieces
        arrays = {("FieldData", name): storage.field(part) for name, part in _arrays(main, "FieldData").items()}
        if kind == "ImageData":
            _check_parts(piece, "PointData", "CellData")
            whole, extent = _image_extent(main), _extent(piece, "Extent")
            if not _within(extent, whole):
                raise ValueError("has a piece outside the image")
            tuples = {"PointData": _points(extent), "CellData": _cells(extent)}
        else:
            _check_parts(piece, "PointData", "CellData", "Points", "Cells")
            whole = extent = ()
            points, cells = _count(piece, "NumberOfPoints"), _count(piece, "NumberOfCells")
            tuples = {"PointData": points, "CellData": cells, "Points": points}
            arrays |= storage.cells(_arrays(piece, "Cells"), points, cells)
        for group, count in tuples.items():
            arrays |= {(group, name): storage.numbers(part, count) for name, part in _arrays(piece, group).items()}
    if kind == "UnstructuredGrid" and [a.components for (group, _), a in arrays.items() if group == "Points"] != [3]:
        raise ValueError("has no points")
    return Header(arrays, extent), whole


class _Storage:
    """How a file stores its arrays."""

    def __init__(self, file: BinaryIO, root: Element) -> None:
        attributes = root.attributes
        self._file, self._compressor = file, attributes.get("compressor")
        order, word = attributes.get("byte_order"), attributes.get("header_type", "UInt32")
        if self._compressor not in COMPRESSORS:
            raise ValueError("is compressed; accepted: by zlib, by LZ4 or not at all")
        if order not in ("LittleEndian", "BigEndian") or word not in ("UInt32", "UInt64"):
            raise ValueError("does not say in which order its bytes are")
        self._order: Literal["<", ">"] = "<" if order == "LittleEndian" else ">"
        self._word = np.dtype(TYPES[word]).newbyteorder(self._order)
        self._appended, self._encoding, self._size = 0, "", file.seek(0, os.SEEK_END)
        for element in root.all("AppendedData"):
            self._appended = self._after_tag(element, b"_")
            self._encoding = element.attributes.get("encoding", "")
            if self._encoding not in ("raw", "base64"):
                raise ValueError("has appended data that are neither raw nor base64")

    def numbers(self, element: Element, tuples: int) -> ArrayHeader:
        """Check an array of so many tuples of numbers."""
        kind, components = element.attributes.get("type", ""), _count(element, "NumberOfComponents", 1)
        if kind not in TYPES or not 1 <= components <= MOST_COMPONENTS:
            raise ValueError(f"'{_name(element)}' is {components} times '{kind[:20]}'")
        values = tuples * components
        size = values * np.dtype(TYPES[kind]).itemsize
        with _about(element):
            self._stored(element).check(size, values)
        return ArrayHeader(kind, components, size)

    def field(self, element: Element) -> ArrayHeader:
        """Check an array that belongs to no cells or points, of numbers or texts."""
        tuples = _count(element, "NumberOfTuples", 1)
        if element.attributes.get("type") != "String":
            return self.numbers(element, tuples)
        with _about(element):
            self._stored(element).check_texts(tuples * _count(element, "NumberOfComponents", 1), LONGEST_TEXT)
        return ArrayHeader("String", 1, LONGEST_TEXT)

    def cells(self, parts: dict[str, Element], points: int, cells: int) -> dict[tuple[str, str], ArrayHeader]:
        """Check which corners cells have: VTK goes wherever these numbers say."""
        if set(parts) != {"connectivity", "offsets", "types"}:
            raise ValueError(f"has cells of {', '.join(sorted(parts))[:80]}; accepted: connectivity, offsets, types")
        arrays = {name: self.numbers(parts[name], cells) for name in ("offsets", "types")}
        offsets, types = (self._integers(parts[name], cells) for name in ("offsets", "types"))
        if not np.isin(types, list(CORNERS)).all():
            raise ValueError("has cells that are no tetrahedra, bricks, wedges or pyramids")
        corners = np.zeros(max(CORNERS) + 1, np.int64)
        corners[list(CORNERS)] = list(CORNERS.values())
        ends = np.cumsum(corners[types.astype(np.int64)])
        if (offsets != ends).any():
            raise ValueError("has cells of other numbers of corners than their kinds have")
        count = int(ends[-1]) if cells else 0
        arrays["connectivity"] = self.numbers(parts["connectivity"], count)
        numbers = self._integers(parts["connectivity"], count)
        if ((numbers < 0) | (numbers >= points)).any():
            raise ValueError("has cells with corners that are not there")
        return {("Cells", name): array for name, array in arrays.items()}

    def _integers(self, element: Element, count: int) -> NDArray[Any]:
        with _about(element):
            kind = TYPES[element.attributes["type"]]
            values = self._stored(element).values(kind)
            if kind.startswith("f") or len(values) != count:
                raise ValueError(f"is not {count} integers")
        return values

    def _stored(self, element: Element) -> Stored:
        """Where an array is."""
        how = element.attributes.get("format", "")
        if how == "appended" and self._appended:
            start, stop, form = self._appended + _count(element, "offset"), self._size, self._encoding
        elif how in ("ascii", "binary"):
            start, stop, form = self._after_tag(element), element.end, "ascii" if how == "ascii" else "base64"
        else:
            raise ValueError(f"is in format '{how[:20]}'")
        return Stored(self._file, start, stop, form, self._compressor, self._word, self._order)

    def _after_tag(self, element: Element, mark: bytes = b"") -> int:
        """Where the content of an element starts, as VTK looks for it: after the first ">", white space and a mark."""
        self._file.seek(element.start)
        found = re.match(rb"[^>]*>\s*" + mark, self._file.read(1 << 16))
        if not found:
            raise ValueError("has a tag without content")
        return element.start + found.end()


# ---- indexes ---------------------------------------------------------------------------------------------------------


def _check_index(path: Path, kind: str) -> int:
    """Bytes of all arrays of a `.pvti` or `.pvtu`, whose pieces are what it says."""
    with open_regular(path, INDEX_BYTES) as file:
        main = _main(parse(file), kind)
    groups = ("PPointData", "PCellData", "PPoints")
    _check_parts(main, *groups, "Piece", "PFieldData", "FieldData")
    if main.all("PFieldData") or main.all("FieldData"):
        raise ValueError("has data of no cells or points in an index")
    _count(main, "GhostLevel", 0)
    arrays = {
        (group[1:], name): (part.attributes.get("type"), _count(part, "NumberOfComponents", 1))
        for group in groups
        for name, part in _arrays(main, group).items()
    }
    pieces = main.all("Piece")
    if not pieces:
        raise ValueError("names no pieces")
    extents, size = [], 0
    for piece in pieces:
        name = piece.attributes.get("Source", "")
        file_name = inside(path.parent, name)
        try:
            header, _ = _read_header(file_name, kind[1:])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        for key, (type_, components) in arrays.items():
            array = header.arrays.get(key)
            if array is None or (array.type, array.components) != (type_, components):
                raise ValueError(f"{name}: has no such {key[0]} '{key[1]}' as the index says")
        size += header.size
        if kind == "PImageData":
            extents.append(_extent(piece, "Extent"))
            if not _within(extents[-1], header.extent):
                raise ValueError(f"{name}: has not the part of the image that the index says")
    if kind == "PUnstructuredGrid":
        return 2 * size  # in pieces, and put together
    whole = _image_extent(main)
    if not all(_within(extent, whole) for extent in extents) or sum(map(_cells, extents)) != _cells(whole):
        raise ValueError("has pieces that do not make up the image")
    return 2 * size


# ---- elements and what they say --------------------------------------------------------------------------------------


def _main(root: Element, kind: str) -> Element:
    """The one element of a file that describes its data."""
    if root.name != "VTKFile" or root.attributes.get("type") != kind:
        raise ValueError(f"is no VTK file of type {kind}")
    _check_parts(root, kind, "AppendedData")
    if not (found := root.all(kind)) or any(key.startswith("Time") for key in found[0].attributes):
        raise ValueError(f"has no {kind}, or several times of it")
    return found[0]


def _check_parts(element: Element, *accepted: str) -> None:
    """Parts of these names only, each once; pieces are counted elsewhere."""
    names = [part.name for part in element.parts]
    for name in names:
        if name not in accepted or (name != "Piece" and names.count(name) > 1):
            raise ValueError(f"has an unexpected {name[:40]} in {element.name}")


def _arrays(element: Element, group: str) -> dict[str, Element]:
    """The arrays of a group by name."""
    found: dict[str, Element] = {}
    for part in (part for whole in element.all(group) for part in whole.parts):
        name = _name(part)
        if part.name not in ("DataArray", "PDataArray", "Array") or name in found or "TimeStep" in part.attributes:
            raise ValueError(f"has an unexpected {part.name[:40]} '{name}' in {group}")
        for key in part.parts:
            if key.name != "InformationKey" or _count(key, "length", 0) > 100 or len(key.parts) > 100:
                raise ValueError(f"'{name}' has an unexpected {key.name[:40]}")
        found[name] = part
    return found


def _name(element: Element) -> str:
    return element.attributes.get("Name", "")[:100]


@contextmanager
def _about(element: Element) -> Iterator[None]:
    """Name an array in a complaint."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"'{_name(element)}' {error}") from None


def _count(element: Element, key: str, default: int | None = None) -> int:
    text = element.attributes.get(key)
    if text is None and default is not None:
        return default
    if text is None or not _COUNT.fullmatch(text.strip()):
        raise ValueError(f"{element.name} has {key} '{(text or '')[:40]}'; accepted: a count")
    return int(text)


def _extent(element: Element, key: str) -> Extent:
    """First and last point along x, y, z."""
    words = element.attributes.get(key, "").split()
    extent = tuple(int(word) for word in words if _INTEGER.fullmatch(word))
    if not len(words) == len(extent) == 6 or any(extent[n] > extent[n + 1] for n in (0, 2, 4)):
        raise ValueError(f"{element.name} has {key} '{' '.join(words)[:80]}'; accepted: first and last point, x, y, z")
    return extent


def _image_extent(main: Element) -> Extent:
    """The extent of an image, whose place in space is said in finite numbers."""
    for key, default in (("Origin", "0 0 0"), ("Spacing", "1 1 1"), ("Direction", "1 0 0 0 1 0 0 0 1")):
        words = main.attributes.get(key, default).split()
        if len(words) != len(default.split()) or not all(
            _NUMBER.fullmatch(word) and isfinite(float(word)) for word in words
        ):
            raise ValueError(f"has {key} '{' '.join(words)[:80]}'; accepted: finite numbers as in '{default}'")
        if key == "Spacing" and min(map(float, words)) <= 0.0:
            raise ValueError(f"has Spacing '{' '.join(words)[:80]}'; accepted: greater than 0")
    return _extent(main, "WholeExtent")


def _within(extent: Extent, whole: Extent) -> bool:
    return all(whole[n] <= extent[n] and extent[n + 1] <= whole[n + 1] for n in (0, 2, 4))


def _points(extent: Extent) -> int:
    return prod(extent[n + 1] - extent[n] + 1 for n in (0, 2, 4))


def _cells(extent: Extent) -> int:
    """Cells of an image; one that is flat has squares."""
    return prod(max(extent[n + 1] - extent[n], 1) for n in (0, 2, 4))
