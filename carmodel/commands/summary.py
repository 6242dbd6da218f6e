"""One screen about a run, and a table of many, from their directories alone."""

import os
from collections.abc import Collection, Mapping

import numpy as np
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from ..results import RunDirectory
from ..runs.volumes import saved_files
from ..scenario.units import integral_unit
from ..tools.messages import one_line


@np.errstate(all="ignore")  # a run that failed may end with the largest numbers there are
def summary(run: RunDirectory) -> str:
    """What ran, how long, where it ended, and which files to open.

    Raises InputError when the run's files cannot be read.
    """
    manifest, series = run.manifest, run.series
    burden = series["total_TA"] + series["total_TB"]
    cart, unit = series["total_C"], integral_unit(run.units["C"])
    doses = [event["amount"] for event in manifest.get("events", []) if "amount" in event]
    peak, lowest = int(np.argmax(cart)), int(np.argmin(burden))
    grid, seconds = manifest["grid"], manifest["wall_seconds"]
    cells = " x ".join(map(str, grid["cells"])) if isinstance(grid["cells"], list) else f"{grid['cells']} mesh"
    phases = ", ".join(f"{name.replace('_', '-')} {spent:.1f}" for name, spent in seconds.items() if name != "total")
    rows = [
        ("run", f"{run.folder}: {run.status}"),
        ("grid", f"{cells} cells on {manifest['ranks']} rank(s)"),
        # From the table: the manifest of a run that was killed is older.
        (
            "time",
            f"{series['t'][-1]:g} days in {np.count_nonzero(series['dt'])} steps, {seconds['total']:.1f} s ({phases})",
        ),
        (
            "tumour burden",
            f"{burden[0]:.4g} {unit} before, {burden[-1]:.4g} after ({_change(burden)}), "
            f"lowest {burden[lowest]:.4g} on day {series['t'][lowest]:.3g}",
        ),
        ("antigen-negative", f"{_share(series, 0)} before, {_share(series, -1)} after"),
        (
            "CAR-T cells",
            f"{_given([cart[0], *doses], unit)}, peak {cart[peak]:.4g} on day {series['t'][peak]:.3g}, "
            f"{cart[-1]:.4g} left",
        ),
        ("exhausted", f"{series['total_E'][-1]:.4g} {unit} at the end"),
        ("clamped", _clamped(series)),
        *(("warning", line) for line in manifest.get("warnings", [])),
    ]
    if os.path.isfile(index := run.folder / "fields.pvd"):
        times = saved_files(index)[0]
        rows.append(("ParaView", f"open {index}: {len(times)} volumes" + (f" to day {times[-1]:g}" if times else "")))
    rows += [("cut off", text) for text in run.cut_off]
    rows.append(("tables", ", ".join(str(run.folder / name) for name in ("series.csv", "line.csv"))))
    return "\n".join(one_line(f"{name:>16}  {text}") for name, text in rows)


def table(runs: Mapping[str, RunDirectory], made: Collection[str]) -> Table:
    """Results of the runs of a sweep, one a row, for rich's console.

    `made`: names of those that were made now.  Raises InputError when a run's files cannot be read.
    """
    rows = Table(box=SIMPLE, show_edge=False)
    rows.add_column("run", overflow="fold")
    rows.add_column("status")
    for name in ("days", "tumour burden at the end", "change", "antigen-negative", "seconds"):
        rows.add_column(name, justify="right")
    for name, run in runs.items():
        manifest, series = run.manifest, run.series
        burden = series["total_TA"] + series["total_TB"]
        status = run.status if run.status != "finished" else "made" if name in made else "was there"
        rows.add_row(
            Text(one_line(name)),
            Text(one_line(status)),
            f"{series['t'][-1]:g}",
            f"{burden[-1]:.4g} {integral_unit(run.units['TA'])}",
            _change(burden),
            _share(series, -1),
            f"{manifest['wall_seconds']['total']:.1f}",
        )
    return rows


def _clamped(series: dict[str, np.ndarray]) -> str:
    """What setting negative values to zero has made of the field that owes most to it."""
    names = [name.removeprefix("total_") for name in series if name.startswith("total_")]
    shares = {f: series[f"clamped_{f}"][-1] / max(series[f"total_{f}"].max(), 1e-300) for f in names}
    most = max(shares, key=lambda f: shares[f])
    return f"{shares[most]:.2g} of {most} made by setting negative values to zero, of other fields less"


def _given(doses: list[float], unit: str) -> str:
    """What there was at the start and what infusions added."""
    given = [dose for dose in doses if dose > 0.0]
    return f"{sum(given):.4g} {unit} given" + (f" in {len(given)} doses" if len(given) > 1 else "")


def _change(values: np.ndarray) -> str:
    return f"{values[-1] / values[0] - 1.0:+.1%}" if values[0] > 0.0 else "no tumour at the start"


def _share(series: dict[str, np.ndarray], n: int) -> str:
    burden = series["total_TA"][n] + series["total_TB"][n]
    return f"{series['total_TB'][n] / burden:.1%}" if burden > 0.0 else "none"
