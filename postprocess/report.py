"""One self-contained HTML page of a run, or of all the paper's experiments.

    .venv/bin/python postprocess/report.py DIR [FILE] [--claims FILE.json] [--no-3d] [--screenshot FILE.png]

DIR is a run directory, or a folder of the paper's runs: then figures 3 to 10 are drawn as far as their runs are there.
FILE is report.html unless given.  `--claims` adds the table of `carmodel claims --json`.  The page holds everything,
pictures and their numbers included, and opens without a network.  `--screenshot` needs Chromium.
"""

import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

from browser import screenshot
from commandline import Parser, complain, is_folder, say_files
from embedded import image, svg
from figures import FIGURES, TIME, Run, opener
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from panels import Panel, Plate, write_numbers

from carmodel import __version__
from carmodel.results import RunDirectory, is_run_directory
from carmodel.tools.documents import read_json
from carmodel.tools.errors import InputError
from carmodel.tools.files import RUN_FILE_BYTES, read_text

#: The run of the experiments that is shown in 3-D.
SHOWN = "3.2-base"

SECTIONS = {
    "3.1": "Section 3.1, the homogeneous system",
    "3.2": "Section 3.2, infiltration without antigenic heterogeneity",
    "3.3": "Section 3.3, antigenic heterogeneity and switching",
    "3.4": "Section 3.4, microenvironment and combination therapy",
    "ABS": "Abstract, repeated administration",
}


def number(value: float, digits: int = 4) -> str:
    """A figure for people."""
    return f"{value:.{digits}g}"


def overview(run: Run) -> Plate:
    """One run in six panels; of a model without tumour or CAR-T cells in fewer."""
    tumour = [*run.tumour[:1], *(name for name in run.tumour[1:] if run.series[f"mean_{name}"].any())]
    cells, factors = (*tumour, *run.cart), run.others
    panels = []
    if cells:
        panels.append(Panel("Cells", TIME, f"mean density, {run.density}", run.means(*cells), marks=run.marks))
    if factors:
        level = f"mean level{run.levels(*factors)}"
        panels.append(Panel("Factors" if cells else "Fields", TIME, level, run.means(*factors), marks=run.marks))
    level = f"{'density' if cells else 'level'}, {run.density}"
    panels.append(Panel(f"Profiles, {run.end}", run.place, level, run.profiles(*(cells or factors))))
    maps = {run.title_of(name): name for name in (run.cart[:1] if cells else factors[:3])}
    if run.tumour:
        maps["Tumour burden"] = run.burden
    if len(tumour) > 1:
        maps["Antigen-negative share"] = run.share
    else:
        maps |= {run.title_of(name): name for name in run.cart[1:2]}
    panels += [Panel(title, TIME, run.place, map=run.over_time(name)) for title, name in maps.items()]
    return Plate(
        "overview",
        f"{run.means_of} means over time, profiles at the end, and along the line over time: {', '.join(maps)}.",
        tuple(panels),
    )


def drawn(plate: Plate, title: str) -> dict[str, Any]:
    """A plate for the page: inline SVG, and its numbers as CSV."""
    table = StringIO()
    write_numbers(plate, table)
    return {
        "id": plate.name,
        "title": title,
        "caption": plate.caption,
        "picture": svg(plate),
        "table": base64.b64encode(table.getvalue().encode()).decode("ascii"),
        "wide": plate.name == "overview",
    }


def in_space(run: RunDirectory, name: str) -> dict[str, Any] | None:
    """The run in 3-D for the page; None where it saved no volumes or nothing can be rendered."""
    import volume  # VTK takes a second to load

    cells = run.tumour or run.cart
    if not cells or not os.path.isfile(run.folder / "fields.pvd") or not volume.can_draw():
        return None
    times = volume.saved_times(run)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "volume.png"
        volume.draw(run, [times[0], times[-1] / 3.0, times[-1]], file)
        escape = " (green) and antigen-negative (purple)" if volume.scale_of(run).escape else ""
        kinds = f"antigen-positive{escape} tumour cells" if len(run.tumour) > 1 else "tumour cells"
        parts = [f"{kinds}, the stronger coloured the denser"] if run.tumour else []
        if run.cart:
            parts.append(f"the front (blue) where {run.cart[0]} is {100 * volume.FRONT:g} % of its largest value")
        caption = f"{name}, cut open in the middle: {', and '.join(parts)}."
        picture = image(file, caption)
    return {"id": "in-space", "title": "In space", "caption": caption, "picture": picture, "table": None, "wide": True}


def grid(manifest: dict[str, Any]) -> str:
    """Cells of a run."""
    cells = manifest["grid"]["cells"]
    return " × ".join(map(str, cells)) if isinstance(cells, list) else f"mesh of {cells} cells"


def integrator(run: RunDirectory) -> str:
    """Kind and what it is set to."""
    chosen = run.settings["integrator"]
    if chosen["kind"] == "imex":
        return f"imex, rtol {chosen['rtol']:g}"
    return f"{chosen['kind']}, dt {chosen['dt']:g}" + (f", {chosen['diffusion']}" if chosen["kind"] == "strang" else "")


def row_of(run: RunDirectory, name: str) -> dict[str, Any]:
    """A run in the table of runs."""
    manifest = run.manifest
    return {
        "name": name,
        "title": run.settings["title"],
        "grid": grid(manifest),
        "integrator": integrator(run),
        "days": number(manifest["t"]),
        "steps": manifest["steps"],
        "ranks": manifest["ranks"],
        "seconds": number(manifest["wall_seconds"]["total"], 3),
        "status": manifest["status"],
        "revision": (manifest["git_revision"] or "package")[:10],
    }


def parameter_rows(run: RunDirectory) -> list[dict[str, Any]]:
    """Parameters beside Table 1."""
    rows = []
    for name, (value, entry) in run.parameters.items():
        known = "" if entry.low is None or entry.high is None else f"{entry.low:g} to {entry.high:g}"
        text = number(value, 6) if isinstance(value, int | float) else f"varies in space: {value.get('mask')}"
        rows.append({"name": name, "value": text, "table": number(entry.value), "range": known, "entry": entry})
    return rows


def provenance(run: RunDirectory) -> list[tuple[str, list[tuple[str, Any]]]]:
    """What made the run, from its manifest."""
    m = run.manifest
    options = " ".join(f"-{key}" if value is None else f"-{key} {value}" for key, value in m["petsc_options"].items())
    made = [
        ("carmodel", m["carmodel"]), ("git revision", m["git_revision"] or "installed package"),
        ("started", m["started"]), ("last written", m["updated"]), ("system", m["system"]),
        ("ranks", m["ranks"]), ("PETSc options", options or "none"),
    ]  # fmt: skip
    cost = [
        ("grid", grid(m)), ("integrator", integrator(run)), ("steps", m["steps"]),
        *([("rejected steps", m["rejected_steps"])] if "rejected_steps" in m else []),
        *((f"wall time, {phase.replace('_', ' ')}", f"{number(s, 3)} s") for phase, s in m["wall_seconds"].items()),
        *((f"linear iterations, {field}", count) for field, count in m.get("linear_iterations", {}).items()),
    ]  # fmt: skip
    return [("What made it", made), ("What it cost", cost), ("Versions", list(m["versions"].items()))]


def event_rows(run: RunDirectory) -> list[dict[str, str]]:
    """Infusions and interventions that happened."""

    def words(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key} {words(part)}" for key, part in value.items())
        return number(value, 6) if isinstance(value, float) else str(value)

    return [
        {
            "time": number(event["time"]),
            "what": event["event"],
            "how": "; ".join(f"{key}: {words(value)}" for key, value in event.items() if key not in ("event", "time")),
        }
        for event in run.manifest["events"]
    ]


def budget_rows(run: Run) -> list[list[str]]:
    """Each field at the end."""
    s = run.series
    rows = []
    for field in run.names:
        last = [s[f"{kind}_{field}"][-1] for kind in ("mean", "min", "max", "total", "clamped")]
        rows.append([field, *(number(float(value)) for value in (s[f"mean_{field}"][0], *last))])
    return rows


def percent(now: float, before: float) -> str:
    """Change for a card."""
    return f"{100.0 * (now / before - 1.0):+.0f} %" if before > 0.0 else "none at the start"


def cards(run: Run) -> Iterator[tuple[str, str]]:
    """What became of the tumour and of the CAR-T cells, or of each field of a model without both."""
    if run.tumour:
        burden = run.mean(run.burden)
        lowest = int(burden.argmin())
        yield "Tumour burden, start to end", percent(burden[-1], burden[0])
        yield "Lowest burden", f"{percent(burden[lowest], burden[0])}, day {number(run.series['t'][lowest], 3)}"
    if run.share:
        yield "Antigen-negative at the end", f"{100.0 * run.mean(run.share)[-1]:.0f} %"
    for name in run.cart[:1] if run.tumour or run.cart else run.names[:4]:
        mean = run.mean(name)
        yield f"{'CAR-T cells ' if run.cart else ''}{name}, start to end", percent(mean[-1], mean[0])


def run_page(folder: Path, claims: list[Any], *, solid: bool) -> dict[str, Any]:
    """What the page of one run says."""
    directory = RunDirectory(folder)
    run = Run(folder)
    name = directory.settings["title"] or folder.resolve().name
    plates = [drawn(overview(run), "The run")]
    if solid and (shown := in_space(directory, name)):
        plates.append(shown)
    return {
        "title": name,
        "lead": f"{grid(directory.manifest)}; {integrator(directory)}; {number(run.manifest['t'])} days simulated.",
        "cards": [*cards(run), ("Wall time", f"{number(directory.manifest['wall_seconds']['total'], 3)} s")],
        "figures": plates,
        "omitted": [],
        "claims": claims,
        "runs": [],
        "events": event_rows(directory),
        "budget": budget_rows(run),
        "parameters": parameter_rows(directory),
        "parameters_of": "At the start of the run",
        "provenance": provenance(directory),
        "run_file": read_text(folder / "run.toml", RUN_FILE_BYTES),
    }


def experiments_page(folder: Path, claims: list[Any], *, solid: bool) -> dict[str, Any]:
    """What the page of a folder of runs says."""
    found = sorted(file.parent for depth in ("*", "3.3/*", "doses/*") for file in folder.glob(f"{depth}/manifest.json"))
    if not found:
        raise InputError(f"{folder}: neither a run directory nor a folder of them")
    runs, plates, omitted = opener(folder), [], []
    for n, figure in FIGURES.items():
        try:
            plates.append(drawn(figure(runs), f"Figure {n}"))
        except InputError as error:
            omitted.append(f"Figure {n} is left out: {error}")
    directories = {path.relative_to(folder).as_posix(): RunDirectory(path) for path in found}
    if solid and SHOWN in directories and (shown := in_space(directories[SHOWN], SHOWN)):
        plates.append(shown)
    first = next(iter(directories))
    first = SHOWN if SHOWN in directories else first
    judged = [row for _, rows in claims for row in rows]
    held = sum(row["holds"] for row in judged)
    total = sum(run.manifest["wall_seconds"]["total"] for run in directories.values())
    cards = [
        ("Runs", str(len(directories))),
        ("Figures drawn", f"{len(FIGURES) - len(omitted)} of {len(FIGURES)}"),
        ("Wall time of all runs", f"{total / 60.0:.0f} min" if total >= 120.0 else f"{total:.0f} s"),
    ]
    return {
        "title": "The paper's experiments in 3-D",
        "lead": "CAR-T therapy of a solid tumour by seven reaction-diffusion-chemotaxis equations: what sections 3.1 "
        "to 3.4 of the paper and its abstract show, simulated anew.",
        "cards": ([("Statements that hold", f"{held} of {len(judged)}")] if judged else []) + cards,
        "figures": plates,
        "omitted": omitted,
        "claims": claims,
        "runs": [row_of(run, name) for name, run in directories.items()],
        "events": [],
        "budget": [],
        "parameters": parameter_rows(directories[first]),
        "parameters_of": f"At the start of the run {first}",
        "provenance": provenance(directories[first])[:1] + provenance(directories[first])[2:],
        "run_file": None,
    }


def read_claims(file: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Verdicts of `carmodel claims --json`, by section.

    Raises InputError where the file is something else.
    """
    try:
        verdicts = read_json(file)
        rows = [
            {
                "number": str(row["number"]),
                "text": row["statement"],
                "holds": bool(row["holds"]),
                "conditions": [condition_text(c) for c in row["conditions"]],
            }
            for row in verdicts["statements"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not what carmodel claims --json writes: {type(error).__name__}: {error}") from None
    sections = groupby(rows, key=lambda row: row["number"].partition("-")[0])
    return [(SECTIONS.get(section, section), list(group)) for section, group in sections]


def condition_text(condition: dict[str, Any]) -> str:
    """What was measured, and what was asked for."""
    value = condition["value"]
    shown = number(value, 4) if isinstance(value, int | float) else "undefined"
    relation = {">=": "≥", "<=": "≤"}.get(condition["relation"], condition["relation"])
    asked = f"(asked: {relation} {number(condition['threshold'], 4)})".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{condition['what']}: {shown} {asked}"


def page(folder: Path, claims: list[Any], *, solid: bool = True) -> str:
    """The whole page of a run directory or a folder of them."""
    content = (run_page if is_run_directory(folder) else experiments_page)(folder, claims, solid=solid)
    sections = [
        (key, name)
        for key, name in (
            ("figures", "Figures"), ("claims", "Statements"), ("runs", "Runs"),
            ("events", "Infusions and interventions"), ("budget", "Fields at the end"),
            ("parameters", "Parameters"), ("provenance", "Provenance"),
        )
        if content[key]
    ]  # fmt: skip
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(**content, sections=sections, version=__version__)


def main() -> int:
    """Write what the command line asks for."""
    arguments = Parser(__doc__)
    arguments.add_argument("folder", metavar="DIR", type=Path, help="run directory, or folder of the paper's runs")
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", default=Path("report.html"))
    arguments.add_argument("--claims", metavar="FILE.json", type=Path, help="what carmodel claims --json wrote")
    arguments.add_argument("--no-3d", action="store_true", help="no rendering")
    arguments.add_argument(
        "--screenshot", metavar="FILE.png", type=Path, help="the top of the page as Chromium shows it"
    )
    chosen = arguments.parse_args()
    try:
        if not is_folder(chosen.file.parent):
            raise InputError(f"{chosen.file}: accepted: a file in a folder that is there")
        claims = read_claims(chosen.claims) if chosen.claims else []
        text = page(chosen.folder, claims, solid=not chosen.no_3d)
        try:
            chosen.file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{chosen.file}: cannot be written: {error.strerror}; accepted: a file") from None
        say_files(chosen.file)
        if chosen.screenshot:
            screenshot(chosen.file, chosen.screenshot)
    except InputError as error:
        return complain(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
