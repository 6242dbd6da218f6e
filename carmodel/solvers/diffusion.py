"""Diffusion field by field: backward Euler, (I - dt div(D grad)) u = b of eq. (60), and the heat semigroup.

`KrylovDiffusion` and `HeatDiffusion` have one interface.  `jacobi.JacobiDiffusion` repeats the published program's
arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..spaces import BoxSpace, Space
from ..spaces.cosine import CosineTransform
from ..spaces.cutbox import CutBoxSpace
from ..spaces.layout import State
from ..tools.errors import NumericsError
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from .krylov import petsc_reason, prepare, solve_in_place, take_options
from .matrix import DiffusionMatrix
from .redblack import RedBlack

Array = NDArray[np.float64]

#: Negative parts up to this times sqrt(n) of a field's total are what a solver leaves of its tolerance: where b >= 0
#: and the inverse is non-negative with columns that sum to one, the error sums up to at most |r|_1 <= sqrt(n) |r|_2.
ROUNDING = 1e-11

#: dt D / h^2 from which multigrid is faster than Jacobi-preconditioned CG: docs/linear_solves.md.
MULTIGRID_FROM = 15.0

#: Multigrid that was set up for one dt serves others up to this factor away.
MULTIGRID_REACH = 1.5

#: Set up for other dt it keeps its interpolation and what it knows of the spectra, which serve up to this factor away.
MULTIGRID_LASTS = 100.0


class KrylovDiffusion(Owner):
    """A solver for each field, chosen by space and diffusivity.

    | space | D | solver |
    |---|---|---|
    | box | a number | the cosine transform: exact, without a matrix |
    | box | a field | conjugate gradients; Gauss-Seidel before and after the transform with the largest D precondition |
    | cut box | any | conjugate gradients for every second cell: `redblack` |
    | mesh | any | conjugate gradients with Jacobi or, from dt D / h^2 = 15, algebraic multigrid |

    PETSc options of a field carry its name as prefix (`-H_pc_type hypre`) and win; with any of them the first kind is
    conjugate gradients preconditioned by the transform, and a cut box is solved as a box with a field.  A Krylov solve
    leaves a defect of the size of its tolerance in the field's total; because diffusion keeps mass, the defect is given
    back to the cells in proportion to what they hold.

    `diffusivities`: for each field a number or an array (n_local,) with valid ghosts.  `iterations`, shape (fields,),
    counts Krylov iterations, a transform alone as one; `preconditioners` names what each field uses.
    """

    @destroyed_if_unfinished
    def __init__(self, space: Space, diffusivities: Sequence[float | Array], names: Sequence[str]) -> None:
        """Raises InputError when PETSc does not accept the user's options."""
        self.space, self.names = space, tuple(names)
        self.iterations = np.zeros(len(names), dtype=int)
        #: Functions of the Laplacian; None on a mesh.
        self.transform = self.adopt(CosineTransform(space)) if isinstance(space, BoxSpace) else None
        given = [key.lower() for key in PETSc.Options().getAll()]  # PETSc reads any case
        matrices: dict[float, DiffusionMatrix] = {}
        reduced: dict[float, RedBlack] = {}
        self._matrices: list[DiffusionMatrix] = []
        self._solvers: list[_Transform | _ReducedField | _Krylov] = []
        for name, D in zip(names, diffusivities, strict=True):
            shared = D if isinstance(D, float) else id(D)
            if any(key.startswith(f"{name}_".lower()) for key in given) or self.transform is None:
                self._solvers.append(self._krylov(name, D, matrices))
            elif isinstance(space, CutBoxSpace):
                if shared not in reduced:
                    reduced[shared] = self.adopt(RedBlack(space, D))
                self._solvers.append(_ReducedField(name, reduced[shared]))
            elif isinstance(D, float):
                self._solvers.append(_Transform(self.transform, D))
            else:
                self._solvers.append(self._krylov(name, D, matrices))

        #: The solvers, where all are the transform and what they move between ranks goes in one message.
        self._all_by_transform: list[_Transform] = []
        by_transform = [solver for solver in self._solvers if isinstance(solver, _Transform)]
        if len(by_transform) == len(self._solvers) and space.comm.size > 1:
            self._all_by_transform = by_transform

    def _krylov(self, name: str, D: float | Array, matrices: dict[float, DiffusionMatrix]) -> "_Krylov":
        """A PETSc solver; those of one constant diffusivity share its matrix."""
        shared = D if isinstance(D, float) else id(D)
        if shared not in matrices:
            matrices[shared] = self.adopt(DiffusionMatrix(self.space, D))
            self._matrices.append(matrices[shared])
        return self.adopt(_Krylov(name, matrices[shared], self.transform))

    def state(self) -> State:
        """What `restore` takes: which steps matrices and multigrid were made for, which rounding depends on."""
        return {
            "iterations": self.iterations.copy(),
            "matrices": [matrix.state() for matrix in self._matrices],
            "solvers": [solver.state() for solver in self._solvers],
        }

    def restore(self, state: State) -> None:
        """Solve to the digit as the one whose `state` that was; collective."""
        self.iterations[:] = state["iterations"]
        for matrix, made in zip(self._matrices, state["matrices"], strict=True):
            matrix.restore(made)
        for solver, made in zip(self._solvers, state["solvers"], strict=True):
            solver.restore(made)
        for matrix, made in zip(self._matrices, state["matrices"], strict=True):
            matrix.restore(made)  # what multigrid was made for came in between

    @property
    def preconditioners(self) -> dict[str, str]:
        """What each field uses, once it has been solved for."""
        return {name: solver.method for name, solver in zip(self.names, self._solvers, strict=True) if solver.method}

    def solve(self, u: Array, dt: float) -> None:
        """Advance all fields of the state, shape (fields, n_local), by one step of diffusion; collective.

        Raises NumericsError when a solver does not converge.
        """
        for f in range(len(self.names)):
            self.solve_field(f, self.space.owned(u[f]), dt)
        clip_rounding(self.space, u)

    def solve_fields(self, values: Array, dt: float) -> None:
        """As `solve` for all fields, given and changed as one contiguous array (fields, *owned_shape)."""
        if self._all_by_transform:
            assert self.transform is not None
            self.transform.backward_euler_of_all(values, [dt * solver.diffusivity for solver in self._all_by_transform])
            self.iterations += 1
            return
        for f, field in enumerate(values):
            self.solve_field(f, field, dt)

    def solve_field(self, f: int, values: Array, dt: float) -> None:
        """As `solve` for field number f, given and changed on this rank's own cells: a view as `space.owned` gives."""
        try:
            self.iterations[f] += self._solvers[f].solve(values, dt)
        except PETSc.Error as error:
            raise NumericsError(f"diffusion not solved: PETSc says: {petsc_reason(error)}") from None


class HeatDiffusion(Owner):
    """The heat semigroup exp(dt D Laplacian) of a box by cosine transform: no error in time, non-negative.

    `diffusivities`: a number for each field, in cm^2/day.  `iterations` and `preconditioners` as `KrylovDiffusion` has
    them.
    """

    @destroyed_if_unfinished
    def __init__(self, space: BoxSpace, diffusivities: Sequence[float], names: Sequence[str]) -> None:
        self._transform = self.adopt(CosineTransform(space))
        self._diffusivities = tuple(diffusivities)
        self.iterations = np.zeros(len(names), dtype=int)
        self.preconditioners = dict.fromkeys(names, "cosine transform")

    def state(self) -> State:
        """What `restore` takes."""
        return {"iterations": self.iterations.copy()}

    def restore(self, state: State) -> None:
        """Count on from there."""
        self.iterations[:] = state["iterations"]

    def solve_field(self, f: int, values: Array, dt: float) -> None:
        """Advance field number f, given and changed on this rank's own cells: a view as `space.owned` gives."""
        self._transform.heat(values, dt * self._diffusivities[f])
        self.iterations[f] += 1


def clip_rounding(space: Space, u: Array) -> None:
    """Set to zero what a diffusion solver's rounding left below it, and keep the totals; collective.

    Diffusion keeps fields non-negative; a solver does so up to `ROUNDING`.  Fields, shape (fields, n_local), that are
    further below zero stay as they are.
    """
    total, least, _ = space.sum_min_max(u)
    below = np.flatnonzero((least < 0.0) & (total > 0.0))
    if not below.size:
        return
    negative = np.array([-(np.minimum(space.owned(u[f]), 0.0) * space.relative_volumes).sum() for f in below])
    space.comm.Allreduce(MPI.IN_PLACE, negative, MPI.SUM)
    for f, added in zip(below, negative, strict=True):
        if added <= ROUNDING * np.sqrt(space.n_cells) * total[f]:
            space.clamp(u[f])
            space.owned(u[f])[...] *= total[f] / (total[f] + added)


class _Transform:
    """A field on a box with a constant diffusivity: exact in one application."""

    method = "cosine transform"

    def __init__(self, transform: CosineTransform, diffusivity: float) -> None:
        self.transform, self.diffusivity = transform, diffusivity

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        pass

    def solve(self, values: Array, dt: float) -> int:
        self.transform.backward_euler(values, dt * self.diffusivity)
        return 1


class _ReducedField:
    """A field on a cut box; those of one diffusivity share the system."""

    method = RedBlack.method

    def __init__(self, name: str, system: RedBlack) -> None:
        self.name, self.system = name, system

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        pass

    def solve(self, values: Array, dt: float) -> int:
        return self.system.solve(values, dt, self.name)


class _Krylov(Owner):
    """A field's PETSc solver."""

    method = ""

    @destroyed_if_unfinished
    def __init__(self, name: str, matrix: DiffusionMatrix, transform: CosineTransform | None) -> None:
        self.name, self.matrix, self.transform = name, matrix, transform
        self._dt = 0.0
        #: dt of multigrid's interpolation and of its coarse matrices, and of the matrix that these are made of.
        self._made_for = self._set_up_for = self._made_of = 0.0
        self._x, self._b = (self.adopt(matrix.space.create_vector()) for _ in range(2))
        self._ksp = self.adopt(PETSc.KSP().create(matrix.space.comm))
        self._ksp.setOptionsPrefix(f"{name}_")
        prepare(self._ksp)
        is_cut = matrix.space.outside is not None
        self._cosines = _CosinePreconditioner(transform, matrix.space) if transform else None
        if self._cosines and isinstance(matrix.diffusivity, float) and not is_cut:
            self._ksp.getPC().setType(PETSc.PC.Type.PYTHON)
            self._ksp.getPC().setPythonContext(self._cosines)
        elif self._cosines:
            self._cosines.between_gauss_seidel(self._ksp.getPC())
        else:
            self._ksp.getPC().setType(PETSc.PC.Type.JACOBI)
        take_options(self._ksp, name)

    def solve(self, values: Array, dt: float) -> int:
        """Solve in place; the number of iterations."""
        if dt != self._dt or dt != self.matrix.dt:  # fields of one diffusivity share the matrix
            self._set_up(dt)
        return solve_in_place(self.matrix.space, self._ksp, self._x, self._b, values, dt, self.name)

    def state(self) -> State:
        return {
            "dt": self._dt,
            "made_for": self._made_for,
            "set_up_for": self._set_up_for,
            "made_of": self._made_of,
            "method": self.method,
        }

    def restore(self, state: State) -> None:
        """Set up what was set up, in the same order."""
        if state["made_for"]:
            self._set_up(state["made_for"])
            self._ksp.setUp()
            if state["set_up_for"] != state["made_for"]:
                self._set_up_for = 0.0
                self._set_up(state["set_up_for"])
                self._ksp.setUp()
        if state["dt"]:
            self._set_up(state["dt"])
        self.method = state["method"]

    def _set_up(self, dt: float) -> None:
        ksp, pc = self._ksp, self._ksp.getPC()
        ksp.setOperators(self.matrix.at(dt))
        if self._cosines:
            self._cosines.dt_D = dt * self.matrix.largest
        else:
            pc.setType(PETSc.PC.Type.GAMG if self.matrix.diffusion_number >= MULTIGRID_FROM else PETSc.PC.Type.JACOBI)
            ksp.setFromOptions()
        multigrid = pc.getType() == PETSc.PC.Type.GAMG
        if not multigrid:
            self._made_for = 0.0
        elif not _near(dt, self._made_for, MULTIGRID_LASTS) or self._made_of != self.matrix.assembled_dt:
            pc.setType(PETSc.PC.Type.JACOBI)  # another type is what makes PETSc forget
            pc.setType(PETSc.PC.Type.GAMG)
            ksp.setFromOptions()
            self._made_for, self._made_of, self._set_up_for = dt, self.matrix.assembled_dt, 0.0
        keep = multigrid and _near(dt, self._set_up_for, MULTIGRID_REACH) and ksp.getType() != PETSc.KSP.Type.PREONLY
        pc.setReusePreconditioner(keep)
        if not keep:
            self._set_up_for = dt
        # A direct solve, `-ksp_type preonly`, takes no initial guess.
        ksp.setInitialGuessNonzero(ksp.getType() != PETSc.KSP.Type.PREONLY)
        self.method = f"{ksp.getType()} + {_preconditioner(pc)}"
        self._dt = dt


class _CosinePreconditioner:
    """What PETSc calls: backward Euler with a constant `dt_D`, the larger the one to be solved for."""

    def __init__(self, transform: CosineTransform, space: Space) -> None:
        self.transform, self.space = transform, space
        self._block = np.zeros(transform.shape)
        self.dt_D = 0.0

    def between_gauss_seidel(self, pc: Any) -> None:
        """Make a preconditioner of this one, with Gauss-Seidel before and after."""
        pc.setType(PETSc.PC.Type.COMPOSITE)
        pc.setCompositeType(PETSc.PC.CompositeType.SYMMETRIC_MULTIPLICATIVE)
        pc.addCompositePCType(PETSc.PC.Type.SOR)
        pc.addCompositePCType(PETSc.PC.Type.PYTHON)
        pc.getCompositePC(1).setPythonContext(self)

    def apply(self, _pc: Any, x: Any, y: Any) -> None:
        if self.space.outside is not None:
            self._block[self.space.outside] = 0.0
        self.space.take_unknowns(self._block, x.array_r)
        self.transform.backward_euler(self._block, self.dt_D)
        y.array[:] = self.space.unknowns(self._block)


def _near(dt: float, other: float, factor: float) -> bool:
    """Whether dt is at most `factor` times the other one and at least that part of it."""
    return other <= factor * dt and dt <= factor * other


def _preconditioner(pc: Any) -> str:
    kind = pc.getType()
    if kind == PETSc.PC.Type.PYTHON:
        return "cosine transform"
    return "Gauss-Seidel and cosine transform" if kind == PETSc.PC.Type.COMPOSITE else str(kind)
