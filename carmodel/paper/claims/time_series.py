"""A quantity over time, and what the statements ask of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

Array = NDArray[np.float64]
Number = float | np.floating[Any]


@dataclass(frozen=True)
class TimeSeries:
    """Samples y at times t, both of shape (samples,), t growing; a jump is two samples at one time.

    The steps are the integrator's own, so nothing here takes them for equal.
    """

    t: Array
    y: Array

    def __truediv__(self, other: "TimeSeries") -> "TimeSeries":
        """The quotient of two quantities of one run."""
        return TimeSeries(self.t, self.y / other.y)

    def __add__(self, other: "TimeSeries") -> "TimeSeries":
        """The sum of two quantities of one run."""
        return TimeSeries(self.t, self.y + other.y)

    @property
    def start(self) -> np.float64:
        """First value."""
        return np.float64(self.y[0])

    @property
    def end(self) -> np.float64:
        """Last value."""
        return np.float64(self.y[-1])

    @property
    def duration(self) -> float:
        """Last time."""
        return float(self.t[-1])

    @property
    def largest(self) -> np.float64:
        """Largest value."""
        return np.float64(self.y.max())

    @property
    def least(self) -> np.float64:
        """Least value."""
        return np.float64(self.y.min())

    @property
    def peak_time(self) -> np.float64:
        """First time of the largest value."""
        return np.float64(self.t[np.argmax(self.y)])

    @property
    def trough_time(self) -> np.float64:
        """First time of the least value."""
        return np.float64(self.t[np.argmin(self.y)])

    def at(self, t: Number) -> np.float64:
        """Linear between samples."""
        return np.float64(np.interp(t, self.t, self.y))

    def on(self, times: Array) -> Array:
        """Linear between samples, at each of these times."""
        return np.asarray(np.interp(times, self.t, self.y))

    def between(self, start: Number, stop: Number) -> "TimeSeries":
        """The part from start to stop; values at these two times are interpolated unless they are samples."""
        slack = 1e-12
        inside = (self.t >= start - slack) & (self.t <= stop + slack)
        t, y = self.t[inside], self.y[inside]
        if not t.size or t[0] > start + slack:
            t, y = np.insert(t, 0, start), np.insert(y, 0, self.at(start))
        if t[-1] < stop - slack:
            t, y = np.append(t, stop), np.append(y, self.at(stop))
        return TimeSeries(t, y)

    def until(self, share: float) -> "TimeSeries":
        """The part from the start to this share of the duration."""
        return self.between(0.0, share * self.duration)

    def since(self, share: float) -> "TimeSeries":
        """The part from this share of the duration to the end."""
        return self.between(share * self.duration, self.duration)

    def lead(self, other: "TimeSeries", after: Number) -> np.float64:
        """Least excess over another quantity, at the times of both after `after`."""
        mine, its = self.t > after, other.t > after
        gaps = [(self.y - other.on(self.t))[mine], (self.on(other.t) - other.y)[its]]
        return np.float64(np.concatenate(gaps).min())

    @property
    def drawdown(self) -> np.float64:
        """Largest fall below the largest value so far; zero if it never falls."""
        return np.float64((np.maximum.accumulate(self.y) - self.y).max())

    @property
    def drawup(self) -> np.float64:
        """Largest rise above the least value so far; zero if it never rises."""
        return np.float64((self.y - np.minimum.accumulate(self.y)).max())

    @property
    def spread(self) -> np.float64:
        """Largest less least value."""
        return self.largest - self.least

    def variation(self, start: Number, stop: Number) -> np.float64:
        """Spread between two times over the largest size of the whole."""
        return np.float64(self.between(start, stop).spread / np.abs(self.y).max())

    def first(self, where: NDArray[np.bool_]) -> np.float64:
        """First sample's time of which this is true; not a number if of none."""
        return np.float64(self.t[np.argmax(where)]) if where.any() else np.float64(np.nan)

    @property
    def slope(self) -> "TimeSeries":
        """Derivative: second-order differences, first-order at the two ends."""
        return TimeSeries(self.t, np.gradient(self.y, self.t))

    @property
    def mean(self) -> np.float64:
        """Mean over time, by trapezoids."""
        return np.float64(trapezoid(self.y, self.t) / (self.t[-1] - self.t[0]))

    @property
    def decay_rate(self) -> np.float64:
        """Mean rate of exponential decay from the peak to the end."""
        return (np.log(self.largest) - np.log(self.end)) / (self.duration - self.peak_time)

    @property
    def jump(self) -> tuple[np.float64, np.float64]:
        """Values before and after the first jump; not numbers where there is none."""
        doubled = np.flatnonzero(np.diff(self.t) == 0.0)
        if not doubled.size:
            return np.float64(np.nan), np.float64(np.nan)
        return np.float64(self.y[doubled[0]]), np.float64(self.y[doubled[0] + 1])
