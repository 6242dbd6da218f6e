"""What a run starts from: shapes that cover something, in the preset's units; images that lie where the box does."""

import tomllib

import numpy as np
import pytest
import pyvista

from carmodel.results import RunDirectory
from carmodel.runs.initial import initial_state
from carmodel.runs.output.line import MeshLine
from carmodel.scenario.choices import Line
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, gmsh_mesh, grid_mesh
from carmodel.tools.errors import InputError

CELLS, LENGTHS = (6, 5, 4), (1.2, 1.0, 0.8)
CASE = f"""
[space]
cells = {list(CELLS)}
lengths = {list(LENGTHS)}
[initial]
tumour = {{ shape = "ball", radius = 0.3 }}
cart = {{ shape = "layer", from = 0.0, to = 0.2, value = 0.5 }}
[time]
end = 0.02
[integrator]
kind = "strang"
"""


def state(case, space):
    return space.owned(initial_state(case.initial, space))


@pytest.mark.parametrize("kind", ["box", "mesh"])
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("initial.tumour={shape='ball',centre=[0.6,0.5,0.4],radius=0.01}", "tumour: value = 1: the shape covers no"),
        ("initial.tumour={shape='layer',from=0.21,to=0.29,value=2.0}", "tumour: value = 2: the shape covers no"),
        ("initial.cart={shape='disk',from=-1.0,to=-0.5,radius=1.0}", "cart: value = 1: the shape covers no cell's"),
        (
            "initial.cart={shape='layer',from=-9.0,to=-0.5,edge=0.2}",
            "cart: value = 0.5: the shape is outside, its edge",
        ),
    ],
)
def test_shapes_that_put_nothing_anywhere_are_refused(write, kind, change, found):
    space = BoxSpace(CELLS, LENGTHS) if kind == "box" else MeshSpace(grid_mesh(CELLS, LENGTHS))
    with pytest.raises(InputError, match=f"^initial.{found}.*, or value = 0 for none$"):
        state(load(write(CASE), [change]), space)
    key = change.split("=")[0]
    none = load(write(CASE), [change, f"{key}.value=0.0"])
    assert (state(none, space)[0 if key == "initial.cart" else 2] == 0.0).all()
    space.destroy()


def test_the_command_says_so_and_a_file_in_place_of_the_shape_is_enough(carmodel, write, tmp_path):
    narrow = "initial.cart={shape='layer',from=0.2,to=0.25}"
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", "--set", narrow)
    assert answer.code == 2
    assert "case.toml: initial.cart: value = 0.5: the shape covers no cell's centre" in answer.err
    assert answer.err.count("\n") == 1
    image(tmp_path / "C.vti", C=0.25)
    answer = carmodel(
        "run",
        write(CASE),
        "--out",
        tmp_path / "out",
        "--quiet",
        "--set",
        narrow,
        "--set",
        f"initial.C='{tmp_path}/C.vti'",
    )
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("preset", ["normalised", "table1", "published_code"])
def test_shapes_are_in_the_units_of_the_preset(carmodel, write, preset):
    K_T = 1.0 if preset == "normalised" else 2.4e8
    dose = "[[infusion]]\ntime = 0.0\nadd = { shape = 'layer', from = 0.0, to = 0.5 }\n"
    text = CASE.replace(", value = 0.5", "") + dose + f"[parameters]\npreset = '{preset}'\n"
    answer = carmodel("check", write(text))
    assert answer.code == 0
    assert "units" not in answer.err
    told = tomllib.loads(answer.out)
    shapes = [told["initial"]["tumour"], told["initial"]["cart"], told["infusion"][0]["add"]]
    assert [shape["value"] for shape in shapes] == [K_T, K_T, K_T]
    assert carmodel("check", write(answer.out)).out == answer.out
    without = text[: text.index("[initial]")] + text[text.index("[time]") :]
    told = tomllib.loads(carmodel("check", write(without)).out)["initial"]
    assert (told["tumour"]["value"], told["cart"]["value"]) == (K_T, 0.5 * K_T)
    given = load(write(text), ["initial.tumour.value=7.0", "infusion=[{time=0.0,add={initial=2.0}}]"])
    assert given.initial.tumour.value == 7.0
    amount = load(write(text), ["infusion=[{time=0.0,add={shape='layer',from=0.0,to=0.5,amount=3.0}}]"])
    assert amount.infusion[0].add.amount == 3.0


def test_a_density_in_other_units_gives_one_line(carmodel, write, tmp_path):
    table1 = ("--set", "parameters.preset=table1")
    answer = carmodel("check", write(CASE), *table1)
    assert answer.code == 0
    line = (
        "warning: initial.cart: value = 0.5, the carrying capacity K_T = 2.4e+08: are both in the units of parameters."
    )
    assert answer.err.startswith(line)
    assert answer.err.count("units") == 1
    assert "units" not in carmodel("check", write(CASE), *table1, "--set", "initial.cart.value=1e4").err
    image(tmp_path / "TB.vti", TB=1e8)
    for sets, warnings in (((), 0), (("--set", f"initial.TB='{tmp_path}/TB.vti'"), 1)):
        out = tmp_path / f"out{warnings}"
        answer = carmodel("run", write(CASE), "--out", out, "--quiet", *sets, "--set", "time.end=1e-9")
        assert answer.code == 0
        assert answer.err.count("warning: initial.TB: largest value = 1e+08") == warnings


def image(path, cells=CELLS, lengths=LENGTHS, origin=(0.0, 0.0, 0.0), **arrays):
    """An image of a box's cells; an array for each name, of one value or of values by cell."""
    spacing = [length / n for length, n in zip(lengths, cells, strict=True)]
    made = pyvista.ImageData(dimensions=[n + 1 for n in cells], spacing=spacing, origin=origin)
    for name, values in arrays.items():
        made.cell_data[name] = np.broadcast_to(values, made.n_cells).copy()
    made.save(path)
    return made


ELSEWHERE = {
    "spacing": {"lengths": CELLS},
    "origin": {"origin": (0.1, 0.0, 0.0)},
    "one axis": {"lengths": (1.2, 1.0, 0.9)},
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_an_image_of_another_place_is_refused_unless_told_to_ignore_it(carmodel, write, tmp_path, where):
    values = np.random.default_rng(3).random(np.prod(CELLS))
    image(tmp_path / "C.vti", C=values, D_C=0.01, **ELSEWHERE[where])
    for key, plain, ignoring in (
        ("initial.C", "initial.C='C.vti'", "initial.C={file='C.vti',ignore_geometry=true}"),
        (
            "parameters.D_C",
            "parameters.D_C={mask='C.vti'}",
            "parameters.D_C={mask='C.vti',ignore_geometry=true}",
        ),
    ):
        table, _, value = plain.partition("=")
        text = CASE.replace("[initial]\n", f"[initial]\nC = {value}\n") if table == "initial.C" else CASE
        text = text if table == "initial.C" else f"{CASE}[parameters]\nD_C = {value}\n"
        answer = carmodel("check", write(text))
        assert answer.code == 2
        assert f"{key}" in answer.err
        assert f"; accepted: the box's 0..1.2 x 0..1 x 0..0.8 cm, or {key} with ignore_geometry = true\n" in answer.err
        assert carmodel("run", write(text), "--out", tmp_path / "out").code == 2
        told = write(text.replace(value, ignoring.partition("=")[2].replace("=", " = ").replace(",", ", ")))
        assert carmodel("check", told).code == 0
        out = tmp_path / f"out-{table}"
        answer = carmodel("run", told, "--out", out, "--quiet")
        assert answer.code == 0, answer.err
    first = RunDirectory(tmp_path / "out-initial.C").volumes.read(0)
    assert (first[0].ravel() == values).all()


@pytest.mark.parametrize("nodes", [False, True])
def test_images_of_the_same_place_to_rounding_and_what_a_run_writes_are_taken(carmodel, write, tmp_path, nodes):
    case = CASE.replace("[initial]", f"nodes_on_boundary = {str(nodes).lower()}\n[initial]")
    assert carmodel("run", write(case), "--out", tmp_path / "first", "--quiet").code == 0
    last = tmp_path / "first/fields/t00001.vti"
    again = write(case.replace("[initial]\n", f"[initial]\nC = '{last}'\n"))
    assert carmodel("run", again, "--out", tmp_path / "again", "--quiet").code == 0
    ends = [RunDirectory(tmp_path / name).volumes for name in ("first", "again")]
    assert (ends[0].read(1)[0] == ends[1].read(0)[0]).all()
    rounded = pyvista.read(last)
    rounded.spacing = [float(np.float32(h)) for h in rounded.spacing]
    rounded.origin = [float(f"{x:.6g}") for x in rounded.origin]
    rounded.save(last)
    assert carmodel("check", again).code == 0


def test_an_image_in_pieces_is_an_initial_field(carmodel, write, tmp_path):
    """`.pvti`: what a run on several ranks writes."""
    values = np.random.default_rng(4).random(np.prod(CELLS))
    pieces = ""
    for name, low, high in (("low", 0, 2), ("high", 2, 6)):
        piece = pyvista.ImageData(spacing=(0.2, 0.2, 0.2))
        piece.extent = (low, high, 0, 5, 0, 4)
        piece.cell_data["S"] = values.reshape(4, 5, 6)[:, :, low:high].ravel()
        piece.save(tmp_path / f"{name}.vti")
        pieces += f'<Piece Extent="{low} {high} 0 5 0 4" Source="{name}.vti"/>'
    (tmp_path / "S.pvti").write_text(
        '<VTKFile type="PImageData" version="0.1" byte_order="LittleEndian">'
        '<PImageData WholeExtent="0 6 0 5 0 4" GhostLevel="0" Origin="0 0 0" Spacing="0.2 0.2 0.2">'
        f'<PCellData><PDataArray type="Float64" Name="S"/></PCellData>{pieces}</PImageData></VTKFile>'
    )
    case = write(CASE.replace("[initial]\n", "[initial]\nS = 'S.pvti'\n"))
    assert carmodel("check", case).code == 0
    answer = carmodel("run", case, "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    assert (RunDirectory(tmp_path / "out").volumes.read(0)[4].ravel() == values).all()


def test_a_mesh_has_no_use_for_ignoring_where_an_image_lies(carmodel, write):
    case = CASE.replace("[space]", "[space]\nkind = 'mesh'")
    for key, table in (
        ("initial.C", "{file='C.vti',ignore_geometry=true}"),
        ("parameters.D_C", "{mask='C.vti',ignore_geometry=true}"),
    ):
        answer = carmodel("check", write(case), "--set", f"{key}={table}")
        assert answer.code == 2
        assert f"{key}: ignore_geometry = true is for boxes; accepted on a mesh: false" in answer.err


L_SHAPE = """SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 1, 0.4, 0.4};
Box(2) = {0, 0, 0, 0.4, 1, 0.4};
BooleanUnion(3) = { Volume{1}; Delete; }{ Volume{2}; Delete; };
Mesh.MeshSizeMax = 0.2;
"""


def test_a_line_is_empty_outside_the_mesh(tmp_path):
    (tmp_path / "l.geo").write_text(L_SHAPE)
    space = MeshSpace(gmsh_mesh(tmp_path / "l.geo"))
    u = space.zeros(7) + 1.0
    for through, inside in (
        ((0.7, 0.2), lambda x: x < 0.4),
        ((0.2, 0.2), lambda x: x < 2.0),
        ((0.0, 0.0), lambda x: x < 2.0),  # along an edge
        ((0.5, 0.5), lambda x: x < -1.0),  # nowhere
    ):
        line = MeshLine(Line(axis="x", through=through), space)
        values = line.sample(u)
        assert (values[:, inside(line.s)] == 1.0).all()
        assert np.isnan(values[:, ~inside(line.s)]).all()
    space.destroy()
