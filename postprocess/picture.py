"""A picture of a run: the far half of the tumour (above) and of the CAR-T cells (below) at a few times.

    .venv/bin/python postprocess/picture.py DIR [FILE] [--times 0 4 12]

Shown is where a density exceeds 5 % of its largest value in the run, cut open through the middle of the box.  FILE is
picture.png unless given.  Drawn off screen; no display is needed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

# Draw through EGL where no display is; VTK would otherwise try X first and complain.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import numpy as np
import pyvista

from carmodel.errors import InputError
from carmodel.results import RunDirectory

BURDEN = "burden TA + TB"
CART = "CAR-T cells C"
BAR = {
    "color": "black", "title_font_size": 16, "label_font_size": 13, "width": 0.5, "height": 0.08, "n_labels": 3,
    "fmt": "%.2g", "position_x": 0.25, "position_y": 0.01,
}  # fmt: skip


def can_draw() -> bool:
    """Whether VTK can render here: in a process of its own, because without OpenGL it crashes."""
    probe = "import pyvista; p = pyvista.Plotter(off_screen=True); p.add_mesh(pyvista.Sphere()); p.screenshot()"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False, timeout=120).returncode == 0


def volumes(run: RunDirectory, times: list[float]) -> list[tuple[float, pyvista.ImageData]]:
    """The saved volumes nearest to some times, as point data."""
    reader = pyvista.get_reader(run.folder / "fields.pvd")
    saved = np.array(reader.time_values)
    chosen = []
    for t in times:
        n = int(np.argmin(abs(saved - t)))
        reader.set_active_time_point(n)
        image = reader.read()[0]
        image.cell_data[BURDEN] = image.cell_data["TA"] + image.cell_data["TB"]
        image.cell_data[CART] = image.cell_data["C"]
        chosen.append((float(saved[n]), image.cell_data_to_point_data()))
    return chosen


def draw(run: RunDirectory, times: list[float], file: Path) -> None:
    """Render the times side by side into a PNG."""
    chosen = volumes(run, times)
    plotter = pyvista.Plotter(
        off_screen=True, shape=(2, len(chosen)), window_size=(440 * len(chosen), 840), border=False
    )
    for row, (name, colours) in enumerate(((BURDEN, "magma_r"), (CART, "viridis_r"))):
        largest = max(image.point_data[name].max() for _, image in chosen)
        for column, (t, image) in enumerate(chosen):
            plotter.subplot(row, column)
            plotter.set_background("white")
            plotter.add_mesh(image.outline(), color="gray")
            dense = image.clip_scalar(scalars=name, value=0.05 * largest, invert=False)
            if dense.n_points:
                plotter.add_mesh(
                    dense.clip(normal="y", origin=image.center, invert=False),
                    scalars=name,
                    cmap=colours,
                    clim=(0.0, largest),
                    ambient=0.35,
                    scalar_bar_args=BAR,
                    show_scalar_bar=column == 0,
                )
            if row == 0:
                plotter.add_text(f"day {t:g}", position="upper_edge", font_size=11, color="black")
            plotter.view_vector((0.45, -1.0, 0.5))
            plotter.camera.zoom(1.0)
    plotter.screenshot(file)
    plotter.close()


def main() -> int:
    """Draw what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("run", metavar="DIR", type=Path, help="run directory")
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", default=Path("picture.png"))
    arguments.add_argument("--times", type=float, nargs="+", help="days; the start, a third and the end unless given")
    chosen = arguments.parse_args()
    try:
        run = RunDirectory(chosen.run)
        if not (run.folder / "fields.pvd").is_file():
            raise InputError(f"{run.folder}: has no fields.pvd; accepted: a run with output.formats = ['vtk']")
        end = run.manifest["t"]
        if not can_draw():
            raise InputError("VTK cannot draw off screen here: libegl1 and libgl1-mesa-dri are missing, see install.sh")
        if chosen.file.suffix != ".png" or not chosen.file.parent.is_dir():
            raise InputError(f"{chosen.file}: accepted: a .png in a folder that is there")
        draw(run, chosen.times or [0.0, end / 3.0, end], chosen.file)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(chosen.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
