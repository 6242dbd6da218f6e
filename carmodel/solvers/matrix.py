"""The matrix of backward Euler for diffusion."""

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..spaces import Space
from ..spaces.layout import State
from ..tools.petsc import PETSc

Array = NDArray[np.float64]

#: A matrix is scaled to a dt at most this many times the one it was assembled for: what rounding took from its diagonal
#: grows as much.
FARTHEST = 1e3


class DiffusionMatrix:
    """V - dt V div(D grad) for one diffusivity, V the relative volumes: assembled once, then scaled to any dt.

    The PETSc matrix stays the same object, only its values change: what a preconditioner is made of (the parts of a
    composite, multigrid's finest level) keeps the first matrix that it is given.
    """

    def __init__(self, space: Space, diffusivity: float | Array) -> None:
        self.space, self.diffusivity = space, diffusivity
        #: Days that the values stand for.
        self.dt = 0.0
        #: Largest dt D / h^2.
        self.diffusion_number = 0.0
        #: Largest diffusivity.
        self.largest = 0.0
        self._matrix: Any = None
        # As it was assembled, to be scaled from; a copy from the first other dt on.
        self._assembled: Any = None
        #: Days that it was assembled for.
        self.assembled_dt = 0.0

    def at(self, dt: float) -> Any:
        """The matrix for dt, changed in place; collective."""
        if self._matrix is None or dt > FARTHEST * self.assembled_dt:
            self._assemble(dt)
        elif dt != self.dt:
            self._scale(dt / self.assembled_dt)
        self.diffusion_number = dt / self.assembled_dt * self._assembled_number
        self.dt = dt
        return self._matrix

    def state(self) -> State:
        """What `restore` takes: how it was assembled, which its rounding depends on."""
        return {"assembled_dt": self.assembled_dt, "dt": self.dt}

    def restore(self, state: State) -> None:
        """Be as the one whose `state` that was; collective."""
        for dt in (state["assembled_dt"], state["dt"]):
            if dt:
                self.at(dt)

    def _assemble(self, dt: float) -> None:
        new = self.space.diffusion_matrix(self.diffusivity, dt)
        if self._matrix is None:
            self._matrix = new
            of_cells = self.space.owned(np.broadcast_to(self.diffusivity, (self.space.n_local,)))
            self.largest = self.space.comm.allreduce(float(of_cells.max()), MPI.MAX)
        else:
            if self._assembled is not None:
                self._assembled.destroy()
            self._assembled = new
            self._scale(1.0)
        self.assembled_dt = dt
        self._assembled_number = self._measure()

    def _scale(self, ratio: float) -> None:
        if self._assembled is None:
            self._assembled = self._matrix.duplicate(copy=True)
        else:
            self._assembled.copy(self._matrix, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self._matrix.scale(ratio)
        volumes = self.space.create_vector()
        volumes.array[:] = self.space.unknowns(self.space.relative_volumes)
        volumes.scale(1.0 - ratio)
        # Also for a ratio of 1: PETSc's copy forgets that Gauss-Seidel keeps the inverse of the diagonal.
        self._matrix.setDiagonal(volumes, addv=PETSc.InsertMode.ADD_VALUES)
        volumes.destroy()

    def _measure(self) -> float:
        """dt D / h^2 from the diagonal: a cell with six neighbours has 1 + 6 dt D / h^2 there."""
        diagonal = self._matrix.getDiagonal()
        diagonal.array[:] /= self.space.unknowns(self.space.relative_volumes)
        largest = diagonal.max()[1]
        diagonal.destroy()
        return float((largest - 1.0) / 6.0)

    def destroy(self) -> None:
        """Free the matrices; collective."""
        for matrix in (self._matrix, self._assembled):
            if matrix is not None:
                matrix.destroy()
