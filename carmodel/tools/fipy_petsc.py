"""FiPy with PETSc's solvers: it chooses them, and with them its matrices and ranks, when it is first imported."""

from .environment import environment

with environment(FIPY_SOLVERS="petsc"):
    import fipy

if fipy.solvers.solver_suite != "petsc":
    raise ImportError(
        f"FiPy was imported before carmodel and has chosen {fipy.solvers.solver_suite}; set FIPY_SOLVERS=petsc"
    )

__all__ = ["fipy"]
