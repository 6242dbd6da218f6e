"""Checks a Gmsh mesh file by its content: its version, that it is whole, and that it can hold what it announces."""

import mmap
import re
from typing import BinaryIO

#: Sections of the nodes and elements by major version; what a node and an element take at least, as text and in binary.
_SECTIONS = {
    1: (b"NOD", b"ELM", (8, 10), (8, 10)),
    2: (b"Nodes", b"Elements", (8, 7), (28, 8)),
    4: (b"Nodes", b"Elements", (8, 4), (28, 8)),
}


def announced_elements(file: BinaryIO, size: int) -> int:
    """Elements, of all dimensions, that a `.msh` file of so many bytes announces.

    Raises ValueError where it is no mesh of a known version, cut off, or smaller than what it announces.
    """
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        version, binary = _header(data)
        nodes, elements, as_text, as_binary = _SECTIONS[version]
        counts = []
        for section, least in zip((nodes, elements), as_binary if binary else as_text, strict=True):
            count = _count(data, section, version, binary)
            if count * least > size:
                raise ValueError(f"announces {count} {section.decode().lower()}, more than its {size} bytes hold")
            counts.append(count)
    return counts[1]


def _header(data: mmap.mmap) -> tuple[int, bool]:
    """Major version, and whether numbers are binary."""
    if re.match(rb"\$NOD\s", data):
        return 1, False
    head = re.match(rb"\$MeshFormat\s+(\d{1,2})(?:\.\d{1,8})? ([01]) (\d{1,2})\s", data)
    if not head:
        raise ValueError("does not start as a mesh of Gmsh's")
    version, binary, digits = (int(number) for number in head.groups())
    if version not in (2, 4) or digits != 8:
        raise ValueError(f"is a mesh of version {version} with numbers of {digits} bytes")
    return version, bool(binary)


def _count(data: mmap.mmap, section: bytes, version: int, binary: bool) -> int:
    """How many entries a section announces."""
    start = re.search(rb"(?:^|\n)\$" + section + rb"[ \r]*\n", data)
    if not start:
        raise ValueError(f"has no ${section.decode()}")
    # From the end: in binary numbers it could stand by chance.
    if data.rfind((b"$END" if version == 1 else b"$End") + section) < start.end():
        raise ValueError(f"is cut off in ${section.decode()}")
    if binary and version == 4:
        count = int.from_bytes(data[start.end() + 8 : start.end() + 16], "little")
        big = int.from_bytes(data[start.end() + 8 : start.end() + 16], "big")
        return min(count, big)  # of either byte order
    line = data[start.end() : start.end() + 100].split(b"\n")[0].split()
    position = 1 if version == 4 else 0
    if len(line) <= position or not re.fullmatch(rb"\d{1,18}", line[position]):
        raise ValueError(f"has no count in ${section.decode()}")
    return int(line[position])
