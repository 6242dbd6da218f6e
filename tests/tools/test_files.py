"""Files that come from elsewhere: only regular ones of a bounded size are opened, and nothing waits."""

import os
import socket

import pytest

from carmodel.tools import documents
from carmodel.tools.files import open_regular, read_bytes, read_text
from tests.fuzz import time_limit


@pytest.fixture
def odd(tmp_path):
    """One of each kind that is no regular file of at most ten bytes, by the complaint about it."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(b"x" * 11)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    names = {
        "pipe": "is a pipe", "socket": "is a socket", "/dev/zero": "is a device", "/dev/tty": "is a device",
        "link": "is a device", "loop": "cannot be read", ".": "is a folder", "none": "no such file",
        "large": "has 11 bytes; at most 10 are read", "sparse": "has 1000000000000 bytes", "n" * 300: "cannot be read",
        "\0": "null", "/proc/self/environ": "has more than 10 bytes",
    }  # fmt: skip
    return {tmp_path / name: complaint for name, complaint in names.items()}


def test_only_regular_files_of_a_bounded_size_are_read(odd, tmp_path):
    (tmp_path / "ten").write_bytes(b"0123456789")
    assert read_bytes(tmp_path / "ten", 10) == b"0123456789"
    for path, complaint in odd.items():
        with time_limit(5.0), pytest.raises(ValueError, match=complaint):
            read_bytes(path, 10)


def test_a_pipe_that_took_a_file_s_place_holds_nobody(tmp_path, monkeypatch):
    """Between the look at the name and the opening of it."""
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    regular = os.stat(tmp_path / "file")
    monkeypatch.setattr("carmodel.tools.files.os.stat", lambda _path: regular)
    with time_limit(5.0), pytest.raises(ValueError, match="is a pipe"):
        open_regular(tmp_path / "pipe", 10)


def test_text_must_be_text(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\xff")
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        read_text(tmp_path / "text", 10, "utf-8-sig")


DEEP = 100_000
HOSTILE_TOML = {
    "a key of more": ".".join("k" * DEEP) + " = 1",
    "a key of more than": "[" + " . ".join(['"k"'] * 1000) + "]",
    "deep": "key = " + "[" * 900 + "]" * 900,
    "24 deep": "key = " + "[" * 30 + "]" * 30,
    "more than 250000 values": "key = [" + "1," * 300_000 + "]",
    "table.key.0: an integer of more than 64 bits": "[table]\nkey = [0x1" + "0" * 5000 + "]",
    "key: an integer of more than 64 bits": f"key = {2**63}",
    "not a TOML file": "key = " + "1" * 5000,
    "not a TOML": "key = 1\nkey = 2",
}


@pytest.mark.parametrize("complaint", HOSTILE_TOML)
def test_hostile_toml_is_refused_at_once(complaint):
    with time_limit(20.0), pytest.raises(ValueError, match=complaint):
        documents.parse_toml(HOSTILE_TOML[complaint])


def test_toml_as_people_write_it_is_read():
    text = 'title = "1.2.3.4"\na.b."c.d".e = [[1, -9223372036854775808], ["\u00b5"]]\ntime = 2020-01-01\nx = inf\n'
    tables = documents.parse_toml(text)
    assert tables["a"] == {"b": {"c.d": {"e": [[1, -(2**63)], ["\u00b5"]]}}}


HOSTILE_JSON = {
    "deep": "[" * DEEP,
    "24 deep": "[" * 40 + "]" * 40,
    "t: an integer of more than 64 bits": '{"t": 1' + "0" * 400 + "}",
    "not JSON": '{"t": ' + "1" * 5000 + "}",
    "t.0: text that is no Unicode": '{"t": ["\\ud800"]}',
    "a key: text that is no Unicode": '{"\\udfff": 1}',
    "more than 1000000 values": "[" + "0," * 1_000_001 + "0]",
    "not JSON: ": "{",
}


@pytest.mark.parametrize("complaint", HOSTILE_JSON)
def test_hostile_json_is_refused_at_once(tmp_path, complaint):
    (tmp_path / "file.json").write_text(HOSTILE_JSON[complaint])
    with time_limit(20.0), pytest.raises(ValueError, match=complaint):
        documents.read_json(tmp_path / "file.json")
