"""A page as headless Chromium shows it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from carmodel.tools.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome")

#: Quiet and on its own: nothing is fetched, no profile is touched, no name is resolved.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def chromium() -> str | None:
    """Path of the browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def screenshot(page: Path, file: Path, width: int = 1200, height: int = 1440) -> None:
    """The top of a page, in pixels, as PNG.

    Raises InputError where there is no Chromium, it fails, or the file cannot be written.
    """
    if (browser := chromium()) is None:
        raise InputError(f"--screenshot {file}: no Chromium here; accepted: after apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        done = subprocess.run(
            [
                browser,
                *OPTIONS,
                f"--user-data-dir={folder}/profile",
                f"--window-size={width},{height}",
                f"--screenshot={shot}",
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=os.environ | {"HOME": folder},
        )
        if not shot.is_file():
            raise InputError(f"{browser} made no screenshot of {page}: {done.stderr.strip().rpartition(chr(10))[2]}")
        try:
            with Image.open(shot) as picture:
                picture.convert("RGB").save(file, optimize=True)
        except (OSError, ValueError) as error:  # ValueError: a suffix that is no picture's
            raise InputError(f"--screenshot {file}: cannot be written: {error}; accepted: a .png file") from None
