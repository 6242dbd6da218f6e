"""When the batch system will end this job."""

import os
import re
import subprocess
from datetime import datetime
from math import inf
from time import time

from .errors import InputError

#: Seconds in the units of `--walltime`.
UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}

#: Seconds that SLURM may take to answer.
PATIENCE = 20.0


def seconds_of(text: str) -> float:
    """Seconds in a duration such as 11h50m, 1d2h, 40s, or SLURM's 1-02:00:00, 11:50:00.

    Raises InputError for anything else, and for none at all.
    """
    total = _in_units(text) or _as_of_slurm(text)
    if not total:
        raise InputError(f"--walltime {text}: accepted: a time such as 11h50m, 40s or 1-02:00:00, above zero")
    return total


def _in_units(text: str) -> float:
    if not re.fullmatch(r"(\d+(\.\d*)?d)?(\d+(\.\d*)?h)?(\d+(\.\d*)?m)?(\d+(\.\d*)?s)?", text):
        return 0.0
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", text))


def _as_of_slurm(text: str) -> float:
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?", text)
    if not found:
        return 0.0
    days, first, second, third = (int(part or 0) for part in found.groups())
    # SLURM reads 50:30 as minutes and seconds, 1-02:30 as days, hours and minutes.
    if found[4] is None and found[1] is None:
        return 60.0 * first + second
    return 86400.0 * days + 3600.0 * first + 60.0 * second + third


def end_of_job() -> float:
    """When SLURM will end this job, in seconds since 1970; infinite outside of SLURM, and where it does not say."""
    if (given := os.environ.get("SLURM_JOB_END_TIME", "")).isdigit():
        return float(given)
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        return inf
    try:
        answer = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", job],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return inf
    found = re.search(r"\bEndTime=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", answer)
    return datetime.fromisoformat(found[1]).timestamp() if found else inf


def deadline(walltime: str | None, began: float) -> float:
    """When this process must have ended, in seconds since 1970: so long after `began`, or as SLURM says.

    Raises InputError where `walltime` is no duration.
    """
    return began + seconds_of(walltime) if walltime else end_of_job()


def left(deadline: float) -> float:
    """Seconds until then."""
    return deadline - time()
