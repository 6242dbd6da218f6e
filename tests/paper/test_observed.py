"""What the statements look at, at its borders: where a front stands, what a run must hold, which samples count."""

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from carmodel.model import Medium
from carmodel.models.polyakov import PRESETS
from carmodel.paper.claims import ObservedRun, experiments
from carmodel.runs.dosing import ROUNDING, Schedule, same_time
from carmodel.scenario.fields import Infusion
from carmodel.spaces import BoxSpace
from carmodel.tools.errors import InputError
from tests.invented_runs import invented, verdict


def on_line(tmp_path, *rows):
    """A run with C on five cells of the central line, a row an output."""
    run = invented(tmp_path / "run", [0, 1])
    t, s = np.arange(len(rows), dtype=float), np.arange(5) + 0.5
    run.__dict__["line"] = {"t": t, "s": s, "C": np.array(rows, float)}
    return run


def test_the_front_is_where_a_quarter_of_the_largest_is_reached(tmp_path):
    """Of the largest in the whole run, 2; a quarter to the digit belongs to it."""
    front = on_line(tmp_path, [2, 0.5, 0.4, 0.3, 0.2], [1, 1, 0.5, 0.5, 0.499], [0.4, 0.4, 0.4, 0.4, 0.4]).front
    assert front.t.tolist() == [0.0, 1.0, 2.0]
    assert front.y.tolist() == [1.5, 3.5, -9.0]


def test_covered_is_what_has_a_quarter_of_the_largest(tmp_path):
    run = invented(tmp_path / "run", [0, 1])
    last = np.zeros((7, 1, 1, 4))
    last[0] = [2.0, 0.5, 0.499, 0.3]
    run.__dict__.update(last=last, tumour=np.ones((1, 1, 4), bool))
    assert run.coverage == 0.5


@pytest.mark.parametrize("t", [[0.1, 1.0, 2.0], [-0.1, 1.0, 2.0], [0.0, 2.0, 1.0, 2.0]])
def test_a_series_begins_at_zero_and_grows(tmp_path, t):
    with pytest.raises(InputError, match=r"series.csv: is damaged; accepted: times that grow from 0 to 2"):
        _ = invented(tmp_path / "run", t, C=1.0).duration


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_infusion_is_the_earliest(tmp_path, order):
    scenario = experiments(["ABS"], [])["doses/off,4"]
    run: ObservedRun = invented(tmp_path / "run", [0, 20])
    run.__dict__["scenario"] = scenario.model_copy(update={"infusion": scenario.infusion[::order]})
    assert run.first_infusion == 4.9249779743292885


@pytest.mark.parametrize(("C", "TA", "found"), [(0.1, 0.1, True), (0.1, -0.1, False), (-0.1, 0.1, False)])
def test_a_state_with_less_than_nothing_is_no_coexistence(tmp_path, monkeypatch, C, TA, found):
    state = np.array([C, 0.1, TA, 0.1, 0.1, 0.1, 0.1])
    monkeypatch.setattr(
        "carmodel.paper.claims.homogeneous.root", lambda *_, **__: OptimizeResult(x=state, success=True)
    )
    runs = {"3.1-homogeneous": invented(tmp_path / "run", [0, 100], C=0.1, TA=0.1)}
    assert np.isfinite([condition.value for condition in verdict("3.1-22", runs).conditions]).all() == found


def test_the_limit_of_the_burden_is_in_units_of_the_capacity(tmp_path):
    p = PRESETS["normalised"]
    limit = 2.0 * (1.0 - p.d_TA / p.r_T)
    runs = {"3.1-homogeneous": invented(tmp_path / "run", [0, 100], TA=limit)}
    file = tmp_path / "run/run.toml"
    text = file.read_text()
    file.write_text(text.replace("K_T = 1.0", "K_T = 2.0"))
    assert file.read_text() != text
    assert verdict("3.1-16", runs).conditions[0].value == pytest.approx(1.0, rel=1e-12)


def test_section_3_1_is_looked_at_every_twentieth_of_a_day(tmp_path):
    """Steps of the solver between the 2001 times of the list do not count."""
    t = [0.0, 0.01, 0.02, 0.03, 0.05, 100.0]
    between = invented(tmp_path / "between", t, C=[1, 1, 9, 1, 1, 1], TA=[1, 1, 0, 1, 1, 1], TB=[0, 0, 5, 0, 0, 3])
    runs = {"3.1-homogeneous": between}
    assert [c.value for c in verdict("3.1-02", runs).conditions] == [1.0]
    assert [c.value for c in verdict("3.1-09", runs).conditions][1] == 0.0
    first, crossing, _ = verdict("3.1-11", runs).conditions
    assert first.value == 0.0
    assert crossing.value == pytest.approx(np.ceil((0.05 + 99.95 / 3.0) / 0.05) * 0.05 / 100.0, rel=1e-12)
    on = invented(tmp_path / "on", [0.0, 0.05, 0.1, 100.0], C=[1, 9, 1, 1])
    assert [c.value for c in verdict("3.1-02", {"3.1-homogeneous": on}).conditions] == [9.0]


@pytest.mark.parametrize(("t_low", "t_high"), [(0.5, 1.0), (1.0, 0.5)])
def test_two_runs_are_compared_from_the_later_of_their_first_steps(tmp_path, t_low, t_high):
    """At t = 1 the worse one is still ahead; steps of the two are not the same."""
    cases = {0.0: (t_low, [1, 0.8, 0.7, 0.6]), 0.2: (t_high, [1, 0.7, 0.8, 0.7]), 0.5: (t_high, [1, 0.9, 0.9, 0.9])}
    runs = {
        f"3.3/base,negative_fraction={f}": invented(tmp_path / str(f), [0, first, 3, 14], TA=TA)
        for f, (first, TA) in cases.items()
    }
    assert verdict("3.3-04", runs).conditions[0].holds


def test_times_are_one_up_to_a_billionth_of_the_run_and_no_further():
    end = 1e9
    assert ROUNDING * end == 1.0
    assert [same_time([0.0, 5.0, end], t, end) for t in (3.9, 4.0, 6.0, 6.1)] == [None, 1, 1, None]
    space = BoxSpace((3, 3, 3), (1.0, 1.0, 1.0))
    doses = [Infusion(time=t, add={"initial": 1.0}) for t in (0.3, 0.3 + 1e-8)]
    assert Schedule(doses, (), space, space.zeros(7), Medium(PRESETS["normalised"]), end=1.0).times == [0.3, 0.3 + 1e-8]
    space.destroy()
