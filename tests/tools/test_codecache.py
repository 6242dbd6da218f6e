"""Compiled code on disk: damaged, full, read-only or another user's, it never ends a run."""

import errno
import os
import pickle
import re
import runpy
import sys
from pathlib import Path

import pytest

from carmodel.tools import codecache
from carmodel.tools.compiled import compiled
from tests.conftest import mpirun

DAMAGED = "warning: compiled code in {}: is damaged; what is damaged is compiled anew\n"


def double(x):
    return 2.0 * x


def call():
    """Calls a compiled function as a new process would: how often it was loaded from disk."""
    function = compiled(double)
    assert function(21.0) == 42.0
    return sum(function.stats.cache_hits.values())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of an empty cache."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    codecache.cache_folder.cache_clear()
    codecache._say.cache_clear()
    yield Path(codecache.cache_folder())
    monkeypatch.undo()
    codecache.cache_folder.cache_clear()
    codecache._say.cache_clear()


DAMAGES = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "noise": lambda content: bytes(range(256)),
    "another pickle": lambda content: pickle.dumps({"a": 1}),
    "another pickle with its checksum": lambda content: pickle.dumps(1) + codecache._checksum(pickle.dumps(1)),
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    # An index of another version, whole, is no damage.
    [(kind, damage) for kind in ("nbi", "nbc") for damage in DAMAGES if (kind, "checksum" in damage) != ("nbi", True)],
)
def test_what_is_damaged_is_compiled_anew_and_repaired(cache, capfd, kind, damage):
    assert call() == 0
    assert call() == 1
    (file,) = cache.rglob(f"*.{kind}")
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    capfd.readouterr()
    assert call() == 0
    assert (
        capfd.readouterr().err == f"warning: compiled code in {cache}: is damaged; what is damaged is compiled anew\n"
    )
    assert call() == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written_ends_nothing(cache, capfd, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", full)
    assert call() == call() == 0
    told = (
        f"warning: compiled code in {cache}: cannot be written: {os.strerror(number)}; what is compiled is not kept\n"
    )
    assert capfd.readouterr().err == told
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_damage_on_a_full_disk(cache, capfd, monkeypatch):
    assert call() == 0
    for file in cache.rglob("*.nb?"):
        file.write_bytes(b"")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    assert call() == call() == 0
    assert [line.split(": ")[2] for line in capfd.readouterr().err.splitlines()] == [
        "is damaged; what is damaged is compiled anew",
        "cannot be written",
    ]


def test_every_module_with_compiled_loops_is_in_the_checksum():
    package = Path(codecache.__file__).parents[1]
    decorated = re.compile(r"^@compiled(_for_threads)?$", re.MULTILINE)
    found = {
        file.relative_to(package).as_posix() for file in package.rglob("*.py") if decorated.search(file.read_text())
    }
    # That one only tries whether a model can be compiled.
    assert found - set(codecache._COMPILED) == {"soundness/compilation.py"}


def test_the_folder_is_the_users_own(cache):
    assert cache.stat().st_mode & 0o777 == cache.parent.stat().st_mode & 0o777 == 0o700


def widen(folder, monkeypatch):
    folder.chmod(0o775)


def widen_above(folder, monkeypatch):
    folder.parent.chmod(0o777)


def give_away(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


def link(folder, monkeypatch):
    folder.rename(folder.with_name("other"))
    folder.symlink_to("other")


def fill(folder, monkeypatch):
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (widen, "others can write to it"),
        (widen_above, "others can write to {cache.parent}"),
        (give_away, "belongs to another user"),
        (link, "is not a folder"),
        (fill, "is not a folder"),
    ],
)
def test_a_folder_that_others_may_have_written_to_is_not_used(cache, capfd, monkeypatch, change, reason):
    change(cache, monkeypatch)
    codecache.cache_folder.cache_clear()
    assert codecache.cache_folder() is None
    told = capfd.readouterr().err
    assert told == (
        f"warning: compiled code in {cache}: {reason.format(cache=cache)}; loops are compiled anew in each process; "
        "NUMBA_CACHE_DIR can name another folder\n"
    )
    assert call() == call() == 0
    assert not list(cache.rglob("*.nb?"))


PROGRAM = """
from carmodel.tools.compiled import compiled
def double(x):
    return 2.0 * x
assert compiled(double)(21.0) == 42.0
"""


def test_two_ranks_with_a_damaged_cache_say_it_once(cache, write):
    program = write(PROGRAM, "program.py")
    runpy.run_path(str(program))
    for file in cache.rglob("*.nb?"):
        file.write_bytes(file.read_bytes()[:-1])
    # The second rank may have mended it before the first one, which speaks, has looked.
    answer = mpirun(2, sys.executable, program)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err in (DAMAGED.format(cache), "")
    assert mpirun(2, sys.executable, program) == (0, "", "")
