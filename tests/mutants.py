"""Breaks the code in many places, once in each, and looks whether a test fails.

    .venv/bin/python -m tests.mutants [PART]

Each mutant of `mutants.toml` is a sign, a factor, an index, or something left out.  The tests named beside it run in a
copy of the checkout; exit code 1 where one lives.  PART: only those of files whose names hold it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """A text of a file, what it becomes, and the tests that must fail."""

    file: str
    old: str
    new: str
    tests: list[str]


def mutants(part: str) -> list[Mutant]:
    """Those of files whose names hold `part`."""
    with (ROOT / "tests/mutants.toml").open("rb") as file:
        return [Mutant(**given) for given in tomllib.load(file)["mutant"] if part in given["file"]]


def lives(mutant: Mutant, copy: Path) -> bool:
    """Whether the tests pass with it."""
    file = copy / "carmodel" / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file}: {mutant.old!r} stands there {text.count(mutant.old)} times; accepted: once")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return succeed(mutant.tests, copy)
    finally:
        file.write_text(text, encoding="utf-8")


def succeed(tests: list[str], copy: Path) -> bool:
    """Whether tests pass in the copy."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "FIPY_SOLVERS": "petsc"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True).returncode == 0


def main() -> int:
    """Try each; say which live."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = mutants(part)
    living = []
    with tempfile.TemporaryDirectory(prefix="carmodel-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "results", "__pycache__"))
        (copy / ".venv").symlink_to(ROOT / ".venv")  # whose commands take the copy's code, by PYTHONPATH
        for tests in {" ".join(mutant.tests): mutant.tests for mutant in chosen}.values():
            if not succeed(tests, copy):
                raise SystemExit(f"{' '.join(tests)}: fails without any mutant")
        for n, mutant in enumerate(chosen, 1):
            alive = lives(mutant, copy)
            living += [mutant] if alive else []
            print(f"{n} of {len(chosen)}: {'LIVES' if alive else 'killed'}: {mutant.file}: {mutant.new}", flush=True)
    print(f"{len(chosen)} mutants, {len(living)} live")
    return 1 if living or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
