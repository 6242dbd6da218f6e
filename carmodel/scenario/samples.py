"""Points of a design over several keys of a run file, an axis of `[sweep]`:

    [sweep.draw]
    sample = "latin hypercube"      # or "sobol", "random"
    number = 64
    seed = 1                        # 0 unless given

    [sweep.draw.keys]
    "parameters.r_T" = { low = 0.01, high = 0.25 }
    "parameters.chi_0" = { low = 0.01, high = 1.0, scale = "log" }
    "integrator.taxis" = { values = ["upwind", "scharfetter-gummel"] }

The same table gives the same points.  Latin hypercubes: McKay, Beckman and Conover (1979), doi 10.2307/1268522; Sobol's
sequence, scrambled after Owen: doi 10.1016/0041-5553(67)90144-9; both by `scipy.stats.qmc`.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from scipy.stats import qmc

from ..tools.errors import InputError
from .reading import first_problem
from .tables import Table

#: More points than anyone means to run.
MOST_POINTS = 10_000


class Range(Table):
    """Values of a key: between two ends, evenly or evenly in the logarithm, or one of a list."""

    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False
    values: list[Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.values is not None:
            if not self.values or self.model_fields_set != {"values"}:
                raise ValueError("accepted: 'low' and 'high', or 'values' alone, at least one")
            return self
        if self.low is None or self.high is None or not self.low < self.high < np.inf or self.low == -np.inf:
            raise ValueError("accepted: 'low' below 'high', or a list 'values'")
        if self.scale == "log" and self.low <= 0.0:
            raise ValueError(f"low = {self.low:g}; accepted with scale = 'log': above zero")
        return self

    def at(self, share: float) -> Any:
        """The value at a share, 0 <= share < 1, of the range."""
        if self.values is not None:
            return self.values[int(share * len(self.values))]
        low, high = float(self.low or 0.0), float(self.high or 0.0)
        if self.whole:  # each of the whole numbers has the same room
            low, high = np.ceil(low), np.floor(high) + 1.0
        value = low * (high / low) ** share if self.scale == "log" else low + share * (high - low)
        return int(value) if self.whole else float(value)


class Design(Table):
    """The table of such an axis."""

    sample: Literal["latin hypercube", "sobol", "random"]
    number: int = Field(ge=1, le=MOST_POINTS)
    seed: int = Field(default=0, ge=0)
    keys: dict[str, Range] = Field(min_length=1)

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        if self.sample == "sobol" and self.number & (self.number - 1):
            raise ValueError(f"number = {self.number}; accepted with sample = 'sobol': a power of two, as 64")
        return self

    def points(self) -> list[dict[str, Any]]:
        """Values by key, a point each."""
        return [
            {key: values.at(share) for (key, values), share in zip(self.keys.items(), row, strict=True)}
            for row in self._shares()
        ]

    def _shares(self) -> NDArray[np.float64]:
        """Shape (points, keys), from 0 up to 1."""
        rng, n = np.random.default_rng(self.seed), len(self.keys)
        if self.sample == "random":
            return rng.random((self.number, n))
        engine = (qmc.Sobol if self.sample == "sobol" else qmc.LatinHypercube)(n, seed=rng)
        return np.minimum(np.asarray(engine.random(self.number)), np.nextafter(1.0, 0.0))


def sampled(where: str, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a table, values by key.  Raises InputError, which begins with `where`, when it is no design."""
    try:
        return Design.model_validate(table).points()
    except ValidationError as error:
        raise InputError(f"{where}.{first_problem(error, dict(table))}") from None
