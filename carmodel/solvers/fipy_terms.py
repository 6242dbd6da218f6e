"""Eqs (1)-(8) as FiPy terms on any FiPy mesh: what is solved, for `integrators.coupled` to solve.

What FiPy 4.0 does that the equations depend on:

- No constraint is set, so no flux leaves through a wall; convection terms take interior faces only.
- The gradient normal to a face is (u_2 - u_1) / distance between the two cells' points: consistent where the line
  between them is normal to the face, as in boxes, and on tetrahedra with the points of `spaces.circumcentres`.
- `arithmeticFaceValue` and `harmonicFaceValue` weigh the two cells by the distance of one of them only.  Where the line
  between the centres misses the face's centre the result depends on which cell comes first, hence on the partition:
  `FaceMean` weighs by both.
- The weights of a convection term come from the diffusion term of the same equation; alone, it would be upwind.  They
  are made once: they follow the fields, but would not follow a diffusivity that changes in time.
"""

from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Medium
from ..spaces.mesh import adjacent_cells, distance_share, interpolation_share
from ..tools.fipy_petsc import fipy
from ..tuples import balance, slow

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: FiPy's convection term for each taxis scheme of `fluxes.TAXIS_SCHEMES`.
TAXIS_TERMS = {
    "central": fipy.CentralDifferenceConvectionTerm,
    "upwind": fipy.UpwindConvectionTerm,
    "scharfetter-gummel": fipy.ExponentialConvectionTerm,
}

#: Least diffusivity of a face that taxis crosses, in cm^2/day: FiPy's Peclet number of a face without flow and
#: diffusion would be 0/0.
LEAST_FACE_DIFFUSIVITY = 1e-30


class FaceMean(fipy.FaceVariable):
    """Mean of the two cells of each face, linear between them; FiPy's `arithmeticFaceValue` on boxes.

    `share`: weight of cell 2, shape (faces,).
    """

    def __init__(self, var: Any, share: Array) -> None:
        super().__init__(mesh=var.mesh)
        self.var = self._requires(var)
        self._cells, self._share = adjacent_cells(var.mesh), share

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


def _on_faces(values: Any) -> Any:
    """The mean of a variable; a number is the same everywhere."""
    return FaceMean(values, interpolation_share(values.mesh)) if isinstance(values, fipy.CellVariable) else values


class Equations:
    """The fields of a model and their equations, in the model's order.

    `equations[f]` is a FiPy equation for `fields[f]` that `sweep(dt=...)` would solve.  Its time derivative is
    (lead (u - u.old)) / dt - memory[f]: backward Euler with lead = 1 and memory = 0, and any other two-step formula.

    Parameters
    ----------
    mesh: FiPy mesh, serial or partitioned.
    medium: a model's parameters, and diffusivities by cell, valid in overlapping cells; faces take the harmonic mean.
    taxis: "central", "upwind" or "scharfetter-gummel".

    Raises ValueError for another name of a taxis scheme.
    """

    def __init__(self, mesh: Any, medium: Medium, *, taxis: str = "central") -> None:
        if taxis not in TAXIS_TERMS:
            raise ValueError(f"taxis: {taxis!r} is unknown; accepted: {', '.join(TAXIS_TERMS)}")
        p, model = medium.local, medium.model
        self.mesh = mesh
        self.fields = model.Fields(*(fipy.CellVariable(mesh=mesh, name=name, hasOld=True) for name in model.names))
        self.lead = fipy.Variable(1.0)
        self.memory = tuple(fipy.CellVariable(mesh=mesh, name=f"memory of {name}") for name in model.names)
        u = self.fields
        # Where a field moves, FiPy must know the diffusivity on faces to make the convection term's weights.
        self._diffusivities = tuple(
            self._face_diffusivity(D) if f in model.movers or not isinstance(D, float) else D
            for f, D in enumerate(medium.diffusivities)
        )
        velocities = [_on_faces(t.sensitivity(u, p)) * FaceGradient(getattr(u, t.along)) for t in model.taxis]
        #: The term of taxis of each field that moves, by the field's place.
        self.taxis = {
            f: TAXIS_TERMS[taxis](coeff=reduce(add, (velocities[k] for k in numbers)), var=u[f])
            for f, numbers in model.movers.items()
        }
        P, L = balance(u, slow(u, p), p)
        self.equations = tuple(
            # u_t + div(taxis) = div(D grad u) + P - L u
            self._left_side(f)
            == self._diffusion(f) + P[f] - fipy.ImplicitSourceTerm(coeff=L[f], var=u[f]) + self.memory[f]
            for f in range(len(u))
        )
        # FiPy's own call when it builds an equation; the variables that it returns follow the fields from then on.
        self._taxis_on_faces = {}
        for f, term in self.taxis.items():
            equation, moves = self.equations[f], u[f]
            weights = term._getWeight(
                moves, equation._getTransientGeomCoeff(moves), equation._getDiffusionGeomCoeff(moves)
            )
            self._taxis_on_faces[f] = term._getCoeffMatrix_(moves, weights["implicit"])

    def _left_side(self, f: int) -> Any:
        derivative = fipy.TransientTerm(coeff=self.lead, var=self.fields[f])
        return derivative + self.taxis[f] if f in self.taxis else derivative

    def _face_diffusivity(self, D: Array | float) -> Any:
        """Harmonic mean: the resistances of the two cells in series, infinite where one of them is.

        Cell 1 has the share of the distance that cell 2 has in linear interpolation.
        """
        least = LEAST_FACE_DIFFUSIVITY
        on_cells = np.maximum(fipy.CellVariable(mesh=self.mesh, value=D).value, least)
        resistance = FaceMean(fipy.CellVariable(mesh=self.mesh, value=1.0 / on_cells), 1.0 - distance_share(self.mesh))
        return fipy.FaceVariable(mesh=self.mesh, value=np.maximum(1.0 / resistance.value, least))

    def _diffusion(self, f: int) -> Any:
        return fipy.DiffusionTerm(coeff=self._diffusivities[f], var=self.fields[f])

    def taxis_outflow(self, f: int, fields: dict[int, Array]) -> tuple[Array, Array]:
        """Flux of taxis of field f from cell 1 to cell 2 of each face, as factors of its values there, in cm^3/day.

        Shapes (faces,); cells 1 and 2 are those of `adjacent_cells`.  `fields`: those that the velocity depends on,
        shape (n_local,), valid in overlapping cells.
        """
        for place, values in fields.items():
            self.fields[place].setValue(values)
        on_faces = self._taxis_on_faces[f]
        return on_faces["cell 1 diag"].value, on_faces["cell 1 offdiag"].value

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
