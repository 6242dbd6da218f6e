"""Where the normalised set lies in the ranges of Table 1.

    .venv/bin/python benchmarks/corner.py

Of the values whose unit both sets share, in the table's order: 0 is the lower end of the range, 1 the upper one.
"""

from carmodel.models.polyakov import PRESETS, TABLE_1, Parameters

#: What is called near: a share of the range.
NEAR = 0.05


def places(parameters: Parameters) -> dict[str, float]:
    """Place of each value in its range, 0 to 1, for diffusivities and rates per day that have a range."""
    ranges = {name: (e.low, e.high) for name, e in TABLE_1.items() if e.unit in ("cm^2/day", "1/day")}
    return {
        name: (getattr(parameters, name) - low) / (high - low)
        for name, (low, high) in ranges.items()
        if low is not None and high is not None and low < high
    }


def near_an_end(parameters: Parameters) -> list[str]:
    """Names of the values within `NEAR` of the range of one of its ends."""
    return [name for name, place in places(parameters).items() if min(place, 1.0 - place) <= NEAR]


if __name__ == "__main__":
    normalised = PRESETS["normalised"]
    near = near_an_end(normalised)
    for name, place in places(normalised).items():
        print(f"{name:>9}  {place:6.3f}{'  near an end' if name in near else ''}")
    print(f"{len(near)} of {len(places(normalised))} within {NEAR:.0%} of the range of an end")
