"""Every figure of the run files in runs/paper/, held against the set that the statements were found with."""

import pytest

from carmodel.models.polyakov import PRESETS
from carmodel.paper.claims import SECTIONS, experiments

# The box and what is in it at the start, the same in all runs in space.
LENGTH = 1.2325979187927902
TUMOUR = {
    "shape": "ball",
    "centre": None,
    "radius": 0.5250751270897649,
    "value": 0.9983791256157162,
    "edge": 0.020646523210080984,
}
CART = {
    "shape": "disk",
    "axis": "x",
    "centre": None,
    "start": -0.03116285032755789,
    "stop": 0.28025087805894555,
    "radius": 0.6240466095521655,
    "value": 0.5373266099924672,
    "edge": 0.020646523210080984,
}

OFF = {"mu_0": 0.0, "nu": 0.0}
#: What of the normalised set a run file replaces; the others replace nothing.
REPLACED = {
    "3.2-base": OFF,
    "3.2-no-chemotaxis": OFF | {"chi_0": 0.0},
    "3.2-no-exhaustion": OFF | {"k_e0": 0.0},
    **dict.fromkeys(("3.4-base", "3.4-enhanced", "3.4-combination", "3.4-attenuated", "3.4-infusion"), OFF),
    **{f"doses/off,{m}": OFF for m in range(1, 6)},
}

WEAKER = {"sigma_A": 0.4, "sigma_M": 0.4, "eta": 0.4, "lambda_A": 1.5, "lambda_H": 1.5}
#: Factors from time 0 on, by the run's name or the part before the comma.
SCALED = {
    "3.3/loss": {"mu_0": 2.0, "nu": 2.0},
    "3.3/recovery": {"mu_1": 3.0},
    "3.4-enhanced": {"sigma_A": 2.0, "sigma_M": 2.0, "eta": 2.0, "lambda_A": 0.5, "lambda_H": 0.5},
    "3.4-combination": WEAKER,
    "3.4-attenuated": WEAKER,
}

#: Times and multiples of the first dose.
SECOND = [(9.588763773347242, 0.9706323686183727)]
INFUSED = {
    "3.4-combination": SECOND,
    "3.4-infusion": SECOND,
    **{
        f"doses/{switching},{m}": [(k * 4.9249779743292885, 1.0) for k in range(1, m)]
        for switching in ("off", "full")
        for m in range(1, 6)
    },
}

#: End and time between saved volumes: a fortieth of the steps of 0.05, rounded down.
TIMES = {"3.2": (12.0, 0.3), "3.3": (14.0, 0.35), "3.4": (15.0, 0.35), "dos": (20.0, 0.0)}

RUNS = experiments(SECTIONS, [])
IN_SPACE = sorted(set(RUNS) - {"3.1-homogeneous"})


def test_the_run_without_space():
    run = RUNS["3.1-homogeneous"]
    assert (run.space.cells, run.time.end, run.output.every) == ((1, 1, 1), 100.0, 0.05)
    assert run.parameters.values == PRESETS["normalised"]
    assert (run.initial.cart.value, run.initial.tumour.value) == (0.167965789517609, 0.8790711384295582)
    assert (run.initial.cart.edge, run.initial.tumour.edge) == (0.0, 0.0)
    # The cell's centre is the middle: all of it is inside.
    assert (run.initial.cart.shape, run.initial.tumour.shape) == ("ball", "ball")
    assert run.initial.tumour.negative_fraction == 0.0
    assert (run.initial.files, run.infusion, run.intervention) == ({}, (), ())


@pytest.mark.parametrize("name", IN_SPACE)
def test_the_runs_in_space(name):
    run, case = RUNS[name], name.partition(",")[0]
    share = float(name.partition("negative_fraction=")[2] or 0.0)
    assert (run.space.kind, run.space.cells, run.space.lengths) == ("box", (40, 40, 40), (LENGTH, LENGTH, LENGTH))
    assert not run.space.nodes_on_boundary
    assert run.initial.tumour.model_dump() == TUMOUR | {"negative_fraction": share}
    assert run.initial.cart.model_dump() == CART
    assert run.initial.files == {}
    assert (run.time.end, run.output.every) == TIMES[name[:3]]
    assert run.parameters.values == PRESETS["normalised"]._replace(**REPLACED.get(name, {}))
    assert [(change.time, change.factors, change.values) for change in run.intervention] == (
        [(0.0, SCALED[case], {})] if case in SCALED else []
    )
    assert [(dose.time, dose.add.initial) for dose in run.infusion] == INFUSED.get(name, [])


def test_no_run_is_missing():
    shares = [f"3.3/{case},negative_fraction={f}" for case in ("base", "loss", "recovery") for f in (0.0, 0.2, 0.5)]
    assert sorted([*REPLACED, *shares, *(name for name in INFUSED if "full" in name)]) == IN_SPACE
