"""The run directory: what is in it, how it begins, and how a run goes on in it."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..models import is_shipped, source
from ..scenario.scenario import Scenario
from ..tools.documents import parse_toml, read_toml
from ..tools.errors import InputError
from ..tools.locks import hold

RUN_FILE = "run.toml"
MANIFEST = "manifest.json"
DATA_PACKAGE = "datapackage.json"
SERIES = "series.csv"
LINE = "line.csv"
VOLUMES, VOLUMES_FOLDER = "fields.pvd", "fields"
CSV_FOLDER = "csv"
#: Copy of the file that declares a model of the user's own: `--models` finds it there.
MODEL_FOLDER = "model"
CHECKPOINTS = "checkpoints"

#: What a run writes; a folder that holds any of these holds another run.
OUTPUTS = (
    RUN_FILE,
    MANIFEST,
    DATA_PACKAGE,
    SERIES,
    LINE,
    VOLUMES,
    VOLUMES_FOLDER,
    CSV_FOLDER,
    MODEL_FOLDER,
    CHECKPOINTS,
)

#: What may be another on resuming: it changes neither the equations nor the steps.  Beside it all of `output` may, but
#: for the line, whose table goes on.
CHANGEABLE = ("title", "time.end")


def prepare(out: Path, said: str, scenario: Scenario) -> int | None:
    """Make the run directory `out`, with the resolved run file and a copy of the user's model in it.

    `said`: the user's words for the folder.  Returns a lock on the run file, to be closed when the run is over.

    Raises InputError when it holds another run or cannot be written.
    """
    file = out / RUN_FILE
    try:
        if held := [name for name in OUTPUTS if os.path.lexists(out / name)]:
            raise InputError(f"{said}: holds another run ({held[0]}); accepted: a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(scenario.toml())
        if not is_shipped(scenario.model) and (model := source(scenario.model)):
            (out / MODEL_FOLDER).mkdir()
            (out / MODEL_FOLDER / model.file).write_bytes(model.content)
        return hold(file)
    except FileExistsError:
        raise InputError(f"{said}: cannot be written, or another run has just begun there") from None
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            file.unlink()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{said}: cannot be written: {reason}; accepted: a folder to write in") from None


def claim(out: Path, said: str, scenario: Scenario) -> int | None:
    """Take over a run directory to go on in it; the lock on its run file, as of `prepare`.

    Raises InputError where another run is in it, or one that goes on.
    """
    accepted = "accepted with --resume: a folder with the same run, or none in it"
    file = out / RUN_FILE
    try:
        tables, _ = read_toml(file)
        lock = hold(file)
    except BlockingIOError:
        raise InputError(f"{said}: its run goes on; accepted with --resume: a run that has ended") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}; {accepted}") from None
    try:
        if found := difference(tables, as_read(scenario)):
            raise InputError(
                f"{said}: holds a run with {found}; {accepted}, but for the title, time.end and output without its line"
            )
        if (model := source(scenario.model)) and not is_shipped(scenario.model):
            with suppress(OSError):  # of a run that was killed before it was written
                if (out / MODEL_FOLDER / model.file).read_bytes() != model.content:
                    raise InputError(f"{said}: holds a run of another version of {model.file}; {accepted}")
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    return lock


def renew_run_file(out: Path, lock: int | None, scenario: Scenario) -> int | None:
    """Have the run file say what is run now, which may end later; its lock instead of the one on the old file.

    Raises OSError where it cannot be written.
    """
    file, new = out / RUN_FILE, out / f"{RUN_FILE}.new"
    if file.read_text(encoding="utf-8") == scenario.toml():
        return lock
    new.unlink(missing_ok=True)
    with new.open("x", encoding="utf-8") as stream:
        stream.write(scenario.toml())
    held = hold(new)  # before it has its name: nobody finds it free
    os.replace(new, file)
    if lock is not None:
        os.close(lock)
    return held


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    try:
        return sorted(folder.glob("step_????????.h5"), reverse=True)
    except OSError:
        return []


def clear(out: Path) -> None:
    """Remove what a run has written, and nothing else.  Raises OSError."""
    for name in OUTPUTS:
        if (out / name).is_dir() and not (out / name).is_symlink():  # where a link leads is not ours
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)


def as_read(scenario: Scenario) -> dict[str, Any]:
    """A scenario as its run file says it."""
    return parse_toml(scenario.toml())


def change(text: str, scenario: Scenario) -> str:
    """What a run file says that a run cannot go on with as this scenario; "" where there is no such thing."""
    return difference(parse_toml(text), as_read(scenario))


def difference(one: Any, other: Any, changeable: tuple[str, ...] = CHANGEABLE, key: str = "") -> str:
    """The first key, not changeable, in which two run files' tables differ, with both values; "" where none does."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return "" if one == other else f"{key} = {one!r}, here {other!r}"
    if key == "output" and changeable == CHANGEABLE:
        one, other = ({"line": table.get("line")} for table in (one, other))
    for name in sorted({*one, *other}):
        inner = f"{key}.{name}".lstrip(".")
        if inner not in changeable and (found := difference(one.get(name), other.get(name), changeable, inner)):
            return found
    return ""
