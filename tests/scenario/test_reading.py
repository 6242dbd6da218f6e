"""Run files: defaults, bases, overrides, and every wrong input refused in one line."""

import numpy as np
import pytest
import pyvista

from carmodel.commands.compare import compare
from carmodel.models.polyakov import PRESETS
from carmodel.results import RunDirectory
from carmodel.runs.initial import initial_state
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace
from carmodel.tools.errors import InputError
from tests.conftest import ROOT, mpirun

SMALL = """
[space]
cells = [6, 5, 4]
[time]
end = 0.04
[integrator]
kind = "strang"
"""


def test_everything_has_a_default_except_space_and_end(write):
    scenario = load(write("[space]\ncells = [10, 10, 10]\n[time]\nend = 1\n"))
    assert scenario.space.lengths == (1.0, 1.0, 1.0)
    assert scenario.parameters.values == PRESETS["normalised"]
    assert scenario.initial.tumour.radius == 0.2
    assert scenario.output.every == 0.5
    for missing, key in (("[time]\nend = 1", "space"), ("[space]\ncells = [4, 4, 4]", "time")):
        with pytest.raises(InputError, match=f"{key}: missing"):
            load(write(missing))


def test_check_prints_a_run_file_that_resolves_to_itself(carmodel, write):
    first = carmodel("check", write(SMALL), "--set", "parameters.mu_0=0", "--set", "parameters.preset=table1")
    assert first.code == 0, first.err
    assert "mu_0 = 0.0" in first.out
    assert "K_T = 240000000.0" in first.out
    again = carmodel("check", write(first.out, "again.toml"))
    assert again.out == first.out


def test_base_is_merged_table_by_table(write):
    write("title = 'base'\n[space]\ncells = [4, 4, 4]\n[time]\nend = 3\n[parameters]\nmu_0 = 0.0\n", "below.toml")
    scenario = load(write("base = 'below.toml'\n[time]\nend = 1\n[parameters]\nnu = 0.0\n"))
    assert scenario.title == "base"
    assert scenario.time.end == 1.0
    assert scenario.parameters.values == PRESETS["normalised"]._replace(mu_0=0.0, nu=0.0)
    with pytest.raises(InputError, match="circle"):
        load(write("base = 'circle.toml'", "circle.toml"))


def test_overrides_take_toml_values_and_bare_words(write):
    file = write(SMALL)
    scenario = load(file, ["space.cells=[7,8,9]", "integrator.taxis=upwind", "output.line={axis='y'}"])
    assert scenario.space.cells == (7, 8, 9)
    assert scenario.integrator.taxis == "upwind"
    assert scenario.output.line.axis == "y"
    for wrong in ("space.cells", "=3", "space.cells=[1,"):
        with pytest.raises(InputError, match="--set"):
            load(file, [wrong])


def test_taxis_is_central_where_nothing_needs_more_and_hybrid_else(write):
    """By default; what is said counts, in a resolved file too."""
    kinds = {
        (): "hybrid",
        ("kind=strang",): "central",
        ("kind=strang", "reaction=mprk22"): "hybrid",
        ("kind=coupled", "reaction=mprk22"): "central",
        ("kind=strang", "reaction=mprk22", "taxis=central"): "central",
        ("kind=strang", "taxis=upwind"): "upwind",
    }
    file = write('[space]\nkind = "mesh"\ncells = [4, 4, 4]\n[time]\nend = 1\n')
    for given, taxis in kinds.items():
        overrides = [f"integrator.{text}" for text in given]
        scenario = load(file, overrides)
        assert scenario.integrator.taxis == taxis, given
        assert load(write(scenario.toml(), "again.toml")).integrator == scenario.integrator
    with pytest.raises(InputError, match="'hybrid'; accepted with kind = 'coupled': 'central', 'upwind' or"):
        load(file, ["integrator.kind=coupled", "integrator.taxis=hybrid"])


def test_shapes(write):
    text = """
    [space]
    cells = [20, 20, 20]
    [initial]
    tumour = { shape = "ball", radius = 0.275, value = 0.8, negative_fraction = 0.25 }
    cart = { shape = "disk", axis = "z", from = -1.0, to = 0.1, radius = 0.2, value = 0.5, edge = 0.03 }
    [time]
    end = 1
    """
    space = BoxSpace((20, 20, 20), (1.0, 1.0, 1.0))
    u = space.owned(initial_state(load(write(text)).initial, space))
    x, y, z = (np.broadcast_to(c, space.owned_shape) for c in space.centres)
    inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 <= 0.275**2
    assert u[2] == pytest.approx(np.where(inside, 0.6, 0.0))
    assert u[3] == pytest.approx(np.where(inside, 0.2, 0.0))
    rho = np.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2)

    def step(d):
        return 0.5 * (1 - np.tanh(d / 0.03))

    assert u[0] == pytest.approx(0.5 * step(-1.0 - z) * step(z - 0.1) * step(rho - 0.2), abs=1e-15)
    assert np.abs(u[[1, 4, 5, 6]]).max() == 0.0
    space.destroy()


def test_points_on_a_sharp_surface_belong_to_the_shape(write):
    text = SMALL + "[initial]\ntumour = { shape = 'layer', axis = 'x', from = 0.25, to = 0.75, value = 1.0 }\n"
    text += "cart = { shape = 'layer', from = 0.0, to = 0.1 }\n"
    space = BoxSpace((5, 2, 2), (1.0, 1.0, 1.0), nodes_on_boundary=True)
    u = space.owned(initial_state(load(write(text)).initial, space))
    assert u[2, 0, 0].tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    space.destroy()


def volume(path, cells=(6, 5, 4), **arrays):
    image = pyvista.ImageData(dimensions=[n + 1 for n in cells], spacing=[1.0 / n for n in cells])
    for name, values in arrays.items():
        image.cell_data[name] = np.broadcast_to(values, np.prod(cells)).copy()
    image.save(path)
    return path


def test_fields_and_diffusivity_come_from_files(carmodel, write, tmp_path):
    """A mask equal to the preset's number gives the preset's run; a field file replaces its shape."""
    values = np.random.default_rng(7).random(6 * 5 * 4)
    volume(tmp_path / "mask.vti", D_C=0.014)
    volume(tmp_path / "start.vti", C=values)
    files = "[initial]\nC = 'start.vti'\n"
    plain = write(SMALL + files, "plain.toml")
    masked = write(SMALL + files + "[parameters]\nD_C = { mask = 'mask.vti' }\n", "masked.toml")
    for file in (plain, masked):
        answer = carmodel("run", file, "--out", tmp_path / file.stem, "--quiet")
        assert answer == (0, "", ""), answer
    answer = carmodel("compare", tmp_path / "plain", tmp_path / "masked", "--tol", "1e-12")
    assert answer.code == 0, answer.out
    first = pyvista.read(tmp_path / "plain/fields/t00000.vti")
    assert (first.cell_data["C"] == values).all()


WRONG = [
    ("space.cells=[6,5,0]", "space.cells.2 = 0"),  # zero cells
    ("space.cell=[6,5,4]", "unknown key 'cell' (did you mean 'cells'?)"),
    ("integrator.kind=magic", "integrator.kind = 'magic'; accepted: 'imex', 'strang' or 'coupled'"),
    ("integrator.dt='soon'", "integrator.dt = 'soon'; accepted: a valid number"),
    ("integrator.substeps=1.5", "integrator.substeps = 1.5; accepted: a valid integer"),
    ("time.end=true", "time.end = True"),
    ("parameters.D_T=-5e-5", "parameters.D_T = -5e-05; accepted: greater than or equal to 0"),
    ("parameters.D_T=nan", "parameters.D_T = nan; accepted: a finite number"),
    ("parameters.K_C=0.0", "K_C = 0; accepted: greater than 0"),
    ("parameters.mu0=0.1", "unknown key 'mu0' (did you mean 'mu_0'?)"),
    ("parameters.D_C={mask='nowhere.vti'}", "no such file"),
    ("initial.tumour={shape='cube',radius=1}", "initial.tumour.shape = 'cube'; accepted: 'ball', 'disk', 'layer'"),
    ("initial.cart={shape='ball'}", "initial.cart.radius: missing"),
    ("initial.cart={shape='layer',from=1,to=0}", "from = 1 lies beyond to = 0"),
    ("initial.tumour={shape='ball',radius=0.1,negative_fraction=2}", "negative_fraction = 2"),
    ("output.formats=['vtk','hdf']", "output.formats.1 = 'hdf'; accepted: 'vtk' or 'csv'"),
    ("output.line={through=[0.5,2.0]}", "inside the box"),
    ("output.every=1e-12", "output.every"),
    ("space.nodes_on_boundary=true", "at least 2"),
    ("space.cells=[100000,100000,1]", "fewer than 2^31"),
    ("integrator.reaction=rk4", "integrator.reaction = 'rk4'; accepted: 'rk2' or 'mprk22'"),
    (
        "integrator={diffusion='jacobi',reaction='mprk22'}",
        "reaction = 'mprk22'; accepted with diffusion = 'jacobi': 'rk2'",
    ),
    (
        "integrator={diffusion='jacobi',diffusion_scheme='sdirk2'}",
        "diffusion_scheme = 'sdirk2'; accepted with diffusion = 'jacobi': 'backward-euler'",
    ),
    ("integrator.kind=coupled", 'accepted: space.kind = "mesh"'),
    ("space=3", "space = 3; accepted: a table"),
]


@pytest.mark.parametrize(("override", "complaint"), WRONG)
def test_wrong_input_is_refused_in_one_line_and_nothing_written(carmodel, write, tmp_path, override, complaint):
    text = SMALL.replace("[6, 5, 4]", "[6, 5, 1]") if "nodes_on" in override else SMALL
    out = tmp_path / "out"
    answer = carmodel("run", write(text), "--out", out, "--set", override)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    assert complaint in answer.err
    assert "case.toml" in answer.err or "--set" in answer.err or ".vti" in answer.err
    assert not out.exists()


def refused(answer, complaint):
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    assert complaint in answer.err


def test_unreadable_masks_are_refused(carmodel, write, tmp_path):
    (tmp_path / "noise.vti").write_bytes(b"this is no VTK file")
    whole = volume(tmp_path / "whole.vti", D_C=np.random.default_rng(8).random(6 * 5 * 4)).read_bytes()
    (tmp_path / "cut.vti").write_bytes(whole[:1000])
    (tmp_path / "spoilt.vti").write_bytes(whole.replace(whole[800:840], b"A" * 40))
    (tmp_path / "text.txt").write_text("D_C")
    volume(tmp_path / "other.vti", density=1.0)
    volume(tmp_path / "small.vti", cells=(3, 3, 3), D_C=1.0)
    volume(tmp_path / "negative.vti", D_C=-1.0)
    volume(tmp_path / "nan.vti", D_C=np.nan)
    flat = pyvista.ImageData(dimensions=(7, 6, 1))
    flat.cell_data["D_C"] = np.ones(30)
    flat.save(tmp_path / "flat.vti")
    cases = dict.fromkeys(("noise.vti", "cut.vti", "text.txt"), "not a whole XML file") | {
        "spoilt.vti": "not a whole VTK file",
        "other.vti": "['density']",
        "small.vti": "(3, 3, 3)",
        "negative.vti": "negative",
        "nan.vti": "not finite",
        "flat.vti": "is flat",
        "none.vti": "no such file",
    }
    for name, complaint in cases.items():
        file = write(SMALL + f"[parameters]\nD_C = {{ mask = '{name}' }}\n")
        answer = carmodel("run", file, "--out", tmp_path / "out")
        refused(answer, complaint)
        assert name in answer.err
        assert not (tmp_path / "out").exists()


def test_jacobi_with_a_mask_is_refused(carmodel, write, tmp_path):
    volume(tmp_path / "mask.vti", D_C=0.01)
    file = write(SMALL + "diffusion = 'jacobi'\n[parameters]\nD_C = { mask = 'mask.vti' }\n")
    refused(carmodel("check", file), 'integrator.diffusion = "jacobi"')


def test_the_heat_semigroup_is_refused_where_it_is_not_known(carmodel, write, tmp_path):
    volume(tmp_path / "mask.vti", D_C=0.01)
    mask = "diffusion_scheme = 'exact'\n[parameters]\nD_C = { mask = 'mask.vti' }\n"
    for text, where in (
        (SMALL + mask, "with a mask"),
        (SMALL.replace("[space]", "[space]\nkind = 'mesh'"), "on a mesh"),
    ):
        answer = carmodel("check", write(text), "--set", "integrator.diffusion_scheme=exact")
        refused(
            answer,
            f"integrator.diffusion_scheme = 'exact' has a box of cells and constant diffusivities; accepted {where}",
        )
        assert "'backward-euler' or 'sdirk2'" in answer.err


def test_keys_of_strang_reach_it(carmodel, write, tmp_path):
    """Each way to advance gives its own fields, and says what solved for C."""
    ways = {
        "paper": ((), "cosine transform"),
        "sdirk2": (("integrator.diffusion_scheme=sdirk2",), "cosine transform"),
        "exact": (("integrator.diffusion_scheme=exact",), "cosine transform"),
        "mprk22": (("integrator.reaction=mprk22",), "gmres + bjacobi"),
    }
    for name, (overrides, solver) in ways.items():
        options = [word for override in overrides for word in ("--set", override)]
        assert carmodel(
            "run", write(SMALL), "--out", tmp_path / name, "--quiet", *options, "--set", "time.end=0.4"
        ) == (0, "", "")
        assert RunDirectory(tmp_path / name).manifest["linear_solvers"]["C"] == solver
    for name in list(ways)[1:]:
        apart = compare(tmp_path / name, tmp_path / "paper").relative_l2.max()
        assert 1e-6 < apart < 0.1, name


def test_files_that_are_no_run_files_are_refused(carmodel, write, tmp_path):
    refused(carmodel("check", tmp_path / "none.toml"), "no such file")
    refused(carmodel("check", tmp_path), "is a folder")
    refused(carmodel("check", write("[space\ncells")), "not a TOML file")
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    refused(carmodel("check", tmp_path / "binary.toml"), "is no text in UTF-8")


def test_output_directory_of_another_run_is_refused(carmodel, write, tmp_path):
    file, out = write(SMALL), tmp_path / "out"
    assert carmodel("run", file, "--out", out, "--quiet").code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused(carmodel("run", file, "--out", out), "holds another run")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_unwritable_output_directory_is_refused(carmodel, write, tmp_path):
    """A file in the way stops root as well, which permissions do not."""
    (tmp_path / "file").write_text("in the way")
    refused(carmodel("run", write(SMALL), "--out", tmp_path / "file/out"), "cannot be written")
    refused(carmodel("run", write(SMALL), "--out", tmp_path / "file"), "cannot be written")
    assert (tmp_path / "file").read_text() == "in the way"


def test_more_ranks_than_layers_are_refused(write, tmp_path):
    file = write(SMALL.replace("[6, 5, 4]", "[2, 1, 1]"))
    answer = mpirun(3, ROOT / ".venv/bin/carmodel", "run", file, "--out", tmp_path / "out")
    refused(answer, "[2, 1, 1] cannot be split over 3 ranks")
    assert not (tmp_path / "out").exists()


def test_a_table_of_another_shape_replaces_the_one_below(write):
    file = write(SMALL + "[initial]\ncart = { shape = 'disk', from = 0.0, to = 0.1, radius = 0.2, value = 0.3 }\n")
    scenario = load(file, ["initial.cart={shape='layer',from=0,to=0.2}"])
    assert scenario.initial.cart.model_dump() == {
        "axis": "x", "start": 0.0, "stop": 0.2, "value": 1.0, "edge": 0.0, "shape": "layer"
    }  # fmt: skip
    assert load(file, ["initial.cart.radius=0.4"]).initial.cart.value == 0.3


def test_another_kind_of_space_keeps_the_cells(write, tmp_path):
    box = write("[space]\ncells = [7, 8, 9]\nlengths = [1.0, 2.0, 3.0]\nnodes_on_boundary = true\n[time]\nend = 1\n")
    space = load(box, ["space.kind=mesh"]).space
    assert (space.kind, space.cells, space.lengths) == ("mesh", (7, 8, 9), (1.0, 2.0, 3.0))
    mesh = write("[space]\nkind = 'mesh'\ncells = [7, 8, 9]\nlengths = [1.0, 2.0, 3.0]\n[time]\nend = 1\n", "mesh.toml")
    space = load(mesh, ["space.kind=box", "space.cells=[4,4,4]"]).space
    assert (space.kind, space.cells, space.lengths) == ("box", (4, 4, 4), (1.0, 2.0, 3.0))
    other = write("base = 'case.toml'\n[space]\nkind = 'mesh'\n", "other.toml")
    assert load(other).space == load(mesh).space
    space = load(box, ["space.kind=mesh", "space.mesh=a.geo"]).space  # which has its own
    assert (space.cells, space.lengths) == (None, None)


def test_the_kind_of_a_table_may_come_before_or_after_its_other_keys(write):
    file = write("[space]\ncells = [6, 5, 4]\n[time]\nend = 1\n[integrator]\nrtol = 1e-6\n")
    given = ["integrator.dt=0.02", "integrator.kind=strang", "integrator.diffusion=jacobi"]
    for overrides in (given, given[::-1]):
        chosen = load(file, overrides).integrator
        assert (chosen.kind, chosen.dt, chosen.diffusion) == ("strang", 0.02, "jacobi")
    assert load(file, ["integrator={kind='strang',dt=0.02}", "integrator={kind='imex'}"]).integrator.dt == 0.01


def test_a_kind_that_is_the_default_one_changes_nothing_when_it_is_said(write):
    file = write("[space]\ncells = [6, 5, 4]\n[time]\nend = 1\n[integrator]\nrtol = 1e-6\n")
    said = load(file, ["space.kind=box", "integrator.kind=imex"])
    assert said == load(file)
    assert said.integrator.rtol == 1e-6


PATHOLOGIES = {
    "digits": "time.end = " + "1" * 5000,
    "depth": "title = " + "[" * 3000,
    "byte order": "\ufeff[space]\ncells = [0, 1, 1]\n[time]\nend = 1\n",
    "no name": "[space]\ncells = [6, 5, 4]\n[time]\nend = 1\n[initial]\nC = '\\u0000'\n",
    "no base": 'base = "\\u0000"',
    "long name": SMALL + "[parameters]\nD_C = { mask = '" + "m" * 5000 + "' }\n",
    "tiny box": SMALL.replace("[time]", "lengths = [1e-200, 1.0, 1.0]\n[time]"),
    "tiny step": SMALL + "dt = 5e-324\n",
    "substeps": SMALL + "substeps = 99999999999999999999\n",
    "far away": SMALL + "[initial]\ncart = { shape = 'ball', radius = 1.0, centre = [1e200, 0.0, 0.0] }\n",
}


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_pathological_run_files_are_refused_in_one_line(carmodel, write, tmp_path, name):
    for arguments in (("check",), ("run", "--out", tmp_path / "out")):
        answer = carmodel(arguments[0], write(PATHOLOGIES[name]), *arguments[1:])
        refused(answer, "")
    assert not (tmp_path / "out").exists()


def test_check_reads_the_volumes_too(carmodel, write, tmp_path):
    volume(tmp_path / "small.vti", cells=(3, 3, 3), D_C=1.0)
    refused(carmodel("check", write(SMALL + "[parameters]\nD_C = { mask = 'small.vti' }\n")), "(3, 3, 3)")
    refused(carmodel("check", write(SMALL + "[initial]\nC = 'none.vti'\n")), "no such file")


def test_wrong_command_lines_are_refused(carmodel):
    refused(carmodel("walk"), "walk")
    refused(carmodel("run"), "FILE")
    refused(carmodel("compare", "a", "b", "--tol", "x"), "--tol")
    refused(carmodel("compare", "a", "b", "--tol", "-1"), "--tol")
    refused(carmodel("info", "nowhere"), "not a run directory")
    refused(carmodel("run", "any.toml", "--out", ""), "--out")
