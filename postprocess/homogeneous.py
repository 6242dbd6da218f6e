"""Figure 3 of the paper: the homogeneous system, eqs (9)-(15), from a tumour and a dose of CAR-T cells.

    .venv/bin/python postprocess/homogeneous.py [FILE] [--out STEM] [--end DAYS] [--set KEY=VALUE]

(a) C and E, (b) TA and TB, (c) TA + TB and C + E, (d) TB / (TA + TB).  Parameters are those of the run file FILE, the
normalised set without one; C0 and TA0 are the densities at t = 0, all else is zero.  Writes STEM.svg, STEM.png and
STEM.csv (t and the seven fields); STEM is figure3 unless given.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from style import line_of, save, use_style

from carmodel import FIELDS
from carmodel.errors import InputError, NumericsError
from carmodel.homogeneous import solve
from carmodel.runfile import load

#: The homogeneous run of the paper's section 3.1 in units of the carrying capacity.
C0, TA0, END, TIMES = 0.167965789517609, 0.8790711384295582, 100.0, 2001


def draw(t: np.ndarray, u: np.ndarray, stem: Path) -> list[Path]:
    """The four panels; returns the files."""
    use_style()
    C, E, TA, TB = u[:4]
    burden = TA + TB
    curves = {"C": C, "E": E, "TA": TA, "TB": TB, "TA + TB": burden, "C + E": C + E}
    with np.errstate(invalid="ignore"):
        curves["TB / (TA + TB)"] = TB / burden
    figure, axes = plt.subplots(2, 2, figsize=(7.5, 5.2), sharex=True)
    panels = (("C", "E"), ("TA", "TB"), ("TA + TB", "C + E"), ("TB / (TA + TB)",))
    for axis, letter, names in zip(axes.flat, "abcd", panels, strict=True):
        for name in names:
            axis.plot(t, curves[name], **line_of(name))
        axis.set_title(f"({letter})", loc="left")
        axis.set_ylim(bottom=0.0)
        axis.set_xlim(t[0], t[-1])
        axis.legend(frameon=False)
    for axis in axes[1]:
        axis.set_xlabel("$t$, days")
    for axis in axes[:, 0]:
        axis.set_ylabel("density")
    axes[0, 1].set_ylabel("density")
    axes[1, 1].set_ylabel("antigen-negative share")
    files = save(figure, stem)
    plt.close(figure)
    table = stem.with_name(stem.name + ".csv")
    np.savetxt(table, np.vstack([t, u]).T, delimiter=",", header=",".join(("t", *FIELDS)), comments="", fmt="%.17g")
    return [*files, table]


def main() -> int:
    """Draw what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", metavar="FILE", type=Path, nargs="?", help="run file")
    arguments.add_argument("--out", metavar="STEM", type=Path, default=Path("figure3"), help="files without suffix")
    arguments.add_argument("--end", metavar="DAYS", type=float, default=END, help="days; %(default)g unless given")
    arguments.add_argument("--C0", type=float, help=f"C at t = 0; {C0:.6g} K_T unless given")
    arguments.add_argument("--TA0", type=float, help=f"TA at t = 0; {TA0:.6g} K_T unless given")
    arguments.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="as of carmodel run")
    chosen = arguments.parse_args()
    try:
        p = load(chosen.file, chosen.set).parameters.values
        if not 0.0 < chosen.end < np.inf:
            raise InputError(f"--end {chosen.end:g}; accepted: greater than 0")
        start = np.zeros(len(FIELDS))
        start[0] = C0 * p.K_T if chosen.C0 is None else chosen.C0
        start[2] = TA0 * p.K_T if chosen.TA0 is None else chosen.TA0
        if not (np.isfinite(start).all() and start.min() >= 0.0):
            raise InputError(f"--C0 {start[0]:g} --TA0 {start[2]:g}; accepted: 0 or greater")
        if not chosen.out.parent.is_dir():
            raise InputError(f"--out {chosen.out}: accepted: a name in a folder that is there")
        t = np.linspace(0.0, chosen.end, TIMES)
        for file in draw(t, solve(p, start, t), chosen.out):
            print(file)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except NumericsError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
