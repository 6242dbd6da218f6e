"""Spectra of a model's Jacobians, and what they say of steady states."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Below this part of the largest entry's size, a real part is zero to rounding.
_ROUNDING = 1e-13


def spectrum(J: Array) -> Complex:
    """Eigenvalues by falling real part, in 1/day."""
    values = np.linalg.eigvals(J).astype(complex)
    return values[np.lexsort((values.imag, -values.real))]


def growth_rate(J: Array) -> float:
    """Largest real part of the spectrum, in 1/day."""
    return float(np.linalg.eigvals(J).real.max())


def verdict(growth: float, J: Array) -> str:
    """One of "stable", "unstable" and, where the largest real part is zero to rounding, "neutral"."""
    if abs(growth) <= _ROUNDING * np.abs(J).max():
        return "neutral"
    return "unstable" if growth > 0.0 else "stable"
