"""`manifest.json`: what made a run, on what, and what it cost."""

import errno
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import petsc4py
from mpi4py import MPI

from ... import __version__
from ...model import Model
from ...models import source
from ...spaces import BoxSpace, Space
from ...spaces.cutbox import CutBoxSpace
from ...spaces.layout import State
from ...tools.files import replacing
from ...tools.petsc import PETSc
from ...tools.threads import thread_count
from ..directory import MANIFEST
from ..simulation import Observer, Simulation
from .clamping import remarks

#: Bytes that the manifest of a run under way keeps free at its end, and those that a file system gives at a time.
ROOM, BLOCK = 4096, 4096


class Manifest(Observer):
    """Written on rank 0 at the start (`status` "running"), after every output and at the end.

    While the run lasts, rank 0 holds a lock on the run file beside it: "running" without the lock is a run that was
    killed.  A rank that is alone with an error calls `give_up`: rank 0 does not know of it.  Of a run that goes on from
    a checkpoint, `resumed` tells when and where, and wall times count on.
    """

    def __init__(self, folder: Path, began: float, model: Model) -> None:
        self._path, self._began, self._model = folder / MANIFEST, began, model
        self._fixed: dict[str, Any] = {}
        self._started, self._spent = "", 0.0
        self._resumed: list[dict[str, Any]] = []
        self._goes_on = False

    def start(self, run: Simulation) -> None:
        """Collect what does not change."""
        if run.space.comm.rank == 0:
            self._fixed = _origin(run) | {"model": _declared(self._model)}
            if self._goes_on:
                self._resumed.append({"t": run.t, "at": self._fixed["started"], "ranks": run.space.comm.size})
                self._fixed["started"] = self._started
            self._started = self._fixed["started"]
            self._write(run, "running")

    def saved(self, run: Simulation) -> None:
        """Bring the figures up to date."""
        if run.space.comm.rank == 0:
            self._write(run, "running")

    def finish(self, run: Simulation, status: str) -> None:
        """Write the last figures."""
        if run.space.comm.rank == 0:
            self._write(run, status)

    def state(self) -> State:
        """When the run started, where it was resumed, and how long it took so far."""
        spent = self._spent + perf_counter() - self._began
        return {"started": self._started, "spent": spent, "resumed": [dict(entry) for entry in self._resumed]}

    def restore(self, state: State) -> None:
        """Count on."""
        self._started, self._spent, self._resumed = state["started"], state["spent"], list(state["resumed"])
        self._goes_on = True

    def give_up(self, reason: str) -> None:
        """Say on any rank why the run ends, unless the manifest tells of a failure already."""
        manifest = json.loads(self._path.read_text(encoding="utf-8"))
        if manifest["status"] == "running":
            self._replace(manifest | {"status": f"failed: {reason}", "updated": _now()})

    def _write(self, run: Simulation, status: str) -> None:
        integrator = run.integrator
        seconds = {**integrator.seconds, **run.seconds, "total": self._spent + perf_counter() - self._began}
        figures: dict[str, Any] = {
            "status": status,
            "updated": _now(),
            "t": run.t,
            "steps": run.steps,
            "outputs": run.outputs,
            "wall_seconds": {phase: round(spent, 4) for phase, spent in seconds.items()},
            **integrator.figures(),
            "clamped_share": dict(zip(run.names, run.clamped_share.tolist(), strict=True)),
            "warnings": [line for _, line in remarks(run).values()],
            "events": [event.record() for event in run.events],
        }
        if self._resumed:
            figures["resumed"] = self._resumed
        self._replace(self._fixed | figures)

    def _replace(self, manifest: dict[str, Any]) -> None:
        """Write it anew and whole; where the disk has no room for that, into the room that the old one takes."""
        text = json.dumps(manifest, indent=2).encode()
        if manifest["status"] == "running":  # room for what a failure and more warnings have to say
            text = text.ljust(-(-(len(text) + ROOM) // BLOCK) * BLOCK - 1)
        try:
            with replacing(self._path) as new:
                new.write(text + b"\n")
        except OSError:
            if manifest["status"] == "running":
                raise
            self._overwrite(text)

    def _overwrite(self, text: bytes) -> None:
        """In one call, so that no reader sees half of it; raises OSError where it does not fit."""
        with self._path.open("r+b", buffering=0) as file:
            room = os.fstat(file.fileno()).st_size
            if len(text) >= room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            file.write(text.ljust(room - 1) + b"\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _declared(model: Model) -> dict[str, str]:
    """The model's name and the SHA-256 of the file that declares it, which a notebook has not."""
    file = source(model)
    return {"name": model.name} | ({"sha256": file.sha256} if file else {})


def _origin(run: Simulation) -> dict[str, Any]:
    packages = ("numpy", "scipy", "numba", "mpi4py", "petsc4py", "fipy", "pyvista", "vtk", "pydantic")
    space = run.space
    return {
        "carmodel": __version__,
        "git_revision": _git_revision(),
        "started": _now(),
        "host": platform.node(),
        "pid": os.getpid(),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
            "mpi": MPI.Get_library_version().splitlines()[0].strip("\0 "),
            **{name: petsc4py.__version__ if name == "petsc4py" else version(name) for name in packages},
        },
        "ranks": space.comm.size,
        "threads": thread_count(space.n_cells),  # of each rank
        "petsc_options": dict(PETSc.Options().getAll()),
        "grid": grid(space),
    }


def grid(space: Space) -> dict[str, Any]:
    """Where the cells are."""
    if isinstance(space, BoxSpace):
        return {
            "kind": "box",
            "cells": list(space.cells),
            "spacing": list(space.spacing),
            "first_centre": list(space.first_centre),
            "process_grid": list(space.process_grid),
        } | _domain(space)
    return {
        "kind": "mesh",
        "mesh": type(space.mesh).__name__,
        "cells": space.n_cells,
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    } | ({"clipped_faces": space.points.clipped} if space.points else {})


def _domain(space: BoxSpace) -> dict[str, Any]:
    """What of a box holds something, and where that comes from; nothing of a whole box."""
    if not isinstance(space, CutBoxSpace):
        return {}
    figures = {"volume": space.whole * space.cell_volume, "cells": space.matrix_size[1], "parts": space.parts}
    return {"domain": figures | (space.tissue.record() if space.tissue else {})}


def _git_revision() -> str | None:
    """Revision of the checkout that carmodel runs from, with "-dirty" for changes; None for an installed package."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
