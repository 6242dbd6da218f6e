"""Infusions and interventions: exact amounts, exact times, their order, and what integrators make of the jump."""

import re
import sys
from itertools import pairwise

import numpy as np
import pytest
import pyvista
from mpi4py import MPI

from carmodel.commands.run import Wishes, launch
from carmodel.integrators import Exponential, Imex, Jacobi, Strang
from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, MODEL, PRESETS
from carmodel.results import RunDirectory
from carmodel.runs.dosing import Schedule
from carmodel.runs.initial import initial_state
from carmodel.runs.plan import Plan, output_times
from carmodel.runs.simulation import Observer, Simulation
from carmodel.scenario.fields import Infusion
from carmodel.scenario.parameters import Intervention
from carmodel.scenario.reading import load
from carmodel.spaces import BoxSpace
from carmodel.spaces.mesh import MeshSpace, gmsh_mesh
from carmodel.tools.errors import InputError
from tests.conftest import ROOT, mpirun, smooth_state
from tests.meshes import smooth, uniform

CARMODEL = ROOT / ".venv/bin/carmodel"
P = PRESETS["normalised"]
CASE = """
[space]
cells = [9, 8, 7]
lengths = [1.0, 0.9, 0.7]
[initial]
tumour = { shape = "ball", radius = 0.25, value = 0.9, edge = 0.05 }
cart = { shape = "disk", from = 0.0, to = 0.3, radius = 0.3, value = 0.5 }
[time]
end = 1.0
[integrator]
kind = "strang"
dt = 0.1
[output]
every = 0.5
"""
DOSES = """
[[infusion]]
time = 0.0
add = { shape = "ball", centre = [0.3, 0.4, 0.5], radius = 0.2, edge = 0.04, amount = 0.0123 }
[[infusion]]
time = 0.37
add = { shape = "disk", axis = "y", from = 0.0, to = 0.2, radius = 0.3, value = 0.7 }
[[infusion]]
time = 0.5
add = { initial = 1.5 }
[[infusion]]
time = 1.0
add = { shape = "layer", axis = "z", from = 0.0, to = 0.4, amount = 2.5 }
"""


def rises(run):
    """Time of each infusion and what it did to the totals, shape (7,), from series.csv."""
    t, dt = run.series["t"], run.series["dt"]
    rows = [n for n in range(1, len(t)) if dt[n] == 0.0]
    assert all(t[n] == t[n - 1] for n in rows)
    totals = np.column_stack([run.series[f"total_{field}"] for field in FIELDS])
    return [(t[n], totals[n] - totals[n - 1]) for n in rows]


# ---- infusions -----------------------------------------------------------------------------------------------------

SPACES = {
    "box": "",
    "grid": "kind = 'mesh'",
    "gmsh": f"kind = 'mesh'\nmesh = '{ROOT}/meshes/barrier.geo'",  # a bar of 1 x 0.2 x 0.2
}


def run_everywhere(folder):
    """The doses on each kind of space, on this many ranks."""
    for kind in SPACES:
        assert (
            launch(folder / f"{kind}.toml", Wishes(folder / f"{kind}-{MPI.COMM_WORLD.size}", [], [], quiet=True)) == 0
        )


@pytest.fixture(scope="module")
def doses_everywhere(tmp_path_factory):
    """Run directories `KIND-RANKS` on 1, 2 and 3 ranks."""
    folder = tmp_path_factory.mktemp("doses")
    for kind, lines in SPACES.items():
        text = CASE.replace("[space]", f"[space]\n{lines}") + DOSES
        if kind == "gmsh":
            text = re.sub("(cells|lengths) = .*\n", "", text).replace("[0.3, 0.4, 0.5]", "[0.3, 0.1, 0.1]")
        (folder / f"{kind}.toml").write_text(text)
    code = f"from pathlib import Path; from tests.runs.test_dosing import *; run_everywhere(Path({str(folder)!r}))"
    run_everywhere(folder)
    for ranks in (2, 3):
        answer = mpirun(ranks, sys.executable, "-c", code)
        assert answer == (0, "", ""), answer
    return folder


@pytest.mark.parametrize("kind", SPACES)
def test_totals_rise_by_exactly_the_amounts_on_any_number_of_ranks(kind, doses_everywhere):
    amounts = []
    for ranks in (1, 2, 3):
        out = doses_everywhere / f"{kind}-{ranks}"
        run = RunDirectory(out)
        assert run.manifest["ranks"] == ranks
        found = rises(run)
        assert [t for t, _ in found] == [0.0, 0.37, 0.5, 1.0]
        events = run.manifest["events"]
        assert [event["time"] for event in events] == [0.0, 0.37, 0.5, 1.0]
        for (_, rise), event in zip(found, events, strict=True):
            assert rise[0] == pytest.approx(event["amount"], rel=1e-12)
            assert not rise[1:].any()
        amounts.append([event["amount"] for event in events])
        assert amounts[-1][::3] == [0.0123, 2.5]
        assert amounts[-1][2] == pytest.approx(1.5 * run.series["total_C"][0], rel=1e-12)
        assert not any(run.series[f"clamped_{f}"][-1] for f in ("E", "TA", "TB", "A", "H"))
    assert amounts[1] == pytest.approx(amounts[0], rel=1e-12)
    assert amounts[2] == pytest.approx(amounts[0], rel=1e-12)


def test_steps_land_on_doses_and_volumes_show_the_state_after_them(carmodel, write, tmp_path):
    """One dose between outputs, one at an output, at the start and at the end each."""
    out = tmp_path / "out"
    answer = carmodel("run", write(CASE + DOSES), "--out", out)
    assert answer.code == 0, answer.err
    assert "given in 5 doses" in answer.out
    run = RunDirectory(out)
    t, dt = run.series["t"], run.series["dt"]
    assert t[[0, 1]].tolist() == [0.0, 0.0]
    assert t[[-2, -1]].tolist() == [1.0, 1.0]
    assert np.count_nonzero(t == 0.37) == np.count_nonzero(t == 0.5) == 2
    assert np.count_nonzero(dt) == run.manifest["steps"] == len(t) - 1 - 4
    assert dt[dt > 0.0].max() <= 0.1
    assert np.diff(t) == pytest.approx(dt[1:], rel=1e-12)
    assert run.volumes.times == [0.0, 0.5, 1.0]
    assert run.line["t"].tolist() == [0.0, 0.5, 1.0]
    volume = np.prod([1.0, 0.9, 0.7]) / (9 * 8 * 7)
    for n, time in enumerate(run.volumes.times):
        after = run.series["total_C"][t == time][-1]
        assert run.volumes.read(n)[0].sum() * volume == pytest.approx(after, rel=1e-12)


def test_a_dose_adds_the_profile_that_the_same_shape_has_at_the_start(write):
    """`value`, the `amount` that is its integral, and a multiple of an initial C of that shape: the same cells."""
    shape = "shape = 'disk', axis = 'y', from = -0.1, to = 0.3, radius = 0.35, edge = 0.03"
    text = re.sub("cart = .*", f"cart = {{ {shape}, value = 0.5 }}", CASE)
    space = BoxSpace((9, 8, 7), (1.0, 0.9, 0.7))
    u = initial_state(load(write(text)).initial, space)
    C = space.owned(u[0]).copy()
    amount = float(C.sum() * space.cell_volume)
    assert amount > 1e-3
    for add in (f"{shape}, value = 0.5", f"{shape}, amount = {amount!r}", "initial = 1.0"):
        scenario = load(write(text + f"[[infusion]]\ntime = 0.2\nadd = {{ {add} }}\n"))
        schedule = Schedule(scenario.infusion, (), space, u, Medium(P), end=1.0)
        v = u.copy()
        assert list(schedule.happen(0.1, v)) == []
        assert np.array_equal(u, v)
        (event,) = schedule.happen(0.2, v)
        assert event.amount == pytest.approx(amount, rel=1e-14)
        assert space.owned(v[0]) == pytest.approx(2.0 * C, rel=1e-14)
        assert np.array_equal(v[1:], u[1:])
        assert list(schedule.happen(0.3, v)) == [], "it happens once"
    one = load(write(text + f"[[infusion]]\ntime = 0.2\nadd = {{ {shape} }}\n"))
    assert Schedule(one.infusion, (), space, u, Medium(P), end=1.0).events[0].amount == pytest.approx(2.0 * amount)
    space.destroy()


def test_multiples_are_those_of_the_state_at_the_start():
    """The C that has moved meanwhile does not count, nor does what was added at t = 0."""
    space = BoxSpace((6, 5, 4), (1.0, 0.9, 0.8))
    u = smooth_state(space)
    start = space.owned(u[0]).copy()
    doses = [Infusion(time=t, add={"initial": 0.5}) for t in (0.0, 0.2, 0.4)]
    schedule = Schedule(doses, (), space, u, Medium(P), end=0.5)
    run = Simulation(space, Still(), u, Plan(end=0.5, every=0.0, dt=0.1, schedule=schedule))
    run.run()
    assert space.owned(u[0]) == pytest.approx(2.5 * start, rel=1e-14)
    assert [event.amount for event in run.events] == pytest.approx(3 * [0.5 * start.sum() * space.cell_volume])
    space.destroy()


class Doubling(Observer):
    """Doubles a field at an output, as a person's own observer may."""

    def output(self, run):
        if run.t == 0.3:
            run.u[0] *= 2.0
            run.state_changed()


@pytest.mark.parametrize("by", ["infusion", "observer"])
@pytest.mark.parametrize("make", [Exponential, Imex, Strang, Coupled])
def test_a_change_of_the_state_reaches_every_integrator(make, by):
    """Half-way the schedule or an observer adds cells: as two runs, the second from where the first ends."""
    space = uniform((6, 5, 4)) if make is Coupled else BoxSpace((6, 5, 4), (1.0, 0.9, 0.8))
    u = smooth(space) if make is Coupled else smooth_state(space)
    v, start = u.copy(), u[0].copy()
    schedule = Schedule([Infusion(time=0.3, add={"initial": 1.0})], (), space, u, Medium(P), end=0.6)
    integrator = make(space, Medium(P))
    if by == "infusion":
        Simulation(space, integrator, u, Plan(0.6, 0.0, 0.1, schedule)).run()
    else:
        Simulation(space, integrator, u, Plan(0.6, 0.3, 0.1), [Doubling()]).run()
    integrator.destroy()
    for n in range(2):
        if n:
            v[0] += start if by == "infusion" else v[0]
        new = make(space, Medium(P))
        Simulation(space, new, v, Plan(0.3, 0.0, 0.1)).run()
        new.destroy()
    assert space.owned(u) == pytest.approx(space.owned(v), rel=1e-9)
    space.destroy()


class Still:
    """An integrator that does nothing, and says so."""

    medium, model, order, adaptive, taxis = Medium(P), MODEL, 1, False, "central"
    negligible, clamped, seconds = 0.01, np.zeros(7), {}
    deepest_undershoot = np.zeros(7)

    def __init__(self):
        self.calls = []

    def step(self, u, dt):
        self.calls.append(dt)
        return dt

    def restart(self, medium):
        self.calls.append(medium.parameters)


# ---- when ----------------------------------------------------------------------------------------------------------


def test_times_that_differ_by_rounding_are_one():
    """A dose at 0.3 and outputs every 0.1, 3 x 0.1 being more than 0.3: no step of 1e-17 days."""
    assert 3 * 0.1 != 0.3
    times = output_times(1.0, 0.1, [0.3])
    assert times[3] == 0.3
    assert len(times) == 11
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    doses = [Infusion(time=t, add={"initial": 1.0}) for t in (0.3, 3 * 0.1, 0.25, 1.0 - 1e-12, 1e-12)]
    schedule = Schedule(doses, (), space, u, Medium(P), end=1.0)
    assert schedule.times == [0.0, 0.25, 0.3, 1.0]
    integrator = Still()
    Simulation(space, integrator, u, Plan(end=1.0, every=0.1, dt=0.05, schedule=schedule)).run()
    steps = [call for call in integrator.calls if isinstance(call, float)]
    assert len(steps) == 20
    assert set(steps) == {0.05}, "solvers are set up once"
    space.destroy()


def test_order_of_events_at_one_time():
    """Interventions before infusions, each as the run file has them; the parameters change one after the other."""
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    u = space.zeros(7)
    doses = [Infusion(time=t, add={"initial": float(n)}) for n, t in enumerate((0.5, 0.2, 0.5))]
    changes = [
        Intervention.model_validate({"time": 0.5, "scale": {"nu": 3.0}}),
        Intervention.model_validate({"time": 0.5, "set": {"nu": 1.0}, "scale": {"eta": 2.0}}),
        Intervention.model_validate({"time": 0.5, "scale": {"nu": 2.0, "eta": 4.0}}),
        Intervention.model_validate({"time": 0.2, "set": {"eta": 1.0}}),
    ]
    schedule = Schedule(doses, changes, space, u, Medium(P), end=1.0)
    assert [event.change for event in schedule.events] == [changes[3], doses[1], *changes[:3], doses[0], doses[2]]
    seen = [schedule.medium.parameters.nu for _ in schedule.happen(0.5, u)]
    assert seen == [P.nu, P.nu, 3.0 * P.nu, 1.0, 2.0, 2.0, 2.0]
    assert schedule.medium.parameters == P._replace(nu=2.0, eta=8.0)
    integrator = Still()
    again = Schedule(doses, changes, space, u, Medium(P), end=1.0)
    Simulation(space, integrator, u, Plan(end=1.0, every=0.0, dt=1.0, schedule=again)).run()
    assert integrator.calls == [
        pytest.approx(0.2), P._replace(eta=1.0), pytest.approx(0.3), P._replace(nu=2.0, eta=8.0), pytest.approx(0.5)
    ]  # fmt: skip
    space.destroy()


# ---- interventions -------------------------------------------------------------------------------------------------

#: A change that reaches every part of an integrator: reactions, diffusion, taxis from nothing, D_C.
BEFORE = P._replace(chi_0=0.0)
CHANGE = {"time": 0.3, "set": {"chi_0": 0.3, "D_A": 0.05}, "scale": {"D_C": 2.0, "r_T": 3.0, "alpha_A": 0.5}}
AFTER = BEFORE._replace(chi_0=0.3, D_A=0.05, D_C=2.0 * P.D_C, r_T=3.0 * P.r_T, alpha_A=0.5)


def run_with(space, integrator, u, change, D_C=None):
    """Six steps of 0.1 with a change after three; then free the integrator."""
    schedule = Schedule((), [Intervention.model_validate(change)], space, u, Medium(BEFORE, {"D_C": D_C}), end=0.6)
    Simulation(space, integrator, u, Plan(end=0.6, every=0.0, dt=0.1, schedule=schedule)).run()
    integrator.destroy()


def halves(make, u, space, D_C=(None, None)):
    """Three steps before and three after the change, each with an integrator that knows of nothing else."""
    for parameters, diffusivity in zip((BEFORE, AFTER), D_C, strict=True):
        integrator = make(space, Medium(parameters, {"D_C": diffusivity}))
        Simulation(space, integrator, u, Plan(end=0.3, every=0.0, dt=0.1)).run()
        integrator.destroy()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["box", "mesh"])
def test_strang_goes_on_as_a_new_run_would(kind, masked):
    """To the digit: parameters, diffusion matrices and faces of D_C are all of the new ones."""
    space = BoxSpace((6, 7, 8), (1.0, 0.9, 0.8)) if kind == "box" else uniform()
    u = smooth_state(space) if kind == "box" else smooth(space)
    v = u.copy()
    D_C = (space.zeros() + np.linspace(0.01, 0.03, space.n_local)) if masked else None
    if masked:
        space.exchange_field(D_C)
    run_with(space, Strang(space, Medium(BEFORE, {"D_C": D_C})), u, CHANGE, D_C)
    halves(Strang, v, space, D_C=(D_C, 2.0 * D_C) if masked else (None, None))
    assert np.array_equal(space.owned(u), space.owned(v))
    space.destroy()


def test_strang_keeps_its_solvers_where_no_diffusivity_changes():
    space = BoxSpace((5, 4, 3), (1.0, 1.0, 1.0))
    integrator, u = Strang(space, Medium(P)), smooth_state(space)
    solvers = integrator.diffusion_step
    integrator.step(u, 0.1)
    integrator.restart(Medium(P._replace(nu=0.0)))
    assert integrator.diffusion_step is solvers
    before = solvers.iterations.copy()
    assert before.any()
    integrator.restart(Medium(P._replace(nu=0.0, D_H=0.1)))
    assert integrator.diffusion_step is not solvers
    assert integrator.figures()["linear_iterations"] == dict(zip(FIELDS, before.tolist(), strict=True))
    integrator.step(u, 0.1)
    assert set(integrator.figures()["linear_solvers"]) == set(FIELDS)
    integrator.destroy()
    space.destroy()


def test_jacobi_takes_new_diffusivities():
    space = BoxSpace((5, 4, 3), (1.0, 1.0, 1.0))
    u, v = smooth_state(space), smooth_state(space)

    def jacobi(space, medium):
        return Strang(space, medium, diffusion=Jacobi(5))

    run_with(space, jacobi(space, Medium(BEFORE)), u, CHANGE)
    halves(jacobi, v, space)
    assert np.array_equal(u, v)
    space.destroy()


@pytest.mark.parametrize("masked", [False, True])
def test_coupled_goes_on_as_a_new_run_would(masked):
    """Nothing is left of old FiPy coefficients, nor of BDF2's memory of the time before."""
    space = uniform()
    u, v = smooth(space), smooth(space)
    D_C = np.linspace(0.01, 0.03, space.n_local) if masked else None
    options = {"taxis": "scharfetter-gummel"}

    def coupled(space, medium):
        return Coupled(space, medium, **options)

    integrator = coupled(space, Medium(BEFORE, {"D_C": D_C}))
    run_with(space, integrator, u, CHANGE, D_C)
    halves(coupled, v, space, D_C=(D_C, 2.0 * D_C) if masked else (None, None))
    assert np.array_equal(u, v)
    assert integrator.iterations.min() > 0
    space.destroy()


def test_coupled_forgets_its_past_at_a_dose_and_keeps_its_systems():
    space = uniform((6, 5, 4))
    u = smooth(space)
    v = u.copy()
    integrator = Coupled(space, Medium(P))
    integrator.step(u, 0.1)
    u[0] += 0.5
    v[:] = u
    systems = integrator.systems
    integrator.restart(Medium(P))
    assert integrator.systems is systems
    integrator.step(u, 0.1)
    integrator.destroy()
    fresh = Coupled(space, Medium(P))
    fresh.step(v, 0.1)
    fresh.destroy()
    # To the tolerance of the nonlinear solves: matrices kept in use round otherwise.
    assert np.abs(u - v).max() < 1e-9
    # Parameters that change while the state does not jump: BDF2 would go on from its memory unless told.
    integrator = Coupled(space, Medium(P))
    integrator.step(u, 0.1)
    integrator.restart(Medium(P._replace(r_T=2.0)))
    assert integrator._earlier is None
    assert len(integrator._parts(0.1)) == 4
    integrator.destroy()
    space.destroy()


def masks(tmp_path):
    """A volume of D_C and one of twice as much."""
    values = 0.014 * np.random.default_rng(3).uniform(0.1, 1.0, 9 * 8 * 7)
    for name, factor in (("once", 1.0), ("twice", 2.0)):
        image = pyvista.ImageData(dimensions=(10, 9, 8), spacing=(1 / 9, 0.9 / 8, 0.1))
        image.cell_data["D_C"] = factor * values
        image.save(tmp_path / f"{name}.vti")


@pytest.mark.parametrize("kind", ["box", "mesh"])
def test_interventions_at_the_start_apply_before_the_first_step(kind, carmodel, write, tmp_path):
    """`scale` and `set` on a volume of D_C and on numbers: the same fields as a run that starts so."""
    masks(tmp_path)

    def run(name, parameters, change="", ranks=1):
        text = CASE.replace("[space]", f"[space]\nkind = '{kind}'") + f"[parameters]\n{parameters}\n{change}"
        out = tmp_path / name
        command = ("run", write(text, f"{name}.toml"), "--out", out, "--quiet")
        answer = carmodel(*command) if ranks == 1 else mpirun(ranks, CARMODEL, *command)
        assert answer.code == 0, answer
        assert "Peclet" in answer.err or not answer.err  # where D_C is least
        return out

    def same(a, b, tolerance):
        answer = carmodel("compare", a, b, "--tol", tolerance)
        assert answer.code == 0, answer.out

    def at_start(change):
        return f"[[intervention]]\ntime = 0.0\n{change}\n"

    twice = run("twice", f"D_C = {{ mask = 'twice.vti' }}\nsigma_A = {0.5 * P.sigma_A!r}")
    change = at_start("scale = { D_C = 2.0, sigma_A = 0.5 }")
    same(run("scaled", "D_C = { mask = 'once.vti' }", change), twice, "0")
    if kind == "box":
        same(run("ranks", "D_C = { mask = 'once.vti' }", change, ranks=2), twice, "1e-10")
    number = run("number", "")
    # The number that the volume stood for all along: only the volume goes.
    same(run("set", "D_C = { mask = 'once.vti' }", at_start(f"set = {{ D_C = {P.D_C} }}")), number, "0")
    twofold = at_start(f"set = {{ D_C = {0.25 * P.D_C!r} }}") + at_start("scale = { D_C = 4.0 }")
    same(run("both", "D_C = { mask = 'once.vti' }", twofold), number, "0")
    assert carmodel("compare", twice, number, "--tol", "1e-3").code == 1


# ---- run files -----------------------------------------------------------------------------------------------------


def test_the_manifest_lists_what_happened_and_run_toml_repeats_it(carmodel, write, tmp_path):
    change = "[[intervention]]\ntime = 0.25\nset = { mu_0 = 0.0 }\nscale = { eta = 2.0 }\n"
    first = tmp_path / "first"
    assert carmodel("run", write(CASE + DOSES + change), "--out", first, "--quiet") == (0, "", "")
    events = RunDirectory(first).manifest["events"]
    assert events[1] == {"event": "intervention", "time": 0.25, "set": {"mu_0": 0.0}, "scale": {"eta": 2.0}}
    kinds = ["infusion", "intervention", "infusion", "infusion", "infusion"]
    assert [event["event"] for event in events] == kinds
    assert events[3]["add"] == {"initial": 1.5}
    assert events[4]["add"]["amount"] == 2.5
    assert "value" not in events[4]["add"]
    again = tmp_path / "again"
    assert carmodel("run", first / "run.toml", "--out", again, "--quiet") == (0, "", "")
    assert (again / "run.toml").read_text() == (first / "run.toml").read_text()
    assert (again / "series.csv").read_text() == (first / "series.csv").read_text()


def test_interventions_alone_add_no_row(carmodel, write, tmp_path):
    file = write(CASE + "[[intervention]]\ntime = 0.25\nset = { mu_0 = 0.0 }\n")
    assert carmodel("run", file, "--out", tmp_path / "out", "--quiet") == (0, "", "")
    t = RunDirectory(tmp_path / "out").series["t"]
    assert np.count_nonzero(t == 0.25) == 1
    assert all(a < b for a, b in pairwise(t))


def test_events_of_a_base_are_replaced_whole(write):
    write(CASE + DOSES, "below.toml")
    one = "[[infusion]]\ntime = 0.1\nadd = { initial = 1.0 }\n"
    assert [dose.time for dose in load(write("base = 'below.toml'\n" + one)).infusion] == [0.1]
    assert len(load(write("base = 'below.toml'\n")).infusion) == 4
    assert load(write("base = 'below.toml'\n"), ["infusion=[]"]).infusion == ()
    added = load(write(CASE), ["infusion=[{time=0.2, add={shape='ball', radius=0.2, amount=3}}]"])
    assert added.infusion[0].add.amount == 3.0


BALL = "shape='ball', radius=0.3"
WRONG = [
    ("infusion={time=0.5}", "accepted: a list of such tables, each under [[infusion]]"),
    ("infusion=3", "infusion = 3; accepted: a list"),
    ("infusion=[3]", "infusion.0 = 3; accepted: a table"),
    ("infusion=[{time=0.5}]", "infusion.0.add: missing"),
    ("infusion=[{add={initial=1}}]", "infusion.0.time: missing"),
    ("infusion=[{time=-1, add={initial=1}}]", "infusion.0.time = -1; accepted: greater than or equal to 0"),
    ("infusion=[{time=2, add={initial=1}}]", "infusion.0.time = 2.0; accepted: from 0 to time.end = 1.0"),
    ("infusion=[{time=0.5, at=1, add={initial=1}}]", "infusion.0: unknown key 'at'; accepted: add, time"),
    ("infusion=[{time=0.5, add=3}]", "infusion.0.add = 3; accepted: a table"),
    ("infusion=[{time=0.5, add={}}]", "infusion.0.add.shape = missing; accepted: 'ball', 'disk', 'layer', or 'initial"),
    ("infusion=[{time=0.5, add={shape='cube'}}]", "infusion.0.add.shape = 'cube'; accepted: 'ball'"),
    ("infusion=[{time=0.5, add={shape='ball'}}]", "infusion.0.add.radius: missing"),
    ("infusion=[{time=0.5, add={initial=-1}}]", "infusion.0.add.initial = -1; accepted: greater than or equal to 0"),
    ("infusion=[{time=0.5, add={initial=1e308}}, {time=0.5, add={initial=inf}}]", "infusion.1.add.initial = inf"),
    (f"infusion=[{{time=0.5, add={{{BALL}, initial=1}}}}]", "infusion.0.add: unknown key 'shape'; accepted: initial"),
    (f"infusion=[{{time=0.5, add={{{BALL}, value=1, amount=2}}}}]", "value = 1 and amount = 2; accepted: one of them"),
    (f"infusion=[{{time=0.5, add={{{BALL}, amount=-1}}}}]", "infusion.0.add.amount = -1; accepted: greater than or"),
    (f"infusion=[{{time=0.5, add={{{BALL}, value='a'}}}}]", "infusion.0.add.value = 'a'; accepted: a valid number"),
    (f"infusion=[{{time=0.5, add={{{BALL}, amount=1, centre=[5,5,5]}}}}]", "amount = 1: the shape covers no cell"),
    (f"infusion=[{{time=0.5, add={{{BALL}, value=1, centre=[5,5,5]}}}}]", "value = 1: the shape covers no cell"),
    (f"infusion=[{{time=0.5, add={{{BALL}, value=1e308}}}}]", "accepted: a finite integral"),
    ("intervention=[{time=0.5}]", "intervention.0: changes nothing; accepted: 'set"),
    ("intervention=[{time=0.5, set=3}]", "intervention.0.set = 3; accepted: a table"),
    ("intervention=[{time=2, set={nu=1}}]", "intervention.0.time = 2.0; accepted: from 0 to time.end = 1.0"),
    ("intervention=[{time=0.5, set={sigmaA=1}}]", "intervention.0.set: unknown key 'sigmaA' (did you mean 'sigma_A'?)"),
    ("intervention=[{time=0.5, scale={preset=1}}]", "intervention.0.scale: unknown key 'preset'"),
    ("intervention=[{time=0.5, set={K_C=0}}]", "intervention.0.set: K_C = 0; accepted: greater than 0"),
    ("intervention=[{time=0.5, scale={K_C=0}}]", "intervention.0.scale: K_C = 0; accepted: greater than 0"),
    ("intervention=[{time=0.5, set={nu=-1}}]", "intervention.0.set.nu = -1; accepted: greater than or equal to 0"),
    ("intervention=[{time=0.5, set={nu=nan}}]", "intervention.0.set.nu = nan; accepted: a finite number"),
    ("intervention=[{time=0.5, set={nu=1}, scale={nu=1}}]", "nu stands in 'set' and in 'scale'; accepted: one of them"),
    (
        "intervention=[{time=0.5, scale={nu=1e300}}, {time=0.1, scale={nu=1e100}}]",
        "intervention.0.scale: nu = 1e+300 makes nu inf; accepted: a factor that leaves it finite",
    ),
    (
        "intervention=[{time=0.5, scale={K_C=1e-300}}, {time=0.6, scale={K_C=1e-300}}]",
        "intervention.1.scale: K_C = 1e-300 makes K_C 0; accepted: a factor that leaves it finite and greater than 0",
    ),
]


@pytest.mark.parametrize(("override", "complaint"), WRONG)
def test_wrong_events_are_refused_in_one_line_and_nothing_written(carmodel, write, tmp_path, override, complaint):
    out = tmp_path / "out"
    answer = carmodel("run", write(CASE), "--out", out, "--set", override)
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    assert "case.toml: " in answer.err
    assert complaint in answer.err
    assert not out.exists()


LAYER = {"shape": "layer", "axis": "x", "edge": 0.02}
DISK = {"shape": "disk", "axis": "x", "edge": 0.02, "from": 0.2, "to": 0.4, "centre": [0.0, 2.0, 0.0]}
NARROW = {"shape": "ball", "radius": 0.005, "edge": 0.04}
SMOOTH = {
    "far outside": (LAYER | {"from": 1.6, "to": 1.9}, False),
    "outside by a quarter of an edge": (LAYER | {"from": 1.305, "to": 1.9}, False),
    "outside but for a sliver": (LAYER | {"from": 1.299, "to": 1.9}, True),
    "more than all": (LAYER | {"from": -5.0, "to": 5.0}, True),
    "thinner than its edge": (LAYER | {"from": 0.31, "to": 0.31}, True),
    "narrow, where cells meet": (NARROW | {"centre": [0.4, 0.4, 0.5]}, True),
    "narrow, in a corner of the box": (NARROW | {"centre": [0.0, 0.0, 0.0]}, True),
    "narrow, beyond that corner": (NARROW | {"centre": [-0.02, -0.02, -0.02]}, False),
    "a disk beside the box": (DISK | {"radius": 0.9}, False),
    "a disk that reaches in": (DISK | {"radius": 1.1}, True),
}


@pytest.mark.parametrize("case", SMOOTH)
@pytest.mark.parametrize("kind", ["box", "mesh"])
def test_smooth_shapes_outside_are_refused_and_narrow_ones_inside_are_not(kind, case):
    """Amounts and values, on cells of unequal sides."""
    shape, fits = SMOOTH[case]
    cells, lengths = (26, 10, 2), (1.3, 1.0, 1.0)
    space = BoxSpace(cells, lengths) if kind == "box" else uniform(cells, lengths)
    for given in ({"amount": 0.01}, {"value": 2.0}):
        dose = Infusion(time=0.5, add=shape | given)
        if fits:
            (event,) = Schedule([dose], (), space, space.zeros(7), Medium(P), end=1.0).events
            assert event.amount > 0.0
        else:
            with pytest.raises(
                InputError, match=r"infusion.0.add: .*: the shape is outside, its edge alone reaches in"
            ):
                Schedule([dose], (), space, space.zeros(7), Medium(P), end=1.0)
    space.destroy()


def test_what_is_outside_tetrahedra_need_not_be_outside_the_box_around_them(tmp_path):
    """A ball of tetrahedra: a corner of the box around it is outside, every cell's corner inside."""
    file = tmp_path / "ball.geo"
    file.write_text('SetFactory("OpenCASCADE");\nSphere(1) = {0, 0, 0, 0.5};\nMesh.MeshSizeMax = 0.25;\n')
    space = MeshSpace(gmsh_mesh(file))

    def amount(centre):
        dose = Infusion(time=0.5, add=NARROW | {"centre": centre, "amount": 0.01})
        return Schedule([dose], (), space, space.zeros(7), Medium(P), end=1.0).events[0].amount

    for corner in np.asarray(space.mesh.vertexCoords).T[::7]:
        assert amount([float(x) for x in 0.99 * corner]) == 0.01
    with pytest.raises(InputError, match="the shape is outside"):
        amount([0.49, 0.49, 0.49])
    space.destroy()


def test_a_shape_between_the_cells_is_refused_on_all_ranks(write, tmp_path):
    dose = "[[infusion]]\ntime = 0.5\nadd = { shape = 'ball', centre = [0.5, 0.5, 0.5], radius = 1e-3, amount = 1.0 }\n"
    answer = mpirun(2, CARMODEL, "run", write(CASE + dose), "--out", tmp_path / "out", timeout=60)
    assert answer.code == 2
    assert answer.err.count("\n") == 1, answer.err
    assert "infusion.0.add: amount = 1: the shape covers no cell's centre" in answer.err
    assert not (tmp_path / "out").exists()
