"""The equations as FiPy terms: the systems are FiPy's own, and its taxis is the formula of `transport`."""

import numpy as np
import pytest
from fipy import CellVariable
from fipy.solvers.petsc import DummySolver
from scipy.sparse import csr_matrix

from carmodel.integrators.coupled import Coupled
from carmodel.model import Medium
from carmodel.models.polyakov import FIELDS, PRESETS
from carmodel.solvers.fipy_terms import TAXIS_TERMS, Equations, FaceGradient, FaceMean
from carmodel.spaces import fluxes as transport
from carmodel.spaces.mesh import adjacent_cells, distance_share, interpolation_share
from tests.meshes import MESHES, graded

P = PRESETS["normalised"]


def fipy_system(equations, f, dt):
    """Matrix and right-hand side of FiPy's own assembly of one whole equation."""
    equation = equations.equations[f]
    equation.cacheMatrix()
    equation.cacheRHSvector()
    equation.justResidualVector(dt=dt, solver=DummySolver())
    return csr(*equation.matrix.CSR), np.array(equation.RHSvector)


def csr(starts, columns, values):
    return csr_matrix((values, columns, starts), shape=(len(starts) - 1, len(starts) - 1))


@pytest.mark.parametrize("taxis", TAXIS_TERMS)
@pytest.mark.parametrize("kind", MESHES)
def test_systems_are_those_that_fipy_assembles(kind, taxis):
    """All seven, with D_C by cell, while S and A change from one comparison to the next: no stencil is stale."""
    space = MESHES[kind]()
    rng = np.random.default_rng(1)
    D_C = 0.001 + 0.02 * rng.random(space.n_local)
    p = P._replace(chi_0=1.0)
    integrator = Coupled(space, Medium(p, {"D_C": D_C}), taxis=taxis)
    systems = integrator.systems
    equations = Equations(space.mesh, Medium(p, {"D_C": D_C}), taxis=taxis)
    matrices = []
    for dt, lead in ((0.1, 1.0), (0.07, 1.5), (0.07, 1.5)):
        u, old, memory = rng.random((3, 7, space.n_local)) + 0.1
        equations.lead.setValue(lead)
        for f in range(7):
            equations.fields[f].setValue(old[f])
            equations.fields[f].updateOld()
            equations.fields[f].setValue(u[f])
            equations.memory[f].setValue(memory[f])
        systems.begin(lead / dt, lead / dt * old + memory)
        integrator._old_taxis.add(0)
        for f, name in enumerate(FIELDS):
            integrator._assemble(f, u)
            matrix, right_side = fipy_system(equations, f, dt)
            ours = csr(*systems.matrices[f].getValuesCSR())
            assert abs(ours - matrix).max() < 1e-13 * abs(matrix).max(), name
            assert systems.right_sides[f] == pytest.approx(right_side, rel=1e-13), name
        matrices.append(csr(*systems.matrices[0].getValuesCSR()))
    assert abs(matrices[1] - matrices[2]).max() > 1e-2 * abs(matrices[1]).max(), "S and A must have mattered"
    integrator.destroy()


@pytest.mark.parametrize("taxis", TAXIS_TERMS)
@pytest.mark.parametrize("kind", MESHES)
def test_taxis_of_a_face_is_the_formula_of_the_box(kind, taxis):
    """Against `transport`: no scheme has turned into upwind; FiPy rounds exponentials below a Peclet number of 1e-3."""
    space = MESHES[kind]()
    rng = np.random.default_rng(2)
    D = 0.001 + 0.02 * rng.random(space.n_local)
    equations = Equations(space.mesh, Medium(P._replace(chi_0=0.3), {"D_C": D}), taxis=taxis)
    faces = np.flatnonzero(np.asarray(space.mesh.interiorFaces))
    one, two = (cells[faces] for cells in adjacent_cells(space.mesh))
    area, distance = (np.asarray(x)[faces] for x in (space.mesh._faceAreas, space.mesh._cellDistances))
    t, share = interpolation_share(space.mesh)[faces], distance_share(space.mesh)[faces]
    assert np.all((t > 0.0) & (t < 1.0))
    assert np.all((share >= 0.0) & (share <= 1.0))
    if kind == "uniform":
        assert t == pytest.approx(0.5)
    D_face = 1.0 / ((1.0 - share) / D[two] + share / D[one])
    for S, A, C in rng.random((2, 3, space.n_local)):  # twice: the second time, nothing may be left of the first
        from_one, from_two = equations.taxis_outflow(0, {4: S, 5: A})
        ours = (from_one[faces] * C[one] + from_two[faces] * C[two]) / area
        chi = 0.3 / (1.0 + P.alpha_A * A)
        v = ((1.0 - t) * chi[one] + t * chi[two]) * (S[two] - S[one]) / distance
        peclet = np.abs(v) * distance / D_face
        assert peclet.max() > 5.0
        half = np.full_like(v, 0.5)  # FiPy's central term takes the plain mean of C, `MeshSpace` weighs by distance
        faces_of_the_box = zip(C[one], C[two], v, D_face / distance, half, strict=True)
        formula = [transport.taxis_flux(transport.TAXIS_SCHEMES[taxis], *face) for face in faces_of_the_box]
        assert np.all(np.abs(ours - formula) <= (1e-9 + 1e-4 * (peclet < 2e-3)) * np.abs(v))


def test_gradient_and_mean_on_faces_are_fipy_s_own_where_both_are_defined():
    space = graded()
    u = CellVariable(mesh=space.mesh, value=np.random.default_rng(3).random(space.n_local))
    inside = np.asarray(space.mesh.interiorFaces)
    normals = np.asarray(space.mesh.faceNormals)
    ours, theirs = ((normals * gradient.value).sum(axis=0)[inside] for gradient in (FaceGradient(u), u.faceGrad))
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert FaceMean(u, distance_share(space.mesh)).value[inside] == pytest.approx(
        u.arithmeticFaceValue.value[inside], rel=1e-12
    )
