"""Reads run directories, one a line of stdin, in a process that they may kill: a `tests.fuzz.Worker`."""

import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from carmodel.commands import cli
from carmodel.paper.claims import ObservedRun, judge, statements
from carmodel.paper.claims.experiments import FILES
from carmodel.tools.errors import InputError
from tests.fuzz import LINE, ROOT, answer_lines

sys.path.append(str(ROOT / "postprocess"))

import report
import volume
from panels import write_numbers

from carmodel.results import RunDirectory
from carmodel.scenario.sweep import expand

RUNS = [name for files in FILES.values() for file in files for name in expand(ROOT / f"runs/paper/{file}.toml", [])]


def command(*arguments):
    """A command of the program."""

    def run(folder):
        sys.argv = ["carmodel", *(str(folder) if argument is None else argument for argument in arguments)]
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
        if code == 2 and not out.getvalue():
            raise InputError(err.getvalue().removesuffix("\n"))
        assert not code
        assert not err.getvalue()

    return run


def claims(folder):
    """Every statement, with this run in the place of all."""
    runs = dict.fromkeys(RUNS, ObservedRun(folder))
    for statement in statements():
        judge(statement, runs)


def page(folder, *, draw=True):
    """The report of the run, and its figures as numbers alone where they are not drawn."""
    drawn = report.svg
    try:
        if not draw:
            report.svg = lambda plate: write_numbers(plate, StringIO())
        report.page(folder, [], solid=False).encode()
    finally:
        report.svg = drawn


def table_of_runs(folder):
    """The report of the folder in which the run is."""
    drawn, report.FIGURES = report.FIGURES, {}
    try:
        report.page(folder.parent, [], solid=False).encode()
    finally:
        report.FIGURES = drawn


def rendering(folder):
    """What 3-D pictures are made of."""
    run = RunDirectory(folder)
    volume.scale_of(run)
    for time in volume.saved_times(run):
        list(volume.frames(run, [time]))


def readers(intact):
    """What reads a run directory quickly."""
    return {
        "info": command("info", None),
        "compare": command("compare", None, intact),
        "compare, the other way": command("compare", intact, None),
        "numbers of the report": lambda folder: page(folder, draw=False),
        "table of runs": table_of_runs,
        "rendering": rendering,
    }


SLOW = {"claims": claims, "report": page}


def look(question):
    """What each reader says, of FOLDER|INTACT or, with those that take long, FOLDER|INTACT|claims|report."""
    folder, intact, *more = question.split("|")
    told = []
    for name, reader in (readers(intact) | {name: SLOW[name] for name in more}).items():
        try:
            reader(Path(folder))
        except InputError as error:
            text = str(error)
            fault = "\n" in text or not text.isprintable() or len(text) > LINE
            told.append(f"{name}: {'BUG' if fault else 'refused'}: {text}")
        except Exception:
            told.append(f"{name}: BUG: {traceback.format_exc()}")
        else:
            told.append(f"{name}: done")
    return " ;; ".join(told)


if __name__ == "__main__":
    answer_lines(look)
