"""Steady states and their stability along one parameter: a bifurcation diagram.

    .venv/bin/python postprocess/continuation.py [FILE] --parameter rho_C --range 0.1 0.9 [--log] [--show C TA TB]

Branches of steady states by pseudo-arclength continuation: thick where stable, thin and dotted where unstable;
folds, Hopf points and branch points marked, but not where states with a negative field cross.  Several names after
--parameter move together, as in `--parameter delta_CT gamma`.  Writes STEM.svg, STEM.pdf, STEM.png and STEM.csv, one
row a point: branch, kind, special, value of the parameter, the fields, largest real part and the imaginary part with
it (1/day).  STEM is continuation unless given.
"""

import csv
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from commandline import Parser, complain, say_files
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from style import check_stem, colour_of, label_of, save, use_style

from carmodel.model import Model, model_of
from carmodel.models import searching
from carmodel.paper.analysis import is_about
from carmodel.paper.steady import check, steady_states
from carmodel.scenario.reading import load
from carmodel.theory.continuation import Axis, Branch, diagram
from carmodel.theory.steady import NOT_EXHAUSTIVE, search
from carmodel.tools.errors import InputError

#: Marker of each special point; shapes tell them apart without colour.
MARKERS = {"fold": "s", "Hopf": "o", "branch point": "^"}

#: Of a branch point where the other branch does not mean anything.
INADMISSIBLE = " of states with a negative field"

#: Most values at which all states are looked for: some minutes.
MOST_SEEDS = 1000

#: Where along the parameter's range a branch is named: apart from one another.
LABELLED_AT = {"E_0": 0.85, "E_T": 0.6, "E_CT": 0.35}


def burden_of(model: Model) -> str:
    """What the sum of a model's tumour fields is called, "" where there are not two."""
    return " + ".join(model.tumour) if len(model.tumour) > 1 else ""


def shown(states: np.ndarray, name: str, model: Model) -> np.ndarray:
    """A field, or the burden, of states of shape (n, fields)."""
    total: np.ndarray = states[:, [model.place(part) for part in name.split(" + ")]].sum(axis=1)
    return total


def draw(branches: list[Branch], axis: Axis, names: list[str], stem: Path) -> list[Path]:
    """One panel for each of the names; returns the files."""
    use_style()
    figure, panels = plt.subplots(
        1, len(names), figsize=(1.0 + 3.1 * len(names), 3.4), sharex=True, squeeze=False, layout="constrained"
    )
    for panel, name in zip(panels[0], names, strict=True):
        for branch in branches:
            draw_branch(panel, branch, axis, name)
        panel.set_title(label_of(name), loc="left")
        panel.set_xlabel(" = ".join(axis.names))
        panel.set_xlim(axis.low, axis.high)
        if axis.logarithmic:
            panel.set_xscale("log")
    entries = [
        Line2D([], [], color="black", linewidth=2.2, label="stable"),
        Line2D([], [], color="black", linewidth=1.2, linestyle=":", label="unstable"),
    ]
    found = {special.kind for branch in branches for special in branch.special if special.admissible}
    entries += [
        Line2D([], [], marker=marker, linestyle="", color="white", markeredgecolor="black", label=kind)
        for kind, marker in MARKERS.items()
        if kind in found
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False)
    files = save(figure, stem)
    plt.close(figure)
    return files


def draw_branch(panel: Axes, branch: Branch, axis: Axis, name: str) -> None:
    """A branch in the panel of a field or of the burden."""
    model = model_of(axis.parameters)
    values, y = np.array(branch.values), shown(np.array(branch.states), name, model)
    stable = branch.growth < 0.0
    for condition, style in ((stable, "-"), (~stable, ":")):
        # A point of the other kind at either end joins the pieces.
        joined = condition | np.r_[condition[1:], False] if style == ":" else condition
        panel.plot(
            np.where(joined, values, np.nan),
            np.where(joined, y, np.nan),
            linestyle=style,
            linewidth=2.2 if style == "-" else 1.2,
            color=colour_of(name),
        )
    for special in (s for s in branch.special if s.admissible):
        panel.plot(
            special.value,
            shown(special.state[None], name, model)[0],
            MARKERS[special.kind],
            color="white",
            markeredgecolor="black",
            markersize=6,
            zorder=3,
        )
    at = int(np.argmin([abs(axis.share(value) - LABELLED_AT.get(branch.kind, 0.5)) for value in values]))
    panel.annotate(
        branch.kind.replace("E_", "$E_{") + "}$",
        (values[at], y[at]),
        textcoords="offset points",
        xytext=(3, 4),
        fontsize=8,
    )


def write_table(branches: list[Branch], axis: Axis, file: Path) -> None:
    """All points and special points as CSV."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(
            ["branch", "kind", "special", "+".join(axis.names), *model_of(axis.parameters).names, "growth", "frequency"]
        )
        for number, branch in enumerate(branches):
            points = [
                ("", value, u, spectrum)
                for value, u, spectrum in zip(branch.values, branch.states, branch.spectra, strict=True)
            ]
            points += [
                (s.kind + ("" if s.admissible else INADMISSIBLE), s.value, s.state, s.eigenvalues)
                for s in branch.special
            ]
            for special, value, u, spectrum in points:
                numbers = [value, *u, spectrum[0].real, abs(spectrum[0].imag)]
                rows.writerow([number, branch.kind, special, *(f"{x:.17g}" for x in numbers)])


def axis_of(p: Any, chosen: Namespace) -> Axis:
    """The axis that the command line asks for; errors name its options."""
    try:
        return Axis(p, tuple(chosen.parameter), *chosen.range, logarithmic=chosen.log)
    except InputError as error:  # begins with "parameter" or "range"
        raise InputError(f"--{error}") from None


def diagram_of(axis: Axis, chosen: Namespace) -> list[Branch]:
    """All branches; errors name the run file, or the range where its middle is right."""
    of_paper = is_about(model_of(axis.parameters))
    try:
        if of_paper:
            check(axis.at(0.5))
    except InputError as error:
        raise InputError(f"{chosen.file or '--set'}: {error}") from None
    try:
        return diagram(axis, steady_states if of_paper else search, chosen.seeds)
    except InputError as error:
        raise InputError(f"--range {axis.low:g} {axis.high:g}: {error}") from None


def names_of(model: Model, chosen: Namespace) -> list[str]:
    """What to draw: unless told, CAR-T and tumour cells, or all fields of a model that has neither."""
    accepted = [*model.names, *filter(None, [burden_of(model)])]
    for name in chosen.show or ():
        if name not in accepted:
            raise InputError(f"--show {name}: accepted: {', '.join(accepted)}")
    return chosen.show or [*model.cart[:1], *model.tumour] or [*model.names]


def main() -> int:
    """Draw what the command line asks for."""
    arguments = Parser(__doc__)
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", help="run file")
    arguments.add_argument("--parameter", metavar="NAME", nargs="+", required=True, help="the model's parameters")
    arguments.add_argument("--range", metavar=("FROM", "TO"), type=float, nargs=2, required=True)
    arguments.add_argument("--log", action="store_true", help="logarithmic scale")
    arguments.add_argument("--show", metavar="FIELD", nargs="+", help="what to draw: fields, or their sum, 'TA + TB'")
    arguments.add_argument("--models", metavar="FOLDER", action="append", default=[], help="as of carmodel run")
    arguments.add_argument("--seeds", type=int, default=9, help="values at which all states are looked for")
    arguments.add_argument("--out", metavar="STEM", type=Path, default=Path("continuation"))
    arguments.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="as of carmodel run")
    chosen = arguments.parse_args()
    try:
        with searching(chosen.models):
            p = load(chosen.file, chosen.set).parameters.values
        axis, names = axis_of(p, chosen), names_of(model_of(p), chosen)
        check_stem(chosen.out)
        if not 2 <= chosen.seeds <= MOST_SEEDS:
            raise InputError(f"--seeds {chosen.seeds}; accepted: 2 to {MOST_SEEDS}")
        branches = diagram_of(axis, chosen)
        table = chosen.out.with_name(chosen.out.name + ".csv")
        files = [*draw(branches, axis, names, chosen.out), table]
        write_table(branches, axis, table)
    except InputError as error:
        return complain(error)
    except OSError as error:
        return complain(f"{error.filename}: cannot be written: {error.strerror}")
    for branch in branches:
        end = " to ".join(f"{value:.6g}" for value in (branch.values[0], branch.values[-1]))
        print(f"{branch.kind} {branch.phenotype}".strip() + f": {end} ({branch.ends[0]}; {branch.ends[1]})")
        for special in branch.special:
            which = "" if special.admissible else INADMISSIBLE
            print(f"  {special.kind} at {' = '.join(axis.names)} = {special.value:.10g}{which}")
    if not is_about(model_of(p)):
        print(f"steady states: {NOT_EXHAUSTIVE}")
    say_files(*files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
