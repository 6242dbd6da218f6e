"""PETSc objects after an error: none is left, though Python's side of them is still there."""

import re
import traceback
from contextlib import nullcontext

import numpy as np
import pytest

from carmodel.integrators import Exponential, Imex, Patankar, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.runs import assembly
from carmodel.spaces import BoxSpace, box
from carmodel.spaces.cosine import CosineTransform
from carmodel.spaces.mesh import MeshSpace, grid_mesh
from carmodel.tools.errors import InputError, NumericsError
from carmodel.tools.owner import Owner, destroyed_if_unfinished
from carmodel.tools.petsc import PETSc
from tests.conftest import petsc_options, smooth_state

CELLS, LENGTHS = (4, 5, 6), (1.0, 1.0, 1.0)


@pytest.fixture
def alive(tmp_path, monkeypatch):
    """Counts PETSc's objects by class: how many more there are now than at the start of the test.

    Whatever has an owner is kept from Python's garbage collection, which would destroy it as well.
    """
    adopt, kept = Owner.adopt, []

    def keep(self, thing, destroy=None):
        kept.append(thing)
        return adopt(self, thing, destroy)

    monkeypatch.setattr(Owner, "adopt", keep)
    PETSc.Log.begin()

    def count() -> dict[str, int]:
        file = tmp_path / "log"
        viewer = PETSc.Viewer().createASCII(str(file), "w", comm=PETSc.COMM_WORLD)
        PETSc.Log.view(viewer)
        viewer.destroy()
        rows = re.findall(r"^ *([A-Z][\w ]*\w) +(\d+) +(\d+)\b", file.read_text().partition("Object Type")[2], re.M)
        assert rows
        # Viewers and random numbers are kept by PETSc itself.
        return {kind: int(made) - int(gone) for kind, made, gone in rows if kind not in ("Viewer", "PetscRandom")}

    before = count()
    return lambda: {kind: n - before.get(kind, 0) for kind, n in count().items() if n != before.get(kind, 0)}


def make_box():
    return BoxSpace(CELLS, LENGTHS)


def make_mesh():
    return MeshSpace(grid_mesh(CELLS, LENGTHS))


def varying(space):
    return 0.014 + 0.01 * np.arange(space.n_local) / space.n_local


P = PRESETS["normalised"]

UNFINISHED = {
    "a solver's options": (make_box, {"H_ksp_type": "none_such"}, lambda space: Imex(space, Medium(P))),
    "options beside a mask": (
        make_box,
        {"C_ksp_type": "none_such"},
        lambda space: Imex(space, Medium(P, {"D_C": varying(space)})),
    ),
    "the time stepper's options": (make_box, {"ts_max_steps": "5"}, lambda space: Imex(space, Medium(P))),
    "options for migration": (
        make_mesh,
        {"C_ksp_type": "none_such"},
        lambda space: Strang(space, Medium(P), reactions=Patankar(), taxis="upwind"),
    ),
    "options of FiPy's systems": (make_mesh, {"A_ksp_type": "none_such"}, lambda space: Coupled(space, Medium(P))),
}


@pytest.mark.parametrize("case", UNFINISHED)
def test_what_cannot_be_made_leaves_nothing(alive, case):
    make_space, options, make = UNFINISHED[case]
    space = make_space()
    with petsc_options(options), pytest.raises(InputError) as error:
        make(space)
    space.destroy()
    traceback.clear_frames(error.value.__traceback__)  # handles of parts of solvers, which PETSc would wait for
    assert alive() == {}


@pytest.mark.parametrize("kind", [Imex, Exponential, Strang])
def test_integrators_leave_nothing(alive, kind):
    space = make_box()
    with petsc_options({"H_ksp_type": "cg"}) if kind is not Exponential else nullcontext():
        integrator = kind(space, Medium(P), taxis="upwind")
    integrator.step(smooth_state(space), 0.01)
    integrator.restart(Medium(P._replace(D_H=0.5)))
    integrator.step(smooth_state(space), 0.01)
    assert alive()
    integrator.destroy()
    integrator.destroy()
    space.destroy()
    assert alive() == {}


def test_a_box_without_memory_leaves_nothing(alive, monkeypatch):
    class Full:
        def __getattr__(self, name):
            return getattr(np, name)

        def array(self, *_, **__):
            raise MemoryError

    monkeypatch.setattr(box, "np", Full())
    with pytest.raises(MemoryError):
        make_box()
    assert alive() == {}


CASE = """
[space]
kind = "{}"
cells = [4, 5, 6]
lengths = [1.0, 1.0, 1.0]
[parameters]
D_C = 0.02
[time]
end = 0.3
[integrator]
kind = "{}"
dt = 0.1
taxis = "upwind"
"""


@pytest.mark.parametrize(("kind", "integrator"), [("box", "strang"), ("box", "imex"), ("mesh", "imex")])
@pytest.mark.parametrize("error", [NumericsError("no step is short enough"), KeyboardInterrupt(), None])
def test_a_run_leaves_nothing(carmodel, write, tmp_path, alive, monkeypatch, kind, integrator, error):
    made, usual = [], assembly.make_integrator

    def make(scenario, space, D_C):
        result = usual(scenario, space, D_C)
        made.append(result)
        advance, steps = result.step, []

        def step(u, dt):
            steps.append(dt)
            if error is not None and len(steps) == 2:
                raise error
            return advance(u, dt)

        result.step = step
        return result

    monkeypatch.setattr(assembly, "make_integrator", make)
    answer = carmodel("run", write(CASE.format(kind, integrator)), "--out", tmp_path / "out", "--quiet")
    assert answer.code == {NumericsError: 3, KeyboardInterrupt: 130, type(None): 0}[type(error)]
    assert len(made) == 1
    assert alive() == {}


def test_a_refused_run_leaves_nothing(carmodel, write, tmp_path, alive, monkeypatch):
    made, usual = [], assembly.make_space
    monkeypatch.setattr(assembly, "make_space", lambda *given: made.append(usual(*given)) or made[-1])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.toml").write_text("")
    answer = carmodel("run", write(CASE.format("box", "imex")), "--out", tmp_path / "out", "--quiet")
    assert (answer.code, len(made)) == (2, 1)
    assert alive() == {}


def test_threads_of_a_transform_end_with_it():
    space = make_box()
    transform = CosineTransform(space)
    transform.destroy()
    with pytest.raises(RuntimeError, match="shutdown"):
        transform._threads.submit(print)
    space.destroy()


def test_what_is_owned_is_destroyed_once_and_in_reverse():
    gone = []

    class Pair(Owner):
        @destroyed_if_unfinished
        def __init__(self, fail):
            for name in "ab":
                self.adopt(name, lambda name=name: gone.append(name))
            if fail:
                raise ValueError

    Pair(False)
    assert gone == []
    with pytest.raises(ValueError):  # noqa: PT011
        Pair(True)
    assert gone == ["b", "a"]
    pair = Pair(False)
    pair.destroy()
    pair.destroy()
    assert gone == ["b", "a", "b", "a"]
