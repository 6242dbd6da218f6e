"""Run directories that are damaged or made up: whatever reads them says so in one line.

They are read in a process of their own with bounded memory, which must survive them all.
"""

import json
import os
import re
import shutil

import pytest

from tests.conftest import ROOT
from tests.fuzz import Worker, contents, generator, spoilt

SETTINGS = ("time.end=0.3", "output.every=0.1", "output.formats=['vtk','csv']")
KINDS = {
    "box": ("runs/paper/3.4-infusion.toml", "space.cells=[4,4,4]", "infusion=[{time=0.2,add={initial=1.0}}]"),
    "mesh": ("runs/quickstart.toml", "space={kind='mesh',cells=[3,3,3],lengths=[1,1,1]}", "output.formats=['vtk']"),
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """Folder with a run on a box and one on a mesh."""
    from carmodel.commands.run import Wishes, launch

    folder = tmp_path_factory.mktemp("runs")
    for kind, (file, *overrides) in KINDS.items():
        assert launch(ROOT / file, Wishes(folder / kind, [*SETTINGS, *overrides], [], quiet=True)) == 0
    return folder


@pytest.fixture(scope="module")
def reader():
    """Reads runs with 6 GB of memory; VTK, PETSc and their libraries take 3 of them."""
    worker = Worker("tests.reads_runs", memory=6 * 2**30, seconds=60.0)
    yield worker
    worker.close()


ODD_JSON = (
    None, True, -1, 0, 2**63 - 1, 10**400, 1e308, -1e308, float("nan"), "", "text", "\ud800", "\x1b[2J\n", "x" * 5000,
    [], {}, [[]], [None], {"": None}, [[[[[[[]]]]]]], [{}] * 3, {"a": {"b": {"c": 1}}}, [1] * 1000,
)  # fmt: skip
ODD_WORDS = (
    b"",
    b"nan",
    b"inf",
    b"-1",
    b"1e308",
    b"1e999",
    b"x",
    b"9" * 400,
    b"0x10",
    b"\0",
    b"\xff",
    b",",
    b"\n",
    b"#",
    b'"',
)


def with_odd_value(content, random):
    """A value of a JSON document, or a key, is another."""
    try:
        tree = json.loads(content)
    except ValueError:
        return spoilt(content, random)
    if not isinstance(tree, dict | list) or not tree:
        return spoilt(content, random)
    here = tree
    while True:
        key = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        if not isinstance(here[key], dict | list) or not here[key] or random.random() < 0.3:
            break
        here = here[key]
    here[key] = random.choice(ODD_JSON)
    return json.dumps(tree).encode()


def with_odd_word(content, random):
    """A word of a text is another."""
    words = list(re.finditer(rb"[^\s,=\"<>]+", content))
    if not words:
        return spoilt(content, random)
    found = random.choice(words)
    return content[: found.start()] + random.choice(ODD_WORDS) + content[found.end() :]


def without_rows(content, random):
    """Rows of a table are lost, doubled or in another order."""
    rows = content.splitlines(keepends=True) or [b""]
    for _ in range(random.choice((1, 5))):
        row = rows.pop(random.randrange(len(rows)))
        place = random.randrange(len(rows) + 1)
        rows[place:place] = [row] * random.choice((0, 1, 2))
        if len(rows) < 2:
            break
    return b"".join(rows)


def replaced(path, random):
    """Something else stands in the place of a file."""
    path.unlink()
    match random.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to("/dev/zero")
        case 3:
            with path.open("wb") as file:
                file.truncate(10**12)
        case 4:
            path.write_bytes(b"")
        case _:
            pass


def damage(folder, random):
    """Damage a run directory; says what was done."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    singles = [path for path in files if path.parent == folder]
    path = random.choice(singles if random.random() < 0.8 else files)
    if random.random() < 0.15:
        replaced(path, random)
        return f"{path.name} replaced"
    spoil = {
        ".json": (with_odd_value, with_odd_value, with_odd_value, spoilt),
        ".csv": (with_odd_word, with_odd_word, without_rows, spoilt),
        ".toml": (with_odd_word, spoilt),
    }.get(path.suffix, (with_odd_word, spoilt, without_rows))
    spoil = random.choice(spoil)
    path.write_bytes(spoil(path.read_bytes(), random))
    return f"{path.name} {spoil.__name__}"


def assert_read(answer, what):
    assert "BUG" not in answer, (what, answer.encode().decode("unicode_escape", "replace"))
    assert answer.count(" ;; ") >= 5, (what, answer)


def test_intact_runs_are_read(intact, reader):
    for kind in KINDS:
        answer = reader.ask(f"{intact / kind}|{intact / kind}|claims|report")
        assert_read(answer, kind)
        assert answer.count("refused") == (kind == "mesh"), answer  # the paper's statements are about boxes


def test_no_damaged_run_gives_more_than_a_line(intact, reader, tmp_path, fuzz_count):
    refused = 0
    for case in range(fuzz_count(70)):
        random = generator("run", case)
        kind = random.choice(("box", "box", "mesh"))
        folder = tmp_path / "runs" / kind
        shutil.copytree(intact / kind, folder)
        done = [damage(folder, random) for _ in range(random.choice((1, 1, 2)))]
        before = contents(folder)
        slow = "|claims" * (case % 3 == 0) + "|report" * (case % 20 == 0)
        answer = reader.ask(f"{folder}|{intact / kind}{slow}")
        assert_read(answer, (case, done))
        assert contents(folder) == before
        refused += "refused" in answer
        shutil.rmtree(tmp_path / "runs")
    assert refused > case / 2
