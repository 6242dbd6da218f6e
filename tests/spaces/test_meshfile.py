"""Mesh files: what a script may say, what a mesh must hold, and the limits of Gmsh."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carmodel.spaces import meshfile
from carmodel.spaces.geo import checked_script
from carmodel.spaces.meshfile import read_mesh_file, write_cut_mesh
from tests.conftest import ROOT

CUBE = (ROOT / "tests/data/cube.geo").read_text()
CASE = """space = {{ kind = "mesh", mesh = {!r} }}
initial.cart = {{ shape = "layer", from = 0.0, to = 0.3 }}
time.end = 0.1
"""

#: Commands that do more than describe a mesh, as Gmsh accepts them.
HOSTILE = [
    'SystemCall "touch FILE";',
    'System "touch FILE";',
    'NonBlockingSystemCall "touch FILE";',
    "SystemCall 'touch FILE';",
    'SystemCall/**/"touch FILE";',
    'SystemCall // why not\n"touch FILE";',
    'SystemCall Str("touch FILE");',
    'SystemCall StrCat("touch", " FILE");',
    's = "touch FILE"; SystemCall s;',
    'OnelabRun("x", "touch FILE");',
    'Include "FILE";',
    'Merge "FILE";',
    "Include CurrentFileName;",
    'Save "FILE";',
    'Print "FILE";',
    'CreateDir "FILE";',
    'Printf("hello") > "FILE";',
    'Printf("hello") >> "FILE";',
    'Printf("%s%n%n", 1);',
    'ShapeFromFile("FILE");',
    'x() = ListFromFile("FILE");',
    'If(FileExists("FILE")) EndIf',
    'Field[1] = ExternalProcess; Field[1].CommandLine = "touch FILE";',
    'Field[1] = Structured; Field[1].FileName = "FILE";',
    'Field[1] = Box; Field[1].FileName = "FILE";',
    'General.ErrorFileName = "FILE";',
    'General.OptionsFileName = "FILE";',
    "General.SaveOptions = 1;",
    'Solver.Executable0 = "FILE";',
    "Solver.AutoMesh = 1;",
    'Mesh.Name = "FILE";',
    "Plugin(NewView).Run;",
    'x = GetEnv("HOME");',
    'x = GetNumber("a");',
    "x = GetValue('a', 1);",
    'DefineConstant[ x = {1, Name "a", Macro "FILE"} ];',
    'DefineConstant[ x = {1, Name "a", ServerAction "ResetDatabase"} ];',
    'DefineString[ x = {"touch FILE", Name "a"} ];',
    "SyncModel;",
    "Exit;",
    "Abort;",
    'If(0) x1EndIf5SystemCall "touch FILE"; EndIf',
    "If(0) x1EndIf5Exit; EndIf",
    'SetFactory("FILE");',
    'Macro m\nSystemCall "touch FILE";\nReturn\nCall m;',
    'For i In {0:1}\nSystemCall "touch FILE";\nEndFor',
    'a = "' + "x" * 1023 + ';SystemCall "touch FILE";',
    'Physical Volume("' + "x" * 1023 + ' ;SystemCall x");',
    "\x00",
]


@pytest.mark.parametrize("command", HOSTILE, ids=lambda command: command[:30].encode("ascii", "replace").decode())
def test_a_script_that_does_more_than_describe_a_mesh_is_refused_with_its_line(tmp_path, command):
    file = tmp_path / "a.geo"
    file.write_text(CUBE + "// a comment\n" + command.replace("FILE", str(tmp_path / "file")) + "\n")
    with pytest.raises(ValueError, match=r"^(line \d+: |is neither)"):
        read_mesh_file(file)


def test_the_line_is_the_one_of_the_command():
    with pytest.raises(ValueError, match=r"^line 5: 'SystemCall' runs a program"):
        checked_script('a = 1;\n/* two\nlines */\n// one\nSystemCall "x";')


HARMLESS = """
DefineConstant[ fine = {0.3, Min 0, Max 1, Step 0.1, Name "Größe/of cells"},
                kind = {0, Choices{0="a", 1="b"}, Name "kind"} ];
// SystemCall "touch x"; Merge "y";
/* Save "x"; */
Mesh.MeshSizeMax = fine; General.Terminal = 1; Geometry.Tolerance += 1e-9;
Macro Corner
  x~{n} = n / 2; n += 1;
Return
n = 0;
For k In {1:2}
  Call Corner;
EndFor
If (kind == 0 && x_0 <= 1) y = 1; ElseIf (kind == 2) y = 2; Else y = 3; EndIf
Field[1] = MathEval; Field[1].F = "0.3 + 0.1*x^2/2";
BoundaryLayer Field = {}; Background Field = 1;
Physical Volume("tissue", 7) = {1};
Printf("n is %g", n);
"""


def test_a_harmless_script_gives_the_mesh_of_the_file_itself(tmp_path):
    file, own = tmp_path / "a.geo", tmp_path / "own.msh"
    file.write_text(CUBE + HARMLESS, encoding="latin-1")
    gmsh = [ROOT / ".venv/bin/gmsh", file, "-3", "-format", "msh2", "-smooth", "8", "-v", "0", "-o", own]
    subprocess.run(gmsh, check=True, timeout=60)
    folder = tmp_path / "work"
    folder.mkdir()
    mesh, cells = write_cut_mesh(read_mesh_file(file), folder, 1)
    assert cells > 100
    assert mesh.read_text() == own.read_text()


@pytest.mark.parametrize("name", ["a.geo", "a.py", "a.exe", 'a";SystemCall "touch stolen";//.geo', "a.geo.opt"])
def test_nothing_is_run_or_read_beside_the_mesh(carmodel, tmp_path, monkeypatch, name):
    """Gmsh runs files of some names, and reads the options beside a script."""
    monkeypatch.chdir(tmp_path)
    text = {"a.geo": CUBE + 'SystemCall "touch stolen";', "a.py": "open('stolen', 'w')"}.get(name, CUBE)
    path = tmp_path / name.replace("/", "|")
    path.write_text(text)
    if name == "a.geo.opt":
        path.write_text('SystemCall "touch stolen";')
        path = tmp_path / "a.geo"
        path.write_text(CUBE)
    (tmp_path / "case.toml").write_text(CASE.format(str(path)))
    answer = carmodel("run", "case.toml", "--out", "out", "--quiet")
    assert answer.code == (2 if name in ("a.geo", "a.py") else 0), answer
    assert not (tmp_path / "stolen").exists()


def test_check_reads_the_mesh_file(carmodel, write, tmp_path):
    (tmp_path / "a.geo").write_text(CUBE + 'SystemCall "touch stolen";')
    answer = carmodel("check", write(CASE.format("a.geo")))
    assert answer.code == 2
    assert "a.geo': line 6: 'SystemCall' runs a program; accepted: " in answer.err
    assert answer.err.count("\n") == 1
    os.mkfifo(tmp_path / "pipe.geo")
    answer = carmodel("check", write(CASE.format("pipe.geo")))
    assert "is a pipe, no file" in answer.err


def test_meshes_that_are_cut_off_or_announce_too_much_are_refused(mesh_files, tmp_path):
    for name, mesh in mesh_files.items():
        whole = mesh.read_bytes()
        assert 527 < read_mesh_file(mesh).most_cells < 2000, name
        bad = tmp_path / "bad.msh"
        for share in (0.999, 0.9, 0.5, 0.1, 0.001):
            bad.write_bytes(whole[: int(share * len(whole)) - 12])
            with pytest.raises(ValueError, match=r"cut off|has no|does not start|is neither|is empty"):
                read_mesh_file(bad)
        if name in ("msh1", "msh22", "msh41"):
            section = b"$NOD\n" if name == "msh1" else b"$Nodes\n"
            at = whole.index(section) + len(section)
            start = b"5 " if name == "msh41" else b""
            bad.write_bytes(whole[:at] + start + b"999999999 1 1\n" + whole[at:])
            with pytest.raises(ValueError, match=r"announces 999999999 no.*, more than its"):
                read_mesh_file(bad)


@pytest.mark.parametrize(
    ("script", "limits", "found"),
    [
        ("x = 0;\nFor i In {0:1e12}\nx += 1;\nEndFor\n", {"SECONDS": 2.0}, "has not meshed it in 2 s"),
        ("x() = LinSpace[0, 1, 1e8];\n", {"SHARE": 0.05}, "needs more than the .*B of memory"),
    ],
    ids=["time", "memory"],
)
def test_gmsh_has_limits_of_its_own(tmp_path, monkeypatch, script, limits, found):
    (tmp_path / "a.geo").write_text(script)
    monkeypatch.setattr(meshfile, "available", lambda: 8 << 30)
    for name, value in limits.items():
        monkeypatch.setattr(meshfile, name, value)
    folder = tmp_path / "work"
    folder.mkdir()
    began = time.monotonic()
    with pytest.raises(ValueError, match=found):
        write_cut_mesh(read_mesh_file(tmp_path / "a.geo"), folder, 1)
    assert time.monotonic() - began < 60.0


STARTS_GMSH = """
import sys
from pathlib import Path
from carmodel.spaces.meshfile import read_mesh_file, write_cut_mesh
folder = Path(sys.argv[1])
write_cut_mesh(read_mesh_file(folder / "a.geo"), folder / "work", 1)
"""


def test_gmsh_ends_with_the_process_that_started_it(tmp_path):
    """However that ends: batch systems kill."""
    (tmp_path / "a.geo").write_text("For i In {0:1e12}\nx = i;\nEndFor\n")
    (tmp_path / "work").mkdir()
    with subprocess.Popen([sys.executable, "-c", STARTS_GMSH, tmp_path]) as starter:
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
        started = wait_for(lambda: [n for n in children.read_text().split() if is_limited(n)])
        starter.kill()
    assert started
    try:
        assert wait_for(lambda: not is_alive(*started))
    finally:
        if is_alive(*started):
            os.kill(int(*started), signal.SIGKILL)


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def is_limited(process):
    return "Max cpu time              unlimited" not in Path(f"/proc/{process}/limits").read_text()


def is_alive(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
