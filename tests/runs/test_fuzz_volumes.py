"""VTK files that people, ParaView and others could hand in: VTK sees none that it would die of.

They are read in a process of their own with bounded memory, which must survive them all.
"""

import base64
import os
import re
import struct

import numpy as np
import pytest
import pyvista
from vtkmodules import vtkIOXML

from carmodel.tools.vtkreader import read_vtk
from tests.fuzz import LINE, Worker, generator, spoilt

VALUES = np.random.default_rng(5).random(60)

#: How VTK's writers may be set.
WAYS = {
    "plain": lambda _: None,
    "ascii": lambda writer: writer.SetDataModeToAscii(),
    "inline": lambda writer: writer.SetDataModeToBinary(),
    "raw": lambda writer: (writer.SetDataModeToAppended(), writer.EncodeAppendedDataOff()),
    "raw, plain": lambda writer: (writer.EncodeAppendedDataOff(), writer.SetCompressorTypeToNone()),
    "not compressed": lambda writer: writer.SetCompressorTypeToNone(),
    "inline, not compressed": lambda writer: (writer.SetDataModeToBinary(), writer.SetCompressorTypeToNone()),
    "big endian": lambda writer: (writer.SetByteOrderToBigEndian(), writer.SetHeaderTypeToUInt64()),
    "small blocks": lambda writer: writer.SetBlockSize(64),
}


def image(cells=(5, 4, 3)):
    made = pyvista.ImageData(dimensions=[n + 1 for n in cells], spacing=(0.1, 0.2, 0.3), origin=(1.0, 2.0, 3.0))
    made.cell_data["D_C"] = np.resize(VALUES, made.n_cells)
    made.cell_data["label"] = np.arange(made.n_cells, dtype=np.int16)
    made.point_data["vector"] = np.ones((made.n_points, 3), np.float32)
    made.field_data["note"] = ["some", "text"]
    return made


def grid(way="tetra"):
    if way == "tetra":
        points = np.vstack([np.zeros(3), np.eye(3), np.ones(3)])
        made = pyvista.UnstructuredGrid(np.array([4, 0, 1, 2, 3, 4, 1, 2, 3, 4]), [pyvista.CellType.TETRA] * 2, points)
    else:
        made = image((2, 2, 1)).cast_to_unstructured_grid()
    made.cell_data["D_C"] = np.resize(VALUES, made.n_cells)
    return made


def save(data, path, way="plain"):
    writer = vtkIOXML.vtkXMLImageDataWriter() if path.suffix == ".vti" else vtkIOXML.vtkXMLUnstructuredGridWriter()
    writer.SetInputData(data)
    writer.SetFileName(str(path))
    WAYS[way](writer)
    assert writer.Write()
    return path


def in_pieces(folder, kind):
    """An image or grid in two pieces below an index."""
    folder.mkdir(exist_ok=True)
    arrays = '<PCellData><PDataArray type="Float64" Name="D_C"/></PCellData>'
    if kind == "vti":
        extents = ("0 2 0 4 0 3", "2 5 0 4 0 3")
        for n, extent in enumerate(extents):
            piece = pyvista.ImageData(spacing=(0.1, 0.2, 0.3), origin=(1.0, 2.0, 3.0))
            piece.extent = [int(word) for word in extent.split()]
            piece.cell_data["D_C"] = np.resize(VALUES, piece.n_cells)
            save(piece, folder / f"whole_{n}.vti")
        named = "".join(f'<Piece Extent="{extent}" Source="whole_{n}.vti"/>' for n, extent in enumerate(extents))
        head = 'PImageData WholeExtent="0 5 0 4 0 3" GhostLevel="0" Origin="1 2 3" Spacing="0.1 0.2 0.3"'
    else:
        for n, way in enumerate(("tetra", "voxels")):
            save(grid(way), folder / f"whole_{n}.vtu")
        named = "".join(f'<Piece Source="whole_{n}.vtu"/>' for n in range(2))
        arrays += '<PPoints><PDataArray type="Float64" Name="Points" NumberOfComponents="3"/></PPoints>'
        head = 'PUnstructuredGrid GhostLevel="0"'
    whole = head.split()[0]
    (folder / f"whole.p{kind}").write_text(
        f'<VTKFile type="{whole}" version="0.1" byte_order="LittleEndian"><{head}>{arrays}{named}</{whole}></VTKFile>'
    )
    return folder / f"whole.p{kind}"


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_to_write_a_volume_are_read(way, tmp_path):
    found = read_vtk(save(image(), tmp_path / "image.vti", way))
    assert found.cell_data["D_C"] == pytest.approx(VALUES, rel=1e-5 if way == "ascii" else 0.0), way
    assert found.cell_data["label"].tolist() == list(range(60))
    assert found.bounds == pytest.approx(image().bounds)
    for kind in ("tetra", "voxels"):
        found = read_vtk(save(grid(kind), tmp_path / "grid.vtu", way))
        assert found.volume == pytest.approx(grid(kind).volume, rel=1e-5)
        assert found.n_cells == grid(kind).n_cells


@pytest.mark.parametrize(("kind", "cells"), [("vti", 60), ("vtu", 6)])
def test_volumes_in_pieces_are_read(kind, cells, tmp_path):
    found = read_vtk(in_pieces(tmp_path, kind))
    assert found.n_cells == cells
    assert found.cell_data["D_C"][-1] == VALUES[35 if kind == "vti" else 3]
    assert kind == "vtu" or found.bounds == pytest.approx(image().bounds)


def test_a_large_volume_is_read(tmp_path):
    """Many blocks, and a text of many megabytes."""
    cells = (120, 110, 100)
    made = pyvista.ImageData(dimensions=[n + 1 for n in cells])
    made.cell_data["D_C"] = np.random.default_rng(6).random(made.n_cells)
    for way in ("plain", "inline"):
        found = read_vtk(save(made, tmp_path / "large.vti", way))
        assert (found.cell_data["D_C"] == made.cell_data["D_C"]).all()


ODD = (
    "-1", "0", "1", "2", "7", "65536", "2147483647", "2147483648", "4294967295", "9223372036854775807", "9" * 30, "nan",
    "inf", "1e308", "1e-320", "", "x", "../x", "/dev/zero", "ascii", "binary", "appended", "raw", "Int8", "Float64",
    "String", "UInt64", "vtkLZ4DataCompressor", "vtkLZMADataCompressor", "BigEndian", "connectivity", "D_C", "pipe",
)  # fmt: skip


def with_odd_attribute(content, random):
    """One word of one attribute in a file's tags is another."""
    found = random.choice(list(re.finditer(rb'[\w]+="([^"<>]*)"', content)))
    words = found[1].split(b" ")
    words[random.randrange(len(words))] = random.choice(ODD).encode()
    return content[: found.start(1)] + b" ".join(words) + content[found.end(1) :]


def with_odd_count(content, random):
    """One of the counts before an array is another."""
    starts = list(re.finditer(rb"(?<=[_>=\s])[A-Za-z0-9+/]{16}", content))
    if not starts:
        return spoilt(content, random)
    found = random.choice(starts)
    count = random.choice((0, 1, 2, 31, 4096, 2**20, 2**31 - 1, 2**31, 2**32 - 1))
    words = bytearray(base64.b64decode(found[0]))
    struct.pack_into("<I", words, 4 * random.randrange(3), count)
    return content[: found.start()] + base64.b64encode(words) + content[found.end() :]


def with_odd_lines(content, random):
    """A tag is lost, doubled or put elsewhere."""
    tags = re.split(rb"(?=<)", content)
    n, m = random.randrange(len(tags)), random.randrange(len(tags))
    tag = tags.pop(n)
    tags[m:m] = random.choice(([], [tag], [tag] * 2, [tag] * 50))
    return b"".join(tags)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folders with a right volume each: its name, and the files that belong to it."""
    folder = tmp_path_factory.mktemp("volumes")
    made = [save(image(), folder / f"{way}.vti", way) for way in WAYS]
    made += [
        save(grid(kind), folder / f"{kind} {way}.vtu", way)
        for kind in ("tetra", "voxels")
        for way in ("plain", "ascii")
    ]
    groups = [(path, [path]) for path in made]
    for kind in ("vti", "vtu"):
        index = in_pieces(folder / kind, kind)
        groups.append((index, sorted(index.parent.iterdir())))
    return groups


@pytest.fixture(scope="module")
def reader():
    """Reads volumes with 4 GB of memory; VTK and its libraries take 2 of them."""
    worker = Worker("tests.reads_volumes", memory=4 * 2**30, seconds=30.0)
    yield worker
    worker.close()


def assert_survived(answer, what):
    assert re.match(r"'(read|refused): ", answer) or answer.startswith('"refused: '), (what, answer)
    assert len(answer) <= LINE, (what, answer)


def test_no_volume_kills_or_holds_the_reader(sources, reader, tmp_path, fuzz_count):
    os.mkfifo(tmp_path / "pipe")
    read = 0
    for case in range(fuzz_count(150)):
        random = generator("volume", case)
        path, files = random.choice(sources)
        spoil = random.choice((spoilt, with_odd_attribute, with_odd_attribute, with_odd_count, with_odd_lines))
        victim = random.choice(files)
        for file in files:
            content = spoil(file.read_bytes(), random) if file == victim else file.read_bytes()
            (tmp_path / file.name).write_bytes(content)
        answer = reader.ask(str(tmp_path / path.name))
        assert_survived(answer, (case, spoil, victim.name))
        read += "read: " in answer
    assert 0 < read < 0.6 * (case + 1)


def edited(old, new, source="inline.vti"):
    """How to make one volume of another: its source, and what is another text in it."""
    return source, old, new


HOSTILE = {
    "has 1440 bytes for 12000360003600012": edited('Extent="0 5 0 4 0 3"', 'Extent="0 100000 0 100000 0 100000"'),
    "'vector' is cut off": edited('Extent="0 5 0 4 0 3"', 'Extent="0 100000 0 100000 0 100000"', "ascii.vti"),
    "'vector' is 2147483648 times 'Float32'": edited('Components="3"', 'Components="2147483648"'),
    "has WholeExtent '0 5 0 4 0'": edited('Extent="0 5 0 4 0 3"', 'Extent="0 5 0 4 0"'),
    "has WholeExtent '0 -1 0 4 0 3'": edited('Extent="0 5 0 4 0 3"', 'Extent="0 -1 0 4 0 3"'),
    "has a piece that is not the whole image": edited('WholeExtent="0 5', 'WholeExtent="0 6'),
    "has Spacing '0.1 nan 0.3'": edited('Spacing="0.1 0.2 0.3"', 'Spacing="0.1 nan 0.3"'),
    "has Spacing '0 0.2 0.3'": edited('Spacing="0.1 0.2 0.3"', 'Spacing="0 0.2 0.3"'),
    "has a document type": edited("<VTKFile", "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><VTKFile"),
    "has an unexpected CellData in Piece": edited("<PointData", "<CellData></CellData><PointData"),
    "has an unexpected DataArray 'label'": edited('Name="D_C"', 'Name="label"'),
    "has an unexpected DataArray 'D_C'": edited('Name="D_C"', 'Name="D_C" TimeStep="0"'),
    "'note' has not 999999999 texts": edited('NumberOfTuples="2"', 'NumberOfTuples="999999999"'),
    "'D_C' is in format ''": edited('Name="D_C" format="binary"', 'Name="D_C"'),
    "'note' is cut off": edited('offset="0"', 'offset="999999999999"', "plain.vti"),
    "is compressed": edited("vtkZLibDataCompressor", "vtkLZMADataCompressor"),
    "is no VTK file of type ImageData": edited('type="ImageData"', 'type="PolyData"'),
    "not a whole XML file": edited("</VTKFile>", ""),
    "has an unexpected Peace": edited("Piece", "Peace"),
}


@pytest.mark.parametrize("complaint", HOSTILE)
def test_hostile_headers_are_told(complaint, sources, reader, tmp_path):
    source, old, new = HOSTILE[complaint]
    (content,) = (path.read_text() for path, _ in sources if path.name == source)
    assert old in content
    (tmp_path / "case.vti").write_text(content.replace(old, new))
    answer = reader.ask(str(tmp_path / "case.vti"))
    assert_survived(answer, complaint)
    assert complaint in answer


INDEXES = {
    "names '../whole_0.vti'": edited("whole_0.vti", "../whole_0.vti"),
    "names '/dev/zero'": edited("whole_0.vti", "/dev/zero"),
    "pipe.vti: is a pipe": edited("whole_0.vti", "pipe.vti"),
    "none.vti: no such file": edited("whole_0.vti", "none.vti"),
    "whole_0.vti: has no such CellData 'D_C' as the index says": edited('"Float64"', '"Float32"'),
    "whole_0.vti: has no such CellData 'C' as the index says": edited('"D_C"', '"C"'),
    "whole_0.vti: has not the part": edited('Extent="0 2', 'Extent="0 4'),
    "do not make up the image": edited('WholeExtent="0 5', 'WholeExtent="0 1000000000'),
    "is no VTK file of type PImageData": edited('type="PImageData"', 'type="ImageData"'),
}


@pytest.mark.parametrize("complaint", INDEXES)
def test_indexes_name_what_is_there_and_nothing_else(complaint, reader, tmp_path):
    index = in_pieces(tmp_path, "vti")
    os.mkfifo(tmp_path / "pipe.vti")
    _, old, new = INDEXES[complaint]
    index.write_text(index.read_text().replace(old, new))
    answer = reader.ask(str(index))
    assert_survived(answer, complaint)
    assert complaint in answer


def test_cells_with_corners_that_are_not_there_are_refused(reader, tmp_path):
    text = save(grid(), tmp_path / "grid.vtu", "ascii").read_text()
    for old, new, complaint in (
        ("0 1 2 3 1 2", "0 1 2 9 1 2", "has cells with corners that are not there"),
        ("0 1 2 3 1 2", "0 1 2 -1 1 2", "has cells with corners that are not there"),
        ("4 8", "4 999999999", "has cells of other numbers of corners"),
        ("4 8", "4", "'offsets' is not 2 integers"),
        ("10 10", "10 42", "no tetrahedra"),
        ('NumberOfCells="2"', 'NumberOfCells="99999999999999"', "is cut off"),
        ('NumberOfPoints="5"', 'NumberOfPoints="4"', "corners that are not there"),
    ):
        assert old in text
        (tmp_path / "grid.vtu").write_text(text.replace(old, new))
        answer = reader.ask(str(tmp_path / "grid.vtu"))
        assert_survived(answer, complaint)
        assert complaint in answer


def test_what_is_no_file_of_bounded_size_is_refused(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.vti")
    (tmp_path / "zero.vti").symlink_to("/dev/zero")
    with (tmp_path / "sparse.vti").open("wb") as file:
        file.truncate(10**12)
    (tmp_path / "tag.vti").write_bytes(b"<VTKFile type='" + b"x" * 40_000_000)
    (tmp_path / "deep.vti").write_bytes(b"<a>" * 1_000_000)
    complaints = {"pipe": "a pipe", "zero": "a device", "sparse": "bytes", "tag": "without an end", "deep": "too deep"}
    for name, complaint in complaints.items():
        answer = reader.ask(str(tmp_path / f"{name}.vti"))
        assert_survived(answer, name)
        assert complaint in answer


def test_arrays_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    file = save(image(), tmp_path / "image.vti")
    monkeypatch.setattr("carmodel.tools.vtkheader.available", lambda: 2000)
    with pytest.raises(ValueError, match="holds arrays of 1 MB; 2 kB of memory are left"):
        read_vtk(file)
