"""Opens a run in ParaView: the tumour cut open, the front of the CAR-T cells, the box, the time.

    pvpython postprocess/paraview/view.py DIR [--time DAYS] [--screenshot FILE.png] [--animation FILE.png|.avi]
    CARMODEL_RUN=DIR paraview --script=postprocess/paraview/view.py

DIR is a run directory with `fields.pvd`.  The tumour is where TA + TB is above 10 % of its largest value, coloured by
it; the front is the surface where C is 25 % of its largest value in the run.  Both are cut in the middle of the box,
and all is left in the pipeline browser, to be changed by hand.  For ParaView 5.10 or newer, tried with 5.11; needs
nothing of carmodel.
"""

import argparse
import csv
import os
import sys
from pathlib import Path

from paraview import simple

sys.path.append(str(Path(__file__).resolve().parents[1]))
from colours import COLOURS

FIELDS = ["C", "E", "TA", "TB", "S", "A", "H"]
BURDEN = "burden"
TUMOUR_EDGE, FRONT = 0.1, 0.25


def rgb(name: str) -> list[float]:
    """A field's colour as three numbers from 0 to 1."""
    return [int(COLOURS[name][n : n + 2], 16) / 255.0 for n in (1, 3, 5)]


def largest(run: Path) -> tuple[float, float]:
    """Largest burden (a bound of it) and largest C of the run, from `series.csv`."""
    with (run / "series.csv").open(newline="", encoding="ascii") as file:
        rows = [(float(row["max_TA"]) + float(row["max_TB"]), float(row["max_C"])) for row in csv.DictReader(file)]
    return max(burden for burden, _ in rows), max(cart for _, cart in rows)


def colour_burden(most: float) -> None:
    """White to black, from no tumour to the densest."""
    table = simple.GetColorTransferFunction(BURDEN)
    table.ColorSpace = "RGB"
    table.RGBPoints = [0.0, 1.0, 1.0, 1.0, most, 0.0, 0.0, 0.0]
    table.ScalarRangeInitialized = 1.0


def pipeline(run: Path, view: object) -> None:
    """Reader, tumour, front, outline and time in a view."""
    burden_most, cart_most = largest(run)
    reader = simple.PVDReader(registrationName=run.name, FileName=str(run / "fields.pvd"))
    reader.CellArrays = FIELDS
    simple.GetAnimationScene().UpdateAnimationUsingDataTimeSteps()
    reader.UpdatePipeline()

    points = simple.CellDatatoPointData(registrationName="point data", Input=reader)
    fields = simple.Calculator(registrationName=BURDEN, Input=points)
    fields.ResultArrayName, fields.Function = BURDEN, "TA + TB"

    solid = simple.Clip(registrationName="tumour", Input=fields, ClipType="Scalar")
    solid.Scalars, solid.Value, solid.Invert = ["POINTS", BURDEN], TUMOUR_EDGE * burden_most, 0
    low, high = bounds(reader)
    middle = [0.5 * (low[axis] + high[axis]) for axis in range(3)]
    half = cut_open("tumour, cut", solid, middle)
    colour_burden(burden_most)
    tumour = simple.Show(half, view)
    simple.ColorBy(tumour, ("POINTS", BURDEN))
    colour_burden(burden_most)  # showing it set the range to that of the first time
    tumour.SetScalarBarVisibility(view, True)
    bar = simple.GetScalarBar(simple.GetColorTransferFunction(BURDEN), view)
    bar.Title, bar.AddRangeLabels = "TA + TB", 0

    front = simple.Contour(registrationName="CAR-T front", Input=fields)
    front.ContourBy, front.Isosurfaces = ["POINTS", "C"], [FRONT * cart_most]
    surface = simple.Show(cut_open("CAR-T front, cut", front, middle), view)
    simple.ColorBy(surface, None)
    surface.AmbientColor = surface.DiffuseColor = rgb("C")
    surface.Opacity = 0.4

    # From before the cut, z upward; ResetCamera keeps the direction.
    view.CameraFocalPoint = middle
    view.CameraPosition = [middle[0] + 0.45, middle[1] - 1.0, middle[2] + 0.5]
    view.CameraViewUp = [0.0, 0.0, 1.0]
    simple.Show(reader, view).SetRepresentationType("Outline")
    simple.Show(simple.AnnotateTimeFilter(registrationName="time", Input=reader), view)


def cut_open(name: str, source: object, middle: list[float]) -> object:
    """What lies behind the plane through the middle, seen from the camera."""
    half = simple.Clip(registrationName=name, Input=source, ClipType="Plane", Invert=0)
    half.ClipType.Origin, half.ClipType.Normal = middle, [0.0, 1.0, 0.0]
    return half


def bounds(reader: object) -> tuple[list[float], list[float]]:
    """Lowest and highest corner of the data."""
    ends = reader.GetDataInformation().GetBounds()
    return list(ends[0::2]), list(ends[1::2])


def main() -> int:
    """Build the scene; write pictures if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("run", metavar="DIR", nargs="?", default=os.environ.get("CARMODEL_RUN"))
    arguments.add_argument("--time", type=float, help="days; the first unless given")
    arguments.add_argument("--screenshot", metavar="FILE")
    arguments.add_argument("--animation", metavar="FILE")
    chosen = arguments.parse_args()
    missing = [] if chosen.run else ["DIR"]
    if chosen.run:
        missing = [name for name in ("fields.pvd", "series.csv") if not (Path(chosen.run) / name).is_file()]
    if missing:
        print(f"{chosen.run or 'no run given'}: {missing[0]} is missing; accepted: a run directory", file=sys.stderr)
        return 2

    view = simple.GetActiveViewOrCreate("RenderView")
    simple.LoadPalette("WhiteBackground")  # and lines and letters in black
    pipeline(Path(chosen.run).resolve(), view)
    scene = simple.GetAnimationScene()
    if chosen.time is None:
        scene.GoToFirst()
    else:
        scene.AnimationTime = chosen.time
    simple.ResetCamera(view)
    simple.Render(view)
    if chosen.screenshot:
        simple.SaveScreenshot(chosen.screenshot, view, ImageResolution=[1200, 900])
    if chosen.animation:
        simple.SaveAnimation(chosen.animation, view, ImageResolution=[1200, 900], FrameRate=8)
    return 0


if __name__ == "__main__" and (code := main()):
    sys.exit(code)
