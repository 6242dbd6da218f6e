"""Section 3.2: infiltration without antigenic heterogeneity (figure 4), mostly in run `3.2-base`."""

from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr

from ...models.polyakov import Parameters
from ..propositions import block
from .observed import FRONT, Array, ObservedRun
from .statement import Condition, Runs, above, at_least, at_most, below, states
from .time_series import TimeSeries


def _base(runs: Runs) -> ObservedRun:
    return runs["3.2-base"]


def invasion_rate(p: Parameters) -> float:
    """Largest growth rate of small C and E in the antigen-positive tumour state without switching, eqs (41)-(45)."""
    TA = p.K_T * (1.0 - p.d_TA / p.r_T)
    H = p.eta * TA / p.lambda_H
    A = (p.sigma_A * TA + p.sigma_M * H / (p.K_H + H)) / p.lambda_A
    S = p.sigma_S * TA / p.lambda_S
    return float(block([0.0, 0.0, TA, 0.0, S, A, H], p, (0, 1)).growth)


def _rank_correlation(a: Array, b: Array) -> float:
    """Spearman's; not a number where one is constant."""
    with catch_warnings():
        simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(a, b).statistic)


@states("3.2-01", "TB is zero throughout; simulated to t = 12")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    TB = run.over_snapshots(lambda u: np.abs(u[3]).max())
    return [at_most("max |TB|", TB.largest, 0.0), at_most("|T - 12|", abs(run.duration - 12.0), 1e-9)]


@states("3.2-02", "a front advances from the boundary deep into the tumour (fig. 4a, c)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    front = run.front
    return [
        at_most("retreat of the front / cell", front.drawdown / run.spacing, 1.01),
        at_most("depth of the front at t = 0, radii", run.depth(front.start), 0.35),
        at_least("front beyond the centre at T, radii", run.depth(front.end) - 1.0, 0.8),
    ]


@states("3.2-03", "the front is pronounced already early (fig. 4a)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    early = run.front.at(0.25 * run.duration)
    return [
        at_least("depth of the front at T/4, radii", run.depth(early), 0.5),
        at_least("its way until T/4, radii", run.depth(early) - run.depth(run.front.start), 0.2),
    ]


@states("3.2-04", "infiltration combines diffusion with directed chemotaxis (fig. 4c)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    level = FRONT * run.line["C"].max()
    late = runs["3.2-no-chemotaxis"].arrival(level) - run.arrival(level)
    return [above("later at the centre without chemotaxis, days", late, 0.0)]


@states("3.2-05", "C persists and expands")
def _(runs: Runs) -> list[Condition]:
    C = _base(runs).mean("C")
    return [at_least("C(T)/C(0)", C.end / C.start, 1.5)]


@states("3.2-06", "positive net balance of proliferation, death and exhaustion of C")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    balance = run.over_snapshots(lambda u: run.net_growth_of_C(u).mean())
    return [above("min mean net rate until 0.6 T, 1/day", balance.between(0.0, 0.6 * run.duration).least, 0.0)]


@states("3.2-07", "the tumour is not stable against CAR-T infiltration (fig. 4d)")
def _(runs: Runs) -> list[Condition]:
    return [above("growth rate of small C, E in the tumour, 1/day", invasion_rate(_base(runs).parameters), 0.0)]


@states("3.2-08", "the tumour mass decreases monotonically (fig. 4b)")
def _(runs: Runs) -> list[Condition]:
    TA = _base(runs).mean("TA")
    return [at_most("rise of TA / TA(0)", TA.drawup / TA.start, 0.0)]


@states("3.2-09", "C increases at early and intermediate stages (fig. 4b)")
def _(runs: Runs) -> list[Condition]:
    C = _base(runs).mean("C")
    return [
        at_most("fall of C until T/2 / max C", C.until(0.5).drawdown / C.largest, 1e-6),
        at_least("C(T/2)/C(0)", C.at(0.5 * C.duration) / C.start, 1.3),
    ]


@states("3.2-10", "C then reaches a plateau (fig. 4b)")
def _(runs: Runs) -> list[Condition]:
    C = _base(runs).mean("C")
    late = C.slope.since(0.85)
    return [
        at_most(
            "mean |dC/dt| from 0.85 T / max dC/dt", TimeSeries(late.t, np.abs(late.y)).mean / C.slope.largest, 0.10
        ),
        at_least("C(T)/max C", C.end / C.largest, 0.95),
    ]


@states("3.2-11", "the fall in tumour mass limits further proliferation")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    P = run.over_snapshots(lambda u: run.proliferation_of_C(u).mean())
    return [at_most("proliferation at T / its maximum", P.end / P.largest, 0.7)]


@states("3.2-12", "E accumulates too (fig. 4b)")
def _(runs: Runs) -> list[Condition]:
    E = _base(runs).mean("E")
    return [at_most("fall of E / max E", E.drawdown / E.largest, 1e-6), above("E(T)", E.end, 0.0)]


@states("3.2-13", "E grows more slowly than C (fig. 4b)")
def _(runs: Runs) -> list[Condition]:
    C, E = _base(runs).mean("C"), _base(runs).mean("E")
    ahead = (C.y - C.start) - (E.y - E.start)
    return [above("min (gain of C - gain of E) / max gain of C", ahead[1:].min() / (C.largest - C.start), 0.0)]


@states("3.2-14", "at t = 12 C is spread through the main tumour volume (fig. 4a)")
def _(runs: Runs) -> list[Condition]:
    return [at_least("coverage of the tumour", _base(runs).coverage, 0.9)]


@states("3.2-15", "the residual tumour is markedly reduced (fig. 4a)")
def _(runs: Runs) -> list[Condition]:
    TA = _base(runs).mean("TA")
    return [at_most("TA(T)/TA(0)", TA.end / TA.start, 0.5)]


@states("3.2-16", "the reduction is strongest where CAR-T cells accumulated most (fig. 4a)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    C, left = run.last[0][run.tumour], (run.last[2] / run.first[2])[run.tumour]
    low, high = np.quantile(C, [0.25, 0.75])
    return [
        below("rank correlation of C(T) and TA(T)/TA(0)", _rank_correlation(C, left), -0.2),
        at_most("TA(T)/TA(0), most C over least C", left[high <= C].mean() / left[low >= C].mean(), 0.9),
    ]


@states("3.2-17", "E lies where contact with the tumour lasted longest (fig. 4a)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    contact, before, t_before = np.zeros_like(run.first[0]), np.zeros_like(run.first[0]), 0.0
    for t, u in zip(run.outputs, run.snapshots(), strict=True):
        now = u[0] * u[2]
        contact += 0.5 * (t - t_before) * (before + now)
        before, t_before = now, t
    E = run.last[1]
    return [
        at_least("rank correlation of contact and E(T)", _rank_correlation(contact.ravel(), E.ravel()), 0.6),
        at_least("E(T) inside the tumour / outside", run.inside(E) / run.outside(E), 2.0),
    ]


@states("3.2-18", "no complete regression within the interval")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    TA = run.mean("TA")
    return [
        at_least("TA(T)/TA(0)", TA.end / TA.start, 0.02),
        above("min TA(T) in the tumour", run.last[2][run.tumour].min(), 0.0),
    ]


@states("3.2-19", "exhaustion is what limits eradication")
def _(runs: Runs) -> list[Condition]:
    without, base = runs["3.2-no-exhaustion"].mean("TA").end, _base(runs).mean("TA").end
    return [at_most("TA(T) without exhaustion / with", without / base, 0.97)]
