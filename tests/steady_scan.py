"""All coexistence states of a parameter set by a dense scan over C, which shares no formula with `paper.steady`.

At each C the shares of TA and TB are the eigenvectors without negative entries of a 2x2 matrix, by LAPACK; where the
right-hand side of eq. (9) changes its sign along one of them there is a state.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from scipy.optimize import brentq, root

from carmodel.models.polyakov import PRESETS, Parameters
from carmodel.paper.steady import Coexistence, coexistence, tumour_states
from carmodel.theory.ode import jacobian, rates, reference_levels, residual

#: On a logarithmic scale and as many on a linear one.
POINTS = 400

#: Parameters that are zero, or equal to another one, in each special case.
CASES: dict[str, dict[str, float | str]] = {
    "all processes": {},
    "no antigen loss": {"mu_0": 0.0, "nu": 0.0},
    "no antigen recovery": {"mu_1": 0.0},
    "no switching": {"mu_0": 0.0, "nu": 0.0, "mu_1": 0.0},
    "loss by contact only": {"mu_0": 0.0},
    "loss by contact only, no antigen recovery": {"mu_0": 0.0, "mu_1": 0.0},
    "no loss by contact": {"nu": 0.0},
    "no loss by contact, no antigen recovery": {"nu": 0.0, "mu_1": 0.0},
    "no inhibition of antigen recovery": {"xi": 0.0},
    "no antigen loss, no inhibition": {"mu_0": 0.0, "nu": 0.0, "xi": 0.0},
    "constant switching, no killing": {"nu": 0.0, "xi": 0.0, "gamma": 0.0},
    "no antigen loss, no killing": {"mu_0": 0.0, "nu": 0.0, "gamma": 0.0},
    "no antigen loss, no killing, no inhibition": {"mu_0": 0.0, "nu": 0.0, "gamma": 0.0, "xi": 0.0},
    "no antigen recovery, no killing": {"mu_1": 0.0, "gamma": 0.0},
    "no switching, no killing": {"mu_0": 0.0, "nu": 0.0, "mu_1": 0.0, "gamma": 0.0},
    "no killing": {"gamma": 0.0},
    "no loss of CAR-T cells by killing": {"delta_CT": 0.0},
    "neither": {"gamma": 0.0, "delta_CT": 0.0},
    "no recovery of exhausted cells": {"p_r": 0.0},
    "no exhaustion": {"k_e0": 0.0},
    "no death of exhausted cells": {"d_E": 0.0},
    "no death of functional cells": {"d_C": 0.0},
    "no antigen loss, no recovery of exhausted cells": {"mu_0": 0.0, "nu": 0.0, "p_r": 0.0},
    "no antigen loss, no exhaustion": {"mu_0": 0.0, "nu": 0.0, "k_e0": 0.0},
    "no antigen recovery, no exhaustion": {"mu_1": 0.0, "k_e0": 0.0},
    "no antigen recovery, no recovery of exhausted cells": {"mu_1": 0.0, "p_r": 0.0},
    "no switching, no exhaustion": {"mu_0": 0.0, "nu": 0.0, "mu_1": 0.0, "k_e0": 0.0},
    "one death rate": {"d_TB": "d_TA"},
    "one death rate, no antigen loss": {"d_TB": "d_TA", "mu_0": 0.0, "nu": 0.0},
    "one death rate, no antigen recovery": {"d_TB": "d_TA", "mu_1": 0.0},
    "one death rate, no switching": {"d_TB": "d_TA", "mu_0": 0.0, "nu": 0.0, "mu_1": 0.0},
    "no death of tumour cells": {"d_TA": 0.0, "d_TB": 0.0},
    "no death of tumour cells, no antigen loss": {"d_TA": 0.0, "d_TB": 0.0, "mu_0": 0.0, "nu": 0.0},
    "no microenvironment": {"sigma_A": 0.0, "sigma_M": 0.0, "eta": 0.0},
    "hardly any antigen loss": {"mu_0": 1e-9, "nu": 0.0},
    "hardly any antigen recovery": {"mu_1": 1e-9},
}

#: Where a branch of one-way switching begins between two states.
ONE_WAY = PRESETS["normalised"]._replace(
    mu_0=0.0, nu=0.0, k_e0=0.004, beta_H=20.0, r_T=2.0, gamma=2.0, mu_1=0.003, lambda_H=0.02
)


def random_sets(case: str, n: int, seed: int) -> Iterator[Parameters]:
    """Sets of a case: every value within a factor 30 of the normalised set's, or 4 of `ONE_WAY`'s, in turn.

    Those in which CAR-T cells lose more than they gain whatever the tumour are left out: they have no state.
    """
    rng, found = np.random.default_rng(seed), 0
    while found < n:
        centre, factor = (PRESETS["normalised"], 30.0) if found % 2 else (ONE_WAY, 4.0)
        p = Parameters(*(float(v * factor ** rng.uniform(-1.0, 1.0)) for v in centre))._replace(K_T=1.0)
        if found % 2 == 0 and "mu_0" not in CASES[case]:
            p = p._replace(mu_0=0.003 * factor ** rng.uniform(-1.0, 1.0), nu=0.02 * factor ** rng.uniform(-1.0, 1.0))
        p = p._replace(**{name: getattr(p, v) if isinstance(v, str) else v for name, v in CASES[case].items()})
        if _most_C(p) > 0.0:
            found += 1
            yield p


def _most_C(p: Parameters) -> float:
    """Where rho_C/(K_C + C) is what one cell of a full tumour costs, with the least exhaustion."""
    m = p.d_C + (p.k_e0 * p.d_E / (p.p_r + p.d_E) if p.k_e0 else 0.0)
    return p.rho_C * p.K_T / (m + p.delta_CT * p.K_T) - p.K_C


def _state(C: np.ndarray, TA: np.ndarray, TB: np.ndarray, p: Parameters) -> np.ndarray:
    """States with E, S, A, H at rest, shape (7, ...)."""
    N = TA + TB
    H = p.eta * N / p.lambda_H
    A = (p.sigma_A * N + p.sigma_M * H / (p.K_H + H)) / p.lambda_A
    k_e, back = p.k_e0 * (1.0 + p.beta_A * A + p.beta_H * H), p.p_r / (1.0 + A)
    return np.array([C, C * k_e / (back + p.d_E), TA, TB, p.sigma_S * TA / p.lambda_S, A, H])


def _tumours(C: np.ndarray, p: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """TA and TB at rest beside C, shape (points, 2): by each eigenvalue; not numbers where none is admissible."""
    a, b = p.mu_0 + p.nu * C, p.mu_1 * np.exp(-p.xi * C)
    matrix = np.stack([p.gamma * C + a + p.d_TA, -b, -a, b + p.d_TB], axis=-1).reshape(-1, 2, 2)
    R, v = np.linalg.eig(matrix)
    R, v = R.real, v.real
    order = np.argsort(R, axis=1)
    R, v = np.take_along_axis(R, order, axis=1), np.take_along_axis(v, order[:, None, :], axis=2)
    v = v / v.sum(axis=1, keepdims=True)
    N = p.K_T * (1.0 - R / p.r_T)
    there = (v >= -1e-13).all(axis=1) & (v[:, 0] > 1e-12) & (N > 0.0)  # rounding leaves some 1e-16 of zero
    v = np.maximum(v, 0.0)
    return np.where(there, v[:, 0] * N, np.nan), np.where(there, v[:, 1] * N, np.nan)


def _growth(C: np.ndarray, p: Parameters) -> np.ndarray:
    """(dC/dt)/C with all else at rest, shape (points, 2)."""
    C = np.atleast_1d(np.asarray(C, dtype=float))
    TA, TB = _tumours(C, p)
    wide = np.stack([C, C], axis=-1)
    return np.asarray(rates(_state(wide, TA, TB, p), p)[0]) / wide


def scan(p: Parameters) -> list[np.ndarray]:
    """The states that a dense scan finds, polished on the full right-hand side, by growing C."""
    states = []
    with np.errstate(all="ignore"):
        C = _grid(p)
        for k, values in enumerate(_growth(C, p).T):
            for i in np.flatnonzero(values[:-1] * values[1:] <= 0.0):
                x = brentq(lambda x, k=k: float(_growth(x, p)[0, k]), C[i], C[i + 1], xtol=1e-300, rtol=1e-14)
                TA, TB = _tumours(np.array([x]), p)
                states.append(_state(x, TA[0, k], TB[0, k], p))
        if p.mu_0 == p.nu == p.mu_1 == 0.0:
            states += _without_switching(p)
    polished = [_polished(u, p) for u in states]
    return sorted(_distinct([u for u in polished if u is not None]), key=lambda u: u[0])


def _grid(p: Parameters) -> np.ndarray:
    """Values of C, made dense where an eigenvector begins to be admissible and where growth all but reaches zero."""
    top = _most_C(p) * 1.001
    C = np.unique(np.r_[np.geomspace(1e-9 * top, top, POINTS), np.linspace(0.0, top, POINTS + 1)[1:]])
    for _ in range(5):
        values = _growth(C, p)
        there, size = np.isfinite(values), np.abs(values)
        wanted = (there[1:] != there[:-1]).any(axis=1) | (values[1:] * values[:-1] <= 0.0).any(axis=1)
        drop = np.minimum(size[:-2], size[2:]) - size[1:-1]
        dip = ((drop > 0.0) & (size[1:-1] < 20.0 * drop)).any(axis=1)
        wanted[1:] |= dip
        wanted[:-1] |= dip
        more = [np.linspace(a, b, 22) for a, b in zip(C[:-1][wanted], C[1:][wanted], strict=True)]
        C = np.unique(np.concatenate([C, *more]))
    return C


def _without_switching(p: Parameters) -> list[np.ndarray]:
    """Both phenotypes at rest at one C alone, in any ratio: eq. (9) fixes it."""
    C, N = (p.d_TB - p.d_TA) / p.gamma if p.gamma else 0.0, p.K_T * (1.0 - p.d_TB / p.r_T)
    if C <= 0.0 or N <= 0.0:
        return []

    def change(TA: float) -> float:
        return float(rates(_state(C, TA, N - TA, p), p)[0])

    if change(0.0) * change(N) >= 0.0:
        return []
    TA = brentq(change, 0.0, N, xtol=1e-300, rtol=1e-14)
    return [_state(C, TA, N - TA, p)]


def _polished(u: np.ndarray, p: Parameters) -> np.ndarray | None:
    """The zero of the full right-hand side near a state, by a library's solver; None if it is not admissible."""
    moving = u > 0.0
    level = reference_levels(p)[moving]

    def whole(x: np.ndarray) -> np.ndarray:
        v = np.zeros(7)
        v[moving] = x * level
        return v

    end = root(
        lambda x: rates(whole(x), p)[moving] / level,
        u[moving] / level,
        jac=lambda x: jacobian(whole(x), p)[np.ix_(moving, moving)] * level / level[:, None],
        tol=1e-14,
    )
    v = whole(end.x)
    best = v if residual(v, p) <= residual(u, p) and np.allclose(v[[0, 2]], u[[0, 2]], rtol=1e-3) else u
    return best if best.min() >= 0.0 and residual(best, p) < 1e-10 else None


def _same(u: np.ndarray, v: np.ndarray) -> bool:
    return bool(np.allclose(u, v, rtol=1e-6, atol=1e-12))


def _distinct(states: list[np.ndarray]) -> list[np.ndarray]:
    kept: list[np.ndarray] = []
    for u in states:
        if not any(_same(u, v) for v in kept):
            kept.append(u)
    return kept


def newton(p: Parameters, starts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Admissible states that a library's solver finds from random ones."""
    levels, found = reference_levels(p), []
    for _ in range(starts):
        C = _most_C(p) * rng.uniform() ** 3
        u = np.array([C, C * rng.uniform(), *rng.uniform(size=2), *(levels[4:] * rng.uniform(size=3))])
        with np.errstate(all="ignore"):
            v = root(lambda v: rates(v, p), u, jac=lambda v: jacobian(v, p), method="hybr", tol=1e-13).x
        if np.isfinite(v).all() and v.min() >= 0.0 and v[0] > 1e-9 and v[2] > 1e-9 and residual(v, p) < 1e-12:
            found.append(v)
    return found


def differences(p: Parameters, found: Coexistence, independent: list[np.ndarray]) -> list[str]:
    """What the search and other states disagree about; nothing is held against it that it leaves open."""

    def is_open(u: np.ndarray) -> bool:
        return any(low * (1.0 - 1e-6) <= u[0] <= high * (1.0 + 1e-6) for low, high in found.open)

    listed = [s.state for s in found.states]
    complaints = [f"missed: {u}" for u in independent if not any(_same(u, v) for v in listed) and not is_open(u)]
    complaints += [f"no zero: {v}" for v in listed if residual(v, p) > 1e-12 or v.min() < 0.0 or v[0] <= 0.0]
    return complaints


def unconfirmed(found: Coexistence, scanned: list[np.ndarray]) -> list[str]:
    """States of the search that the scan did not find."""
    return [f"not scanned: {s.state}" for s in found.states if not any(_same(s.state, u) for u in scanned)]


def compared(case: str, n: int, seed: int = 1, starts: int = 0) -> tuple[Counter[str], list[str]]:
    """Counts of n random sets of a case, and what disagreed on them."""
    counts, complaints = Counter[str](), []
    rng = np.random.default_rng(seed)
    for p in random_sets(case, n, seed):
        found, scanned = coexistence(p), scan(p)
        counts["sets"] += 1
        counts["states"] += len(found.states)
        counts["mixed"] += sum(s.phenotype == "mixed" for s in found.states)
        counts["several"] += len(found.states) > 1
        counts["open"] += bool(found.open)
        wrong = differences(p, found, scanned + newton(p, starts, rng)) + unconfirmed(found, scanned)
        wrong += [f"E_T: {s.state}" for s in tumour_states(p) if residual(s.state, p) > 1e-12]
        complaints += [f"{case}: {p}: {text}" for text in wrong]
    return counts, complaints
