"""How figures look: one colour for each field, everywhere, told apart by the colour-blind too.

Each field also has a line style, for print in grey.  Scenarios have colours that no field has: P. Tol's high-contrast
set (https://sronpersonalpages.nl/~pault/).
"""

import os
from pathlib import Path

import matplotlib
from colours import BURDEN, COLOURS, OTHERS, SHARE

matplotlib.use("Agg")

from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from carmodel.tools.errors import InputError

LINES = {
    "C": "-", "E": "--", "TA": "-", "TB": "--", "S": "-", "A": "--", "H": "-.",
    "C + E": "--", "TA + TB": "-", "TB / (TA + TB)": "-",
}  # fmt: skip

#: Names as the paper writes them.
LABELS = {
    "C": "$C$", "E": "$E$", "TA": "$T_A$", "TB": "$T_B$", "S": "$S$", "A": "$A$", "H": "$H$",
    "C + E": "$C + E$", "TA + TB": "$T_A + T_B$", "TB / (TA + TB)": "$T_B / (T_A + T_B)$",
}  # fmt: skip

#: Keywords of `plot` by scenario: first the unchanged one, then what makes it worse, then what makes it better.
SCENARIOS = {
    "base": {"color": "#004488", "linestyle": "-", "marker": "o"},
    "worse": {"color": "#BB5566", "linestyle": "--", "marker": "s"},
    "better": {"color": "#DDAA33", "linestyle": "-.", "marker": "^"},
}

#: Keywords of `plot` for one quantity at a few values of something, in their order: the burden's black, ever darker.
RANKED = (
    {"color": "#8C8C8C", "linestyle": "-"},
    {"color": "#555555", "linestyle": "--"},
    {"color": "#000000", "linestyle": "-."},
)

_SETTINGS = {
    "font.size": 9.0,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "carmodel",  # the same figure gives the same file
}


def use_style() -> None:
    """Set matplotlib's defaults for every figure of the project."""
    matplotlib.rcParams.update(_SETTINGS)


def colour_of(name: str) -> str:
    """Of a field or combination; fields that have no colour of their own share some, sums are black."""
    usual = SHARE if " / " in name else BURDEN if " + " in name else OTHERS[sum(name.encode()) % len(OTHERS)]
    return COLOURS.get(name, usual)


def label_of(name: str) -> str:
    """A field or combination as the paper writes it; of another model by its name."""
    return LABELS.get(name, name)


def line_of(name: str) -> dict[str, str]:
    """Colour, line style and label of a field or combination, as keywords of `plot`."""
    return {"color": colour_of(name), "linestyle": LINES.get(name, "-"), "label": label_of(name)}


def mathtext(unit: str) -> str:
    """A unit as matplotlib sets it."""
    return unit.replace("K_T", "$K_T$").replace("^3", "$^3$")


def shades(name: str) -> LinearSegmentedColormap:
    """Colour map of a field or combination: white, its colour, its colour dark.  Lightness only falls."""
    colour = to_rgb(colour_of(name))
    dark = [tuple(0.35 * c for c in colour)] if any(colour) else []
    return LinearSegmentedColormap.from_list(name, ["white", colour, *dark])


def check_stem(stem: Path) -> None:
    """Before anything is computed.  Raises InputError where no files STEM.svg and so on can be written."""
    if not stem.name or not stem.parent.is_dir() or not os.access(stem.parent, os.W_OK):
        raise InputError(f"--out {stem}: accepted: a name in a folder that is there, to write in")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.svg, STEM.pdf and STEM.png; returns the three.  Raises InputError where that cannot be."""
    # No dates: the same figure gives the same file.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": None}
    files = [stem.with_name(stem.name + suffix) for suffix in undated]
    for file in files:
        try:
            figure.savefig(file, metadata=undated[file.suffix])
        except OSError as error:
            raise InputError(f"{file}: cannot be written: {error.strerror}") from None
    return files
