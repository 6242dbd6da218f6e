"""What the scripts' command lines share."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from carmodel.tools.messages import one_line, printable


class Parser(argparse.ArgumentParser):
    """With a script's own description as its help; wrong arguments are one line on stderr and exit code 2."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(2, one_line(f"{message} (see {self.prog} --help)") + "\n")


def complain(message: object, code: int = 2) -> int:
    """Say in one line on stderr what is wrong; the exit code."""
    print(one_line(message), file=sys.stderr)
    return code


def say_files(*files: Path) -> None:
    """Say which files were written, one a line."""
    print(*map(printable, files), sep="\n")


def is_folder(path: Path) -> bool:
    """Whether it is one that can be seen: `is_dir` raises where a folder above may not be entered."""
    try:
        return path.is_dir()
    except OSError:
        return False
