"""Eqs (1)-(8) as FiPy terms on any FiPy mesh: what is solved, for `integrators.coupled` to solve.

What FiPy 4.0 does that the equations depend on:

- No constraint is set, so no flux leaves through a wall; convection terms take interior faces only.
- The gradient normal to a face is (u_2 - u_1) / distance between the two centres: conservative everywhere, consistent
  where the line between the centres is normal to the face, as in boxes; on tetrahedra as far as it nearly is.
- `arithmeticFaceValue` and `harmonicFaceValue` weigh the two cells by the distance of one of them only.  Where the line
  between the centres misses the face's centre the result depends on which cell comes first, hence on the partition:
  `FaceMean` weighs by both.
- The weights of a convection term come from the diffusion term of the same equation; alone, it would be upwind.  They
  are made once: they follow S and A, but would not follow a D_C that changes in time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import FIELDS
from .fipy_petsc import fipy
from .kinetics import antigen_recovery, chemotactic_sensitivity, production_and_loss
from .parameters import Parameters
from .spaces.mesh import adjacent_cells, distance_share

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: FiPy's convection term for each taxis scheme of `transport.TAXIS_SCHEMES`.
TAXIS_TERMS = {
    "central": fipy.CentralDifferenceConvectionTerm,
    "upwind": fipy.UpwindConvectionTerm,
    "scharfetter-gummel": fipy.ExponentialConvectionTerm,
}

#: Least D_C of a face, in cm^2/day: FiPy's Peclet number of a face without flow and diffusion would be 0/0.
LEAST_FACE_DIFFUSIVITY = 1e-30


class FaceMean(fipy.FaceVariable):
    """Mean of the two cells of each face, linear between their centres; FiPy's `arithmeticFaceValue` on boxes."""

    def __init__(self, var: Any) -> None:
        super().__init__(mesh=var.mesh)
        self.var = self._requires(var)
        self._cells, self._share = adjacent_cells(var.mesh), distance_share(var.mesh)

    def _calcValue(self) -> Array:
        one, two = (self.var.value[cells] for cells in self._cells)
        return np.asarray(one + self._share * (two - one))


class FaceGradient(fipy.FaceVariable):
    """Gradient across each face, (u_2 - u_1) / distance along its normal, as a vector.

    That is all of FiPy's `faceGrad` that a flux takes up; its part along the face would double the cost of eq. (1).
    """

    def __init__(self, var: Any) -> None:
        super().__init__(mesh=var.mesh, rank=1)
        self.var = self._requires(var)
        self._cells = adjacent_cells(var.mesh)
        self._per_difference = np.asarray(var.mesh._orientedFaceNormals) / np.asarray(var.mesh._cellDistances)

    def _calcValue(self) -> Array:
        one, two = (self.var.value[cells] for cells in self._cells)
        return np.asarray(self._per_difference * (two - one))


class Equations:
    """The seven fields and their equations, in the order of `FIELDS`.

    `equations[f]` is a FiPy equation for `fields[f]` that `sweep(dt=...)` would solve.  Its time derivative is
    (lead (u - u.old)) / dt - memory[f]: backward Euler with lead = 1 and memory = 0, and any other two-step formula.

    Parameters
    ----------
    mesh: FiPy mesh, serial or partitioned.
    parameters: values of eqs (1)-(8).
    D_C: diffusivity of C by cell in cm^2/day, shape (n_local,), valid in overlapping cells; faces take the harmonic
        mean.  `parameters.D_C` everywhere unless given.
    taxis: "central", "upwind" or "scharfetter-gummel".

    Raises ValueError for another name of a taxis scheme.
    """

    def __init__(self, mesh: Any, parameters: Parameters, *, D_C: Array | None = None, taxis: str = "central") -> None:
        if taxis not in TAXIS_TERMS:
            raise ValueError(f"taxis: {taxis!r} is unknown; accepted: {', '.join(TAXIS_TERMS)}")
        p = parameters
        self.mesh = mesh
        self.fields = tuple(fipy.CellVariable(mesh=mesh, name=name, hasOld=True) for name in FIELDS)
        self.lead = fipy.Variable(1.0)
        self.memory = tuple(fipy.CellVariable(mesh=mesh, name=f"memory of {name}") for name in FIELDS)
        C, E, TA, TB, S, A, H = self.fields
        mC, mE, mTA, mTB, mS, mA, mH = self.memory

        # Eq. (8) and the reactions of eqs (1)-(7): R = P - L u.
        (PC, PE, PTA, PTB, PS, PA, PH), (LC, LE, LTA, LTB, LS, LA, LH) = production_and_loss.py_func(
            C, E, TA, TB, S, A, H, antigen_recovery.py_func(C, p), p
        )
        chi = chemotactic_sensitivity.py_func(A, p)
        self.taxis = TAXIS_TERMS[taxis](coeff=FaceMean(chi) * FaceGradient(S), var=C)
        self._diffusivities = (self._face_diffusivity(p.D_C if D_C is None else D_C), *p.diffusivities[1:])
        dC, dE, dTA, dTB, dS, dA, dH = map(self._diffusion, range(len(FIELDS)))

        def ddt(u: Any) -> Any:
            return fipy.TransientTerm(coeff=self.lead, var=u)

        def loss(coefficient: Any, u: Any) -> Any:
            return fipy.ImplicitSourceTerm(coeff=coefficient, var=u)

        self.equations = (
            ddt(C) + self.taxis == dC + PC - loss(LC, C) + mC,  # (1)
            ddt(E) == dE + PE - loss(LE, E) + mE,  # (2)
            ddt(TA) == dTA + PTA - loss(LTA, TA) + mTA,  # (3)
            ddt(TB) == dTB + PTB - loss(LTB, TB) + mTB,  # (4)
            ddt(S) == dS + PS - loss(LS, S) + mS,  # (5)
            ddt(A) == dA + PA - loss(LA, A) + mA,  # (6)
            ddt(H) == dH + PH - loss(LH, H) + mH,  # (7)
        )
        # FiPy's own call when it builds eq. (1); the variables that it returns follow S and A from then on.
        equation = self.equations[0]
        weights = self.taxis._getWeight(C, equation._getTransientGeomCoeff(C), equation._getDiffusionGeomCoeff(C))
        self._taxis_on_faces = self.taxis._getCoeffMatrix_(C, weights["implicit"])

    def _face_diffusivity(self, D: Array | float) -> Any:
        """Harmonic mean: the resistances of the two cells in series, infinite where one of them is."""
        least = LEAST_FACE_DIFFUSIVITY
        on_cells = np.maximum(fipy.CellVariable(mesh=self.mesh, value=D).value, least)
        resistance = FaceMean(fipy.CellVariable(mesh=self.mesh, value=1.0 / on_cells))
        return fipy.FaceVariable(mesh=self.mesh, value=np.maximum(1.0 / resistance.value, least))

    def _diffusion(self, f: int) -> Any:
        return fipy.DiffusionTerm(coeff=self._diffusivities[f], var=self.fields[f])

    def taxis_outflow(self, S: Array, A: Array) -> tuple[Array, Array]:
        """Flux of taxis from cell 1 to cell 2 of each face, as factors of C in cell 1 and in cell 2, in cm^3/day.

        Shapes (faces,); cells 1 and 2 are those of `adjacent_cells`.  `S` and `A`: shape (n_local,), valid in
        overlapping cells.
        """
        self.fields[4].setValue(S)
        self.fields[5].setValue(A)
        return self._taxis_on_faces["cell 1 diag"].value, self._taxis_on_faces["cell 1 offdiag"].value

    def diffusion_rows(self, f: int) -> tuple[Integers, Integers, Array, Integers]:
        """div(D grad) of field f over its cells, integrated (cm^3/day), as FiPy assembles it; collective.

        Returns `row_starts`, `columns`, `values` of this rank's rows as in a CSR matrix with global columns, and the
        global numbers of the rank's overlapping cells in the order of the mesh.
        """
        term = self._diffusion(f)
        term.cacheMatrix()
        term.justResidualVector(solver=fipy.solvers.petsc.DummySolver())
        matrix = term.matrix
        row_starts, columns, values = matrix.CSR
        overlapping = np.array(matrix._m2m.ghosts, dtype=int)
        # Here and not by the garbage collector, which may come at any time on any rank.
        matrix._ao.destroy()
        matrix.matrix.destroy()
        return row_starts, columns, values, overlapping
