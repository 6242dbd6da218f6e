"""Section 3.1: the system without space (figure 3), run `3.1-homogeneous`, looked at 2001 equally spaced times."""

import numpy as np
from scipy.optimize import root

from ...models.polyakov import FIELDS
from ...theory.ode import jacobian, rates
from .observed import ObservedRun
from .statement import Condition, Runs, above, at_least, at_most, below, states
from .time_series import Array

#: So many, whatever the steps are: largest values and first times depend on where one looks.
TIMES = 2001


def _run(runs: Runs) -> ObservedRun:
    return runs["3.1-homogeneous"].sampled(TIMES)


@states("3.1-01", "at the start there are antigen-positive and functional CAR-T cells, no antigen-negative ones")
def _(runs: Runs) -> list[Condition]:
    C, E, TA, TB = (_run(runs).mean(field).start for field in ("C", "E", "TA", "TB"))
    return [at_most("TB(0)", TB, 0.0), above("TA(0)", TA, 0.0), above("C(0)", C, 0.0), at_most("E(0)", E, 0.0)]


@states("3.1-02", "pronounced expansion of C (fig. 3a)")
def _(runs: Runs) -> list[Condition]:
    C = _run(runs).mean("C")
    return [at_least("max C / C(0)", C.largest / C.start, 1.5)]


@states("3.1-03", "C has its maximum at an early stage (fig. 3a)")
def _(runs: Runs) -> list[Condition]:
    C = _run(runs).mean("C")
    share = C.peak_time / C.duration
    return [at_most("time of max C / T", share, 0.25), above("time of max C / T", share, 0.005)]


@states("3.1-04", "proliferation outweighs death and exhaustion of C while TA is high")
def _(runs: Runs) -> list[Condition]:
    run = _run(runs)
    u = np.array([run.mean(field).y for field in FIELDS])
    rate = run.proliferation_of_C(u) / u[0] - run.parameters.d_C - run.exhaustion_rate(u)
    low = u[2] < 0.5 * u[2, 0]
    high = slice(int(np.argmax(low)) if low.any() else None)
    return [above("min net rate while TA >= 0.5 TA(0)", rate[high].min(), 0.0)]


@states("3.1-05", "C then declines")
def _(runs: Runs) -> list[Condition]:
    C = _run(runs).mean("C")
    after = C.between(C.peak_time, C.duration)
    return [
        at_most("C(T)/max C", C.end / C.largest, 0.9),
        at_most("rise of C after its maximum / max C", after.drawup / C.largest, 0.02),
    ]


@states("3.1-06", "C reaches a quasi-stationary plateau")
def _(runs: Runs) -> list[Condition]:
    C = _run(runs).mean("C")
    return [
        at_most("variation of C in the last tenth", C.variation(0.9 * C.duration, C.duration), 0.02),
        at_least("C(T)/max C", C.end / C.largest, 0.05),
    ]


@states("3.1-07", "E increases monotonically (fig. 3a)")
def _(runs: Runs) -> list[Condition]:
    E = _run(runs).mean("E")
    return [at_most("fall of E / max E", E.drawdown / E.largest, 1e-3)]


@states("3.1-08", "E settles at a non-zero level")
def _(runs: Runs) -> list[Condition]:
    E = _run(runs).mean("E")
    return [
        at_most("variation of E in the last tenth", E.variation(0.9 * E.duration, E.duration), 0.02),
        at_least("E(T)/max W", E.end / _run(runs).cart.largest, 0.05),
    ]


@states("3.1-09", "TA falls rapidly at first (fig. 3b)")
def _(runs: Runs) -> list[Condition]:
    TA = _run(runs).mean("TA")
    return [
        at_most("TA(0.1 T)/TA(0)", TA.at(0.1 * TA.duration) / TA.start, 0.25),
        at_most("rise of TA before 0.05 T / TA(0)", TA.until(0.05).drawup / TA.start, 0.0),
    ]


@states("3.1-10", "TA approaches a low positive level and is not eradicated")
def _(runs: Runs) -> list[Condition]:
    TA = _run(runs).mean("TA")
    return [
        at_least("min TA", TA.least, 1e-3),
        at_most("TA(T)/TA(0)", TA.end / TA.start, 0.15),
        at_least("TA(T)", TA.end, 1e-3),
        at_most("variation of TA in the last tenth", TA.variation(0.9 * TA.duration, TA.duration), 0.02),
    ]


@states("3.1-11", "TB, absent at first, accumulates rapidly and becomes dominant (fig. 3b)")
def _(runs: Runs) -> list[Condition]:
    TA, TB = _run(runs).mean("TA"), _run(runs).mean("TB")
    ahead = TB.y > TA.y
    crossing = TB.first(ahead)
    return [
        above("TB(T/2000)", TB.at(TB.duration / 2000), 0.0),
        at_most("time of TB > TA / T", crossing / TB.duration, 0.15),
        above("min (TB - TA) from then on", (TB.y - TA.y)[TB.t >= crossing].min(initial=np.inf), 0.0),
    ]


@states("3.1-12", "TB is the dominant component at the end")
def _(runs: Runs) -> list[Condition]:
    return [above("TB(T)/N(T)", _run(runs).negative_share.end, 0.5)]


@states("3.1-13", "marked initial reduction of the burden (fig. 3c)")
def _(runs: Runs) -> list[Condition]:
    N = _run(runs).burden
    return [at_most("min N / N(0)", N.least / N.start, 0.6)]


@states("3.1-14", "two phases of the burden, fall and regrowth (fig. 3c)")
def _(runs: Runs) -> list[Condition]:
    N = _run(runs).burden
    trough = float(N.trough_time)
    return [
        at_most("rise of N before its minimum / N(0)", N.between(0.0, trough).drawup / N.start, 1e-6),
        at_most("fall of N after its minimum / N(0)", N.between(trough, N.duration).drawdown / N.start, 0.01),
        above("time of min N / T", trough / N.duration, 0.01),
        at_most("time of min N / T", trough / N.duration, 0.5),
        at_least("(N(T) - min N)/N(0)", (N.end - N.least) / N.start, 0.15),
    ]


@states("3.1-15", "regrowth comes as the antigen-negative population becomes dominant")
def _(runs: Runs) -> list[Condition]:
    N = _run(runs).burden
    later = min(float(N.trough_time) + 0.1 * N.duration, N.duration)
    return [at_least("TB/N a tenth of T after min N", _run(runs).negative_share.at(later), 0.5)]


@states("3.1-16", "the burden approaches a high level close to its limit")
def _(runs: Runs) -> list[Condition]:
    N, p = _run(runs).burden, _run(runs).parameters
    limit = p.K_T * (1.0 - np.float64(min(p.d_TA, p.d_TB)) / p.r_T)
    return [
        at_least("N(T)/limit", N.end / limit, 0.9),
        at_most("variation of N in the last tenth", N.variation(0.9 * N.duration, N.duration), 0.02),
    ]


@states("3.1-17", "total CAR-T expands at first (fig. 3c)")
def _(runs: Runs) -> list[Condition]:
    W = _run(runs).cart
    return [
        at_least("max W / W(0)", W.largest / W.start, 1.5),
        at_most("time of max W / T", W.peak_time / W.duration, 0.3),
    ]


@states("3.1-18", "total CAR-T then gradually declines and settles lower")
def _(runs: Runs) -> list[Condition]:
    W = _run(runs).cart
    return [
        at_most("W(T)/max W", W.end / W.largest, 0.9),
        at_most("rise of W after its maximum / max W", W.between(W.peak_time, W.duration).drawup / W.largest, 0.02),
        at_most("variation of W in the last tenth", W.variation(0.9 * W.duration, W.duration), 0.02),
    ]


@states("3.1-19", "the antigen-negative share F rises rapidly from zero (fig. 3d)")
def _(runs: Runs) -> list[Condition]:
    F = _run(runs).negative_share
    return [
        at_most("F(0)", F.start, 0.0),
        at_most("time of F >= 0.5 / T", F.first(F.y >= 0.5) / F.duration, 0.15),
        at_most("time of F >= 0.9 max F / T", F.first(F.y >= 0.9 * F.largest) / F.duration, 0.4),
        at_most("fall of F", F.drawdown, 0.03),
    ]


@states("3.1-20", "F rises to near one (fig. 3d)")
def _(runs: Runs) -> list[Condition]:
    return [at_least("max F", _run(runs).negative_share.largest, 0.9)]


@states("3.1-21", "F settles at a high level (fig. 3d)")
def _(runs: Runs) -> list[Condition]:
    F = _run(runs).negative_share
    return [at_least("F(T)", F.end, 0.9), at_most("spread of F in the last fifth", F.since(0.8).spread, 0.02)]


def _coexistence(run: ObservedRun) -> Array | None:
    """The steady state with C and TA that the end of a run leads Newton's method to; None where it leads to none."""
    p = run.parameters
    found = root(lambda u: rates(u, p), run.state_at(run.duration), jac=lambda u: jacobian(u, p), tol=1e-13)
    state: Array = found.x
    is_one = found.success and state[0] > 0.0 and state[2] > 0.0 and np.isfinite(jacobian(state, p)).all()
    return state if is_one else None


@states("3.1-22", "partial immune equilibrium: a coexistence regime")
def _(runs: Runs) -> list[Condition]:
    run = _run(runs)
    state, distance, growth = _coexistence(run), np.nan, np.nan
    if state is not None:
        distance = np.max(np.abs(state - run.state_at(run.duration)) / np.maximum(np.abs(state), 1e-3))
        growth = np.linalg.eigvals(jacobian(state, run.parameters)).real.max()
    return [
        at_most("distance of the end from the steady state", distance, 0.02),
        below("largest growth rate there, 1/day", growth, 0.0),
    ]


@states("3.1-23", "expansion and regression of TA come first, then accumulation of E and TB")
def _(runs: Runs) -> list[Condition]:
    C, E, TA, TB = (_run(runs).mean(field) for field in ("C", "E", "TA", "TB"))
    peak = float(C.peak_time)
    return [
        above("E(T) - E at max C", E.end - E.at(peak), 0.0),
        above("TB(T) - TB at max C", TB.end - TB.at(peak), 0.0),
        at_most("TA at max C / TA(0)", TA.at(peak) / TA.start, 0.6),
    ]


@states("3.1-24", "neither eradication of the tumour nor loss of the CAR-T cells")
def _(runs: Runs) -> list[Condition]:
    run = _run(runs)
    return [at_least("N(T)/N(0)", run.residual, 0.5), above("C(T)", run.mean("C").end, 0.0)]
