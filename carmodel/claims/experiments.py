"""The runs that the statements look at: which run files make them, and where they land."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..scenario import Scenario
from ..sweep import expand

#: Run files of each section, in `RUN_FILES`.
FILES = {
    "3.1": ("3.1-homogeneous",),
    "3.2": ("3.2-base", "3.2-no-chemotaxis", "3.2-no-exhaustion"),
    "3.3": ("3.3",),
    "3.4": ("3.4-base", "3.4-enhanced", "3.4-combination", "3.4-attenuated", "3.4-infusion"),
    "ABS": ("doses",),
}

#: In a checkout, where the run files are.
RUN_FILES = Path(__file__).parents[2] / "runs" / "paper"


def experiments(sections: Iterable[str], overrides: list[str]) -> dict[str, Scenario]:
    """The runs of these sections by name.

    Overrides of `parameters` hold for all of them; others (grid, integrator, output) not for section 3.1, which has no
    space.
    Raises InputError where the run files are not there, or an override is wrong.
    """
    if not RUN_FILES.is_dir():
        raise InputError(f"{RUN_FILES}: no such folder; accepted: carmodel from a checkout, with its run files")
    runs: dict[str, Scenario] = {}
    for section in sections:
        given = [text for text in overrides if section != "3.1" or text.lstrip().startswith("parameters.")]
        for name in FILES[section]:
            runs |= expand(RUN_FILES / f"{name}.toml", given)
    return runs


def folder_for(runs: Path, overrides: list[str]) -> Path:
    """Where the runs with these overrides land: in a folder of their own in `runs`, or there without any."""
    label = ",".join(re.sub(r"[^\w.=+-]+", "-", text.replace("[", "").replace("]", "")) for text in sorted(overrides))
    return runs / f"set,{label}" if label else runs
