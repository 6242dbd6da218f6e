"""The tumour and the front of the CAR-T cells in 3-D at chosen times, or as an animation.

    .venv/bin/python postprocess/volume.py DIR [FILE] [--times 0 4 12] [--show surface|volume] [--rate 8]

All is cut open in the middle of the box.  The tumour is shown where its burden TA + TB is above 10 % of the largest,
its colour mixed of those of TA and TB, the stronger the denser; the front of the functional CAR-T cells is the surface
where C is 25 % of its largest value in the run.  With `--show volume` all three are clouds instead, not cut, the
denser the more opaque.  FILE is volume.png unless given; .gif or .webp makes an animation of all saved times.  Any
number of ranks, boxes and meshes.  Drawn off screen; no display is needed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvista
from colours import COLOURS
from commandline import Parser, complain, is_folder, say_files
from PIL import Image
from scene import DIRECTION, FRONT, TUMOUR_EDGE, rgb

from carmodel.results import RunDirectory
from carmodel.runs.volumes import saved_datasets
from carmodel.tools.environment import environment
from carmodel.tools.errors import InputError

#: Arrays of a frame: tumour cells with most antigen, all others, both, and the CAR-T cells that are given; colours.
POSITIVE, NEGATIVE, BURDEN, CART, COMPOSITION = "positive", "negative", "burden", "cart", "composition"

#: The paper's fields in whose colours they are drawn.
COLOUR = {POSITIVE: "TA", NEGATIVE: "TB", CART: "C"}

#: Pixels of one view; cells along the longest edge when a mesh is sampled for `--show volume`.
SIZE, SAMPLES = (560, 560), 64

ANIMATIONS = (".gif", ".webp")


class Scale(NamedTuple):
    """Largest burden and CAR-T density of the run, so that all times look alike; whether there is escape; names."""

    burden: float
    cart: float
    escape: bool
    unit: str
    names: dict[str, str]


class Frame(NamedTuple):
    """A time, days, and `POSITIVE`, `NEGATIVE`, `BURDEN` and `CART` as point data of a VTK dataset."""

    t: float
    data: pyvista.DataSet


def can_draw() -> bool:
    """Whether VTK can render here: in a process of its own, because without OpenGL it crashes."""
    probe = "import pyvista; p = pyvista.Plotter(off_screen=True); p.add_mesh(pyvista.Sphere()); p.screenshot()"
    with _drawing():
        done = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, check=False, timeout=120)
    return done.returncode == 0


def _drawing() -> AbstractContextManager[None]:
    """Draw through EGL where no display is; VTK would otherwise try X first and complain."""
    name = "VTK_DEFAULT_OPENGL_WINDOW"
    return environment(**{name: os.environ.get(name, "vtkEGLRenderWindow")})


def _plotter(**options: Any) -> pyvista.Plotter:
    with _drawing():
        return pyvista.Plotter(off_screen=True, **options)


def scale_of(run: RunDirectory) -> Scale:
    """Bounds from the time series, without reading a volume.

    Raises InputError where the model has neither tumour nor CAR-T cells, or the series is damaged.
    """
    if not run.tumour and not run.cart:
        raise InputError(
            f"{run.folder}: has neither tumour nor CAR-T cells to draw; accepted: a model that declares some"
        )
    series, none = run.series, np.zeros(1)
    largest = {name: series[f"max_{name}"] for name in (*run.tumour, *run.cart)}
    burden = float(sum((largest[name] for name in run.tumour), none).max())
    cart = float(max((largest[name].max() for name in run.cart[:1]), default=0.0))
    if not np.isfinite([burden, cart]).all():
        raise InputError(f"{run.folder / 'series.csv'}: is damaged; accepted: finite numbers")
    escape = any(bool(largest[name].any()) for name in run.tumour[1:])
    groups = {POSITIVE: run.tumour[:1], NEGATIVE: run.tumour[1:] if escape else (), CART: run.cart[:1]}
    names = {kind: " + ".join(fields) for kind, fields in groups.items() if fields}
    return Scale(burden, cart, escape, run.units[(*run.cart, *run.tumour)[0]], names)


def saved_times(run: RunDirectory) -> list[float]:
    """Times of the saved volumes, days.

    Raises InputError when the run saved none for ParaView.
    """
    if not os.path.isfile(run.folder / "fields.pvd"):
        raise InputError(f"{run.folder}: has no fields.pvd; accepted: a run with output.formats = ['vtk']")
    return saved_datasets(run.folder / "fields.pvd")[0]


def frames(run: RunDirectory, times: list[float] | None) -> Iterator[Frame]:
    """The saved volumes nearest to some times, or all of them; one at a time in memory."""
    saved, dataset = saved_datasets(run.folder / "fields.pvd")
    for n in range(len(saved)) if times is None else [int(np.argmin(abs(np.array(saved) - t))) for t in times]:
        data = dataset(n)
        fields = {
            kind: sum((np.array(data.cell_data[name]) for name in names), np.zeros(data.n_cells))
            for kind, names in ((POSITIVE, run.tumour[:1]), (NEGATIVE, run.tumour[1:]), (CART, run.cart[:1]))
        }
        data.clear_data()
        data.cell_data.update(fields | {BURDEN: fields[POSITIVE] + fields[NEGATIVE]})
        if isinstance(data, pyvista.UnstructuredGrid):
            data = data.clean()  # pieces of several ranks: their common points become one
        yield Frame(saved[n], data.cell_data_to_point_data())


def composition(data: pyvista.DataSet, largest: float) -> np.ndarray:
    """Colours, shape (points, 3) from 0 to 1: white where there is no tumour, else those of both kinds in shares."""
    colour = np.ones((data.n_points, 3))
    for kind in (POSITIVE, NEGATIVE):
        density = np.clip(data.point_data[kind] / largest, 0.0, 1.0)
        colour -= density[:, None] * (1.0 - np.array(rgb(COLOUR[kind])))
    return np.clip(colour, 0.0, 1.0)


def show(plotter: pyvista.Plotter, frame: Frame, scale: Scale, *, clouds: bool, legend: bool) -> None:
    """Put one time into the active view."""
    plotter.set_background("white")
    plotter.add_mesh(pyvista.Box(frame.data.bounds).extract_feature_edges(), color="#999999", line_width=1)
    (_clouds if clouds else _surfaces)(plotter, frame.data, scale)
    if legend:
        for row, kind in enumerate(kind for kind in (CART, NEGATIVE, POSITIVE) if kind in scale.names):
            text, place = scale.names[kind], (0.03, 0.03 + 0.05 * row)
            if kind == CART and not clouds:
                text += f" = {FRONT * scale.cart:.2g} {scale.unit}"
            plotter.add_text(text, position=place, viewport=True, font_size=11, color=COLOURS[COLOUR[kind]])
    plotter.add_text(f"day {frame.t:.3g}", position="upper_edge", font_size=11, color="black")
    plotter.view_vector(DIRECTION)
    plotter.camera.zoom(1.05)


def _surfaces(plotter: pyvista.Plotter, data: pyvista.DataSet, scale: Scale) -> None:
    middle = {"normal": "y", "origin": data.center}
    tumour = data.clip_scalar(scalars=BURDEN, value=TUMOUR_EDGE * scale.burden, invert=False)
    if tumour.n_points:
        tumour = tumour.clip(**middle, invert=False)
    if tumour.n_points:
        tumour.point_data[COMPOSITION] = composition(tumour, scale.burden)
        plotter.add_mesh(tumour, scalars=COMPOSITION, rgb=True, ambient=0.7, diffuse=0.4)
    if scale.cart <= 0.0:
        return
    front = data.contour([FRONT * scale.cart], scalars=CART)
    if front.n_points and (front := front.clip(**middle, invert=False)).n_points:
        plotter.add_mesh(front, color=COLOURS[COLOUR[CART]], opacity=0.45, smooth_shading=True)
    line = data.slice(**middle).contour([FRONT * scale.cart], scalars=CART)
    if line.n_points:
        line.translate((0.0, -0.003 * data.length, 0.0), inplace=True)  # before the cut, not in it
        plotter.add_mesh(line, color=COLOURS[COLOUR[CART]], line_width=4)


def _clouds(plotter: pyvista.Plotter, data: pyvista.DataSet, scale: Scale) -> None:
    image = data if isinstance(data, pyvista.ImageData) else _sampled(data)
    for name, largest in ((POSITIVE, scale.burden), (NEGATIVE, scale.burden), (CART, scale.cart)):
        if largest > 0.0 and image.point_data[name].max() > 0.0:
            plotter.add_volume(
                image.copy(),
                scalars=name,
                cmap=[COLOURS[COLOUR[name]]] * 2,
                clim=(0.0, largest),
                opacity=np.linspace(0.0, 0.15, 6),
                show_scalar_bar=False,
            )


def _sampled(mesh: pyvista.DataSet) -> pyvista.ImageData:
    """A mesh's point data on a uniform grid around it; zero outside."""
    low, high = np.array(mesh.bounds).reshape(3, 2).T
    spacing = (high - low).max() / SAMPLES
    counts = np.ceil((high - low) / spacing).astype(int) + 1
    return pyvista.ImageData(dimensions=counts, spacing=[spacing] * 3, origin=low).sample(mesh)


def draw(run: RunDirectory, times: list[float], file: Path, *, clouds: bool = False) -> None:
    """Render times side by side into a PNG."""
    scale = scale_of(run)
    width, height = SIZE
    plotter = _plotter(shape=(1, len(times)), window_size=(width * len(times), height), border=False)
    for column, frame in enumerate(frames(run, times)):
        plotter.subplot(0, column)
        show(plotter, frame, scale, clouds=clouds, legend=column == 0)
    plotter.screenshot(file)
    plotter.close()


def animate(run: RunDirectory, times: list[float] | None, file: Path, rate: float, *, clouds: bool = False) -> int:
    """Render times, all saved ones unless given, into an animation of `rate` pictures a second; returns how many."""
    scale = scale_of(run)
    pictures = []
    for frame in frames(run, times):
        plotter = _plotter(window_size=SIZE)
        show(plotter, frame, scale, clouds=clouds, legend=True)
        pictures.append(Image.fromarray(plotter.screenshot(None, return_img=True)))
        plotter.close()
    # The last picture stays for a while.
    durations = [round(1000.0 / rate)] * (len(pictures) - 1) + [1500]
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return len(pictures)


def main() -> int:
    """Draw what the command line asks for."""
    arguments = Parser(__doc__)
    arguments.add_argument("run", metavar="DIR", type=Path, help="run directory")
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", default=Path("volume.png"))
    arguments.add_argument("--times", type=float, nargs="+", help="days; the start, a third and the end unless given")
    arguments.add_argument("--show", choices=("surface", "volume"), default="surface", help="surface unless given")
    arguments.add_argument("--rate", type=float, default=8.0, help="pictures a second in an animation; 8 unless given")
    chosen = arguments.parse_args()
    clouds = chosen.show == "volume"
    try:
        run = RunDirectory(chosen.run)
        saved = saved_times(run)
        if not 0.0 < chosen.rate <= 100.0:
            raise InputError(f"--rate {chosen.rate:g}; accepted: above 0, up to 100")
        if not np.isfinite(chosen.times or []).all():
            raise InputError(f"--times {' '.join(map(str, chosen.times))}; accepted: finite numbers of days")
        if chosen.file.suffix not in (".png", *ANIMATIONS) or not is_folder(chosen.file.parent):
            raise InputError(f"{chosen.file}: accepted: a .png, .gif or .webp in a folder that is there")
        if not can_draw():
            raise InputError("VTK cannot draw off screen here: libegl1 and libgl1-mesa-dri are missing, see install.sh")
        if chosen.file.suffix in ANIMATIONS:
            animate(run, chosen.times, chosen.file, chosen.rate, clouds=clouds)
        else:
            draw(run, chosen.times or [0.0, saved[-1] / 3.0, saved[-1]], chosen.file, clouds=clouds)
    except InputError as error:
        return complain(error)
    except OSError as error:
        return complain(f"{chosen.file}: cannot be written: {error.strerror}")
    say_files(chosen.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
