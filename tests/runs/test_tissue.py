"""Domains from segmentations: where they lie, what is refused, and runs on them."""

import gzip
import json
import struct
from itertools import product

import nibabel
import nrrd
import numpy as np
import pytest
import pyvista
from mpi4py import MPI

from carmodel.commands.compare import compare
from carmodel.results import RunDirectory
from carmodel.runs.images import NamedImage
from carmodel.runs.tissue import cut_box, parameter_of_regions
from carmodel.scenario.space import Box

VOXEL = 0.025  # cm
#: No two axes alike: a body with a dent, a tumour in it, and a vessel that is none of it.
SHAPE = (48, 40, 32)


def segmentation():
    """Labels: 1 body, 2 tumour, 3 a vessel."""
    x, y, z = np.meshgrid(*((np.arange(n) - 0.5 * (n - 1)) / (0.5 * n) for n in SHAPE), indexing="ij")
    body = (x**2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 0.8) & ~((x - 0.7) ** 2 + (y - 0.5) ** 2 + z**2 < 0.1)
    labels = body.astype(np.uint8)
    labels[body & ((x - 0.2) ** 2 + (y + 0.1) ** 2 + (z - 0.1) ** 2 < 0.12)] = 2
    labels[body & ((x + 0.5) ** 2 + (z + 0.2) ** 2 < 0.015)] = 3
    return labels


def affine():
    """In mm, x to the right, y to the front, z up; the middle of the image is at (1, -2, 3) cm."""
    matrix = np.diag([10.0 * VOXEL] * 3 + [1.0])
    matrix[:3, 3] = np.array([10.0, -20.0, 30.0]) - 10.0 * VOXEL * 0.5 * (np.array(SHAPE) - 1.0)
    return matrix


def save(path, labels=None, matrix=None, unit="mm"):
    image = nibabel.Nifti1Image(segmentation() if labels is None else labels, affine() if matrix is None else matrix)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


RUN = """
[space]
cells = [12, 10, 8]
lengths = [1.2, 1.0, 0.8]
[space.domain]
mask = "MASK"
labels = { tissue = [1, 2], tumour = [2], vessel = [3] }
[parameters]
D_C = { by_region = { tumour = 0.002 } }
r_T = { by_region = { tumour = 0.3 } }
[initial]
tumour = { shape = "region", region = "tumour", value = 1.0, negative_fraction = 0.1 }
cart = { shape = "region", region = "vessel", reach = 0.15, value = 0.5 }
[[infusion]]
time = 0.1
add = { shape = "ball", centre = [1.0, -2.0, 3.0], radius = 0.3, amount = 0.01 }
[time]
end = 0.3
[integrator]
dt = 0.05
[output]
every = 0.15
line = { axis = "x", through = [-2.0, 3.0] }
"""


def shares(mask, **domain):
    """Of the cells of the box that is made of a file, and where it begins."""
    table = {"mask": str(mask), "labels": {"tissue": [1, 2], "tumour": [2], "vessel": [3]}} | domain
    box = Box.model_validate({"cells": [12, 10, 8], "lengths": [1.2, 1.0, 0.8], "domain": table})
    space = cut_box(box, MPI.COMM_WORLD)
    found, origin = space.relative_volumes.copy(), space.origin
    space.destroy()
    return found, origin


@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_orientation_of_the_file_does_not_matter(tmp_path, flips):
    """The same voxels stored the other way round, with the affine that says so, and with axes in another order."""
    expected, origin = shares(save(tmp_path / "plain.nii.gz"))
    image = nibabel.load(tmp_path / "plain.nii.gz")
    for order in ((0, 1, 2), (2, 0, 1)):
        turned = image.as_reoriented([[axis, flip] for axis, flip in zip(order, flips, strict=True)])
        if flips != (1, 1, 1) or order != (0, 1, 2):
            assert not np.allclose(turned.affine, image.affine)
        nibabel.save(turned, tmp_path / "turned.nii")
        found, begins = shares(tmp_path / "turned.nii")
        assert begins == pytest.approx(origin, abs=1e-9)
        assert found == pytest.approx(expected, abs=1e-5)


def test_runs_on_a_turned_image_are_the_same(carmodel, write, tmp_path):
    save(tmp_path / "plain.nii.gz")
    image = nibabel.load(tmp_path / "plain.nii.gz")
    nibabel.save(image.as_reoriented([[1, -1], [2, 1], [0, -1]]), tmp_path / "turned.nii.gz")
    for name in ("plain", "turned"):
        answer = carmodel(
            "run", write(RUN.replace("MASK", str(tmp_path / f"{name}.nii.gz"))), "--out", tmp_path / name, "--quiet"
        )
        assert answer.code == 0, answer.err
    difference = compare(tmp_path / "turned", tmp_path / "plain")
    assert difference.how == "cell by cell"
    assert difference.relative_max.max() < 1e-5


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # of pynrrd on Python 3.12
def test_files_of_all_kinds_say_the_same(tmp_path):
    """NRRD's axes point left and back; VTK's cells are the voxels; micrometres and metres are lengths too."""
    expected, origin = shares(save(tmp_path / "a.nii"))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine()
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "space units": ["mm"] * 3,
    }
    nrrd.write(str(tmp_path / "b.nrrd"), segmentation(), header)
    nrrd.write(str(tmp_path / "c.nrrd"), segmentation(), header | {"encoding": "raw"})
    corner = 0.1 * affine()[:3, 3] - 0.5 * VOXEL
    image = pyvista.ImageData(dimensions=[n + 1 for n in SHAPE], spacing=[VOXEL] * 3, origin=corner)
    image.cell_data["labels"] = segmentation().ravel(order="F")
    image.save(tmp_path / "d.vti")
    micro = affine()
    micro[:3] *= 1000.0
    save(tmp_path / "e.nii.gz", matrix=micro, unit="micron")
    save(tmp_path / "f.nii", segmentation().astype(np.float32))
    for name in ("b.nrrd", "c.nrrd", "d.vti", "e.nii.gz", "f.nii"):
        found, begins = shares(tmp_path / name)
        assert begins == pytest.approx(origin, abs=1e-6), name
        assert found == pytest.approx(expected, abs=1e-4), name
    found, begins = shares(tmp_path / "a.nii", unit="mm", origin=list(origin))
    assert found == pytest.approx(expected, abs=1e-12)


def test_an_oblique_image_is_put_where_it_lies(tmp_path):
    """A ball in an image that is turned about two axes: its volume and its middle in the world."""
    places = np.stack(np.meshgrid(*(np.arange(24) - 11.5,) * 3, indexing="ij"))
    labels = ((places**2).sum(axis=0) < 8.0**2).astype(np.uint8)
    a, b = 0.5, 0.3
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = 0.5 * turn
    matrix[:3, 3] = np.array([5.0, -3.0, 2.0]) - 0.5 * turn @ np.full(3, 11.5)
    save(tmp_path / "oblique.nii.gz", labels, matrix)
    table = {"mask": str(tmp_path / "oblique.nii.gz"), "labels": {"tissue": [1]}}
    box = Box.model_validate({"cells": [12, 12, 12], "lengths": [1.2, 1.2, 1.2], "domain": table})
    space = cut_box(box, MPI.COMM_WORLD)
    assert space.whole * space.cell_volume == pytest.approx(4.0 / 3.0 * np.pi * 0.4**3, rel=0.03)
    assert space.middle == pytest.approx([0.5, -0.3, 0.2], abs=1e-6)
    for axis, middle in zip(space.centres, (0.5, -0.3, 0.2), strict=True):
        assert (axis * space.relative_volumes).sum() / space.whole == pytest.approx(middle, abs=0.003)
    space.destroy()


def test_the_image_is_looked_for_beside_the_run_file(carmodel, write, tmp_path, monkeypatch):
    save(tmp_path / "a.nii.gz")
    case = write(RUN.replace("MASK", "a.nii.gz"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = carmodel("check", case)
    assert answer.code == 0, answer.err
    assert f'mask = "{tmp_path}/a.nii.gz"' in answer.out


def test_run_on_a_domain_keeps_what_it_is_about(carmodel, write, tmp_path):
    case = write(RUN.replace("MASK", str(save(tmp_path / "a.nii.gz"))))
    answer = carmodel("run", case, "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    run = RunDirectory(tmp_path / "out")
    domain = json.loads((tmp_path / "out/manifest.json").read_text())["grid"]["domain"]
    voxels = VOXEL**3 * np.array(
        [(segmentation() > 0).sum() - (segmentation() == 3).sum(), (segmentation() == 2).sum()]
    )
    assert domain["regions"]["tissue"]["volume"] == pytest.approx(voxels[0])
    assert domain["volume"] == pytest.approx(voxels[0], rel=0.02)
    assert np.array(domain["affine"])[:3, 3] == pytest.approx(0.1 * affine()[:3, 3])
    burden = run.series["total_TA"][0] + run.series["total_TB"][0]
    assert burden == pytest.approx(voxels[1], rel=0.05)
    assert run.series["total_TB"][0] == pytest.approx(0.1 * burden)
    assert run.series["mean_TA"][0] == pytest.approx(run.series["total_TA"][0] / domain["volume"])
    assert run.series["total_S"][-1] > 0.0
    volume = pyvista.read(tmp_path / "out/fields/t00002.vti")
    hidden = np.asarray(volume.cell_data["vtkGhostType"]) == 32
    assert 0.2 < hidden.mean() < 0.8
    assert np.asarray(volume.bounds).reshape(3, 2).mean(axis=1) == pytest.approx([1.0, -2.0, 3.0], abs=0.06)
    for name in ("C", "TA", "H"):
        values = np.asarray(volume.cell_data[name])
        assert not values[hidden].any()
        assert values[~hidden].min() >= 0.0
    assert "vtkGhostType" not in run.names


def test_rates_by_region_act_there_and_nowhere_else(carmodel, write, tmp_path):
    """Without cells that move, what grows in the tumour is the logistic law with the region's own rate."""
    still = "".join(f"{name} = 0.0\n" for name in ("D_T", "mu_0", "nu", "mu_1", "d_TA", "d_TB", "gamma"))
    text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz"))).replace("[parameters]\n", f"[parameters]\n{still}")
    text = text.replace("value = 1.0, negative_fraction = 0.1", "value = 0.2")
    text = text.replace("reach = 0.15, value = 0.5", "reach = 0.15, value = 0.0")
    text = text.replace("cells = [12, 10, 8]", "cells = [24, 20, 16]")
    text += "[[intervention]]\ntime = 0.15\nscale = { r_T = 2.0 }\n"
    answer = carmodel("run", write(text), "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    volume = pyvista.read(tmp_path / "out/fields/t00002.vti")
    found, start = np.asarray(volume.cell_data["TA"]), pyvista.read(tmp_path / "out/fields/t00000.vti")["TA"]
    grown = 1.0 / (1.0 + (1.0 / np.maximum(start, 1e-300) - 1.0) * np.exp(-0.3 * 0.15 - 0.6 * 0.15))
    inside = np.asarray(start) > 0.9999 * np.asarray(start).max()  # cells of which all is tumour
    assert inside.sum() > 5
    assert found[inside] == pytest.approx(np.asarray(grown)[inside], rel=1e-5)
    outside = np.asarray(start) == 0.0
    assert not found[outside].any()


def test_a_parameter_by_region_is_the_mean_over_the_cell(tmp_path):
    table = {"mask": str(save(tmp_path / "a.nii.gz")), "labels": {"tissue": [1, 2], "tumour": [2], "vessel": [3]}}
    box = Box.model_validate({"cells": [12, 10, 8], "lengths": [1.2, 1.0, 0.8], "domain": table})
    space = cut_box(box, MPI.COMM_WORLD)
    found = space.owned(parameter_of_regions({"tumour": 0.3}, 0.1, space))
    share = (segmentation() == 2).reshape(12, 4, 10, 4, 8, 4).mean(axis=(1, 3, 5)).transpose(2, 1, 0)  # of voxels
    assert found == pytest.approx(0.1 + 0.2 * share, abs=1e-12)
    assert 0.1 < found.mean() < 0.2
    both = space.owned(parameter_of_regions({"tissue": 0.5, "tumour": 0.3}, 0.1, space))  # the last one counts
    assert both[share == 1.0] == pytest.approx(0.3)
    assert set(np.round(both[share == 0.0], 12)) >= {0.1, 0.5}
    space.destroy()


def test_odd_values_of_regions_are_told(carmodel, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz"))).replace("tumour = 0.002", "tumour = 2.0")
    text = text.replace("r_T = ", "d_TB = { by_region = { vessel = 90.0 } }\nr_T = ").replace(
        "dt = 0.05", 'dt = 0.05\nkind = "strang"'
    )
    answer = carmodel("check", write(text))
    assert answer.code == 0, answer.err
    first, second = answer.err.splitlines()
    assert first == "warning: parameters.D_C.by_region.tumour = 2; the model's table has 0.014 cm^2/day"
    assert second.startswith("warning: integrator.substeps = 1: TB is lost at up to 90")


def ramp(path, axes=(1.0, 1.0, 1.0), offset=0.0, grow=1.0):
    """A map on voxels of its own, 0.3 + 0.2 x in cm, over the image of the mask and `grow` times its extent."""
    matrix = np.diag([10.0 * 0.04 * axis for axis in axes] + [1.0])
    size = [int(grow * n * VOXEL / 0.04) + 4 for n in SHAPE]
    matrix[:3, 3] = np.array([10.0, -20.0, 30.0]) - matrix[:3, :3] @ (0.5 * (np.array(size) - 1.0)) + offset
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    return save(path, (0.3 + 0.02 * places[..., 0]).astype(np.float32), matrix)


@pytest.mark.parametrize("axes", [(1.0, 1.0, 1.0), (-1.0, 1.0, -1.0)])
def test_maps_of_any_spacing_are_taken_where_they_lie(tmp_path, axes):
    table = {"mask": str(save(tmp_path / "a.nii.gz")), "labels": {"tissue": [1, 2]}}
    box = Box.model_validate({"cells": [12, 10, 8], "lengths": [1.2, 1.0, 0.8], "domain": table})
    space = cut_box(box, MPI.COMM_WORLD)
    image = NamedImage(str(ramp(tmp_path / "map.nii.gz", axes)), "TA", "initial.TA", False)
    wanted = np.broadcast_to(0.3 + 0.2 * space.centres[0], space.owned_shape)
    assert image.own_values(space) == pytest.approx(wanted, abs=1e-6)
    space.destroy()


def test_run_from_a_probability_map(carmodel, write, tmp_path):
    text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz")))
    text = text.replace("[initial]\n", f"[initial]\nTA = '{ramp(tmp_path / 'map.nii')}'\n")
    text = text.replace("r_T = ", f"r_T = {{ mask = '{ramp(tmp_path / 'map.nii')}' }}\ngamma = ")
    answer = carmodel("run", write(text), "--out", tmp_path / "out", "--quiet")
    assert answer.code == 0, answer.err
    run = RunDirectory(tmp_path / "out")
    assert run.series["mean_TA"][0] == pytest.approx(0.3 + 0.2, abs=0.02)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: ramp(path, offset=8.0), "does not cover"),
        (lambda path: ramp(path, offset=-8.0), "does not cover"),
        (lambda path: ramp(path, grow=0.5), "does not cover"),
        (lambda path: save(path, np.full(SHAPE, -1.0, np.float32)), "negative or not finite"),
        (lambda path: save(path, np.full(SHAPE, np.nan, np.float32)), "negative or not finite"),
        (lambda path: four_dimensional(path), "has 4 dimensions"),
    ],
)
def test_maps_that_cannot_be_used_are_refused_in_one_line(carmodel, write, tmp_path, make, says):
    file = tmp_path / "map.nii.gz"
    make(file)
    text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz"))).replace("[initial]\n", f"[initial]\nTA = '{file}'\n")
    for command in (["check"], ["run", "--out", tmp_path / "out"]):
        answer = carmodel(command[0], write(text), *command[1:])
        assert answer.code == 2, answer
        assert len(answer.err.splitlines()) == 1
        assert "initial.TA" in answer.err
        assert says in answer.err


def test_stopped_run_on_a_domain_is_resumed_to_the_digit(carmodel, write, tmp_path):
    for kind in ("", 'kind = "strang"\nreaction = "mprk22"\n'):
        text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz"))).replace("[integrator]\n", f"[integrator]\n{kind}")
        text = text.replace("every = 0.15\n", "every = 0.15\ncheckpoint_every = 0.15\n")
        case, whole, out = write(text), tmp_path / f"whole{len(kind)}", tmp_path / f"out{len(kind)}"
        assert carmodel("run", case, "--out", whole, "--quiet").code == 0
        assert carmodel("run", case, "--out", out, "--quiet", "--set", "time.end=0.15").code == 0
        answer = carmodel("run", case, "--out", out, "--quiet", "--resume")
        assert answer.code == 0, answer.err
        for name in ("series.csv", "line.csv", "fields/t00002.vti"):
            assert (whole / name).read_bytes() == (out / name).read_bytes(), name


def test_check_tells_volumes_and_draws_a_picture(carmodel, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = carmodel("check", write(RUN.replace("MASK", str(save(tmp_path / "a.nii.gz")))))
    assert answer.code == 0
    assert answer.err == ""
    tissue = VOXEL**3 * np.isin(segmentation(), (1, 2)).sum()
    assert f"tissue [1, 2]: {tissue:.4g} cm^3, 100.0% of it in the box" in answer.out
    assert (tmp_path / "case-domain.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: save(path, segmentation().transpose(2, 1, 0)), "the box holds"),
        (lambda path: save(path, matrix=np.diag([10.0, 10.0, 10.0, 1.0]) @ affine()), "the box holds"),
        (lambda path: save(path, matrix=np.diag([0.1, 0.1, 0.1, 1.0]) @ affine()), "of the box: is the unit right?"),
    ],
    ids=["transposed", "ten times too large", "ten times too small"],
)
def test_check_notices_masks_that_are_transposed_or_scaled(carmodel, write, tmp_path, monkeypatch, make, says):
    monkeypatch.chdir(tmp_path)
    answer = carmodel("check", write(RUN.replace("MASK", str(make(tmp_path / "a.nii.gz")))))
    assert answer.code == 0
    assert says in answer.err


def four_dimensional(path):
    save(path, np.stack([segmentation()] * 2, axis=-1))


def with_nan(path):
    labels = segmentation().astype(np.float32)
    labels[3, 4, 5] = np.nan
    save(path, labels)


def with_halves(path):
    save(path, segmentation() + np.float32(0.5))


def beside(path):
    matrix = affine()
    matrix[:3, 3] += 100.0
    save(path, matrix=matrix)


def bomb(path):
    """Ten gigabytes of zeros in some megabytes, and a header that announces them."""
    header = bytearray(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine()).header.binaryblock)
    header[40:56] = struct.pack("<8h", 3, 30000, 30000, 12, 1, 1, 1, 1)
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(bytes(header) + b"\0" * 4)
        for _ in range(160):
            file.write(bytes(1 << 26))


def hidden_bomb(path):
    """The same behind a header of a small image."""
    small = nibabel.Nifti1Image(segmentation(), affine()).to_bytes()
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(small)
        for _ in range(3):
            file.write(bytes(1 << 26))


def announces_more(path):
    data = bytearray(nibabel.Nifti1Image(segmentation(), affine()).to_bytes())
    data[42:44] = struct.pack("<h", 500)
    path.write_bytes(gzip.compress(bytes(data)))


def announces_less(path):
    data = bytearray(nibabel.Nifti1Image(segmentation(), affine()).to_bytes())
    data[42:44] = struct.pack("<h", 5)
    path.write_bytes(gzip.compress(bytes(data)))


def cut_off(path):
    save(path)
    path.write_bytes(path.read_bytes()[:-50])


def without_inverse(path):
    data = bytearray(nibabel.Nifti1Image(segmentation(), affine()).to_bytes())
    data[280:296] = bytes(16)  # the first row of the affine
    path.write_bytes(gzip.compress(bytes(data)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (four_dimensional, "has 4 dimensions"),
        (with_nan, "not finite"),
        (with_halves, "no labels"),
        (beside, None),
        (announces_more, "announces"),
        (announces_less, "announces"),
        (cut_off, "damaged"),
        (hidden_bomb, "announces"),
        (without_inverse, "affine"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + b"nothing"), "damaged"),
        (lambda path: path.write_bytes(b""), "no NIfTI"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: None, "no such file"),
        pytest.param(bomb, "voxels", marks=pytest.mark.slow),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_line(carmodel, write, tmp_path, make, says):
    mask = tmp_path / "a.nii.gz"
    make(mask)
    text = RUN.replace("MASK", str(mask))
    if says is None:  # the box stays where the image was
        text = text.replace("[space.domain]\n", "[space.domain]\norigin = [0.4, -2.5, 2.6]\n")
    for command in (["check"], ["run", "--out", tmp_path / "out"]):
        answer = carmodel(command[0], write(text), *command[1:])
        assert answer.code == 2, answer
        assert len(answer.err.splitlines()) == 1
        assert "space.domain" in answer.err
        assert (says or "none of it in the box") in answer.err
        assert "accepted: " in answer.err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tumour = [2]", "tumour = [7]", "space.domain.labels.tumour = [7]"),
        ("tissue = [1, 2], ", "", "'tissue' is missing"),
        ('region = "tumour", value', 'region = "tumor", value', "initial.tumour.region = 'tumor'"),
        ("by_region = { tumour", "by_region = { lesion", "parameters.D_C.by_region.lesion"),
        (
            "D_C = ",
            "K_T = { by_region = { tumour = 0.0 } }\nD_C = ",
            "K_T.by_region.tumour = 0; accepted: greater than 0",
        ),
        ("r_T = ", "r_T = { mask = 'none.nii' }\nd_C = ", "parameters.r_T.mask = "),
        ("r_T = ", "r_X = ", "unknown key 'r_X'"),
        (
            "tumour = 0.3",
            "tumour = -0.3",
            "parameters.r_T.by_region.tumour = -0.3; accepted: greater than or equal to 0",
        ),
        (
            "r_T = { by_region = { tumour = 0.3 } }",
            "r_T = { by_region = 3 }",
            "parameters.r_T.by_region = 3; accepted: a table",
        ),
        ("lengths = [1.2, 1.0, 0.8]\n", "", "lengths: missing"),
        ("dt = 0.05", 'kind = "strang"\ndiffusion = "jacobi"', "jacobi"),
        ("dt = 0.05", 'method = "exponential"', "exponential"),
        ("every = 0.15", 'every = 0.15\nformats = ["csv"]', "csv"),
        ("[space.domain]\n", "[space.domain]\nunit = 'inch'\n", "space.domain.unit"),
        ("reach = 0.15", "reach = -1.0", "initial.cart.reach = -1.0; accepted"),
        ('region = "vessel"', "region = 3", "initial.cart.region = 3; accepted"),
        ('region = "vessel", ', "", "initial.cart.region: missing"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(carmodel, write, tmp_path, old, new, says):
    text = RUN.replace("MASK", str(save(tmp_path / "a.nii.gz")))
    assert old in text
    answer = carmodel("check", write(text.replace(old, new)))
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1
    assert says in answer.err
    assert "accepted" in answer.err


def test_regions_need_a_domain(carmodel, write):
    answer = carmodel(
        "check",
        write("[space]\ncells = [4, 4, 4]\n[initial]\ncart = { shape = 'region', region = 'a' }\n[time]\nend = 1.0\n"),
    )
    assert answer.code == 2
    assert "space.domain.labels, which is missing" in answer.err
