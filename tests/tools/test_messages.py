"""What reaches the terminal: one line of bounded length a message, and nothing that a terminal obeys."""

import pytest

from carmodel.scenario.reading import load
from carmodel.tools.errors import InputError
from carmodel.tools.messages import LONGEST, one_line, printable

CASE = """
[space]
cells = [4, 3, 2]
[time]
end = 0.1
"""

#: Red; a one-byte start of a command; text turned around; a new line; a bell.
HOSTILE = "\x1b[31m\x9b2J\u202e\u2028\r\n\x07"


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_what_a_terminal_obeys_is_escaped():
    assert printable(HOSTILE) == r"\x1b[31m\x9b2J\u202e\u2028\r\n\x07"
    assert printable("Größe: 3 µm, \udcff") == r"Größe: 3 µm, \udcff"


@pytest.mark.parametrize("length", [299, 300, 301, 10_000_000])
def test_a_long_line_keeps_its_ends(length):
    text = "case.toml: key = " + "7" * (length - 30) + "; accepted: 6"
    line = one_line(text)
    assert len(line) == min(length, LONGEST)
    assert line == text if length <= LONGEST else " ... " in line
    assert line.startswith("case.toml: key = 7")
    assert line.endswith("7; accepted: 6")
    assert one_line(line) == line
    assert str(InputError(text)) == line


@pytest.mark.parametrize(
    "lines",
    [
        '"a\\u001b[31mb\\n" = 1',
        'space.mesh = "\\u001b[31m\\u009b\\n.msh"\nspace.kind = "mesh"',
        f"output.formats = {['x' * 1000]}",
        'base = "\\u001b]0;no\\u0007"',
        "title = [" + "1, " * 1000 + "]",
    ],
)
def test_refusals_are_one_harmless_line(carmodel, write, tmp_path, lines):
    answer = carmodel("run", write(lines + "\n" + CASE), "--out", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert harmless(answer.err)
    assert len(answer.err) <= LONGEST + 1


def test_arguments_are_shown_harmless(carmodel):
    for arguments in (("run", HOSTILE), ("info", HOSTILE), ("run", "x", f"--{HOSTILE}"), (HOSTILE,)):
        answer = carmodel(*arguments)
        assert answer.code == 2
        assert answer.err.count("\n") == 1
        assert harmless(answer.err)


def test_check_shows_a_harmless_file_that_says_the_same(carmodel, write):
    file = write('title = "\\u001b[31m\\u009b\\u202e\\u2028\\n\\t\\u0007 ü"\n' + CASE)
    answer = carmodel("check", file)
    assert answer.code == 0
    assert harmless(answer.out)
    assert load(write(answer.out, "again.toml")).tables() == load(file).tables()


def test_info_and_sweep_show_harmless_lines(carmodel, write, tmp_path):
    folder = tmp_path / "\x1b[31mred"
    case = write(CASE.replace("0.1", "0.01") + "[output]\nformats = []\n", "\x1b[32m[bold].toml")
    for _ in range(2):
        swept = carmodel("sweep", case, "--out", folder)
        assert swept.code == 0, swept
        assert harmless(swept.out + swept.err)
    out = folder / case.stem
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"failed: \\u001b[31m' + "x" * 999 + '"'))
    answer = carmodel("info", out)
    assert answer.code == 0, answer
    assert "failed: " in answer.out
    assert harmless(answer.out)
    assert max(map(len, answer.out.splitlines())) <= LONGEST
