"""The run directory: what is in it, and how it begins."""

import os
from contextlib import suppress
from pathlib import Path

from ..models import is_shipped, source
from ..scenario.scenario import Scenario
from ..tools.errors import InputError

RUN_FILE = "run.toml"
MANIFEST = "manifest.json"
DATA_PACKAGE = "datapackage.json"
SERIES = "series.csv"
LINE = "line.csv"
VOLUMES, VOLUMES_FOLDER = "fields.pvd", "fields"
CSV_FOLDER = "csv"
#: Copy of the file that declares a model of the user's own: `--models` finds it there.
MODEL_FOLDER = "model"

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
    "checkpoints",
)


def prepare(out: Path, said: str, scenario: Scenario) -> None:
    """Make the run directory `out`, with the resolved run file and a copy of the user's model in it.

    `said`: the user's words for the folder.

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
    except FileExistsError:
        raise InputError(f"{said}: cannot be written, or another run has just begun there") from None
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            file.unlink()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{said}: cannot be written: {reason}; accepted: a folder to write in") from None
