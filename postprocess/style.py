"""How figures look: one colour for each field, everywhere, told apart by the colour-blind too.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/); each field also has a line style, for print in grey.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

#: Colour by field; what combines fields stands under its own name.
COLOURS = {
    "C": "#0072B2",  # blue
    "E": "#D55E00",  # vermilion
    "TA": "#009E73",  # green
    "TB": "#CC79A7",  # purple
    "S": "#56B4E9",  # sky blue
    "A": "#E69F00",  # orange
    "H": "#999999",  # grey
    "C + E": "#0072B2",
    "TA + TB": "#000000",
    "TB / (TA + TB)": "#CC79A7",
}

LINES = {
    "C": "-", "E": "--", "TA": "-", "TB": "--", "S": "-", "A": "--", "H": "-.",
    "C + E": "--", "TA + TB": "-", "TB / (TA + TB)": "-",
}  # fmt: skip

#: Names as the paper writes them.
LABELS = {
    "C": "$C$", "E": "$E$", "TA": "$T_A$", "TB": "$T_B$", "S": "$S$", "A": "$A$", "H": "$H$",
    "C + E": "$C + E$", "TA + TB": "$T_A + T_B$", "TB / (TA + TB)": "$T_B / (T_A + T_B)$",
}  # fmt: skip

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


def line_of(name: str) -> dict[str, str]:
    """Colour, line style and label of a field or combination, as keywords of `plot`."""
    return {"color": COLOURS[name], "linestyle": LINES[name], "label": LABELS[name]}


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.svg and STEM.png; returns both."""
    files = [stem.with_name(stem.name + suffix) for suffix in (".svg", ".png")]
    for file in files:
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, metadata=metadata)
    return files
