"""The exponential integrator: its functions, what it does exactly, when it begins anew, when it is chosen."""

import subprocess

import mpmath
import numpy as np
import pytest
import pyvista

from carmodel.integrators import Exponential
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.results import RunDirectory
from carmodel.solvers import phi
from carmodel.spaces import BoxSpace
from carmodel.spaces.cosine import CosineTransform
from tests.conftest import ODD_CELLS, ROOT, advance, smooth_state, without_reactions

P = PRESETS["normalised"]
CARMODEL = ROOT / ".venv/bin/carmodel"
BOX = (ODD_CELLS, (1.0, 0.9, 0.6))


def exact_phi(order, z):
    """phi_k(z) with many more digits than cancel."""
    with mpmath.workdps(150):
        z = mpmath.mpf(z)
        if z == 0:
            return float(1 / mpmath.factorial(order))
        series = sum(z**n / mpmath.factorial(n) for n in range(order))
        return float((mpmath.exp(z) - series) / z**order)


def test_phi_functions_to_rounding():
    """On both sides of the place where the series takes over, at zero and far out."""
    z = np.concatenate([[0.0, -1e-30, -1e-9], -np.geomspace(1e-6, 1e6, 200), phi.NEAR * np.array([1.0 - 1e-15, 1.0])])
    values = np.empty((3, z.size))
    phi.phi_functions(z, np.exp(z), *values)
    for order, found in enumerate(values, 1):
        expected = np.array([exact_phi(order, x) for x in z])
        assert np.abs(found / expected - 1.0).max() < 3e-14


def test_modes_are_orthonormal_and_lead_back():
    space = BoxSpace(*BOX)
    transform = CosineTransform(space)
    fields = np.random.default_rng(5).random((7, *space.owned_shape))
    modes = np.empty((7, *transform.modes_shape))
    transform.to_modes(fields.copy(), modes)
    assert (modes**2).sum(axis=(1, 2, 3)) == pytest.approx((fields**2).sum(axis=(1, 2, 3)), rel=1e-14)
    back = np.empty_like(fields)
    transform.to_fields(modes, back)
    assert np.abs(back - fields).max() < 1e-14
    transform.destroy()
    space.destroy()


def test_diffusion_alone_is_exact_in_one_step():
    space = BoxSpace(*BOX)
    p = without_reactions()._replace(chi_0=0.0)
    u = smooth_state(space)
    expected = space.owned(u).copy()
    transform = CosineTransform(space)
    for field, D in zip(expected, Medium(p).diffusivities, strict=True):
        transform.heat(field, 3.0 * D)
    integrator = Exponential(space, Medium(p), dt=3.0)
    assert integrator.step(u, 3.0) == 3.0
    assert np.abs(space.owned(u) - expected).max() < 1e-14
    for holder in (integrator, transform, space):
        holder.destroy()


def test_a_changed_state_is_where_the_step_after_a_restart_starts():
    """What a new integrator makes of it, to the digit; without a restart the state is what the last step left."""
    space = BoxSpace(*BOX)
    u = smooth_state(space)
    integrator = Exponential(space, Medium(P), dt=0.1, adapt=False)
    advance(integrator, u, 0.3)
    space.owned(u[0])[2, 3, 4] += 0.1
    integrator.restart(Medium(P))
    new, v = Exponential(space, Medium(P), dt=0.1, adapt=False), u.copy()
    integrator.step(u, 0.1)
    new.step(v, 0.1)
    assert np.array_equal(space.owned(u), space.owned(v))
    untold = u.copy()
    integrator.step(u, 0.1)
    new.step(v, 0.1)
    v[...] = 0.5  # the cosines are the state
    assert integrator.step(u, 0.1) == new.step(v, 0.1)
    assert np.array_equal(space.owned(u), space.owned(v))
    assert not np.array_equal(space.owned(u), space.owned(untold))
    for holder in (integrator, new, space):
        holder.destroy()


def test_another_array_is_another_state():
    space = BoxSpace(*BOX)
    u, v = smooth_state(space), 0.5 * smooth_state(space)
    integrator, new = (Exponential(space, Medium(P), dt=0.1, adapt=False) for _ in range(2))
    integrator.step(u, 0.1)
    w = v.copy()
    integrator.step(v, 0.1)
    new.step(w, 0.1)
    assert np.array_equal(space.owned(v), space.owned(w))
    for holder in (integrator, new, space):
        holder.destroy()


def test_what_is_clamped_is_missing_from_the_next_step():
    """A step of a sharp edge undershoots; the sum of a field then rises by what was clamped and by nothing else."""
    space = BoxSpace((24, 3, 2), (1.0, 0.2, 0.2))
    p = without_reactions()._replace(chi_0=0.3, D_C=2e-3)
    u = space.zeros(7)
    x = space.centres[0]
    space.owned(u[0])[...] = 1.0 * (x < 0.4)
    space.owned(u[4])[...] = np.exp(-(((x - 0.5) / 0.1) ** 2))
    before = space.sum_min_max(u)[0]
    integrator = Exponential(space, Medium(p), rtol=1e-2, taxis="central")
    for _ in range(6):
        integrator.step(u, 0.02)
        assert space.owned(u).min() >= 0.0
        assert space.sum_min_max(u)[0] - before == pytest.approx(integrator.clamped, abs=1e-12)
    assert integrator.clamped[0] > 1e-3
    integrator.destroy()
    space.destroy()


CASE = """
[space]
cells = [6, 5, 4]
[time]
end = 0.5
"""


def method_of(tmp_path, text, *options, code=0):
    """What the manifest says, or the complaint."""
    case, out = tmp_path / "case.toml", tmp_path / "out"
    case.write_text(text, encoding="utf-8")
    command = [CARMODEL, "run", case, "--out", out, "--quiet", "--", *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == code, answer.stderr
    return answer.stderr if code else RunDirectory(out).manifest["method"].split()[0]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (CASE, (), "exponential"),
        (CASE + '[integrator]\nmethod = "arkimex"\n', (), "ARKIMEX"),
        (CASE, ("-ts_arkimex_type", "3"), "ARKIMEX"),
        (CASE, ("-H_pc_type", "jacobi"), "ARKIMEX"),
        (CASE, ("-TS_monitor", ":/dev/null"), "ARKIMEX"),
        (CASE, ("-ta_ksp_type", "cg"), "ARKIMEX"),
        (CASE, ("-log_view", ":/dev/null"), "exponential"),
        (CASE.replace("cells", 'kind = "mesh"\ncells'), (), "ARKIMEX"),
        (CASE + '[parameters]\nD_C = { mask = "mask.vti", ignore_geometry = true }\n', (), "ARKIMEX"),
    ],
)
def test_it_is_chosen_where_diffusion_is_diagonal_and_no_option_is_petsc_s(tmp_path, text, options, expected):
    image = pyvista.ImageData(dimensions=(7, 6, 5))
    image.cell_data["D_C"] = np.linspace(0.01, 0.02, 120)
    image.save(tmp_path / "mask.vti")
    assert method_of(tmp_path, text, *options) == expected


def test_options_of_petsc_s_do_not_go_with_it(tmp_path):
    told = method_of(tmp_path, CASE + '[integrator]\nmethod = "exponential"\n', "-ts_monitor", code=2)
    assert told.startswith("PETSc option -ts_monitor: integrator.method = 'exponential'")
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("space", "where"), [('kind = "mesh"\n', "on a mesh"), ("", "with a mask for D_C")], ids=["mesh", "mask"]
)
def test_it_is_refused_where_diffusion_is_not_diagonal(tmp_path, carmodel, write, space, where):
    text = CASE.replace("cells", space + "cells") + '[integrator]\nmethod = "exponential"\n'
    if not space:
        text += '[parameters]\nD_C = { mask = "mask.vti" }\n'
    answer = carmodel("check", write(text))
    assert answer.code == 2
    only = "has a box of cells and constant diffusivities"
    assert f"integrator.method = 'exponential' {only}; accepted {where}: " in answer.err
    assert answer.err.count("\n") == 1
