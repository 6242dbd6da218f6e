"""Clamping that makes more than a little of a field is told while the run goes on, and ends adaptive ones."""

import pytest

from carmodel.results import RunDirectory

#: Central taxis at cell Peclet numbers far above 2: negative values that no step avoids.
CASE = """
[space]
cells = [12, 10, 8]
[parameters]
chi_0 = 1.0
[time]
end = 0.6
[output]
every = 0.3
"""

STRANG = """
[integrator]
kind = "strang"
"""


def test_strang_warns_at_each_tenfold_and_goes_on(write, tmp_path, carmodel):
    answer = carmodel("run", write(CASE + STRANG), "--out", tmp_path / "out", "--quiet", "--set", "time.end=1.5")
    assert answer.code == 0
    lines = answer.err.splitlines()
    assert all(line.startswith("warning: ") and "setting negative values to zero has made" in line for line in lines)
    shares = [float(line.split(" has made ")[1].split("%")[0]) for line in lines if line.startswith("warning: C: ")]
    assert len(shares) == 2
    assert shares[0] > 1.0
    assert shares[1] == pytest.approx(10.0 * shares[0], rel=0.2)  # one step further
    series = RunDirectory(tmp_path / "out").series
    t = float(lines[-1].split("t = ")[1].split(";")[0])
    until = series["t"] <= t + 1e-6
    largest = max(series["total_C"][until])
    assert series["clamped_C"][until][-1] / largest == pytest.approx(shares[1] / 100.0, rel=0.01)


@pytest.mark.parametrize("method", ["exponential", "arkimex"])
def test_an_adaptive_run_ends_where_clamping_has_made_a_tenth_of_a_field(write, tmp_path, carmodel, method):
    options = ("--quiet", "--set", f"integrator.method={method}", "--set", "integrator.rtol=1e-2")
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", *options)
    assert answer.code == 3
    *warnings, last = answer.err.splitlines()
    assert any(line.startswith("warning: C: ") for line in warnings)
    assert " of C was made by setting negative values to zero at t = " in last
    assert "saved: 2 outputs" in last
    assert RunDirectory(tmp_path / "out").manifest["status"].startswith("failed: ")


@pytest.mark.parametrize("scheme", ["central", "scharfetter-gummel"])
def test_little_is_not_worth_a_line(write, tmp_path, carmodel, scheme):
    """The same with a scheme that has no such values, and with taxis as weak as the preset's."""
    change = "parameters.chi_0=0.08" if scheme == "central" else f"integrator.taxis={scheme}"
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", "--set", change)
    assert (answer.code, answer.err) == (0, "")
