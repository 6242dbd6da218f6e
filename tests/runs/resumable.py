"""Runs to be stopped and resumed: every integrator on every kind of space, and what they have written."""

import shutil
from pathlib import Path

import numpy as np
import pyvista

import carmodel
from tests.conftest import ROOT

CUBE = ROOT / "tests/data/cube.geo"

#: Integrators by what their state is; steps are few and long.
WAYS = {
    "exponential": {},
    "arkimex": {"method": "arkimex"},
    "strang": {"kind": "strang", "dt": 0.06},
    "jacobi": {"kind": "strang", "dt": 0.06, "diffusion": "jacobi"},
    "mprk22": {"kind": "strang", "dt": 0.06, "reaction": "mprk22"},
    "exact": {"kind": "strang", "dt": 0.06, "diffusion_scheme": "exact", "taxis": "upwind"},
    "coupled": {"kind": "coupled", "dt": 0.06},
}
CASES = [
    *((way, "box") for way in WAYS if way != "coupled"),
    *((way, "masked") for way in ("arkimex", "strang", "mprk22")),
    *((way, kind) for way in ("arkimex", "strang", "mprk22", "coupled") for kind in ("grid", "gmsh")),
]


def case(way, kind, folder, **output):
    """Infusions, one in the middle of a step; parameters that change, so much that multigrid comes in."""
    box = {"cells": [7, 5, 6]}  # of which FiPy makes three slabs
    space = {"box": box, "masked": box, "grid": {"kind": "mesh", **box}, "gmsh": {"kind": "mesh", "mesh": str(CUBE)}}
    return carmodel.case(
        space=space[kind],
        parameters={"D_C": _mask(folder)} if kind == "masked" else {},
        initial={"cart": {"shape": "layer", "from": 0.0, "to": 0.4, "value": 0.5}},
        infusion=[
            {"time": 0.33, "add": {"initial": 0.5}},
            {"time": 0.6, "add": {"shape": "ball", "radius": 0.3, "value": 0.1}},
        ],
        intervention=[
            {"time": 0.45, "scale": {"D_C": 3.0, "rho_C": 1.5}},
            {"time": 0.6, "scale": {"D_S": 30.0, "D_H": 100.0}},
        ],
        time={"end": 0.9},
        integrator=WAYS[way],
        output={"every": 0.3, "formats": ["vtk", "csv"] if kind == "box" else ["vtk"]} | output,
    )


def _mask(folder: Path):
    """A diffusivity by cell, on the cells of the box."""
    image = pyvista.ImageData(dimensions=(8, 6, 7), spacing=(1 / 7, 1 / 5, 1 / 6))
    image.cell_data["D_C"] = np.where(np.sin(7 * image.cell_centers().points[:, 0]) > 0, 0.02, 0.005)
    image.save(folder / "mask.vti")
    return {"mask": str(folder / "mask.vti"), "array": "D_C"}


def written(folder: Path):
    """What a run says about its results, by name; not when and on what it ran."""
    told = ("manifest.json", "run.toml")
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "checkpoints" not in file.parts and file.name not in told
    }


def differences(one: Path, other: Path):
    """Names of files that are not alike."""
    a, b = written(one), written(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def killed_after(run: Path, checkpoint: Path, out: Path):
    """A copy of a finished run as one that was killed some time after a checkpoint: with all that came later."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(run, out)
    for other in (out / "checkpoints").iterdir():
        if other.name > checkpoint.name:
            other.unlink()
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"running"'))
    return out
