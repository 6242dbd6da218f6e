"""Reads the elements of an XML file that comes from elsewhere; its text stays in the file.

No document types: entities can make much of little, and name other files.
"""

from dataclasses import dataclass, field
from typing import BinaryIO
from xml.parsers import expat

#: Elements in one another, elements in all, characters of their names and attributes.
DEEPEST, MOST, LONGEST = 16, 200_000, 16_000_000

_CHUNK = 1 << 16


@dataclass
class Element:
    """An element, with the byte at which its tag starts, and that at which its content ends."""

    name: str
    attributes: dict[str, str]
    start: int
    end: int = 0
    parts: list["Element"] = field(default_factory=list)

    def all(self, name: str) -> list["Element"]:
        """The elements of a name right below."""
        return [part for part in self.parts if part.name == name]


class _EnoughError(Exception):
    """All that is to be read has been."""


def parse(file: BinaryIO, last: str = "") -> Element:
    """The root of the tree in a file; what follows the tag of an element `last`, which need not be XML, is not read.

    Raises ValueError that says what is wrong with it.
    """
    tree = _Tree(last)
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: tree.open(name, attributes, parser.CurrentByteIndex)
    parser.EndElementHandler = lambda _name: tree.close(parser.CurrentByteIndex)
    parser.StartDoctypeDeclHandler = tree.refuse_type
    size = 0
    try:
        while chunk := file.read(_CHUNK):
            parser.Parse(chunk, False)
            size += len(chunk)
            if size - parser.CurrentByteIndex > LONGEST:
                raise ValueError("not a whole XML file: a tag without an end")
        parser.Parse(b"", True)
    except _EnoughError:
        size = file.seek(0, 2)
        while tree.opened:
            tree.close(size)
    except expat.ExpatError as error:
        raise ValueError(f"not a whole XML file: {error}") from None
    assert tree.root
    return tree.root


class _Tree:
    def __init__(self, last: str) -> None:
        self.root: Element | None = None
        self.opened: list[Element] = []
        self._last, self._count, self._length = last, 0, 0

    def open(self, name: str, attributes: dict[str, str], start: int) -> None:
        self._count += 1
        self._length += len(name) + sum(len(key) + len(value) for key, value in attributes.items())
        if self._count > MOST or self._length > LONGEST or len(self.opened) >= DEEPEST:
            raise ValueError("holds too many elements, or too deep ones")
        element = Element(name, attributes, start)
        if self.opened:
            self.opened[-1].parts.append(element)
        else:
            self.root = element
        self.opened.append(element)
        if name == self._last:
            raise _EnoughError

    def close(self, end: int) -> None:
        self.opened.pop().end = end

    def refuse_type(self, *_declared: object) -> None:
        raise ValueError("has a document type, which is not read")
