"""The dispersion relation of a uniform steady state: its linear stability with diffusion and taxis."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from ..model import Medium, model_of
from .ode import jacobian, reference_levels

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Numbers of wavenumbers that are all looked at; of more, the higher ones are thinned out evenly.
_ALL_WAVENUMBERS = 3000

#: Modes of a box that are listed; of more, the lowest and a sample of the others.
_MODES = 10**6


def linearisation(u: ArrayLike, p: Any, k2: ArrayLike) -> Array:
    """A model linearised about a uniform steady state, for perturbations cos(k.x), in 1/day.

    Shape (..., fields, fields): J + k^2 `transport`.  `k2` are squared wavenumbers in 1/cm^2, or eigenvalues of minus
    the discrete Laplacian: the two-point flux, with any of the taxis schemes, is linearised to the same.
    """
    k_squared = np.asarray(k2, dtype=float)[..., None, None]
    return jacobian(u, p) + k_squared * transport(u, p)


def transport(u: ArrayLike, p: Any) -> Array:
    """What k^2 is multiplied by, in cm^2/day, shape (fields, fields): minus the diffusivities on the diagonal.

    Each taxis, a velocity chi grad a of the field f, adds chi f in the row of f and the column of a: cells go up the
    gradient.
    """
    state, model = np.asarray(u, dtype=float), model_of(p)
    matrix: Array = -np.diag(Medium(p).numbers)
    for taxis in model.taxis:
        mover = model.place(taxis.of)
        matrix[mover, model.place(taxis.along)] += taxis.sensitivity(model.Fields(*state), p) * state[mover]
    return matrix


def box_wavenumbers(
    cells: Sequence[int], lengths: Sequence[float], *, discrete: bool = False
) -> tuple[Array, Integers]:
    """Squared wavenumbers of a box with zero-flux walls, in 1/cm^2, growing, and a mode (nx, ny, nz) of each.

    k^2 = pi^2 sum (n_i/L_i)^2 with n_i below the number of cells; with `discrete`, the eigenvalues of minus the
    seven-point Laplacian, sum (2/h_i sin(pi n_i h_i/(2 L_i)))^2.  Equal ones (to 12 digits) are listed once.  Of a box
    of more than a million cells: all up to some k^2, below which about a million lie, and a sample of those above, the
    highest among them.
    """
    axes = []
    for n, length in zip(cells, lengths, strict=True):
        k = np.pi * np.arange(n, dtype=float) / length
        h = length / n
        axes.append((2.0 / h * np.sin(0.5 * k * h)) ** 2 if discrete else k**2)
    modes = np.concatenate([_grid(numbers) for numbers in _numbers(axes)])
    k2: Array = sum((axis[modes[:, i]] for i, axis in enumerate(axes)), start=np.zeros(len(modes)))
    mantissa, exponent = np.frexp(k2)
    _, first = np.unique(np.ldexp(np.round(mantissa, 12), exponent), return_index=True)
    return k2[first], modes[first]


def _numbers(axes: list[Array]) -> list[list[Integers]]:
    """Mode numbers of each axis whose combinations are listed, given what each number adds to k^2."""
    if math.prod(map(len, axes)) <= _MODES:
        return [[np.arange(len(axis)) for axis in axes]]

    def up_to(k2: float) -> list[Integers]:
        return [np.arange(np.searchsorted(axis, k2, side="right")) for axis in axes]

    ends = np.unique(np.concatenate(axes))
    fitting = bisect_right(ends, _MODES, key=lambda k2: math.prod(map(len, up_to(k2))))
    spread = [np.unique(np.linspace(0, len(axis) - 1, round(_MODES ** (1 / 3))).astype(int)) for axis in axes]
    return [up_to(float(ends[fitting - 1])), spread]


def _grid(numbers: list[Integers]) -> Integers:
    """All combinations of numbers of each axis, shape (n, 3)."""
    return np.stack(np.meshgrid(*numbers, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True)
class Dispersion:
    """max Re lambda(k) about a uniform steady state, over the wavenumbers of a box."""

    k2: Array  # 1/cm^2, shape (n,), k = 0 first
    modes: Integers  # shape (n, 3)
    growth: Array  # max Re lambda, 1/day, shape (n,)
    frequency: Array  # |Im| of that eigenvalue, 1/day, shape (n,)

    @property
    def fastest(self) -> int:
        """Place of the wavenumber that grows fastest."""
        return int(np.argmax(self.growth))

    @property
    def spatially_unstable(self) -> bool:
        """Stable without space, unstable with it."""
        return bool(self.growth[0] < 0.0 < self.growth.max())


def dispersion(
    state: ArrayLike, p: Any, cells: Sequence[int], lengths: Sequence[float], *, discrete: bool = False
) -> Dispersion:
    """The dispersion relation about a uniform steady state on a box's own wavenumbers.

    Of more than 3000 distinct wavenumbers the higher ones are thinned out to about 3000 more.
    """
    k2, modes = box_wavenumbers(cells, lengths, discrete=discrete)
    if k2.size > 2 * _ALL_WAVENUMBERS:
        kept = np.r_[:_ALL_WAVENUMBERS, np.linspace(_ALL_WAVENUMBERS, k2.size - 1, _ALL_WAVENUMBERS).astype(int)]
        k2, modes = k2[kept], modes[kept]
    growth, frequency = leading(state, p, k2)
    return Dispersion(k2, modes, growth, frequency)


def leading(state: ArrayLike, p: Any, k2: ArrayLike) -> tuple[Array, Array]:
    """Real part and |imaginary part| of the eigenvalue with the largest real part, at each k^2 (1/cm^2)."""
    values: Complex = np.linalg.eigvals(linearisation(state, p, np.atleast_1d(k2))).astype(complex)
    first = np.take_along_axis(values, values.real.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    growth: Array = first.real
    frequency: Array = np.abs(first.imag)
    return growth, frequency


def taxis_threshold(
    state: ArrayLike, p: Any, strength: str, *, k2_range: tuple[float, float] = (1e-2, 1e6)
) -> tuple[float, float] | None:
    """The least strength of taxis at which a state that is stable without space is unstable at some k, and that k^2.

    Of any wavelength, k^2 between the ends of `k2_range` (1/cm^2): the least among 81 values, refined between its
    neighbours.  None, `strength` and the values tried, as in `taxis_threshold_at`.
    """
    logs: Array = np.linspace(np.log10(k2_range[0]), np.log10(k2_range[1]), 81)
    found = taxis_threshold_at(state, p, strength, 10.0**logs)
    if found is None:
        return None
    best = int(np.argmin(np.abs(logs - np.log10(found[1]))))

    def threshold(log_k2: float) -> float:
        there = taxis_threshold_at(state, p, strength, [10.0**log_k2])
        return there[0] if there else np.inf

    around = logs[max(best - 1, 0)], logs[min(best + 1, logs.size - 1)]
    refined = minimize_scalar(threshold, bounds=around, method="bounded", options={"xatol": 1e-6})
    return (float(refined.fun), float(10.0**refined.x)) if refined.fun < found[0] else found


def taxis_threshold_at(
    state: ArrayLike, p: Any, strength: str, k2: ArrayLike, *, at_least: float = 0.0
) -> tuple[float, float] | None:
    """The least strength of taxis at which some of the wavenumbers given makes a state unstable, and its k^2.

    `strength` is the parameter of that name of one or several of the model's taxes; the others keep theirs, and steady
    states do not depend on any.  `k2` in 1/cm^2, shape (n,).  Values are tried from small to large, four a decade; in
    front of the first at which any k^2 is unstable the crossing is bisected.  Where the sensitivity is the strength,
    with the attractant in its reference level, they reach from 1e-12 to 1e12 cm^2/day; None where none of them
    suffices.  `at_least` is where to begin, to save time.
    """
    # In these units a strength is a diffusivity, whatever fields are counted in, and entries are of similar size.
    levels, k_squared = reference_levels(p), np.asarray(k2, dtype=float)
    model, units = model_of(p), levels / levels[:, None]
    unit = max(levels[model.place(taxis.along)] for taxis in model.taxis if taxis.strength == strength)
    J = jacobian(state, p) * units

    def unstable(value: float, places: Integers) -> Integers:
        moved = transport(state, p._replace(**{strength: value / unit})) * units
        growth = np.linalg.eigvals(J + k_squared[places, None, None] * moved).real.max(axis=-1)
        return places[growth > 0.0]

    low, everywhere = float(np.finfo(float).tiny), np.arange(k_squared.size)
    trials: Array = np.logspace(-12.0, 12.0, 97)
    begin = max(at_least * unit, trials[0])
    for high in [begin, *trials[trials > begin]]:
        first = unstable(high, everywhere)
        if first.size:
            break
        low = high
    else:
        return None
    bounds = np.log([low, high])
    while bounds[1] - bounds[0] > 1e-10:
        middle = bounds.mean()
        sooner = unstable(np.exp(middle), first)
        # Where some are unstable in the middle, those that are not cross later.
        bounds[1 if sooner.size else 0] = middle
        first = sooner if sooner.size else first
    return float(np.exp(bounds[1])) / unit, float(k_squared[first[0]])
