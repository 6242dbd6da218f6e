"""One screen about a run, and a table of many, from their directories alone."""

import os
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from ..results import RunDirectory
from ..runs.directory import CHECKPOINTS, LINE, SERIES, VOLUMES, checkpoint_files
from ..runs.volumes import saved_files
from ..scenario.units import integral_unit
from ..tools.errors import InputError
from ..tools.messages import one_line

Array = NDArray[np.float64]


@np.errstate(all="ignore")  # a run that failed may end with the largest numbers there are
def summary(run: RunDirectory) -> str:
    """What ran, how long, where it ended, and which files to open.

    Raises InputError when the run's files cannot be read.
    """
    manifest, series = run.manifest, run.series
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
        *_tumour(run, series),
        *_cart(run, series),
        *_others(run, series),
        ("clamped", _clamped(series)),
        *(("warning", line) for line in manifest.get("warnings", [])),
    ]
    if os.path.isfile(index := run.folder / VOLUMES):
        times = saved_files(index)[0]
        rows.append(("ParaView", f"open {index}: {len(times)} volumes" + (f" to day {times[-1]:g}" if times else "")))
    kept = checkpoint_files(run.folder / CHECKPOINTS)
    if kept and not run.status.startswith(("finished", "running")):
        rows.append(("checkpoint", f"{kept[0].name}: carmodel run FILE --out {run.folder} --resume goes on from there"))
    rows += [("cut off", text) for text in run.cut_off]
    rows.append(("tables", ", ".join(str(run.folder / name) for name in (SERIES, LINE))))
    return "\n".join(one_line(f"{name:>16}  {text}") for name, text in rows)


def table(runs: Mapping[str, RunDirectory], made: Collection[str]) -> Table:
    """Results of the runs of a sweep, one a row, for rich's console.

    `made`: names of those that were made now.  Of a run that was killed before it wrote its first row there are no
    figures.  Raises InputError when another run's files cannot be read.
    """
    rows = Table(box=SIMPLE, show_edge=False)
    rows.add_column("run", overflow="fold")
    rows.add_column("status")
    for name in ("days", "tumour burden at the end", "change", "antigen-negative", "seconds"):
        rows.add_column(name, justify="right")
    for name, run in runs.items():
        status = run.status if run.status != "finished" else "made" if name in made else "was there"
        try:
            figures = _figures(run)
        except InputError:
            if run.status == "finished":
                raise
            figures = []
        rows.add_row(Text(one_line(name)), Text(one_line(status)), *figures)
    return rows


def _figures(run: RunDirectory) -> list[str]:
    """Columns of the table from the days on."""
    series = run.series
    burden = burden_of(run, series)
    return [
        f"{series['t'][-1]:g}",
        f"{burden[-1]:.4g} {integral_unit(run.units[run.tumour[0]])}" if run.tumour else "none",
        _change(burden) if run.tumour else "none",
        _share(run, series, -1),
        f"{run.manifest['wall_seconds']['total']:.1f}",
    ]


def burden_of(run: RunDirectory, series: dict[str, Array]) -> Array:
    """All tumour cells at every step."""
    return sum((series[f"total_{name}"] for name in run.tumour), np.zeros(len(series["t"])))


def _tumour(run: RunDirectory, series: dict[str, Array]) -> Iterator[tuple[str, str]]:
    """Burden, and the share without the antigen, of a model that has tumour cells."""
    if not run.tumour:
        return
    burden, unit = burden_of(run, series), integral_unit(run.units[run.tumour[0]])
    lowest = int(np.argmin(burden))
    yield (
        "tumour burden",
        f"{burden[0]:.4g} {unit} before, {burden[-1]:.4g} after ({_change(burden)}), "
        f"lowest {burden[lowest]:.4g} on day {series['t'][lowest]:.3g}",
    )
    if len(run.tumour) > 1:
        yield "antigen-negative", f"{_share(run, series, 0)} before, {_share(run, series, -1)} after"


def _cart(run: RunDirectory, series: dict[str, Array]) -> Iterator[tuple[str, str]]:
    """A row for each kind of CAR-T cells that was given, and one for the others."""
    events = [event for event in run.manifest.get("events", []) if "amount" in event]
    for place, name in enumerate(run.cart):
        cells, unit = series[f"total_{name}"], integral_unit(run.units[name])
        doses = [event["amount"] for event in events if event.get("to", run.cart[0]) == name]
        if place and not doses and cells[0] == 0.0:
            continue
        peak = int(np.argmax(cells))
        yield (
            f"CAR-T cells {name}" if place else "CAR-T cells",
            f"{_given([cells[0], *doses], unit)}, peak {cells[peak]:.4g} on day {series['t'][peak]:.3g}, "
            f"{cells[-1]:.4g} left",
        )
    others = [f"{name} {series[f'total_{name}'][-1]:.4g} {integral_unit(run.units[name])}" for name in run.cart[1:]]
    if others:
        yield "other CAR-T", ", ".join(others) + " at the end"


def _others(run: RunDirectory, series: dict[str, Array]) -> Iterator[tuple[str, str]]:
    """Totals of all fields of a model that has neither tumour nor CAR-T cells."""
    if not run.tumour and not run.cart:
        for name in run.names:
            total = series[f"total_{name}"]
            yield name, f"{total[0]:.4g} {integral_unit(run.units[name])} before, {total[-1]:.4g} after"


def _clamped(series: dict[str, Array]) -> str:
    """What setting negative values to zero has made of the field that owes most to it."""
    names = [name.removeprefix("total_") for name in series if name.startswith("total_")]
    shares = {f: series[f"clamped_{f}"][-1] / max(series[f"total_{f}"].max(), 1e-300) for f in names}
    most = max(shares, key=lambda f: shares[f])
    return f"{shares[most]:.2g} of {most} made by setting negative values to zero, of other fields less"


def _given(doses: list[float], unit: str) -> str:
    """What there was at the start and what infusions added."""
    given = [dose for dose in doses if dose > 0.0]
    return f"{sum(given):.4g} {unit} given" + (f" in {len(given)} doses" if len(given) > 1 else "")


def _change(values: Array) -> str:
    return f"{values[-1] / values[0] - 1.0:+.1%}" if values[0] > 0.0 else "no tumour at the start"


def _share(run: RunDirectory, series: dict[str, Array], n: int) -> str:
    """Share of the burden that is not of the kind with most antigen."""
    burden = burden_of(run, series)[n]
    rest = sum(series[f"total_{name}"][n] for name in run.tumour[1:])
    return f"{rest / burden:.1%}" if burden > 0.0 else "none"
