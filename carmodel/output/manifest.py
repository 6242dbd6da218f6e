"""`manifest.json`: what made a run, on what, and what it cost."""

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
from petsc4py import PETSc

from .. import __version__
from ..simulation import Observer, Simulation
from ..spaces import BoxSpace, Space
from ..threads import thread_count

NAME = "manifest.json"


class Manifest(Observer):
    """Written on rank 0 at the start (`status` "running"), at every output and at the end."""

    def __init__(self, folder: Path, began: float) -> None:
        self._path, self._began = folder / NAME, began
        self._fixed: dict[str, Any] = {}

    def start(self, run: Simulation) -> None:
        """Collect what does not change."""
        if run.space.comm.rank == 0:
            self._fixed = _origin(run)
            self._write(run, "running")

    def output(self, run: Simulation) -> None:
        """Bring the figures up to date."""
        if run.space.comm.rank == 0:
            self._write(run, "running")

    def finish(self, run: Simulation, status: str) -> None:
        """Write the last figures."""
        if run.space.comm.rank == 0:
            self._write(run, status)

    def _write(self, run: Simulation, status: str) -> None:
        integrator = run.integrator
        seconds = {**integrator.seconds, **run.seconds, "total": perf_counter() - self._began}
        figures: dict[str, Any] = {
            "status": status,
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "t": run.t,
            "steps": run.steps,
            "outputs": run.outputs,
            "wall_seconds": {phase: round(spent, 4) for phase, spent in seconds.items()},
            **integrator.figures(),
            "events": [event.record() for event in run.events],
        }
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._fixed | figures, indent=2) + "\n", encoding="utf-8")
        os.replace(new, self._path)


def _origin(run: Simulation) -> dict[str, Any]:
    packages = ("numpy", "scipy", "numba", "mpi4py", "petsc4py", "fipy", "pyvista", "vtk", "pydantic")
    space = run.space
    return {
        "carmodel": __version__,
        "git_revision": _git_revision(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
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
        "grid": _grid(space),
    }


def _grid(space: Space) -> dict[str, Any]:
    if isinstance(space, BoxSpace):
        return {
            "kind": "box",
            "cells": list(space.cells),
            "spacing": list(space.spacing),
            "first_centre": list(space.first_centre),
            "process_grid": list(space.process_grid),
        }
    return {
        "kind": "mesh",
        "mesh": type(space.mesh).__name__,
        "cells": space.n_cells,
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    }


def _git_revision() -> str | None:
    """Revision of the checkout that carmodel runs from, with "-dirty" for changes; None for an installed package."""
    checkout = Path(__file__).parents[2]
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
