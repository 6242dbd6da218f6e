"""Opens a run in ParaView: the tumour cut open, the front of the CAR-T cells, axes, a scale bar, the day.

    pvpython postprocess/paraview/view.py DIR [--time DAYS] [--screenshot FILE.png] [--animation FILE.png|.avi]
    CARMODEL_RUN=DIR paraview --script=postprocess/paraview/view.py

DIR is a run directory with `fields.pvd`.  It is the scene of `postprocess/volume.py`: the tumour is where its cells are
above 10 % of their largest value, its colour mixed of those of its kinds of cells, the stronger the denser.  The front
is the surface where the CAR-T cells are 25 % of their largest value in the run.  Both are cut in the middle of the
domain, a line marks the front on the cut, and all is left in the pipeline browser, to be changed by hand.  For ParaView
5.10 or newer, tried with 5.11; needs nothing of carmodel.
"""

# ruff: noqa: B905 (ParaView may bring Python 3.9, whose zip is never strict)
import argparse
import csv
import json
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

from paraview import simple

sys.path.append(str(Path(__file__).resolve().parents[1]))
from scene import DIRECTION, FRONT, TUMOUR_EDGE, rgb, round_length

BURDEN, COMPOSITION = "burden", "composition"

#: The paper's fields, of runs that do not tell; in the colours of TA, TB and C all others are shown.
FIELDS, TUMOUR, CART = ["C", "E", "TA", "TB", "S", "A", "H"], ["TA", "TB"], ["C", "E"]

#: Pixels of a picture.  The domain fills the square at the left, the legend stands to the right of it.
SIZE = [1200, 900]

#: Edge of that square over the diameter of the sphere around the domain: room for the axes' numbers.
MARGIN = 1.2

#: Titles of the axes; the blanks keep them off the numbers, whichever side they stand on.
TITLES = ("\nx, cm", "\n        y, cm", "     z, cm     ")

#: Faces whose edges have numbers, as bits: least y, largest x.
LABELLED = 2 + 8


class Run(NamedTuple):
    """Largest burden (a bound of it) and largest CAR-T density of the run, the unit of densities, and what is shown.

    Of the tumour the kind with most antigen, and the sum of the others where there are any; the CAR-T cells given.
    """

    burden: float
    cart: float
    unit: str
    positive: str
    negative: str
    front: str
    fields: "list[str]"

    @property
    def kinds(self) -> "list[tuple[str, str]]":
        """Names of the tumour's kinds of cells, and in whose colour each is."""
        pairs = ((self.positive, "TA"), (self.negative, "TB"))
        return [(name, colour) for name, colour in pairs if name]


def read(folder: Path) -> Run:
    """From `series.csv`, without reading a volume, and from `datapackage.json`, which older runs lack."""
    unit, fields, tumour, cart = "", FIELDS, TUMOUR, CART
    if (folder / "datapackage.json").is_file():
        package = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
        model = package.get("model", {"tumour": TUMOUR, "cart": CART})
        tumour, cart = model["tumour"], model["cart"]
        fields = [*package["units"]]
        unit = package["units"][(cart + tumour + fields)[0]]
    with (folder / "series.csv").open(newline="", encoding="ascii") as file:
        rows = [{name: float(row[f"max_{name}"]) for name in tumour + cart} for row in csv.DictReader(file)]
    escape = any(row[name] > 0.0 for row in rows for name in tumour[1:])
    return Run(
        max(sum(row[name] for name in tumour) for row in rows),
        max(row[cart[0]] if cart else 0.0 for row in rows),
        unit,
        "".join(tumour[:1]),
        " + ".join(tumour[1:]) if escape else "",
        "".join(cart[:1]),
        fields,
    )


class Domain(NamedTuple):
    """Lowest and highest corner."""

    low: list[float]
    high: list[float]

    @property
    def middle(self) -> list[float]:
        """Its middle."""
        return [0.5 * (low + high) for low, high in zip(self.low, self.high)]

    @property
    def radius(self) -> float:
        """Half of its diagonal."""
        return 0.5 * math.dist(self.low, self.high)


def composition(run: Run) -> str:
    """Colours as a function of both kinds of cells for the calculator: white where there is no tumour."""
    channels = []
    for n, axis in enumerate(("iHat", "jHat", "kHat")):
        lacks = [f"min(max(({name})/{run.burden or 1.0!r},0),1)*{1 - rgb(colour)[n]!r}" for name, colour in run.kinds]
        channels.append(f"{axis}*max({'-'.join(['1', *lacks])},0)")
    return "+".join(channels)


def cut_open(name: str, source: object, middle: list[float]) -> object:
    """What lies behind the plane through the middle, seen from the camera."""
    half = simple.Clip(registrationName=name, Input=source, ClipType="Plane", Invert=0)
    half.ClipType.Origin, half.ClipType.Normal = middle, [0.0, 1.0, 0.0]
    return half


def show_in(view: object, source: object, colour: object) -> object:
    """Show something in one colour, lit evenly.

    Not by `ColorBy(display, None)`, which fails where there is nothing to show at the first time.
    """
    display = simple.Show(source, view)
    display.ColorArrayName = [None, ""]
    display.AmbientColor = display.DiffuseColor = list(colour)
    return display


def pipeline(folder: Path, view: object) -> Domain:
    """Reader, tumour, front, axes, scale bar, legend and time in a view."""
    run = read(folder)
    reader = simple.PVDReader(registrationName=folder.name, FileName=str(folder / "fields.pvd"))
    reader.CellArrays = run.fields
    simple.GetAnimationScene().UpdateAnimationUsingDataTimeSteps()
    reader.UpdatePipeline()
    information = reader.GetDataInformation()
    ends = information.GetBounds()
    domain = Domain(list(ends[0::2]), list(ends[1::2]))
    cells = reader
    if information.GetDataSetTypeAsString() == "vtkUnstructuredGrid":
        # Pieces of several ranks: their common points become one.
        cells = simple.CleantoGrid(registrationName="one mesh", Input=reader)
    points = simple.CellDatatoPointData(registrationName="point data", Input=cells)
    burden = simple.Calculator(registrationName=BURDEN, Input=points)
    burden.ResultArrayName, burden.Function = BURDEN, " + ".join(name for name, _ in run.kinds) or "0"
    fields = simple.Calculator(registrationName=COMPOSITION, Input=burden)
    fields.ResultArrayName, fields.Function = COMPOSITION, composition(run)

    if run.positive:
        show_tumour(view, fields, domain, run)
    if run.front:
        show_front(view, fields, domain, run)
    show_domain(view, reader, domain)
    show_legend(view, run)
    time = simple.AnnotateTimeFilter(registrationName="time", Input=reader)
    time.Format = "day {time:.4g}"
    day = simple.Show(time, view)
    day.WindowLocation, day.Position = "Any Location", [0.33, 0.93]
    day.FontSize, day.Color = 26, [0.0, 0.0, 0.0]
    return domain


def show_tumour(view: object, fields: object, domain: Domain, run: Run) -> None:
    """The tumour cut open."""
    solid = simple.Clip(registrationName="tumour", Input=fields, ClipType="Scalar")
    solid.Scalars, solid.Value, solid.Invert = ["POINTS", BURDEN], TUMOUR_EDGE * (run.burden or 1.0), 0
    tumour = simple.Show(cut_open("tumour, cut", solid, domain.middle), view)
    tumour.ColorArrayName = ["POINTS", COMPOSITION]
    tumour.MapScalars = 0  # the array's three numbers are the colour
    tumour.Ambient, tumour.Diffuse = 0.7, 0.4


def show_front(view: object, fields: object, domain: Domain, run: Run) -> None:
    """The front cut open, and where it crosses the cut: inside the tumour the line alone can be seen."""
    level = FRONT * (run.cart or 1.0)
    front = simple.Contour(registrationName="CAR-T front", Input=fields)
    front.ContourBy, front.Isosurfaces = ["POINTS", run.front], [level]
    surface = show_in(view, cut_open("CAR-T front, cut", front, domain.middle), rgb("C"))
    surface.Opacity = 0.45

    cut = simple.Slice(registrationName="cut", Input=fields)
    cut.SliceType.Origin, cut.SliceType.Normal = domain.middle, [0.0, 1.0, 0.0]
    crossing = simple.Contour(registrationName="CAR-T front on the cut", Input=cut)
    crossing.ContourBy, crossing.Isosurfaces = ["POINTS", run.front], [level]
    line = show_in(view, crossing, rgb("C"))
    line.LineWidth, line.Ambient, line.Diffuse = 4.0, 1.0, 0.0
    line.Position = [0.0, -0.006 * domain.radius, 0.0]  # before the cut, not in it


def show_domain(view: object, reader: object, domain: Domain) -> None:
    """Edges, axes with their unit, and a scale bar under the front edge."""
    box = simple.Show(reader, view)
    box.SetRepresentationType("Outline")
    box.ColorArrayName = [None, ""]
    box.AmbientColor = box.DiffuseColor = [0.6, 0.6, 0.6]
    view.OrientationAxesVisibility = 0
    axes = view.AxesGrid
    axes.Visibility = 1
    for axis, title, low, high in zip("XYZ", TITLES, domain.low, domain.high):
        chosen = {
            "Title": title,
            "TitleFontSize": 20,
            "LabelFontSize": 18,
            "AxisUseCustomLabels": 1,
            "AxisLabels": ticks(low, high),
        }
        for key, value in chosen.items():
            setattr(axes, axis + key, value)
    axes.ZAxisLabels = axes.ZAxisLabels[1:]  # the lowest would stand on that of x
    axes.AxesToLabel = LABELLED

    length = round_length(max(high - low for low, high in zip(domain.low, domain.high)))
    bar = simple.Ruler(registrationName="scale bar")
    start = [domain.low[0], domain.low[1], domain.low[2] - 0.35 * domain.radius]
    bar.Point1, bar.Point2 = start, [start[0] + length, *start[1:]]
    shown = simple.Show(bar, view)
    shown.LabelFormat, shown.FontSize = f"{length:g} cm", 20
    shown.AxisColor, shown.AxisLineWidth, shown.NumberOfTicks = [0.0, 0.0, 0.0], 4.0, 2


def show_legend(view: object, run: Run) -> None:
    """A bar for each kind of tumour cell, and what the front is."""
    of_unit = f", {run.unit}" if run.unit else ""
    for place, (name, colour) in enumerate(run.kinds):
        table = simple.GetColorTransferFunction(f"{name} of the tumour")
        table.ColorSpace, table.ScalarRangeInitialized = "RGB", 1.0
        table.RGBPoints = [0.0, 1.0, 1.0, 1.0, run.burden or 1.0, *rgb(colour)]
        bar = simple.GetScalarBar(table, view)
        bar.Title, bar.ComponentTitle, bar.Visibility = f"{name}{of_unit}", "", 1
        bar.WindowLocation, bar.Position = "Any Location", [0.77 + 0.11 * place, 0.30]
        bar.ScalarBarLength, bar.ScalarBarThickness, bar.HorizontalTitle = 0.4, 18, 1
        bar.TitleFontSize, bar.LabelFontSize = 20, 18
        bar.AddRangeLabels, bar.UseCustomLabels = 0, 1
        bar.CustomLabels, bar.AutomaticLabelFormat, bar.LabelFormat = ticks(0.0, run.burden or 1.0), 0, "%-.3g"
    if not run.front:
        return
    level = f"front: {run.front} = {FRONT * run.cart:.2g}{run.unit and ' ' + run.unit}"
    text = simple.Text(registrationName="front", Text=level)
    front = simple.Show(text, view)
    front.WindowLocation, front.Position = "Any Location", [0.76, 0.2]
    front.Color, front.FontSize = list(rgb("C")), 20


def ticks(low: float, high: float) -> "list[float]":
    """Round numbers between two."""
    step = round_length(high - low)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def look_at(view: object, domain: Domain) -> None:
    """From before the cut, z upward; the sphere around the domain in the middle of the square at the left."""
    length = math.hypot(*DIRECTION)
    toward = [part / length for part in DIRECTION]
    right = [-toward[1] / math.hypot(*toward[:2]), toward[0] / math.hypot(*toward[:2]), 0.0]
    half = math.radians(0.5 * view.CameraViewAngle)
    away = MARGIN * domain.radius / math.sin(half)
    aside = (SIZE[0] / SIZE[1] - 1.0) * away * math.tan(half)
    view.CameraFocalPoint = [m + aside * r for m, r in zip(domain.middle, right)]
    view.CameraPosition = [f + away * t for f, t in zip(view.CameraFocalPoint, toward)]
    view.CameraViewUp = [0.0, 0.0, 1.0]
    view.CenterOfRotation = domain.middle


def main(arguments: "list[str] | None" = None) -> int:
    """Build the scene; write pictures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="DIR", nargs="?", default=os.environ.get("CARMODEL_RUN"))
    parser.add_argument("--time", type=float, help="days; the first unless given")
    parser.add_argument("--screenshot", metavar="FILE")
    parser.add_argument("--animation", metavar="FILE")
    chosen = parser.parse_args(arguments)
    missing = [] if chosen.run else ["DIR"]
    if chosen.run:
        missing = [name for name in ("fields.pvd", "series.csv") if not (Path(chosen.run) / name).is_file()]
    if missing:
        print(f"{chosen.run or 'no run given'}: {missing[0]} is missing; accepted: a run directory", file=sys.stderr)
        return 2

    view = simple.GetActiveViewOrCreate("RenderView")
    simple.LoadPalette("WhiteBackground")  # and lines and letters in black
    view.ViewSize = SIZE
    domain = pipeline(Path(chosen.run).resolve(), view)
    scene = simple.GetAnimationScene()
    if chosen.time is None:
        scene.GoToFirst()
    else:
        scene.AnimationTime = chosen.time
    simple.Render(view)
    look_at(view, domain)
    if chosen.screenshot:
        simple.SaveScreenshot(chosen.screenshot, view, ImageResolution=SIZE)
    if chosen.animation:
        simple.SaveAnimation(chosen.animation, view, ImageResolution=SIZE, FrameRate=8)
    return 0


if __name__ == "__main__" and (code := main()):
    sys.exit(code)
