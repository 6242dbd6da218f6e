"""Files of meshes: what they may hold, and Gmsh's work on them, in a process with limits of its own."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..tools.files import MESH_BYTES, open_regular
from ..tools.memory import available, in_words
from .geo import checked_script
from .msh import announced_elements

#: Largest script that is read, in bytes.
LARGEST_SCRIPT = 4_000_000

#: Seconds that Gmsh may take, and the share of the memory that is left on the machine.
SECONDS, SHARE = 600.0, 0.8

#: Largest file that Gmsh may write, in bytes.
LARGEST_WRITTEN = 8_000_000_000

#: What the messages say beside what they found.
ACCEPTED = "a Gmsh .geo or .msh file with a volume"

# Gmsh's numbers of the elements that fill space, those of first order: tetrahedra, bricks, prisms, pyramids.
_SOLID = frozenset((b"4", b"5", b"6", b"7"))


# Set after the script, which may have set them too.
_AFTER_MERGING = """General.Verbosity = 1;
Merge "{}";
Mesh.ElementOrder = 1;
SetOrder 1;
Mesh.Format = 1;
Mesh.MshFileVersion = 2.2;
Mesh.Binary = 0;
Mesh.NbPartitions = {};
Mesh.PartitionSplitMeshFiles = 0;
"""


class MeshFile(NamedTuple):
    """What a file holds: a script of Gmsh's, checked, or "" and at most so many cells."""

    path: Path
    script: str
    most_cells: int


def read_mesh_file(path: Path) -> MeshFile:
    """Look into a `.geo` or `.msh` file.

    Raises ValueError where it cannot be read, is neither by its content, or does more than describe a mesh.
    """
    with open_regular(path, MESH_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(LARGEST_SCRIPT if size <= LARGEST_SCRIPT else 1)
        if start.startswith(b"$"):
            return MeshFile(path, "", announced_elements(file, size))
    if path.suffix == ".msh" or any(byte < 32 and byte not in b"\t\n\f\r" for byte in start):
        raise ValueError("is neither a mesh nor a script of Gmsh's")
    if size > LARGEST_SCRIPT:
        raise ValueError(f"is a script of more than {in_words(LARGEST_SCRIPT)}")
    # A byte a character: Gmsh knows no encodings.
    return MeshFile(path, checked_script(start.decode("latin-1")), 0)


def write_cut_mesh(file: MeshFile, folder: Path, ranks: int) -> tuple[Path, int]:
    """Let Gmsh make a mesh of straight cells in text of version 2, cut for so many ranks; its path and cells.

    `folder`: an empty one, for files whose names this chooses: those that people choose never reach Gmsh, which runs
    programs of some names.

    Raises ValueError where Gmsh finds an error, takes too long or too much memory, or makes no solid cells.
    """
    source = folder / ("input.geo" if file.script else "input.msh")
    if file.script:
        source.write_text(file.script, encoding="latin-1")
    else:
        source.symlink_to(file.path.resolve())
    script, mesh = folder / "mesh.geo", folder / "mesh.msh"
    script.write_text(_AFTER_MERGING.format(source.name, ranks), encoding="ascii")
    arguments = [script.name, "-3", "-nopopup", "-format", "msh2", "-smooth", "8", "-o", mesh.name]
    if ranks > 1:
        arguments += ["-part", str(ranks), "-part_ghosts"]
    _run_gmsh(arguments, folder)
    cells = _solid_cells(mesh) if mesh.is_file() else 0
    if not cells:
        raise ValueError("has no solid cells")
    return mesh, cells


def _run_gmsh(arguments: list[str], folder: Path) -> None:
    """Gmsh in a process group of its own, which ends with it.

    Raises ValueError where it finds an error or does not come to its end.
    """
    memory = int(SHARE * available())
    # The limit on all threads' time holds even if this process has been killed.
    limits = [str(memory), str(int(SECONDS * (os.cpu_count() or 1)) + 1), str(LARGEST_WRITTEN)]
    command = [sys.executable, "-I", str(Path(__file__).with_name("gmsh_process.py")), *limits, *arguments]
    # No settings of the person's, no variables that make it one of the ranks.
    environment = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS") if key in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    said = folder / "stderr"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"Gmsh has not meshed it in {SECONDS:g} s; mesh it beforehand: gmsh -3 FILE.geo -o FILE.msh"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with said.open(encoding="utf-8", errors="replace") as lines:
        # What Gmsh complains of, it leaves out, and goes on.
        found = next((line for line in lines if line.startswith("Error") or "bad_alloc" in line), "")
    if "bad_alloc" in found or "Out of memory" in found:
        raise ValueError(f"Gmsh needs more than the {in_words(memory)} of memory it may take here")
    if found:
        raise ValueError(found.removeprefix("Error").strip(" :\n"))
    if code:
        raise ValueError(f"Gmsh ended with {signal.Signals(-code).name if code < 0 else code}")


def _solid_cells(mesh: Path) -> int:
    """Solid cells in a mesh in text of version 2."""
    with mesh.open("rb") as lines:
        for line in lines:
            if line.startswith(b"$Elements"):
                break
        return sum(words[1] in _SOLID for line in lines if len(words := line.split(None, 2)) > 1)
