"""Volumes in CSV and `.npz` that others could hand in: sizes and numbers that are not true are told in one line."""

import io
import struct
import zipfile

import numpy as np
import pytest
import pyvista

from carmodel.models.polyakov import FIELDS
from carmodel.results import open_volumes
from carmodel.runs.volumes import vtk_volumes
from carmodel.tools.csvfile import read_columns
from carmodel.tools.errors import InputError
from carmodel.tools.npzfile import read_arrays
from tests.fuzz import generator, spoilt, time_limit

HEADER = ",".join(("t", *"ijkxyz", *FIELDS))


def published(rows):
    """A file in the published format; each row is i, j, k and x, y, z."""
    return HEADER + "\n" + "".join(f"0,{row}{',1' * 7}\n" for row in rows)


CSV = {
    "rows for 2147483648 x 2147483648 x 4 nodes": published([f"{2**31 - 1},{2**31 - 1},3,0,0,0"]),  # 2^64 nodes
    "not all whole numbers": published(["nan,0,0,0,0,0"]),
    "not those of a box": published(["0,0,0,0,0,0", "1,0,0,0,0,0"]),
    "x, y, z are not": published(["0,0,0,nan,0,0"]),
    "no column x": published(["0,0,0,0,0,0"]).replace("x,y", "u,y"),
    "not a CSV file with a column t": published(["0,0,0,0,0,0"]).replace("\n0,", "\nnan,"),
    "a line of more than": published(["0,0,0,0,0,0"]) + "1" * 2_000_000,
}


@pytest.mark.parametrize("complaint", CSV)
def test_csv_that_is_not_true_is_refused(complaint, tmp_path):
    file = tmp_path / "step.csv"
    file.write_text(CSV[complaint])

    def read():
        volumes = open_volumes(file)
        volumes.cells()
        volumes.read(0)

    with time_limit(20.0), pytest.raises(InputError, match=complaint):
        read()


def test_tables_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    (tmp_path / "table.csv").write_text("t\n" + "1\n" * 100)
    assert len(read_columns(tmp_path / "table.csv")["t"]) == 100
    monkeypatch.setattr("carmodel.tools.csvfile.available", lambda: 1584)
    with pytest.raises(InputError, match=r"take more than 0.792 kB"):
        read_columns(tmp_path / "table.csv")


def npy(header, content=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + content


def header_of(shape, kind="<f8"):
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


T = ("t.npy", npy(header_of((1,)), b"\0" * 8))
NPZ = {
    "in 8 bytes": zipped(T, ("u.npy", npy(header_of((10**6,) * 5), b"\0" * 8))),
    "has no array 'u'": zipped(T),
    "of object": zipped(T, ("u.npy", npy(header_of((1,), "|O"), b"\0" * 8))),
    "is no .npz": b"no zip",
    "in another way": zipped(T, ("u.npy", b""), compression=zipfile.ZIP_BZIP2),
    "has a list of 1002 arrays": zipped(T, *((f"{n}.npy", b"") for n in range(1001))),
    "is damaged": zipped(T).replace(b"t.npy", b"\xff.npy", 1),
    "t has values": zipped(
        ("t.npy", npy(header_of((1,)), np.float64(np.nan).tobytes())),
        ("u.npy", npy(header_of((1, 7, 1, 1, 1)), b"\0" * 56)),
    ),
    "u has shape": zipped(T, ("u.npy", npy(header_of((1, 7, 0, 1, 1)), b""))),
}


@pytest.mark.parametrize("complaint", NPZ)
def test_npz_that_is_not_true_is_refused(complaint, tmp_path):
    (tmp_path / "case.npz").write_bytes(NPZ[complaint])
    with time_limit(20.0), pytest.raises(InputError, match=complaint):
        open_volumes(tmp_path / "case.npz")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_as_numpy_writes_it_is_read(write, tmp_path):
    u = np.random.default_rng(3).random((2, 7, 3, 4, 5))
    write(tmp_path / "case.npz", t=[0, 1], u=np.asfortranarray(u))
    t, again = read_arrays(tmp_path / "case.npz", "t", "u")
    assert t.tolist() == [0.0, 1.0]
    assert (again == u).all()


def test_spoilt_npz_and_csv_are_read_or_refused(tmp_path, fuzz_count):
    np.savez_compressed(tmp_path / "whole.npz", t=[0.0], u=np.random.default_rng(4).random((1, 7, 2, 2, 2)))
    (tmp_path / "whole.csv").write_text(published([f"{i},{j},0,{i},{j},0" for i in range(2) for j in range(2)]))
    refused = 0
    for case in range(fuzz_count(100)):
        random = generator("volume in numbers", case)
        suffix = random.choice((".npz", ".csv"))
        file = tmp_path / f"case{suffix}"
        file.write_bytes(spoilt((tmp_path / f"whole{suffix}").read_bytes(), random))
        try:
            with time_limit(20.0):
                volumes = open_volumes(file)
                volumes.cells()
                volumes.read(0)
        except InputError:
            refused += 1
    assert refused > case / 3


def test_names_that_no_file_can_have_are_told(carmodel):
    for name in ("n" * 5000, "n/" * 5000):
        for command in (("info", name), ("compare", name, "x"), ("check", name), ("compare", "x", name)):
            answer = carmodel(*command)
            assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer


def test_cells_of_a_mesh_may_come_in_another_order_each_time(tmp_path):
    """As after a run has gone on with another number of ranks."""
    rng = np.random.default_rng(3)
    mesh = pyvista.ImageData(dimensions=(4, 3, 3)).cast_to_unstructured_grid()
    values = rng.random((2, mesh.n_cells))
    order = rng.permutation(mesh.n_cells)
    names = []
    for n, places in enumerate((np.arange(mesh.n_cells), order)):
        corners = np.asarray(mesh.cell_connectivity).reshape(-1, 8)[places]
        part = pyvista.UnstructuredGrid({pyvista.CellType.VOXEL: corners}, mesh.points)
        part.cell_data["C"] = values[n][places]
        names.append(f"{n}.vtu")
        part.save(tmp_path / names[-1])
    entries = "".join(f'<DataSet timestep="{n}" file="{name}"/>' for n, name in enumerate(names))
    index = tmp_path / "fields.pvd"
    index.write_text(f'<VTKFile type="Collection"><Collection>{entries}</Collection></VTKFile>')
    volumes = vtk_volumes(index)
    assert (volumes.read(0)[0] == values[0]).all()
    assert (volumes.read(1)[0] == values[1]).all()
    mesh.points[:] += 0.1
    mesh.cell_data["C"] = values[1]
    mesh.save(tmp_path / "1.vtu")
    with pytest.raises(InputError, match="has other cells than the first volume"):
        vtk_volumes(index).read(1)
