"""The runs that the statements look at: which run files make them, and where they land."""

import re
from collections.abc import Iterable
from pathlib import Path

from ...models import DEFAULT
from ...scenario.reading import SWEEP
from ...scenario.scenario import Scenario
from ...scenario.shapes import TumourBall
from ...scenario.space import Box
from ...scenario.sweep import expand
from ...tools.errors import InputError

#: Run files of each section, in `RUN_FILES`.
FILES = {
    "3.1": ("3.1-homogeneous",),
    "3.2": ("3.2-base", "3.2-no-chemotaxis", "3.2-no-exhaustion"),
    "3.3": ("3.3",),
    "3.4": ("3.4-base", "3.4-enhanced", "3.4-combination", "3.4-attenuated", "3.4-infusion"),
    "ABS": ("doses",),
}

#: In a checkout, where the run files are.
RUN_FILES = Path(__file__).parents[3] / "runs" / "paper"


def experiments(sections: Iterable[str], overrides: list[str]) -> dict[str, Scenario]:
    """The runs of these sections by name.

    Overrides of `parameters` hold for all of them; others (grid, integrator, output) not for section 3.1, which has no
    space.
    Raises InputError where the run files are not there, or an override is wrong or leaves nothing to judge.
    """
    if not RUN_FILES.is_dir():
        raise InputError(f"{RUN_FILES}: no such folder; accepted: carmodel from a checkout, with its run files")
    if swept := [text for text in overrides if _table(text) == SWEEP]:
        raise InputError(f"--set {swept[0]}: accepted: any key but {SWEEP}: the runs are those of the paper")
    # Section 3.1 takes some overrides only; what the others say is right or wrong all the same.
    for scenario in expand(RUN_FILES / f"{FILES['3.2'][0]}.toml", overrides).values():
        _check_judgeable(scenario)
    runs: dict[str, Scenario] = {}
    for section in sections:
        given = [text for text in overrides if section != "3.1" or _table(text) == "parameters"]
        for name in FILES[section]:
            runs |= expand(RUN_FILES / f"{name}.toml", given)
    _check_files(runs.values())
    return runs


def _check_files(scenarios: Iterable[Scenario]) -> None:
    """Read the volumes that overrides name, before any process starts; raise InputError where one cannot be used."""
    for scenario in scenarios:
        if scenario.initial.files or scenario.parameters.by_cell:
            from ...runs.images import check_files  # brings in MPI and PETSc, which the verdicts do without

            try:
                check_files(scenario)
            except InputError as error:
                raise InputError(f"--set: {error}") from None


def _table(override: str) -> str:
    """The table that an override changes."""
    return override.partition("=")[0].partition(".")[0].strip()


def _check_judgeable(scenario: Scenario) -> None:
    """Before hours of runs: raise InputError where the statements could not be judged, or on something else."""
    line, tumour = scenario.output.line, scenario.initial.tumour
    for key, value, accepted, fits in (
        ("space.kind", scenario.space.kind, "'box'", isinstance(scenario.space, Box)),
        ("model", scenario.model.name, f"'{DEFAULT}'", scenario.model.name == DEFAULT),
        ("initial.tumour.shape", getattr(tumour, "shape", None), "'ball'", isinstance(tumour, TumourBall)),
        ("output.formats", list(scenario.output.formats), "'vtk', 'csv' or both", bool(scenario.output.formats)),
        ("output.line.axis", line.axis, "'x'", line.axis == "x"),
        ("output.line.through", line.through, "none: the line is the box's middle", line.through is None),
    ):
        if not fits:
            raise InputError(f"--set: {key} = {value!r}; accepted for the paper's statements: {accepted}")


def folder_for(runs: Path, overrides: list[str]) -> Path:
    """Where the runs with these overrides land: in a folder of their own in `runs`, or there without any."""
    label = ",".join(re.sub(r"[^\w.=+-]+", "-", text.replace("[", "").replace("]", "")) for text in sorted(overrides))
    return runs / f"set,{label}" if label else runs
