"""Made-up and spoilt mesh files: each gives a mesh or is refused, and nothing else happens."""

import shutil

import pytest

from carmodel.spaces import meshfile
from carmodel.spaces.meshfile import read_mesh_file, write_cut_mesh
from tests.conftest import ROOT
from tests.fuzz import contents, generator, spoilt, time_limit
from tests.spaces.test_meshfile import HARMLESS, HOSTILE

SCRIPTS = [(ROOT / name).read_text() for name in ("tests/data/cube.geo", "meshes/barrier.geo")]
SCRIPTS.append(SCRIPTS[0] + HARMLESS)

#: Ways to write a command so that it may be overlooked; the last two make it none.
DISGUISES = (
    "{}", "If (1)\n{}\nEndIf", "If (0)\nx = 1;\nElse\n{}\nEndIf", "For i In {{1:2}}\n{}\nEndFor",
    "Macro m\n{}\nReturn\nCall m;", "/* // */ {}", "/* \" */ {} // \"", "// '\n{}", "x = 1;;; {}", "a = '/*'; {} // */",
    "If (0) x0EndIf0;{}\nEndIf", "\r{}\r", "SystemCall = 1; Save = 1; {}", "Printf(\"'\"); {}",
    "// {}", "/* {} */",
)  # fmt: skip


def hostile_script(random):
    """A script of which no word may be obeyed, or, where it stands in a comment, only the rest."""
    command = random.choice([command for command in HOSTILE if "//" not in command and "/*" not in command])
    lines = random.choice(SCRIPTS).split("\n")
    lines.insert(random.randrange(len(lines)), random.choice(DISGUISES).format(command.replace("FILE", "stolen")))
    return "\n".join(lines).encode("latin-1")


def spoilt_script(random):
    return spoilt(random.choice(SCRIPTS).encode("latin-1"), random)


def noise(random):
    start = random.choice((b"", b"$MeshFormat\n", b"$MeshFormat\n2.2 1 8\n\x01\0\0\0\n", b"$NOD\n5\n", b"// "))
    return start + random.choice((random.randbytes(300), b"\0" * 100, b"((((" * 1000, b"9" * 5000, b"a = {" * 500))


@pytest.mark.parametrize("kind", ["hostile script", "spoilt script", "spoilt mesh", "noise"])
def test_mesh_files_give_a_mesh_or_are_refused_and_nothing_else_happens(
    kind, mesh_files, tmp_path, monkeypatch, fuzz_count
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(meshfile, "SECONDS", 10.0)
    meshes = [path.read_bytes() for _, path in sorted(mesh_files.items())]
    make = {
        "hostile script": hostile_script,
        "spoilt script": spoilt_script,
        "spoilt mesh": lambda random: spoilt(random.choice(meshes), random),
        "noise": noise,
    }[kind]
    # Those that look whole are shown to Gmsh, which takes half a second each.
    usual = {"hostile script": 30, "spoilt script": 10, "spoilt mesh": 10, "noise": 20}[kind]
    taken = 0
    for case in range(fuzz_count(usual)):
        random = generator(kind, case)
        file, folder = tmp_path / random.choice(("a.geo", "a.msh", "a")), tmp_path / "work"
        if kind == "hostile script":
            file = tmp_path / "a.geo"
        file.write_bytes(make(random))
        folder.mkdir()
        before = contents(tmp_path)
        found = "taken"
        try:
            with time_limit(40.0):
                write_cut_mesh(read_mesh_file(file), folder, 1)
        except ValueError as error:
            found = str(error)
        taken += found == "taken"
        assert found, (kind, case)
        assert "\n" not in found, (kind, case, found)
        meant = {name: size for name, size in contents(tmp_path).items() if folder not in name.parents}
        assert meant == before, (kind, case)
        shutil.rmtree(folder)
        file.unlink()
    if kind == "hostile script":
        assert taken < case / 3
