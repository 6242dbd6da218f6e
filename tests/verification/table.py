"""Rows of the verification table, and the document made of them."""

import math
from typing import NamedTuple

#: An observed order may fall short of the expected one by so much.
SHORT = 0.2


class Row(NamedTuple):
    """What was verified.

    `expected` is an order, which `observed` may exceed, or a bound, which it must not: `is_order` says which.  `note`
    says how it was measured, in a few words.
    """

    what: str
    expected: float
    observed: float
    is_order: bool
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is as expected; false for what is not a number."""
        if self.is_order:
            return self.observed >= self.expected - SHORT
        return self.observed <= self.expected

    def line(self) -> str:
        """The row of a Markdown table."""
        kind = "order {:.2g}" if self.is_order else "at most {:.0e}"
        seen = f"{self.observed:.2f}" if self.is_order else f"{self.observed:.1e}"
        verdict = "holds" if self.holds else "**falls short**"
        return f"| {self.what} | {kind.format(self.expected)} | {seen} | {verdict} | {self.note} |"


def order(errors: list[float], ratio: float = 2.0) -> float:
    """Observed order between the last two of errors on steps or cells that shrink by `ratio`."""
    return math.log(errors[-2] / errors[-1]) / math.log(ratio)


def convergence(values: list[float], ratio: float = 2.0) -> tuple[float, float]:
    """Observed order of a quantity on three grids, and the finest one's grid-convergence index.

    The index is 1.25 |f3 - f2| / |f3| / (r^p - 1) (Roache 1994, doi 10.1115/1.2910291): an estimate, on the safe side,
    of the relative error of the finest value.
    """
    coarse, middle, fine = values
    p = math.log(abs((middle - coarse) / (fine - middle))) / math.log(ratio)
    return p, 1.25 * abs((fine - middle) / fine) / (ratio**p - 1.0)


HEAD = """# Verification

Made by `.venv/bin/python -m tests.verification --write`; `bash tests/run.sh --verify` does the same without writing.
Orders are of accuracy in the width of the cells or the length of the step, observed between the two finest. An order
may fall short of what is expected by {short:g}, a bound not at all.
"""


def document(sections: dict[str, list[Row]]) -> str:
    """The Markdown text of all rows, by section."""
    parts = [HEAD.format(short=SHORT)]
    for title, rows in sections.items():
        parts.append(f"\n## {title}\n\n| what | expected | observed | verdict | how |\n|---|---|---|---|---|")
        parts += [row.line() for row in rows]
    return "\n".join(parts) + "\n"
