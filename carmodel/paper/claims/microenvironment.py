"""Section 3.4: microenvironment and combination therapy (figures 8, 9, 10).

Runs `3.4-base`, `-enhanced` (stronger microenvironment), `-combination` (attenuated, and a second infusion), and the
two halves of it, `-attenuated` and `-infusion`.
"""

import numpy as np

from .infiltration import invasion_rate
from .observed import FRONT, ObservedRun
from .statement import Condition, Runs, above, at_least, at_most, states
from .time_series import TimeSeries


def _run(runs: Runs, name: str) -> ObservedRun:
    return runs[f"3.4-{name}"]


def _base(runs: Runs) -> ObservedRun:
    return _run(runs, "base")


def _three(runs: Runs) -> dict[str, ObservedRun]:
    """The scenarios of figure 8."""
    return {name: _run(runs, name) for name in ("base", "enhanced", "combination")}


def _means(runs: Runs, field: str) -> tuple[TimeSeries, TimeSeries, TimeSeries]:
    """A field's mean in the scenarios of figure 8."""
    base, enhanced, combination = (run.mean(field) for run in _three(runs).values())
    return base, enhanced, combination


@states("3.4-01", "the same initial tumour configuration in all scenarios")
def _(runs: Runs) -> list[Condition]:
    base, enhanced, combination = _three(runs).values()
    return [
        at_most(f"max difference at t = 0, {name}", np.abs(run.first - base.first).max(), 0.0)
        for name, run in (("enhanced", enhanced), ("combination", combination))
    ]


@states("3.4-02", "the burden falls initially in all cases (fig. 8a)")
def _(runs: Runs) -> list[Condition]:
    conditions = []
    for name, run in _three(runs).items():
        N = run.burden
        conditions += [
            at_most(f"rise of N until T/5 / N(0), {name}", N.until(0.2).drawup / N.start, 0.0),
            at_most(f"N(0.3 T)/N(0), {name}", N.at(0.3 * N.duration) / N.start, 0.98),
        ]
    return conditions


@states("3.4-03", "the enhanced microenvironment leaves the largest residual burden (fig. 8a)")
def _(runs: Runs) -> list[Condition]:
    return [at_least("N(T)/N(0), enhanced less base", _run(runs, "enhanced").residual - _base(runs).residual, 0.02)]


@states("3.4-04", "the combination achieves the strongest reduction (fig. 8a)")
def _(runs: Runs) -> list[Condition]:
    left = _base(runs).residual - _run(runs, "combination").residual
    return [at_least("N(T)/N(0), base less combination", left, 0.02)]


@states("3.4-05", "baseline: partial control (fig. 8a, 9a)")
def _(runs: Runs) -> list[Condition]:
    left = _base(runs).residual
    return [at_most("N(T)/N(0)", left, 0.7), at_least("N(T)/N(0)", left, 0.05)]


def _increases_early(run: ObservedRun) -> list[Condition]:
    C = run.mean("C")
    return [
        at_most("fall of C until T/2 / max C", C.until(0.5).drawdown / C.largest, 1e-6),
        at_least("C(T/2)/C(0)", C.at(0.5 * C.duration) / C.start, 1.3),
    ]


@states("3.4-06", "C increases early: baseline (fig. 8b)")
def _(runs: Runs) -> list[Condition]:
    return _increases_early(_base(runs))


@states("3.4-07", "C increases early: combination (fig. 8b)")
def _(runs: Runs) -> list[Condition]:
    return _increases_early(_run(runs, "combination"))


@states("3.4-08", "enhanced: weaker growth of C, whose level stays below the other two (fig. 8b)")
def _(runs: Runs) -> list[Condition]:
    base, enhanced, combination = _means(runs, "C")
    early = 0.02 * enhanced.duration
    return [
        at_most("max C, enhanced / base", enhanced.largest / base.largest, 0.9),
        above("min (base - enhanced) / max base", base.lead(enhanced, early) / base.largest, 0.0),
        above("min (combination - enhanced) / max base", combination.lead(enhanced, early) / base.largest, 0.0),
    ]


@states("3.4-09", "a step in C at the infusion (fig. 8b)")
def _(runs: Runs) -> list[Condition]:
    before, after = _run(runs, "combination").mean("C").jump
    return [at_least("C after / before the first doubled time", after / before, 1.05)]


def _fall(N: TimeSeries, start: float, stop: float) -> np.float64:
    """Mean rate of exponential decay between two times."""
    return np.float64(-(np.log(N.at(stop)) - np.log(N.at(start))) / (stop - start))


@states("3.4-10", "the repeated infusion further enhances the antitumour effect")
def _(runs: Runs) -> list[Condition]:
    combination, attenuated = _run(runs, "combination"), _run(runs, "attenuated")
    N, M = combination.burden, attenuated.burden
    start, stop = (combination.first_infusion + later for later in (0.05, 1.0))
    gain = _fall(N, start, stop) - _fall(M, start, stop)
    return [
        at_most("N(T), combination / attenuated alone", N.end / M.end, 0.97),
        above("gain in the rate of decay after the infusion, 1/day", gain, 0.0),
    ]


@states("3.4-11", "attenuation and infusion act synergistically")
def _(runs: Runs) -> list[Condition]:
    base = _base(runs).burden.end
    attenuated, infused, both = (
        _run(runs, name).burden.end / base for name in ("attenuated", "infusion", "combination")
    )
    return [above("product of the two effects on N(T) less both together", attenuated * infused - both, 0.0)]


def _ordered(runs: Runs, field: str) -> list[Condition]:
    base, enhanced, combination = (signal.largest for signal in _means(runs, field))
    return [
        at_least(f"max {field}, enhanced / base", enhanced / base, 1.2),
        at_least(f"max {field}, base / combination", base / combination, 1.2),
    ]


@states("3.4-12", "mean A is highest in enhanced, markedly lower in combination (fig. 8c)")
def _(runs: Runs) -> list[Condition]:
    return _ordered(runs, "A")


@states("3.4-13", "mean H is highest in enhanced, markedly lower in combination (fig. 8d)")
def _(runs: Runs) -> list[Condition]:
    return _ordered(runs, "H")


@states("3.4-14", "A and H stay elevated for much of the run in enhanced (fig. 8c, d)")
def _(runs: Runs) -> list[Condition]:
    elevated, higher = [], []
    for field in ("A", "H"):
        base, enhanced, _ = _means(runs, field)
        levels = enhanced.on(np.linspace(0.0, enhanced.duration, 2001))
        share = (levels >= 0.7 * enhanced.largest).mean()
        elevated.append(at_least(f"share of time with {field} >= 0.7 max", share, 0.5))
        higher.append(above(f"min {field}, enhanced less base", enhanced.lead(base, 0.0), 0.0))
    return [*elevated, *higher]


@states("3.4-15", "baseline A and H have a peak and then fall (fig. 8c, d)")
def _(runs: Runs) -> list[Condition]:
    conditions = []
    for field in ("A", "H"):
        X = _base(runs).mean(field)
        conditions += [
            at_most(f"time of max {field} / T", X.peak_time / X.duration, 0.8),
            at_most(f"{field}(T)/max {field}", X.end / X.largest, 0.9),
        ]
    return conditions


@states("3.4-16", "the peaks of A and H are markedly lower in combination")
def _(runs: Runs) -> list[Condition]:
    conditions = []
    for field in ("A", "H"):
        base, _, combination = _means(runs, field)
        conditions.append(at_most(f"max {field}, combination / base", combination.largest / base.largest, 0.6))
    return conditions


@states("3.4-17", "... and A and H decline faster")
def _(runs: Runs) -> list[Condition]:
    conditions = []
    for field in ("A", "H"):
        base, _, combination = _means(runs, field)
        left = base.end / base.largest - combination.end / combination.largest
        conditions += [
            above(
                f"rate of decay of {field} from its peak, combination / base",
                combination.decay_rate / max(base.decay_rate, np.float64(1e-6)),
                1.05,
            ),
            above(f"{field}(T)/max {field}, base less combination", left, 0.02),
        ]
    return conditions


@states("3.4-18", "the baseline burden decreases monotonically (fig. 9a)")
def _(runs: Runs) -> list[Condition]:
    N = _base(runs).burden
    return [at_most("rise of N / N(0)", N.drawup / N.start, 0.0)]


@states("3.4-19", "baseline: E accumulates while C infiltrates (fig. 9a, c)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    E = run.mean("E")
    return [
        at_most("fall of E / max E", E.drawdown / E.largest, 1e-6),
        above("E(T)", E.end, 0.0),
        at_least("front beyond the centre at T, radii", run.depth(run.front.end) - 1.0, 0.8),
    ]


@states("3.4-20", "A and H reach appreciable values inside the tumour (fig. 9d)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    p = run.parameters
    A, H = run.over_snapshots(lambda u: run.inside(u[5])), run.over_snapshots(lambda u: run.inside(u[6]))
    effect = p.beta_A * A.y + p.beta_H * H.y
    return [
        at_least("max of the mean of beta_A A + beta_H H", effect.max(), 0.2),
        at_least("max of the mean of A", A.largest, 0.05),
        at_least("max of the mean of H", H.largest, 0.02),
    ]


@states("3.4-21", "maxima of A and H lie inside the tumour and persist while burden remains (fig. 9e, f)")
def _(runs: Runs) -> list[Condition]:
    run = _base(runs)
    N, conditions = run.burden, []
    at_peak = run.first
    for t, u in zip(run.outputs, run.snapshots(), strict=True):
        if run.inside(u[6]) > run.inside(at_peak[6]):
            at_peak = u
        if t > 0.0 and N.at(t) / N.start >= 0.3:
            conditions.append([bool(run.tumour.flat[np.argmax(field)]) for field in (u[5], u[6])])
    A, H = np.mean(conditions, axis=0) if conditions else (np.nan, np.nan)
    return [
        at_least("share of snapshots with the maximum of A inside", A, 1.0),
        at_least("share of snapshots with the maximum of H inside", H, 1.0),
        at_least("A inside / outside, at the peak of H", run.inside(at_peak[5]) / run.outside(at_peak[5]), 1.2),
        at_least("H inside / outside, at the peak of H", run.inside(at_peak[6]) / run.outside(at_peak[6]), 1.01),
    ]


@states("3.4-22", "A and H stay substantially lower in combination (fig. 10b)")
def _(runs: Runs) -> list[Condition]:
    conditions = []
    for field in ("A", "H"):
        base, _, combination = _means(runs, field)
        late = combination.t > 0.05 * combination.duration
        ratio = (combination.y / base.on(combination.t))[late].max()
        conditions.append(at_most(f"max {field}, combination / base at the same time", ratio, 0.7))
    return conditions


@states("3.4-23", "combination: lower residual tumour density (fig. 10c)")
def _(runs: Runs) -> list[Condition]:
    base, combination = _base(runs), _run(runs, "combination")
    return [
        at_most(
            "TA(T) in the tumour, combination / base",
            combination.inside(combination.last[2]) / base.inside(base.last[2]),
            0.9,
        ),
        at_most(
            "max TA(T) on the central line, combination / base",
            combination.line["TA"][-1].max() / base.line["TA"][-1].max(),
            1.0,
        ),
    ]


@states("3.4-24", "combination: better balance of functional to exhausted cells (fig. 10c)")
def _(runs: Runs) -> list[Condition]:
    base, combination = (
        run.inside(run.last[0]) / run.inside(run.last[0] + run.last[1])
        for run in (_base(runs), _run(runs, "combination"))
    )
    return [at_least("C(T)/W(T) in the tumour, combination less base", combination - base, 0.01)]


@states("3.4-25", "the weak microenvironment does not block the advance of CAR-T cells")
def _(runs: Runs) -> list[Condition]:
    base, combination = _base(runs), _run(runs, "combination")
    level = FRONT * base.line["C"].max()
    covered = combination.inside(combination.last[0] >= FRONT * base.last[0].max())
    return [
        at_least("earlier at the centre in combination, days", base.arrival(level) - combination.arrival(level), 0.0),
        at_least("coverage in combination, by the base's largest C", covered, 0.9),
    ]


@states("3.4-26", "as the analysis says, more A and H lower the chance of invasion")
def _(runs: Runs) -> list[Condition]:
    base, enhanced, attenuated = (
        invasion_rate(_run(runs, name).parameters) for name in ("base", "enhanced", "attenuated")
    )
    return [
        above("growth rate of small C, E: base less enhanced, 1/day", base - enhanced, 0.0),
        above("growth rate of small C, E: attenuated less base, 1/day", attenuated - base, 0.0),
    ]


@states("3.4-27", "strong A and H weaken chemotaxis and raise exhaustion")
def _(runs: Runs) -> list[Condition]:
    def means(run: ObservedRun) -> tuple[np.float64, np.float64]:
        """Of k_e and chi/chi_0 over the snapshots and the tumour."""
        pairs = [(run.inside(run.exhaustion_rate(u)), run.inside(run.taxis_left(u))) for u in run.snapshots()]
        exhaustion, taxis = np.mean(pairs, axis=0)
        return exhaustion, taxis

    (exhaustion, taxis), (exhaustion_enhanced, taxis_enhanced) = means(_base(runs)), means(_run(runs, "enhanced"))
    return [
        at_least("mean k_e, enhanced / base", exhaustion_enhanced / exhaustion, 1.1),
        at_most("mean chi/chi_0, enhanced / base", taxis_enhanced / taxis, 0.95),
    ]
