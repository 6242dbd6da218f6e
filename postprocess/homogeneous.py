"""Figure 3 of the paper: the homogeneous system, eqs (9)-(15), from a tumour and a dose of CAR-T cells.

    .venv/bin/python postprocess/homogeneous.py [FILE] [--out STEM] [--end DAYS] [--set KEY=VALUE]

(a) C and E, (b) TA and TB, (c) TA + TB and C + E, (d) TB / (TA + TB).  Parameters are those of the run file FILE, the
normalised set without one; C0 and TA0 are the densities at t = 0, all else is zero.  Writes STEM.svg, STEM.pdf,
STEM.png and STEM.csv (t and the seven fields); STEM is figure3 unless given.
"""

import sys
from pathlib import Path

import numpy as np
from commandline import Parser, complain, say_files
from panels import Curve, Panel, Plate, draw
from style import check_stem, line_of, save

from carmodel.models.polyakov import FIELDS
from carmodel.scenario.reading import load
from carmodel.theory.ode import solve
from carmodel.tools.errors import InputError, NumericsError

#: The homogeneous run of the paper's section 3.1 in units of the carrying capacity.
C0, TA0, END, TIMES = 0.167965789517609, 0.8790711384295582, 100.0, 2001


def plate(t: np.ndarray, u: np.ndarray, unit: str) -> Plate:
    """Figure 3 of times, shape (times,), and states, shape (7, times)."""
    C, E, TA, TB = u[:4]
    burden = TA + TB
    with np.errstate(invalid="ignore", divide="ignore"):
        share = TB / burden
    curves = {"C": C, "E": E, "TA": TA, "TB": TB, "TA + TB": burden, "C + E": C + E, "TB / (TA + TB)": share}
    panels = {
        "CAR-T cells": ("C", "E"),
        "Tumour cells": ("TA", "TB"),
        "Totals": ("TA + TB", "C + E"),
        "Antigen-negative share": ("TB / (TA + TB)",),
    }
    return Plate(
        "figure3",
        "The spatially homogeneous system: functional and exhausted CAR-T cells (a), antigen-positive and "
        "antigen-negative tumour cells (b), tumour burden and all CAR-T cells (c), antigen-negative share of the "
        "tumour (d) over time.",
        tuple(
            Panel(
                title,
                "time, days",
                "share" if "share" in title else f"density, {unit}",
                tuple(Curve(name, t, curves[name], line_of(name)) for name in names),
            )
            for title, names in panels.items()
        ),
    )


def main() -> int:
    """Draw what the command line asks for."""
    arguments = Parser(__doc__)
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", help="run file")
    arguments.add_argument("--out", metavar="STEM", type=Path, default=Path("figure3"), help="files without suffix")
    arguments.add_argument("--end", metavar="DAYS", type=float, default=END, help="days; %(default)g unless given")
    arguments.add_argument("--C0", type=float, help=f"C at t = 0; {C0:.6g} K_T unless given")
    arguments.add_argument("--TA0", type=float, help=f"TA at t = 0; {TA0:.6g} K_T unless given")
    arguments.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="as of carmodel run")
    chosen = arguments.parse_args()
    try:
        p = load(chosen.file, chosen.set).parameters.values
        if not 0.0 < chosen.end <= 1e9:
            raise InputError(f"--end {chosen.end:g}; accepted: greater than 0, up to 1e9")
        start = np.zeros(len(FIELDS))
        start[0] = C0 * p.K_T if chosen.C0 is None else chosen.C0
        start[2] = TA0 * p.K_T if chosen.TA0 is None else chosen.TA0
        if not (np.isfinite(start).all() and start.min() >= 0.0):
            raise InputError(f"--C0 {start[0]:g} --TA0 {start[2]:g}; accepted: 0 or greater")
        check_stem(chosen.out)
        t = np.linspace(0.0, chosen.end, TIMES)
        unit = "$K_T$" if p.K_T == 1.0 else "cells/cm$^3$"
        u = solve(p, start, t)
        table = chosen.out.with_name(chosen.out.name + ".csv")
        say_files(*save(draw(plate(t, u, unit)), chosen.out), table)
        np.savetxt(table, np.vstack([t, u]).T, delimiter=",", header=",".join(("t", *FIELDS)), comments="", fmt="%.17g")
    except InputError as error:
        return complain(error)
    except OSError as error:
        return complain(f"{error.filename}: cannot be written: {error.strerror}")
    except NumericsError as error:
        return complain(error, 3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
