"""The layout of the package is the one in CONTRIBUTING.md: imports run one way."""

import ast
import re

from tests import mutants
from tests.conftest import ROOT

PACKAGE = ROOT / "carmodel"


def rows():
    """Modules and folders of each row of the table, from above."""
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    return [re.findall(r"`([\w/]+(?:\.py|/))`", line.split("|")[1]) for line in lines if line.startswith("| `")]


def imported(file):
    """Files of the package that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for name in (folder / alias.name for alias in node.names):
                found = (name.with_suffix(".py"), folder.with_suffix(".py"), folder / "__init__.py")
                yield next(path for path in found if path.is_file())


def test_each_module_has_its_row_and_imports_from_no_row_below():
    numbers = {place: n for n, row in enumerate(rows()) for place in row}
    files = {str(file.relative_to(PACKAGE)): file for file in PACKAGE.rglob("*.py")}
    files.pop("__init__.py")

    def row(name):
        return numbers.pop(name, None) if "/" not in name else numbers.get(name.split("/")[0] + "/")

    of = {name: row(name) for name in files}
    assert [name for name, number in of.items() if number is None] == []
    assert [place for place in numbers if not (PACKAGE / place).is_dir()] == []  # no row for what is gone
    edges = [(name, str(path.relative_to(PACKAGE))) for name, file in files.items() for path in imported(file)]
    assert len(edges) > 200
    assert [f"{one} imports {other}" for one, other in edges if of.get(other, 0) > of[one]] == []


def _is_command(function):
    """Whether it is one of the command line: its arguments are the options that a person types."""
    return "app.command()" in map(ast.unparse, function.decorator_list)


def test_files_and_signatures_are_short():
    """At most some 400 lines a file and seven arguments a function."""
    long = []
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        if (lines := text.count("\n")) > 410:
            long.append(f"{file.name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and not _is_command(node):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len([name for name in names if name not in ("self", "cls")]) > 7:
                    long.append(f"{file.name}: {node.name}({', '.join(names)})")
    assert long == []


def test_every_mutant_has_a_place_to_be_made():
    for mutant in mutants.mutants(""):
        text = (ROOT / "carmodel" / mutant.file).read_text(encoding="utf-8")
        assert text.count(mutant.old) == 1, f"{mutant.file}: {mutant.old}"
        for test in mutant.tests:
            assert (ROOT / test).is_file(), test
