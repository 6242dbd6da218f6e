"""Linear solves by PETSc's Krylov methods: what they are asked for, how they end, and the user's options."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spaces import Space
from ..tools.errors import InputError, NotFiniteError, NumericsError
from ..tools.petsc import PETSc

Array = NDArray[np.float64]

#: Relative residual asked of PETSc.  Below the 1e-10 that a step needs, so that runs on different numbers of ranks,
#: whose preconditioners differ, stay within 1e-10 of one another over a whole run.
RELATIVE_RESIDUAL = 1e-12

#: What a direct solve may leave, relative to its right-hand side; more is no solution.
DIRECT_RESIDUAL = 1e-8


def prepare(ksp: Any) -> None:
    """Ask conjugate gradients for `RELATIVE_RESIDUAL`."""
    ksp.setType(PETSc.KSP.Type.CG)
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    # From a sharp field and with dt D / h^2 of a million the first residual is a million times the right-hand side.
    ksp.setTolerances(rtol=RELATIVE_RESIDUAL, divtol=1e60, max_it=10_000)


def run(ksp: Any, b: Any, x: Any, name: str, dt: float) -> int:
    """Solve A x = b; the number of iterations.  The field's `name` and `dt` are for messages.  Collective.

    Raises NumericsError when the solver does not converge.
    """
    ksp.solve(b, x)
    iterations = int(ksp.getIterationNumber())
    reason = ksp.getConvergedReason()
    if reason == PETSc.KSP.ConvergedReason.DIVERGED_NANORINF:
        raise NotFiniteError(f"{name} is no longer finite")
    if reason < 0:
        raise NumericsError(
            f"diffusion of {name} not solved: PETSc reason {reason} after {iterations} iterations, residual "
            f"{ksp.getResidualNorm():.3g}, dt = {dt:g}"
        )
    return iterations


def solve_in_place(space: Space, ksp: Any, x: Any, b: Any, values: Array, dt: float, name: str) -> int:
    """Solve A new = V values for a field given and changed on this rank's own cells; the number of iterations.

    V are the relative volumes; A keeps totals, and what the solve leaves of them is given back.  `x` and `b` are
    scratch, `dt` and `name` for messages.  Collective.  Raises NumericsError when the solver does not converge.
    """
    volumes = space.unknowns(space.relative_volumes)
    x.array[:] = space.unknowns(values)
    b.array[:] = x.array * volumes
    iterations = run(ksp, b, x, name, dt)
    if ksp.getType() == PETSc.KSP.Type.PREONLY:
        _check_direct(ksp, x, b, name)
    space.take_unknowns(values, x.array)
    x.array[:] *= volumes
    defect, size = b.sum() - x.sum(), x.norm(PETSc.NormType.NORM_1)
    if size > 0.0:
        values += np.abs(values) * (defect / size)
    return iterations


def _check_direct(ksp: Any, x: Any, b: Any, name: str) -> None:
    """PETSc takes whatever a preconditioner makes of b for the solution; raises NumericsError where it is none."""
    residual = b.duplicate()
    ksp.getOperators()[0].mult(x, residual)
    residual.axpy(-1.0, b)
    left, size = residual.norm(), b.norm()
    residual.destroy()
    if left > DIRECT_RESIDUAL * size:
        raise NumericsError(
            f"diffusion of {name} not solved: PETSc options -{name}_ksp_type preonly -{name}_pc_type "
            f"{ksp.getPC().getType()} leave a residual of {left / size:.1g}; accepted: a direct solver, as lu"
        )


def take_options(solver: Any, name: str) -> None:
    """Let the user's PETSc options for a field change its solver.

    Raises InputError when PETSc does not know one of their values, or would leave the scaled system in place of ours.
    """
    given = PETSc.Options(f"{name}_")
    if given.getBool("ksp_diagonal_scale", False) and not given.getBool("ksp_diagonal_scale_fix", False):
        raise InputError(
            f"PETSc option -{name}_ksp_diagonal_scale; accepted with -{name}_ksp_diagonal_scale_fix, which puts the "
            "matrix back that the next step is made of"
        )
    try:
        solver.setFromOptions()
    except PETSc.Error as error:
        raise InputError(f"PETSc options for {name}: {petsc_reason(error)}; accepted: what PETSc knows") from None


def petsc_reason(error: Any) -> str:
    """The line of PETSc's traceback that says what is wrong."""
    lines = [line.split("] ", 1)[-1].strip() for line in str(error).splitlines()]
    reasons = [line for line in lines if line and not line.startswith(("error code", "#")) and "() at " not in line]
    return reasons[0] if reasons else lines[0]
