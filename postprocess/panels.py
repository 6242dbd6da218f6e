"""A figure as numbers first: curves and maps in panels.  The same object is drawn and written as CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from style import save, shades, use_style

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """y over x, both of shape (points,); `name` is what the legend says unless `style` has a label."""

    name: str
    x: Array
    y: Array
    style: dict[str, Any] = field(default_factory=dict)

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `plot`, the legend's text among them."""
        return {"label": self.name} | self.style


@dataclass(frozen=True)
class Map:
    """A field over time and place: `values` has shape (len(y), len(x)), not-a-number where nothing is to be drawn."""

    name: str
    x: Array
    y: Array
    values: Array
    label: str


@dataclass(frozen=True)
class Panel:
    """Curves, or one map, with the names and units of the axes; `marks` are upright lines: text and place.

    A text that begins with "_" is not drawn.
    """

    title: str
    xlabel: str
    ylabel: str
    curves: tuple[Curve, ...] = ()
    map: Map | None = None
    marks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Plate:
    """A figure of the paper: its number, what it shows in a sentence or two, and its panels."""

    name: str
    caption: str
    panels: tuple[Panel, ...]

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """What is drawn: panel, curve, x, y and, in maps, the value there; 17 digits."""
        for letter, panel in zip("abcdefgh", self.panels, strict=False):
            for curve in panel.curves:
                for x, y in zip(curve.x, curve.y, strict=True):
                    yield letter, curve.name, f"{x:.17g}", f"{y:.17g}", ""
            for text, x in panel.marks:
                yield letter, text, f"{x:.17g}", "", ""
            if panel.map:
                for i, j in np.ndindex(panel.map.values.shape):
                    x, y, value = panel.map.x[j], panel.map.y[i], panel.map.values[i, j]
                    yield letter, panel.map.name, f"{x:.17g}", f"{y:.17g}", f"{value:.17g}"


def draw(plate: Plate) -> Figure:
    """The figure: one axis a panel, and a colour bar beside each map."""
    use_style()
    columns = min(2, len(plate.panels))
    rows = -(-len(plate.panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.5 + 3.6 * columns, 0.3 + 2.6 * rows), squeeze=False)
    beside = any(panel.map for panel in plate.panels)
    alike = len(plate.panels) > 1 and len({tuple(curve.name for curve in panel.curves) for panel in plate.panels}) == 1
    for axis, letter, panel in zip(axes.flat, "abcdefgh", plate.panels, strict=False):
        if panel.map:
            _draw_map(figure, axis, panel.map)
        else:
            _draw_curves(axis, panel)
            if beside:  # in the room that the colour bars of the other panels take: for short names
                place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0.0}
                axis.legend(frameon=False, handlelength=2.3, handletextpad=0.5, **place).set_in_layout(False)
            elif not alike:
                axis.legend(frameon=False)
        axis.set_title(f"({letter}) {panel.title}" if len(plate.panels) > 1 else panel.title, loc="left")
        axis.set_xlabel(panel.xlabel)
        axis.set_ylabel(panel.ylabel)
    for axis in axes.flat[len(plate.panels) :]:
        axis.set_axis_off()
    if alike and not beside:
        handles, _ = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _draw_curves(axis: Axes, panel: Panel) -> None:
    for curve in panel.curves:
        axis.plot(curve.x, curve.y, **curve.keywords)
    low = min(curve.x.min() for curve in panel.curves)
    high = max(curve.x.max() for curve in panel.curves)
    margin = 0.03 * (high - low) if any("marker" in curve.style for curve in panel.curves) else 0.0
    axis.set_xlim(low - margin, high + margin if high > low else low + 1.0)
    # Densities and levels start at zero; one that undershoots does not.
    everything = np.concatenate([curve.y for curve in panel.curves])
    seen = everything[np.isfinite(everything)]
    bottom, top = float(seen.min(initial=0.0)), float(seen.max(initial=-np.inf))
    axis.set_ylim(bottom, top + 0.05 * (top - bottom) if top > bottom else bottom + 1.0)
    _draw_marks(axis, panel.marks)


def _draw_marks(axis: Axes, marks: tuple[tuple[str, float], ...]) -> None:
    """Upright lines; what they are stands at the first, on the side where there is more room."""
    low, high = axis.get_xlim()
    for text, x in marks:
        axis.axvline(x, color="#8C8C8C", linestyle=":", linewidth=1.0)
        if not text.startswith("_"):
            away, side = (3, "left") if x < 0.5 * (low + high) else (-3, "right")
            axis.annotate(
                text,
                (x, 0.98),
                (away, 0),
                xycoords=axis.get_xaxis_transform(),
                textcoords="offset points",
                rotation=90,
                ha=side,
                va="top",
                fontsize=7.5,
                color="#555555",
            )


def _draw_map(figure: Figure, axis: Axes, drawn: Map) -> None:
    colours = shades(drawn.name)
    image = axis.pcolormesh(
        edges(drawn.x, closed=True),
        edges(drawn.y, closed=False),
        np.ma.masked_invalid(drawn.values),
        cmap=colours,
        vmin=min(0.0, float(np.nanmin(drawn.values))) if np.isfinite(drawn.values).any() else 0.0,
        rasterized=True,
    )
    axis.grid(visible=False)
    bar = figure.colorbar(image, ax=axis)
    bar.set_label(drawn.label)


def edges(centres: Array, closed: bool) -> Array:
    """Borders between points, shape (points + 1,): half-way.

    The first and last are the points themselves if `closed` (times), half a spacing outside if not (cells).
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    if closed:
        return np.concatenate([centres[:1], middle, centres[-1:]])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def write_numbers(plate: Plate, stream: TextIO) -> None:
    """What is drawn, as CSV: panel, curve, x, y and, in maps, the value there."""
    rows = csv.writer(stream)
    rows.writerow(["panel", "curve", "x", "y", "value"])
    rows.writerows(plate.rows())


def write(plate: Plate, folder: Path) -> list[Path]:
    """Draw a plate into FOLDER/NAME.svg, .pdf and .png, write its numbers into NAME.csv; returns the files."""
    figure = draw(plate)
    files = save(figure, folder / plate.name)
    plt.close(figure)
    table = folder / f"{plate.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        write_numbers(plate, file)
    return [*files, table]
