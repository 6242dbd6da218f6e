"""What `check` tells of a domain: its volumes in words, and a picture of it in the box."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..scenario.space import TISSUE, Box
from .tissue import Tissue

#: Points along the longest edge of the picture's sections.
POINTS = 300


class Described(NamedTuple):
    """Lines for the head of a checked run file, warnings, and what they are about; empty without a domain."""

    text: str
    warnings: list[str]
    tissue: Tissue | None


def described_domain(space: Any) -> Described:
    """A run file's domain.  Raises InputError as `Tissue`."""
    if not isinstance(space, Box) or not space.domain:
        return Described("", [], None)
    tissue = Tissue(space)
    return Described("".join(f"# {line}\n" for line in tissue.lines()), tissue.oddities(), tissue)


def draw(tissue: Tissue, run_file: Path) -> Path:
    """Three sections through the middle of the tissue: regions in colours, the domain's surface as a line.

    Returns the picture, `RUN_FILE-domain.png` in the working directory.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    low = tissue.origin
    high = low + tissue.box.lengths
    middle = np.clip(0.5 * np.sum(tissue.extent, axis=0), low, high)
    step = float((high - low).max()) / POINTS
    axes = [np.arange(a + 0.5 * step, b, step) for a, b in zip(low, high, strict=True)]
    surface = tissue.surface(TISSUE)
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    colours = np.concatenate([[[1.0, 1.0, 1.0, 1.0]], colormaps["Set3"](np.arange(len(tissue.domain.labels)) % 12)])
    names = [name for name in tissue.domain.labels if name != TISSUE]
    for n, (across, along, up) in enumerate(((2, 0, 1), (1, 0, 2), (0, 1, 2))):
        points = [np.array([middle[d]]) if d == across else axes[d] for d in range(3)]
        grid = np.meshgrid(*points, indexing="ij")
        labels = np.squeeze(tissue.labels_at(*grid), axis=across)
        level = np.squeeze(surface(*points).transpose(2, 1, 0), axis=across)
        shown = np.where(np.isin(labels, tissue.domain.labels[TISSUE]), 1, 0)
        for number, name in enumerate(names, 2):
            shown[np.isin(labels, tissue.domain.labels[name])] = number
        plot = figure.add_subplot(1, 3, n + 1)
        extent = (low[along], high[along], low[up], high[up])
        plot.imshow(colours[shown.T], origin="lower", extent=extent, interpolation="nearest")
        plot.contour(axes[along], axes[up], level.T, levels=[0.0], colors="black", linewidths=1.0)
        plot.set(xlabel=f"{'xyz'[along]} (cm)", ylabel=f"{'xyz'[up]} (cm)")
        plot.set_title(f"{'xyz'[across]} = {middle[across]:.3g} cm", fontsize=10)
    handles = [
        Patch(facecolor=tuple(colour), edgecolor="grey", label=f"{name} {tissue.regions[name].volume:.3g} cm$^3$")
        for name, colour in zip((TISSUE, *names), colours[1:], strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    picture = Path(f"{run_file.stem}-domain.png")
    figure.savefig(picture, dpi=110)
    return picture
