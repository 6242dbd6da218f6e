"""The paper's statements written down a second time, from their numbered list, and held against made-up runs.

Fields and series are random, so that no figure is measured by chance on the right quantity, run or time.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import rankdata

from carmodel.models.polyakov import FIELDS
from carmodel.paper.claims import SECTIONS, ObservedRun, experiments, statements
from carmodel.runs.volumes import BoxCells, Volumes

N = 8
L, R = 1.2325979187927902, 0.5250751270897649
DX, MIDDLE = L / N, L / 2
X = (np.arange(N) + 0.5) * DX - MIDDLE
FROM_CENTRE = np.sqrt(X**2 + X[:, None] ** 2 + X[:, None, None] ** 2)
M, CORE = FROM_CENTRE <= R, FROM_CENTRE <= 0.8 * R
C, E, TA, TB, S, A, H = range(7)


def invented(folder: Path, scenario, seed: int) -> ObservedRun:
    """A run directory's reader with random numbers in place of what it would read."""
    (folder / "manifest.json").write_text("{}")
    run, random = ObservedRun(folder), np.random.default_rng(seed)
    end = scenario.time.end
    t = np.sort(np.concatenate([[0.0, end], random.uniform(0.0, end, 60)]))
    if scenario.infusion:
        jump = scenario.infusion[0].time
        t = np.sort(np.concatenate([t, [jump, jump]]))
    series = {"t": t} | {f"mean_{field}": random.uniform(0.1, 1.0, len(t)) for field in FIELDS}
    times = np.linspace(0.0, end, 11)
    u = random.uniform(0.1, 1.0, (11, 7, N, N, N))
    u[:, C] *= random.choice([0.05, 1.0], (11, 1, 1, N))  # so that the front goes back and forth
    u[:, C, ~M] *= 2.0  # so that the largest C is outside the tumour
    middle = u[:, :, N // 2 - 1 : N // 2 + 1, N // 2 - 1 : N // 2 + 1].mean(axis=(2, 3))
    line = {"t": times, "s": X + MIDDLE} | {field: middle[:, f] for f, field in enumerate(FIELDS)}
    cells = BoxCells((N, N, N), np.zeros(3), np.full(3, L))
    volumes = Volumes(list(times), lambda n: u[n], lambda: cells)
    run.__dict__.update(scenario=scenario, _series=series, _volumes=volumes, line=line)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    # What is equal, or one, in the paper's set is not here.
    values = {"d_TB": 0.01, "beta_A": 0.7, "beta_H": 1.2, "alpha_A": 1.3, "gamma": 0.5}
    scenarios = experiments(SECTIONS, [f"parameters.{name}={value}" for name, value in values.items()])
    return {name: invented(folder, scenario, seed) for seed, (name, scenario) in enumerate(scenarios.items())}


class Y:
    """A quantity over time, as the list's helper quantities have it."""

    def __init__(self, t, y):
        self.t, self.y, self.T = t, y, t[-1]
        self.max, self.min, self.first, self.last = y.max(), y.min(), y[0], y[-1]
        self.t_max, self.t_min = t[y.argmax()], t[y.argmin()]

    def __call__(self, t):
        return np.interp(t, self.t, self.y)

    def part(self, a, b):
        inner = (self.t > a) & (self.t < b)
        t = np.concatenate([[a], self.t[inner], [b]])
        return Y(t, np.concatenate([[self(a)], self.y[inner], [self(b)]]))

    @property
    def down(self):
        return max(self.y[: n + 1].max() - self.y[n] for n in range(len(self.y)))

    @property
    def up(self):
        return max(self.y[n] - self.y[: n + 1].min() for n in range(len(self.y)))

    def relvar(self, a, b):
        part = self.part(a, b)
        return (part.max - part.min) / abs(self.y).max()

    @property
    def log_rate(self):
        return (np.log(self.max) - np.log(self.last)) / (self.T - self.t_max)


class Read:
    """What the list measures of a run."""

    def __init__(self, run, t=None):
        series, self.p = run._series, run.parameters
        own = series["t"]
        self.T = own[-1]
        t = own if t is None else t
        self.mean = [
            Y(t, series[f"mean_{field}"] if t is own else Y(own, series[f"mean_{field}"])(t)) for field in FIELDS
        ]
        y = [signal.y for signal in self.mean]
        self.N, self.W, self.F = Y(t, y[TA] + y[TB]), Y(t, y[C] + y[E]), Y(t, y[TB] / (y[TA] + y[TB]))
        self.t, self.u = run._volumes.times, [run._volumes.read(n) for n in range(11)]
        self.start, self.end = self.u[0], self.u[-1]
        self.line = np.array([[u[f][3:5, 3:5].mean(axis=(0, 1)) for f in range(7)] for u in self.u])
        self.top = self.line[:, C].max()
        places = [max((i for i in range(N) if row[i] >= 0.25 * self.top), default=None) for row in self.line[:, C]]
        self.x_f = Y(np.array(self.t), np.array([-9.0 if i is None else (i + 0.5) * DX for i in places]))
        self.coverage = (self.end[C][M] >= 0.25 * self.end[C].max()).mean()
        self.e = self.N.last / self.N.first
        self.depth = 1 - self.N.min / self.N.first
        self.regrowth = (self.N.last - self.N.min) / self.N.first

    def over(self, measure):
        return Y(np.array(self.t), np.array([measure(u) for u in self.u]))

    def arrival(self, th):
        y = self.line[:, C, 3:5].mean(axis=1)
        for n, value in enumerate(y):
            if value >= th:
                before = self.t[n - 1] if n else 0.0
                return before + (th - y[n - 1]) / (value - y[n - 1]) * (self.t[n] - before) if n else 0.0
        return self.T

    def k_e(self, A, H):
        return self.p.k_e0 * (1 + self.p.beta_A * A + self.p.beta_H * H)

    def J(self):
        p = self.p
        ta = 1 - p.d_TA / p.r_T
        h = p.eta * ta / p.lambda_H
        a = (p.sigma_A * ta + p.sigma_M * h / (p.K_H + h)) / p.lambda_A
        k, back = self.k_e(a, h), p.p_r / (1 + a)
        block = [[p.rho_C * ta / p.K_C - p.delta_CT * ta - k - p.d_C, back], [k, -(back + p.d_E)]]
        return np.linalg.eigvals(block).real.max()


def spearman(a, b):
    return np.corrcoef(rankdata(a), rankdata(b))[0, 1]


def lead(a, b, after):
    """Least of a - b at the times of either."""
    return min((a(t) if s is b else y) - (y if s is b else b(t)) for s in (a, b) for t, y in zip(s.t, s.y, strict=True)
               if t > after)  # fmt: skip


def section_3_1(r):
    c, e, ta, tb = r.mean[:4]
    p, T, N_, W, F = r.p, r.T, r.N, r.W, r.F
    low = np.flatnonzero(ta.y < 0.5 * ta.first)
    net = p.rho_C * ta.y / (p.K_C + c.y) - p.d_C - r.k_e(r.mean[A].y, r.mean[H].y)
    t_x = tb.t[np.argmax(tb.y > ta.y)]
    t_m = N_.t_min
    return {
        "01": [(tb.first, "<=", 0), (ta.first, ">", 0), (c.first, ">", 0), (e.first, "<=", 0)],
        "02": [(c.max / c.first, ">=", 1.5)],
        "03": [(c.t_max / T, "<=", 0.25), (c.t_max / T, ">", 0.005)],
        "04": [(net[: low[0]].min(), ">", 0)],
        "05": [(c.last / c.max, "<=", 0.9), (c.part(c.t_max, T).up / c.max, "<=", 0.02)],
        "06": [(c.relvar(0.9 * T, T), "<=", 0.02), (c.last / c.max, ">=", 0.05)],
        "07": [(e.down / e.max, "<=", 1e-3)],
        "08": [(e.relvar(0.9 * T, T), "<=", 0.02), (e.last / W.max, ">=", 0.05)],
        "09": [(ta(0.1 * T) / ta.first, "<=", 0.25), (ta.part(0, 0.05 * T).up / ta.first, "<=", 0)],
        "10": [
            (ta.min, ">=", 1e-3), (ta.last / ta.first, "<=", 0.15), (ta.last, ">=", 1e-3),
            (ta.relvar(0.9 * T, T), "<=", 0.02),
        ],
        "11": [(tb(T / 2000), ">", 0), (t_x / T, "<=", 0.15), ((tb.y - ta.y)[tb.t >= t_x].min(), ">", 0)],
        "12": [(F.last, ">", 0.5)],
        "13": [(N_.min / N_.first, "<=", 0.6)],
        "14": [
            (N_.part(0, t_m).up / N_.first, "<=", 1e-6), (N_.part(t_m, T).down / N_.first, "<=", 0.01),
            (t_m / T, ">", 0.01), (t_m / T, "<=", 0.5), ((N_.last - N_(t_m)) / N_.first, ">=", 0.15),
        ],
        "15": [(F(min(t_m + 0.1 * T, T)), ">=", 0.5)],
        "16": [(N_.last / (1 - min(p.d_TA, p.d_TB) / p.r_T), ">=", 0.9), (N_.relvar(0.9 * T, T), "<=", 0.02)],
        "17": [(W.max / W.first, ">=", 1.5), (W.t_max / T, "<=", 0.3)],
        "18": [
            (W.last / W.max, "<=", 0.9), (W.part(W.t_max, T).up / W.max, "<=", 0.02),
            (W.relvar(0.9 * T, T), "<=", 0.02),
        ],
        "19": [
            (F.first, "<=", 0), (F.t[np.argmax(F.y >= 0.5)] / T, "<=", 0.15),
            (F.t[np.argmax(F.y >= 0.9 * F.max)] / T, "<=", 0.4), (F.down, "<=", 0.03),
        ],
        "20": [(F.max, ">=", 0.9)],
        "21": [(F.last, ">=", 0.9), (F.part(0.8 * T, T).max - F.part(0.8 * T, T).min, "<=", 0.02)],
        "22": [(None, "<=", 0.02), (None, "<", 0)],
        "23": [
            (e.last - e(c.t_max), ">", 0), (tb.last - tb(c.t_max), ">", 0), (ta(c.t_max) / ta.first, "<=", 0.6)
        ],
        "24": [(N_.last / N_.first, ">=", 0.5), (c.last, ">", 0)],
    }  # fmt: skip


def section_3_2(r, no_taxis, no_exhaustion):
    c, e, ta = r.mean[:3]
    p, T, x = r.p, r.T, r.x_f

    def grown(u):
        return p.rho_C * u[C] * u[TA] / (p.K_C + u[C])

    def net(u):
        return (
            grown(u) - p.delta_CT * u[C] * u[TA] - r.k_e(u[A], u[H]) * u[C] + p.p_r * u[E] / (1 + u[A]) - p.d_C * u[C]
        ).mean()

    d = np.gradient(c.y, c.t)
    late = Y(c.t, d).part(0.85 * T, T)
    late = trapezoid(abs(late.y), late.t)
    q = (r.end[TA] / r.start[TA])[M]
    Cm = r.end[C][M]
    low, high = np.quantile(Cm, [0.25, 0.75])
    contact = sum(
        0.5 * (t - s) * (u[C] * u[TA] + v[C] * v[TA])
        for s, t, u, v in zip(r.t[:-1], r.t[1:], r.u[:-1], r.u[1:], strict=True)
    )
    th = 0.25 * r.top
    gains = (c.y - c.first) - (e.y - e.first)
    P = r.over(lambda u: grown(u).mean())
    return {
        "01": [(max(abs(u[TB]).max() for u in r.u), "<=", 0), (abs(T - 12), "<=", 1e-9)],
        "02": [
            (x.down / DX, "<=", 1.01), ((x.first - (MIDDLE - R)) / R, "<=", 0.35), ((x.last - MIDDLE) / R, ">=", 0.8)
        ],
        "03": [((x(0.25 * T) - (MIDDLE - R)) / R, ">=", 0.5), ((x(0.25 * T) - x.first) / R, ">=", 0.2)],
        "04": [(no_taxis.arrival(th) - r.arrival(th), ">", 0)],
        "05": [(c.last / c.first, ">=", 1.5)],
        "06": [(min(net(u) for t, u in zip(r.t, r.u, strict=True) if t <= 0.6 * T + 1e-9), ">", 0)],
        "07": [(r.J(), ">", 0)],
        "08": [(ta.up / ta.first, "<=", 0)],
        "09": [(c.part(0, T / 2).down / c.max, "<=", 1e-6), (c(T / 2) / c.first, ">=", 1.3)],
        "10": [(late / (0.15 * T) / d.max(), "<=", 0.1), (c.last / c.max, ">=", 0.95)],
        "11": [(P.last / P.max, "<=", 0.7)],
        "12": [(e.down / e.max, "<=", 1e-6), (e.last, ">", 0)],
        "13": [(gains[1:].min() / (c.max - c.first), ">", 0)],
        "14": [(r.coverage, ">=", 0.9)],
        "15": [(ta.last / ta.first, "<=", 0.5)],
        "16": [(spearman(Cm, q), "<", -0.2), (q[Cm >= high].mean() / q[Cm <= low].mean(), "<=", 0.9)],
        "17": [
            (spearman(contact.ravel(), r.end[E].ravel()), ">=", 0.6),
            (r.end[E][M].mean() / r.end[E][~M].mean(), ">=", 2),
        ],
        "18": [(ta.last / ta.first, ">=", 0.02), (r.end[TA][M].min(), ">", 0)],
        "19": [(no_exhaustion.mean[TA].last / ta.last, "<=", 0.97)],
    }  # fmt: skip


def section_3_3(runs):
    shares = (0.0, 0.2, 0.5)
    base, loss, rec = ([runs[f"3.3/{k},negative_fraction={f}"] for f in shares] for k in ("base", "loss", "recovery"))
    r = base[1]
    c, e, ta, tb = r.mean[:4]
    T = r.T
    n = [Y(q.N.t, q.N.y / q.N.first) for q in base]
    g = [(u[TB] / (u[TA] + u[TB]))[M] for u in r.u]
    mean = Y(np.array(r.t), np.array([cells.mean() for cells in g]))
    v = Y(np.array(r.t), np.array([(cells >= 0.5).mean() for cells in g]))
    inside = r.over(lambda u: u[C][M].mean())

    def steps(quantity, sign, relation, least):
        values = [quantity(q) for q in base]
        return [(sign * (b - a), relation, least) for a, b in pairwise(values)]

    def grow(row):
        return [(b.e - a.e, ">", 0.005) for a, b in pairwise(row)]

    F = [[q.F.last for q in row] for row in (base, loss, rec)]
    return {
        "01": [(base[0].depth, ">=", 0.3)],
        "02": steps(lambda q: q.depth, -1, ">=", 0.02),
        "03": [*steps(lambda q: q.regrowth, 1, ">=", 0.01), (base[0].regrowth, ">=", 0.02)],
        "04": [(lead(n[k + 1], n[k], max(n[k].t[1], n[k + 1].t[1])), ">", 0) for k in (0, 1)],
        "05": grow(base),
        "06": grow(loss),
        "07": grow(rec),
        "08": [(loss[k].e - max(base[k].e, rec[k].e), ">", 0.005) for k in range(3)],
        "09": [(min(base[k].e, loss[k].e) - rec[k].e, ">", 0.005) for k in range(3)],
        "10": [(F[row][k] - F[2][k], ">", 0.005) for k in range(3) for row in (0, 1)],
        "11": [(F[1][k] - F[0][k], ">", 0.002) for k in range(3)],
        "12": [(min(q.coverage for q in base), ">=", 0.9)],
        "13": [(ta.up / ta.first, "<=", 1e-6)],
        "14": [(tb.down / tb.max, "<=", 1e-3), (tb.last / tb.first, ">=", 1.2), (r.F.last, ">=", 0.7)],
        "15": [(c.part(0, 0.2 * T).down / c.max, "<=", 1e-6), (c.max / c.first, ">=", 1.3)],
        "16": [(c.relvar(2 * T / 3, T), "<=", 0.1), (c.last / c.max, ">=", 0.85)],
        "17": [(e.down / e.max, "<=", 1e-3), (e.last, ">", 0)],
        "18": [
            (r.end[TA][M].max() / r.end[TB][CORE].mean(), "<=", 0.35),
            (r.end[TA][M].max() / 0.9983791256157162, "<=", 0.25),
        ],
        "19": [
            ((r.end[TB] > r.end[TA])[M].mean(), ">=", 1), (r.end[TB][CORE].min() / r.end[TB][M].max(), ">=", 0.7)
        ],
        "20": [(inside.last / inside.max, ">=", 0.3), (r.coverage, ">=", 0.9)],
        "21": [(mean.down, "<=", 1e-3), (mean.last - mean.first, ">=", 0.3)],
        "22": [
            (v.down, "<=", 1e-3), (v.first, "<=", 0), (v.last, ">=", 0.99),
            (max(Y(np.array(r.t), cell).down for cell in np.array(g).T), "<=", 0.02),
        ],
        "23": [(r.F.last, ">=", 0.7), (r.coverage, ">=", 0.9), (r.regrowth, ">", 0.02)],
    }  # fmt: skip


def section_3_4(runs):
    base, enh, comb, att, inf = (
        runs[f"3.4-{name}"] for name in ("base", "enhanced", "combination", "attenuated", "infusion")
    )
    T, n0 = base.T, base.N.first
    cb, ce, cc = (r.mean[C] for r in (base, enh, comb))
    t_inf = 9.588763773347242
    before, after = (comb.mean[C].y[np.flatnonzero(comb.mean[C].t == t_inf)[k]] for k in (0, 1))

    def early(c):
        return [(c.part(0, T / 2).down / c.max, "<=", 1e-6), (c(T / 2) / c.first, ">=", 1.3)]

    def rate(y):
        return -(np.log(y(t_inf + 1)) - np.log(y(t_inf + 0.05))) / 0.95

    def both(measure):
        return [row for f in (A, H) for row in measure(base.mean[f], enh.mean[f], comb.mean[f])]

    def inside(f):
        return lambda u: u[f][M].mean()

    def within(f):
        held = [M.ravel()[u[f].argmax()] for t, u in zip(base.t, base.u, strict=True) if t and base.N(t) / n0 >= 0.3]
        return np.mean(held)

    def tissue(r, measure):
        return np.mean([measure(r, u)[M].mean() for u in r.u])

    k_e = [tissue(r, lambda r, u: r.k_e(u[A], u[H])) for r in (base, enh)]
    chi = [tissue(r, lambda r, u: 1 / (1 + r.p.alpha_A * u[A])) for r in (base, enh)]
    worst = max(base.u, key=inside(H))
    b = [(r.end[C][M].sum() / (r.end[C] + r.end[E])[M].sum()) for r in (base, comb)]
    th = 0.25 * base.top
    e = base.mean[E]
    S = [r.N.last / base.N.last for r in (att, inf, comb)]
    high = np.linspace(0, T, 2001)
    covered = (comb.end[C][M] >= 0.25 * base.end[C].max()).mean()
    effect = base.over(lambda u: (base.p.beta_A * u[A] + base.p.beta_H * u[H])[M].mean()).max
    ratios = [
        max(y / base.mean[f](t) for t, y in zip(comb.mean[f].t, comb.mean[f].y, strict=True) if t > 0.05 * T)
        for f in (A, H)
    ]
    return {
        "01": [(abs(r.start - base.start).max(), "<=", 0) for r in (enh, comb)],
        "02": [
            row
            for r in (base, enh, comb)
            for row in (
                (r.N.part(0, 0.2 * T).up / r.N.first, "<=", 0),
                (r.N(0.3 * T) / r.N.first, "<=", 0.98),
            )
        ],
        "03": [(enh.e - base.e, ">=", 0.02)],
        "04": [(base.e - comb.e, ">=", 0.02)],
        "05": [(base.e, "<=", 0.7), (base.e, ">=", 0.05)],
        "06": early(cb),
        "07": early(cc),
        "08": [
            (ce.max / cb.max, "<=", 0.9), (lead(cb, ce, 0.02 * T) / cb.max, ">", 0),
            (lead(cc, ce, 0.02 * T) / cb.max, ">", 0),
        ],
        "09": [(after / before, ">=", 1.05)],
        "10": [(comb.N.last / att.N.last, "<=", 0.97), (rate(comb.N) - rate(att.N), ">", 0)],
        "11": [(S[0] * S[1] - S[2], ">", 0)],
        "12": [(enh.mean[A].max / base.mean[A].max, ">=", 1.2), (base.mean[A].max / comb.mean[A].max, ">=", 1.2)],
        "13": [(enh.mean[H].max / base.mean[H].max, ">=", 1.2), (base.mean[H].max / comb.mean[H].max, ">=", 1.2)],
        "14": [
            *(((enh.mean[f](high) >= 0.7 * enh.mean[f].max).mean(), ">=", 0.5) for f in (A, H)),
            *((lead(enh.mean[f], base.mean[f], 0.0), ">", 0) for f in (A, H)),
        ],
        "15": both(lambda b, _, __: [(b.t_max / T, "<=", 0.8), (b.last / b.max, "<=", 0.9)]),
        "16": both(lambda b, _, c: [(c.max / b.max, "<=", 0.6)]),
        "17": both(
            lambda b, _, c: [
                (c.log_rate / max(b.log_rate, 1e-6), ">", 1.05), (b.last / b.max - c.last / c.max, ">", 0.02)
            ]
        ),
        "18": [(base.N.up / n0, "<=", 0)],
        "19": [(e.down / e.max, "<=", 1e-6), (e.last, ">", 0), ((base.x_f.last - MIDDLE) / R, ">=", 0.8)],
        "20": [(effect, ">=", 0.2), (base.over(inside(A)).max, ">=", 0.05), (base.over(inside(H)).max, ">=", 0.02)],
        "21": [
            (within(A), ">=", 1), (within(H), ">=", 1), (worst[A][M].mean() / worst[A][~M].mean(), ">=", 1.2),
            (worst[H][M].mean() / worst[H][~M].mean(), ">=", 1.01),
        ],
        "22": [(ratio, "<=", 0.7) for ratio in ratios],
        "23": [
            (comb.end[TA][M].mean() / base.end[TA][M].mean(), "<=", 0.9),
            (comb.line[-1, TA].max() / base.line[-1, TA].max(), "<=", 1),
        ],
        "24": [(b[1] - b[0], ">=", 0.01)],
        "25": [(base.arrival(th) - comb.arrival(th), ">=", 0), (covered, ">=", 0.9)],
        "26": [(base.J() - enh.J(), ">", 0), (att.J() - base.J(), ">", 0)],
        "27": [(k_e[1] / k_e[0], ">=", 1.1), (chi[1] / chi[0], "<=", 0.95)],
    }  # fmt: skip


def abstract(runs):
    rows = {}
    for suffix, switching in (("", "off"), ("s", "full")):
        e = [runs[f"doses/{switching},{m}"].e for m in range(1, 6)]
        d = [e[m] - e[m + 1] for m in range(4)]
        rows[f"01{suffix}"] = [(min(d), ">", 1e-4)]
        rows[f"02{suffix}"] = [(min(d[m] - d[m + 1] for m in range(3)), ">", 1e-5)]
    return rows


@pytest.fixture(scope="module")
def expected(runs):
    """{number: [(value, relation, threshold)]}, as the list says."""
    read = {name: Read(run) for name, run in runs.items()}
    sections = {
        "3.1": section_3_1(Read(runs["3.1-homogeneous"], np.linspace(0.0, 100.0, 2001))),
        "3.2": section_3_2(*(read[f"3.2-{name}"] for name in ("base", "no-chemotaxis", "no-exhaustion"))),
        "3.3": section_3_3(read),
        "3.4": section_3_4(read),
        "ABS": abstract(read),
    }
    return {f"{section}-{n}": rows for section, found in sections.items() for n, rows in found.items()}


@pytest.mark.parametrize("number", [statement.number for statement in statements()])
def test_statement_measures_what_the_list_says(number, runs, expected):
    (statement,) = (s for s in statements() if s.number == number)
    found = statement.conditions(runs)
    assert [(c.relation, c.threshold) for c in found] == [(relation, least) for _, relation, least in expected[number]]
    for condition, (value, *_) in zip(found, expected[number], strict=True):
        assert value is None or condition.value == pytest.approx(value, rel=1e-9, abs=1e-12), condition.what


def test_every_statement_is_written_twice(expected):
    assert sorted(expected) == [statement.number for statement in statements()]
