"""Figures as markup for a page that has everything in it: inline SVG that follows the page's colours, PNG as data."""

import base64
import re
from html import escape
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
from markupsafe import Markup
from panels import Plate, draw

#: Colours of lines and text that would vanish on a dark page, and what stands for them in the page's style sheet.
THEMED = {
    "#000000": "currentColor",
    "#8c8c8c": "var(--plot-1)",
    "#555555": "var(--plot-2)",
    "#004488": "var(--plot-base)",
}

#: Pixels of a point, at most: a small figure does not become a large one; and at least, where the page is narrow: the
#: figure is scrolled instead.
MAGNIFIED, READABLE = 1.6, 1.2


def svg(plate: Plate) -> Markup:
    """A plate as an `<svg>` element: as wide as its place, without namespaces' addresses, its parts' names its own."""
    figure = draw(plate)
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    drawing = text.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    head, body = drawing[: drawing.index(">") + 1], drawing[drawing.index(">") + 1 :]
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', head)
    assert box
    widest, narrowest = (round(factor * float(box[1])) for factor in (MAGNIFIED, READABLE))
    for colour, themed in THEMED.items():
        body = body.replace(colour, themed)
    # Parts are named alike in all figures of a page.
    body = re.sub(r'(\sid="|url\(#|xlink:href="#)', rf"\g<1>{plate.name}-", body).replace("xlink:href", "href")
    label = escape(f"{plate.name}: {plate.caption}")
    style = f"max-width: {widest}px; --narrowest: {narrowest}px"
    return Markup(f'<svg role="img" aria-label="{label}" {box[0]} style="{style}">{body.strip()}')


def image(file: Path, alternative: str) -> Markup:
    """A picture file as an `<img>` element with its bytes in it."""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return Markup(f'<img alt="{escape(alternative)}" src="data:image/{file.suffix[1:]};base64,{data}">')
