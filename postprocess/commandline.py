"""What the scripts' command lines share."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """With a script's own description as its help; wrong arguments are one line on stderr and exit code 2."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(2, f"{message} (see {self.prog} --help)\n")
