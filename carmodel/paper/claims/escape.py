"""Section 3.3: antigenic heterogeneity and switching (figures 5, 6, 7), the nine runs of `3.3`.

f is the antigen-negative share of the tumour at t = 0; n(t) = N(t)/N(0).  Statements about figure 7 look at the run
with base switching and f = 0.2.
"""

from itertools import pairwise

import numpy as np

from .observed import Array, ObservedRun
from .statement import Condition, Runs, above, at_least, at_most, states
from .time_series import TimeSeries

SHARES = (0.0, 0.2, 0.5)


def _run(runs: Runs, regime: str, f: float) -> ObservedRun:
    return runs[f"3.3/{regime},negative_fraction={f}"]


def _all(runs: Runs, regime: str) -> list[ObservedRun]:
    """One regime's runs, f growing."""
    return [_run(runs, regime, f) for f in SHARES]


def _figure_7(runs: Runs) -> ObservedRun:
    return _run(runs, "base", 0.2)


@states("3.3-01", "pronounced initial regression at low f (fig. 5)")
def _(runs: Runs) -> list[Condition]:
    return [at_least("regression at f = 0", _run(runs, "base", 0.0).regression, 0.3)]


@states("3.3-02", "the depth of the regression falls as f grows (fig. 5)")
def _(runs: Runs) -> list[Condition]:
    depths = [run.regression for run in _all(runs, "base")]
    return [
        at_least(f"regression at f = {f} less at {g}", a - b, 0.02)
        for (f, a), (g, b) in pairwise(zip(SHARES, depths, strict=True))
    ]


@states("3.3-03", "the regrowth becomes more pronounced as f grows (fig. 5)")
def _(runs: Runs) -> list[Condition]:
    regrowths = [run.regrowth for run in _all(runs, "base")]
    grows = [
        at_least(f"regrowth at f = {g} less at {f}", b - a, 0.01)
        for (f, a), (g, b) in pairwise(zip(SHARES, regrowths, strict=True))
    ]
    return [*grows, at_least("regrowth at f = 0", regrowths[0], 0.02)]


@states("3.3-04", "systematic deterioration of the response with f (fig. 5)")
def _(runs: Runs) -> list[Condition]:
    burdens = [TimeSeries(run.burden.t, run.burden.y / run.burden.start) for run in _all(runs, "base")]

    return [
        above(f"min n at f = {g} less at {f}", b.lead(a, max(a.t[1], b.t[1])), 0.0)
        for (f, a), (g, b) in pairwise(zip(SHARES, burdens, strict=True))
    ]


def _final_burden_grows(runs: Runs, regime: str) -> list[Condition]:
    ends = [run.residual for run in _all(runs, regime)]
    return [
        above(f"n(T) at f = {g} less at {f}", b - a, 0.005)
        for (f, a), (g, b) in pairwise(zip(SHARES, ends, strict=True))
    ]


@states("3.3-05", "the final burden grows with f: base switching (fig. 6a)")
def _(runs: Runs) -> list[Condition]:
    return _final_burden_grows(runs, "base")


@states("3.3-06", "the final burden grows with f: accelerated loss (fig. 6a)")
def _(runs: Runs) -> list[Condition]:
    return _final_burden_grows(runs, "loss")


@states("3.3-07", "the final burden grows with f: accelerated recovery (fig. 6a)")
def _(runs: Runs) -> list[Condition]:
    return _final_burden_grows(runs, "recovery")


def _residuals(runs: Runs, f: float) -> tuple[np.float64, np.float64, np.float64]:
    base, loss, recovery = (_run(runs, regime, f).residual for regime in ("base", "loss", "recovery"))
    return base, loss, recovery


def _shares(runs: Runs, f: float) -> tuple[np.float64, np.float64, np.float64]:
    base, loss, recovery = (_run(runs, regime, f).negative_share.end for regime in ("base", "loss", "recovery"))
    return base, loss, recovery


@states("3.3-08", "rapid loss gives the worst outcome (fig. 6a)")
def _(runs: Runs) -> list[Condition]:
    found = {f: _residuals(runs, f) for f in SHARES}
    return [
        above(f"n(T), loss less the worse other, f = {f}", loss - max(base, recovery), 0.005)
        for f, (base, loss, recovery) in found.items()
    ]


@states("3.3-09", "rapid recovery gives the lowest residual burden (fig. 6a)")
def _(runs: Runs) -> list[Condition]:
    found = {f: _residuals(runs, f) for f in SHARES}
    return [
        above(f"n(T), the better other less recovery, f = {f}", min(base, loss) - recovery, 0.005)
        for f, (base, loss, recovery) in found.items()
    ]


@states("3.3-10", "rapid recovery gives a lower final share of TB (fig. 6b)")
def _(runs: Runs) -> list[Condition]:
    found = {f: _shares(runs, f) for f in SHARES}
    return [
        above(f"TB(T)/N(T), {name} less recovery, f = {f}", other - recovery, 0.005)
        for f, (base, loss, recovery) in found.items()
        for name, other in (("base", base), ("loss", loss))
    ]


@states("3.3-11", "rapid loss enhances selection of TB (fig. 6b)")
def _(runs: Runs) -> list[Condition]:
    found = {f: _shares(runs, f) for f in SHARES}
    return [above(f"TB(T)/N(T), loss less base, f = {f}", loss - base, 0.002) for f, (base, loss, _) in found.items()]


@states("3.3-12", "substantial infiltration is kept at every f")
def _(runs: Runs) -> list[Condition]:
    return [at_least("least coverage of the tumour", min(run.coverage for run in _all(runs, "base")), 0.9)]


@states("3.3-13", "TA decreases monotonically (fig. 7a)")
def _(runs: Runs) -> list[Condition]:
    TA = _figure_7(runs).mean("TA")
    return [at_most("rise of TA / TA(0)", TA.drawup / TA.start, 1e-6)]


@states("3.3-14", "TB increases and comes to dominate (fig. 7a)")
def _(runs: Runs) -> list[Condition]:
    TB = _figure_7(runs).mean("TB")
    return [
        at_most("fall of TB / max TB", TB.drawdown / TB.largest, 1e-3),
        at_least("TB(T)/TB(0)", TB.end / TB.start, 1.2),
        at_least("TB(T)/N(T)", _figure_7(runs).negative_share.end, 0.7),
    ]


@states("3.3-15", "C increases at the initial stage (fig. 7a)")
def _(runs: Runs) -> list[Condition]:
    C = _figure_7(runs).mean("C")
    return [
        at_most("fall of C until T/5 / max C", C.until(0.2).drawdown / C.largest, 1e-6),
        at_least("max C / C(0)", C.largest / C.start, 1.3),
    ]


@states("3.3-16", "C reaches a plateau (fig. 7a)")
def _(runs: Runs) -> list[Condition]:
    C = _figure_7(runs).mean("C")
    return [
        at_most("variation of C in the last third", C.variation(2.0 * C.duration / 3.0, C.duration), 0.10),
        at_least("C(T)/max C", C.end / C.largest, 0.85),
    ]


@states("3.3-17", "E gradually accumulates (fig. 7a)")
def _(runs: Runs) -> list[Condition]:
    E = _figure_7(runs).mean("E")
    return [at_most("fall of E / max E", E.drawdown / E.largest, 1e-3), above("E(T)", E.end, 0.0)]


@states("3.3-18", "residual TA is low throughout the tumour (fig. 7b)")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    _, _, TA, TB, *_ = run.last
    largest = TA[run.tumour].max()
    return [
        at_most("max TA(T) / mean TB(T) in the core", largest / TB[run.core].mean(), 0.35),
        at_most("max TA(T) / plateau of the tumour at t = 0", largest / run.plateau, 0.25),
    ]


@states("3.3-19", "TB forms the dominant plateau (fig. 7b)")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    _, _, TA, TB, *_ = run.last
    return [
        at_least("share of the tumour with TB(T) > TA(T)", run.inside(TB > TA), 1.0),
        at_least("min TB(T) in the core / max TB(T)", TB[run.core].min() / TB[run.tumour].max(), 0.7),
    ]


@states("3.3-20", "functional CAR-T cells persist in the tissue (fig. 7b, d)")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    C = run.over_snapshots(lambda u: run.inside(u[0]))
    return [
        at_least("C(T) in the tumour / its maximum over time", C.end / C.largest, 0.3),
        at_least("coverage of the tumour", run.coverage, 0.9),
    ]


def _share_in_cells(run: ObservedRun) -> Array:
    """TB/N in the tumour's cells at the snapshots, shape (times, cells)."""
    return np.array([(u[3] / (u[2] + u[3] + 1e-30))[run.tumour] for u in run.snapshots()])


@states("3.3-21", "the antigen-negative share spreads in time (fig. 7c)")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    mean = TimeSeries(np.array(run.outputs), _share_in_cells(run).mean(axis=1))
    return [
        at_most("fall of the mean share", mean.drawdown, 1e-3),
        at_least("gain of the mean share", mean.end - mean.start, 0.3),
    ]


@states("3.3-22", "... and in space (fig. 7c)")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    F = _share_in_cells(run)
    taken = TimeSeries(np.array(run.outputs), (F >= 0.5).mean(axis=1))
    return [
        at_most("fall of the volume with TB >= TA", taken.drawdown, 1e-3),
        at_most("that volume at t = 0", taken.start, 0.0),
        at_least("that volume at T", taken.end, 0.99),
        at_most("largest fall of the share in a cell", (np.maximum.accumulate(F) - F).max(), 0.02),
    ]


@states("3.3-23", "loss of control is antigen escape, not poor infiltration")
def _(runs: Runs) -> list[Condition]:
    run = _figure_7(runs)
    return [
        at_least("TB(T)/N(T)", run.negative_share.end, 0.7),
        at_least("coverage of the tumour", run.coverage, 0.9),
        above("regrowth", run.regrowth, 0.02),
    ]
