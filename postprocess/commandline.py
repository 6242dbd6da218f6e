"""What the scripts' command lines share."""

import argparse
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """With a script's own description as its help; wrong arguments are one line on stderr and exit code 2."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(2, f"{message} (see {self.prog} --help)\n")


def is_folder(path: Path) -> bool:
    """Whether it is one that can be seen: `is_dir` raises where a folder above may not be entered."""
    try:
        return path.is_dir()
    except OSError:
        return False
