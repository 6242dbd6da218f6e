"""Clamping that makes more than a little of a field is told while the run goes on, and is no success at a tenth."""

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

CENTRAL = """
[integrator]
taxis = "central"
"""

STRANG = """
[integrator]
kind = "strang"
"""


def test_strang_warns_at_each_tenfold_and_fails_at_the_end(write, tmp_path, carmodel):
    """It runs to its end, all volumes are there, and it is no success; `info` says so, and what was warned of."""
    out = tmp_path / "out"
    answer = carmodel("run", write(CASE + STRANG), "--out", out, "--quiet", "--set", "time.end=1.5")
    assert answer.code == 3
    *lines, last = (line for line in answer.err.splitlines() if "Peclet" not in line)
    assert all(line.startswith("warning: ") and "setting negative values to zero has made" in line for line in lines)
    shares = [float(line.split(" has made ")[1].split("%")[0]) for line in lines if line.startswith("warning: C: ")]
    assert len(shares) == 2
    assert shares[0] > 1.0
    assert shares[1] == pytest.approx(10.0 * shares[0], rel=0.2)  # one step further
    run = RunDirectory(out)
    t = float(lines[-1].split("t = ")[1].split(";")[0])
    until = run.series["t"] <= t + 1e-6
    largest = max(run.series["total_C"][until])
    assert run.series["clamped_C"][until][-1] / largest == pytest.approx(shares[1] / 100.0, rel=0.01)
    share = run.series["clamped_C"][-1] / run.series["total_C"].max()
    assert share > 0.1
    assert last.startswith(f"{share:.0%} of C was made by setting negative values to zero by the end, t = 1.5; ")
    assert 'saved: 6 outputs; try smaller steps, smaller cells or another integrator.taxis than "central"' in last
    assert run.manifest["outputs"] == len(run.volumes.times) == 6
    assert run.manifest["status"] == f"failed: {last}"
    assert run.manifest["clamped_share"]["C"] == pytest.approx(share, rel=1e-9)
    warning, cause = run.manifest["warnings"]
    assert cause.startswith("C: the cell Peclet number has reached ")
    assert warning.startswith(f"C: setting negative values to zero has made {100.0 * share:.3g}% of it by t = 1.5; ")
    assert carmodel("compare", out, out, "--tol", "0").code == 0
    told = carmodel("info", out).out
    assert f"failed: {last}" in told
    assert f"warning  {warning}" in told
    assert f"{share:.2g} of C made by setting negative values to zero" in told


def test_strang_that_owes_less_than_a_tenth_to_clamping_is_a_success(write, tmp_path, carmodel):
    options = ("--quiet", "--set", "parameters.chi_0=0.6")
    answer = carmodel("run", write(CASE + STRANG), "--out", tmp_path / "out", *options)
    assert answer.code == 0
    assert 0.01 < RunDirectory(tmp_path / "out").manifest["clamped_share"]["C"] < 0.1


@pytest.mark.parametrize("method", ["exponential", "arkimex"])
def test_an_adaptive_run_says_what_is_more_than_it_was_asked_for(write, tmp_path, carmodel, method):
    """Central taxis at cell Peclet numbers a little above 2: less than a hundredth, but no tolerance makes it less."""
    options = ("--quiet", "--set", "parameters.chi_0=0.4", "--set", f"integrator.method={method}")
    answer = carmodel("run", write(CASE + CENTRAL), "--out", tmp_path / "out", *options)
    assert answer.code == 0
    manifest = RunDirectory(tmp_path / "out").manifest
    assert manifest["undershoot"]["C"] > 1e-4
    assert 1e-4 < manifest["clamped_share"]["C"] < 1e-2
    lines = answer.err.splitlines()
    assert sum(told.startswith("warning: C: the cell Peclet number") for told in lines) == 1
    for what, line in (("clamped_share", "setting negative values"), ("undershoot", "values down to -")):
        percent = f"{100.0 * manifest[what]['C']:.3g}%"
        assert 1 <= sum(told.startswith(f"warning: C: {line}") for told in lines) <= 2
        (last,) = (told for told in manifest["warnings"] if told.startswith(f"C: {line}"))
        assert percent in last
        assert "more than integrator.rtol = 0.0001; smaller cells" in last
        assert f"warning  {last}" in carmodel("info", tmp_path / "out").out
    assert len(manifest["warnings"]) == 3


@pytest.mark.parametrize("method", ["exponential", "arkimex"])
def test_an_adaptive_run_ends_where_clamping_has_made_a_tenth_of_a_field(write, tmp_path, carmodel, method):
    options = ("--quiet", "--set", f"integrator.method={method}", "--set", "integrator.rtol=1e-2")
    answer = carmodel("run", write(CASE + CENTRAL), "--out", tmp_path / "out", *options)
    assert answer.code == 3
    *warnings, last = answer.err.splitlines()
    assert any(line.startswith("warning: C: ") for line in warnings)
    assert " of C was made by setting negative values to zero at t = " in last
    assert "saved: 2 outputs" in last
    assert RunDirectory(tmp_path / "out").manifest["status"].startswith("failed: ")


@pytest.mark.parametrize("scheme", ["central", "scharfetter-gummel", "hybrid"])
def test_little_is_not_worth_a_line(write, tmp_path, carmodel, scheme):
    """The same with schemes that have no such values, one the default, and with taxis as weak as the preset's."""
    changes = {
        "central": ("--set", "parameters.chi_0=0.08", "--set", "integrator.taxis=central"),
        "scharfetter-gummel": ("--set", "integrator.taxis=scharfetter-gummel"),
        "hybrid": (),
    }
    answer = carmodel("run", write(CASE), "--out", tmp_path / "out", "--quiet", *changes[scheme])
    assert (answer.code, answer.err) == (0, "")


def test_positive_reactions_say_where_taxis_is_not(write, tmp_path, carmodel):
    """Nothing is clamped unless "central" is asked for: then not even a little of it passes in silence."""
    options = ("--quiet", "--set", "integrator.reaction=mprk22", "--set", "parameters.chi_0=0.3")
    assert carmodel("run", write(CASE + STRANG), "--out", tmp_path / "default", *options) == (0, "", "")
    assert RunDirectory(tmp_path / "default").manifest["clamped_share"]["C"] == 0.0
    answer = carmodel("run", write(CASE + STRANG + 'taxis = "central"'), "--out", tmp_path / "central", *options)
    assert answer.code == 0
    assert 0.0 < RunDirectory(tmp_path / "central").manifest["clamped_share"]["C"] < 0.01
    told = [line for line in answer.err.splitlines() if line.startswith("warning: C: setting negative values to zero")]
    assert told
    assert all('another integrator.taxis than "central"' in line for line in told)
