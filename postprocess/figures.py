"""Figures 3 to 10 of the paper, panel by panel, from run directories.

    .venv/bin/python postprocess/figures.py RUNS_DIR [--figure N ...] [--out DIR]

RUNS_DIR holds the run directories of the paper's experiments.  Each figure is written as DIR/figureN.svg, .pdf and
.png; DIR/figureN.csv has exactly the numbers drawn, one a row: panel, curve, x, y and, in maps, the value there.
A figure that was asked for and lacks a run is an error; without --figure it is passed over with a line.
"""

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from commandline import Parser, complain, is_folder, say_files
from homogeneous import plate as homogeneous_plate
from panels import Array, Curve, Map, Panel, Plate, write
from style import LABELS, RANKED, SCENARIOS, label_of, line_of, mathtext

from carmodel.models.polyakov import FIELDS
from carmodel.results import RunDirectory
from carmodel.tools.errors import InputError

#: Initial antigen-negative shares of section 3.3.
SHARES = (0.0, 0.2, 0.5)

#: Switching scenarios of section 3.3 and scenarios of section 3.4: run name, legend, colours.
SWITCHING = {
    "base": ("baseline switching", SCENARIOS["base"]),
    "loss": ("accelerated antigen loss", SCENARIOS["worse"]),
    "recovery": ("enhanced antigen recovery", SCENARIOS["better"]),
}
SURROUNDINGS = {
    "3.4-base": ("baseline", SCENARIOS["base"]),
    "3.4-enhanced": ("enhanced microenvironment", SCENARIOS["worse"]),
    "3.4-combination": ("combination therapy", SCENARIOS["better"]),
}

#: Where along the line less burden than this share of the largest leaves the antigen-negative share undrawn.
EMPTY = 0.01

TIME = "time, days"


class Run:
    """A finished run with its tables, and the names of its units.

    Raises InputError when there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._run = RunDirectory(folder)
        self.manifest, self.settings = self._run.manifest, self._run.settings
        if (status := self.manifest.get("status")) != "finished":
            raise InputError(f"{folder}: the run is not finished (status {status})")
        self.names, self.tumour, self.cart = self._run.names, self._run.tumour, self._run.cart
        self._units = {field: mathtext(unit) for field, unit in self._run.units.items()}
        self.density = self._units[(*self.cart, *self.tumour, *self.names)[0]]

    @cached_property
    def series(self) -> dict[str, Array]:
        """Means over the domain and more at every step."""
        return self._run.whole_series

    @cached_property
    def line(self) -> dict[str, Array]:
        """The profile at every output."""
        return self._run.whole_line

    def unit(self, name: str) -> str:
        """Unit of a field."""
        return self._units.get(name, self.density)

    @property
    def burden(self) -> str:
        """The sum of the tumour fields, "" of a model without them."""
        return " + ".join(self.tumour)

    @property
    def share(self) -> str:
        """The share of the burden that is not of the kind with most antigen, "" where there is one kind or none."""
        rest = " + ".join(self.tumour[1:])
        return f"{f'({rest})' if len(self.tumour) > 2 else rest} / ({self.burden})" if rest else ""

    @property
    def others(self) -> tuple[str, ...]:
        """Fields that are no cells of the tumour and no CAR-T cells."""
        return tuple(name for name in self.names if name not in (*self.tumour, *self.cart))

    def title_of(self, name: str) -> str:
        """What a field is."""
        text = self._run.descriptions[name] or name
        return text[0].upper() + text[1:]

    def levels(self, *names: str) -> str:
        """Units of fields as the end of an axis' name."""
        units = {name: self._units[name] for name in names}
        if len(set(units.values())) == 1:
            return f", {units[names[0]]}"
        return "; " + ", ".join(f"{name}: {unit}" for name, unit in units.items())

    def mean(self, name: str) -> Array:
        """Mean of a field or combination at every step."""
        return combined({field: self.series[f"mean_{field}"] for field in self.names}, name)

    def means(self, *names: str) -> tuple[Curve, ...]:
        """Curves of means over time."""
        return tuple(Curve(name, self.series["t"], self.mean(name), line_of(name)) for name in names)

    def profiles(self, *names: str) -> tuple[Curve, ...]:
        """Curves along the line at the last output."""
        return tuple(Curve(name, self.line["s"], combined(self.line, name)[-1], line_of(name)) for name in names)

    def over_time(self, name: str) -> Map:
        """The line over time."""
        values = combined(self.line, name).T
        label = f"{label_of(name)}, {self.unit(name)}"
        if name == self.share:
            burden = combined(self.line, self.burden).T
            values = np.where(burden >= EMPTY * np.nanmax(burden, initial=0.0), values, np.nan)
            label = label_of(name)
        return Map(name, self.line["t"], self.line["s"], values, label)

    @property
    def means_of(self) -> str:
        """What means are taken over, as the beginning of a title."""
        return "Box" if self.manifest["grid"]["kind"] == "box" else "Mesh"

    @property
    def place(self) -> str:
        """Name of the axis along the line."""
        return f"${self.settings['output']['line']['axis']}$, cm"

    @property
    def end(self) -> str:
        """The last output's time."""
        return f"{self.line['t'][-1]:g} days"

    @property
    def marks(self) -> tuple[tuple[str, float], ...]:
        """Infusions; the first has its text drawn."""
        times = [event["time"] for event in self.manifest["events"] if event["event"] == "infusion"]
        return tuple(("infusion" if n == 0 else "_infusion", t) for n, t in enumerate(times))


def combined(fields: dict[str, Array], name: str) -> Array:
    """A field, the burden "TA + TB", or the share "TB / (TA + TB)" of it; not a number where there is no burden."""

    def total(names: str) -> Array:
        first, *rest = (fields[part] for part in names.strip("()").split(" + "))
        return sum(rest, first)

    of, _, burden_names = name.partition(" / ")
    if not burden_names:
        return total(of)
    burden = total(burden_names)
    return np.divide(total(of), burden, out=np.full(burden.shape, np.nan), where=burden > 0.0)


Open = Callable[[str], Run]


def switching(name: str, share: float) -> str:
    """Name of a run of section 3.3, as `carmodel sweep` gives it."""
    return f"3.3/{name},negative_fraction={share}"


def only(curve: Curve, style: dict[str, object], name: str) -> Curve:
    """A curve under another name and in another style, without its markers."""
    plain = {key: value for key, value in style.items() if key != "marker"}
    return Curve(name, curve.x, curve.y, plain)


def figure3(runs: Open) -> Plate:
    """The homogeneous system."""
    run = runs("3.1-homogeneous")
    u = np.stack([run.series[f"mean_{field}"] for field in FIELDS])
    return homogeneous_plate(run.series["t"], u, run.density)


def figure4(runs: Open) -> Plate:
    """Infiltration without antigenic heterogeneity."""
    run = runs("3.2-base")
    return Plate(
        "figure4",
        "Infiltration and elimination of a tumour without antigen-negative cells: profiles through the tumour at the "
        f"end (a), {run.means_of.lower()} means over time (b), functional CAR-T cells (c) and tumour cells (d) along "
        "the line over time.",
        (
            Panel(f"Profiles, {run.end}", run.place, f"density, {run.density}", run.profiles("TA", "C", "E")),
            Panel(
                f"{run.means_of} means",
                TIME,
                f"mean density, {run.density}",
                run.means("TA", "C", "E"),
                marks=run.marks,
            ),
            Panel("Functional CAR-T cells", TIME, run.place, map=run.over_time("C")),
            Panel("Tumour cells", TIME, run.place, map=run.over_time("TA")),
        ),
    )


def figure5(runs: Open) -> Plate:
    """Burden by initial antigen-negative share."""
    opened = [runs(switching("base", share)) for share in SHARES]
    curves = tuple(
        only(run.means("TA + TB")[0], style, f"$T_B(0)$: {100 * share:g} %")
        for run, share, style in zip(opened, SHARES, RANKED, strict=True)
    )
    return Plate(
        "figure5",
        "Tumour burden over time for three initial shares of antigen-negative cells, all else the same.",
        (Panel("Tumour burden", TIME, f"mean of {LABELS['TA + TB']}, {opened[0].density}", curves),),
    )


def figure6(runs: Open) -> Plate:
    """Outcome by initial antigen-negative share and switching."""
    opened = {name: [runs(switching(name, share)) for share in SHARES] for name in SWITCHING}

    def outcome(quantity: str) -> tuple[Curve, ...]:
        return tuple(
            Curve(
                SWITCHING[name][0],
                np.array([run.mean("TB / (TA + TB)")[0] for run in row]),
                np.array([run.mean(quantity)[-1] for run in row]),
                SWITCHING[name][1],
            )
            for name, row in opened.items()
        )

    x = f"initial {LABELS['TB / (TA + TB)']}"
    density = opened["base"][0].density
    return Plate(
        "figure6",
        "Final tumour burden (a) and final antigen-negative share (b) by initial antigen-negative share, for three "
        "switching scenarios.",
        (
            Panel("Final burden", x, f"mean of {LABELS['TA + TB']}, {density}", outcome("TA + TB")),
            Panel("Final antigen-negative share", x, LABELS["TB / (TA + TB)"], outcome("TB / (TA + TB)")),
        ),
    )


def figure7(runs: Open) -> Plate:
    """One run with antigenic heterogeneity."""
    run = runs(switching("base", 0.2))
    return Plate(
        "figure7",
        f"A tumour that begins with 20 % antigen-negative cells: {run.means_of.lower()} means over time (a), profiles "
        "at the end (b), antigen-negative share, where there is tumour (c), and functional CAR-T cells (d) along the "
        "line over time.",
        (
            Panel(
                f"{run.means_of} means",
                TIME,
                f"mean density, {run.density}",
                run.means("TA", "TB", "C", "E"),
                marks=run.marks,
            ),
            Panel(f"Profiles, {run.end}", run.place, f"density, {run.density}", run.profiles("TA", "TB", "C")),
            Panel("Antigen-negative share", TIME, run.place, map=run.over_time("TB / (TA + TB)")),
            Panel("Functional CAR-T cells", TIME, run.place, map=run.over_time("C")),
        ),
    )


def figure8(runs: Open) -> Plate:
    """The microenvironment's scenarios side by side."""
    opened = {name: runs(name) for name in SURROUNDINGS}
    titles = {
        "TA + TB": "Tumour burden",
        "C": "Functional CAR-T cells",
        "A": "Immunosuppressive factor",
        "H": "Hypoxia",
    }

    def panel(quantity: str) -> Panel:
        curves = tuple(
            only(run.means(quantity)[0], SURROUNDINGS[name][1], SURROUNDINGS[name][0]) for name, run in opened.items()
        )
        unit = opened["3.4-base"].unit(quantity)
        return Panel(titles[quantity], TIME, f"mean of {LABELS[quantity]}, {unit}", curves)

    return Plate(
        "figure8",
        f"Three scenarios of the microenvironment: {opened['3.4-base'].means_of.lower()} means of tumour burden (a), "
        "functional CAR-T cells (b), "
        "immunosuppressive factor (c) and hypoxia (d) over time.",
        tuple(panel(quantity) for quantity in titles),
    )


def surroundings(run: Run, name: str, what: str) -> Plate:
    """Figures 9 and 10: one scenario in six panels."""
    return Plate(
        name,
        f"{what}: {run.means_of.lower()} means of cells (a) and of immunosuppressive factor and hypoxia (b) over "
        "time, profiles of the same at the end (c, d), immunosuppressive factor (e) and hypoxia (f) along the line "
        "over time.",
        (
            Panel(
                f"{run.means_of} means, cells",
                TIME,
                f"mean density, {run.density}",
                run.means("TA", "C", "E"),
                marks=run.marks,
            ),
            Panel(
                f"{run.means_of} means, factors",
                TIME,
                f"mean level{run.levels('S', 'A', 'H')}",
                run.means("A", "H"),
                marks=run.marks,
            ),
            Panel(f"Cells, {run.end}", run.place, f"density, {run.density}", run.profiles("TA", "C", "E")),
            Panel(f"Factors, {run.end}", run.place, f"level{run.levels('S', 'A', 'H')}", run.profiles("A", "H")),
            Panel("Immunosuppressive factor", TIME, run.place, map=run.over_time("A")),
            Panel("Hypoxia", TIME, run.place, map=run.over_time("H")),
        ),
    )


FIGURES: dict[int, Callable[[Open], Plate]] = {
    3: figure3,
    4: figure4,
    5: figure5,
    6: figure6,
    7: figure7,
    8: figure8,
    9: lambda runs: surroundings(runs("3.4-base"), "figure9", "The baseline scenario"),
    10: lambda runs: surroundings(runs("3.4-combination"), "figure10", "The combination therapy"),
}


def opener(folder: Path) -> Open:
    """Opens runs in a folder by name, each once.

    Raises InputError when there is no such folder.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: no such folder; accepted: a folder of run directories")
    opened: dict[str, Run] = {}

    def runs(name: str) -> Run:
        if name not in opened:
            opened[name] = Run(folder / name)
        return opened[name]

    return runs


def main() -> int:
    """Draw what the command line asks for."""
    arguments = Parser(__doc__)
    arguments.add_argument("runs", metavar="RUNS_DIR", type=Path, help="folder of run directories")
    arguments.add_argument("--figure", metavar="N", type=int, nargs="+", choices=FIGURES, help="3 to 10; all else")
    arguments.add_argument("--out", metavar="DIR", type=Path, default=Path("figures"), help="figures unless given")
    chosen = arguments.parse_args()
    drawn = 0
    try:
        runs = opener(chosen.runs)
        for number in chosen.figure or FIGURES:
            try:
                plate = FIGURES[number](runs)
            except InputError as error:
                if chosen.figure:
                    raise InputError(f"figure {number}: {error}") from None
                complain(f"figure {number} left out: {error}")
                continue
            try:
                chosen.out.mkdir(parents=True, exist_ok=True)
                files = write(plate, chosen.out)
            except OSError as error:
                name = error.filename or chosen.out
                raise InputError(f"--out: {name}: cannot be written: {error.strerror}; accepted: a folder") from None
            say_files(*files)
            drawn += 1
    except InputError as error:
        return complain(error)
    return 0 if drawn else 2


if __name__ == "__main__":
    sys.exit(main())
