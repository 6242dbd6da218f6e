"""Diffusion on a box that a wall cuts, solved for every second cell.

Coloured as a chessboard, cells have neighbours of the other colour only.  Backward Euler, divided by the roots of its
diagonal, is then

    | I    -B^T | | black |   | b |
    | -B    I   | | red   | = | r |,

and (I - B^T B) black = b + B^T r is left once red = r + B black is put in (the reduced system: Hageman and Young,
Applied Iterative Methods, 1981, chapter 8).  Conjugate gradients take half the iterations that they take with Jacobi's
preconditioner, each at the cost of one product with the whole matrix, and do the same on any number of ranks.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ..spaces.cutbox import CutBoxSpace
from ..tools.compiled import compiled, compiled_for_threads
from ..tools.owner import Owner, destroyed_if_unfinished
from ..tools.petsc import PETSc
from .krylov import prepare, run

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class _Colour(NamedTuple):
    """Cells of one colour, by their places among the local cells."""

    #: All; those that are whole, with six neighbours that are whole; and those that are not.  Inner ones come first.
    cells: Integers
    inner: Integers
    edge: Integers
    #: What couples an inner cell to its neighbours along x, y, z; and an edge cell to those at x-, x+, y-, y+, z-, z+.
    uniform: Array
    coefficients: Array


@compiled
def _couple(edge: Integers, conductance: Array, steps: Integers, root: Array, out: Array) -> None:
    """Coefficients of edge cells: conductances over the roots of both diagonals; `root` is one over them."""
    for m in range(edge.size):
        i = edge[m]
        for axis in range(3):
            step = steps[axis]
            out[m, 2 * axis] = conductance[axis, i - step] * root[i] * root[i - step]
            out[m, 2 * axis + 1] = conductance[axis, i] * root[i] * root[i + step]


@compiled
def _around(w: Array, i: int, steps: Integers, uniform: Array) -> float:
    x, y, z = steps[0], steps[1], steps[2]
    along_x, along_y, along_z = w[i - x] + w[i + x], w[i - y] + w[i + y], w[i - z] + w[i + z]
    return float(uniform[0] * along_x + uniform[1] * along_y + uniform[2] * along_z)


@compiled
def _around_edge(w: Array, i: int, steps: Integers, c: Array) -> float:
    x, y, z = steps[0], steps[1], steps[2]
    along_x, along_y = c[0] * w[i - x] + c[1] * w[i + x], c[2] * w[i - y] + c[3] * w[i + y]
    return float(along_x + along_y + (c[4] * w[i - z] + c[5] * w[i + z]))


@compiled_for_threads
def _take_neighbours(w: Array, colour: _Colour, steps: Integers) -> None:
    """Cells of a colour become what their neighbours of the other one give."""
    for m in numba.prange(colour.inner.size):
        w[colour.inner[m]] = _around(w, colour.inner[m], steps, colour.uniform)
    for m in numba.prange(colour.edge.size):
        w[colour.edge[m]] = _around_edge(w, colour.edge[m], steps, colour.coefficients[m])


@compiled_for_threads
def _add_neighbours(w: Array, colour: _Colour, steps: Integers, sign: float, values: Array, out: Array) -> None:
    """out = values + sign * what their neighbours give, for the cells of a colour, inner ones first."""
    n = colour.inner.size
    for m in numba.prange(n):
        out[m] = values[m] + sign * _around(w, colour.inner[m], steps, colour.uniform)
    for m in numba.prange(colour.edge.size):
        out[n + m] = values[n + m] + sign * _around_edge(w, colour.edge[m], steps, colour.coefficients[m])


@compiled_for_threads
def _spread(w: Array, cells: Integers, values: Array) -> None:
    for m in numba.prange(cells.size):
        w[cells[m]] = values[m]


@compiled_for_threads
def _begin(u: Array, cells: Integers, weight: Array, w: Array, b: Array) -> None:
    """w and b become the right-hand side of cells, u times `weight`."""
    for m in numba.prange(cells.size):
        b[m] = u[cells[m]] * weight[cells[m]]
        w[cells[m]] = b[m]


@compiled_for_threads
def _guess(u: Array, cells: Integers, root: Array, x: Array) -> None:
    """x becomes what is solved for where the solution is u."""
    for m in numba.prange(cells.size):
        x[m] = u[cells[m]] / root[cells[m]]


@compiled
def _finish(u: Array, w: Array, cells: Integers, root: Array, inside: Array) -> tuple[float, float]:
    """u becomes the solution that w is, times `root`; what its total lacks of what it was, and the sum of its sizes."""
    lacks, size = 0.0, 0.0
    for m in range(cells.size):
        i = cells[m]
        new = w[i] * root[i]
        lacks += (u[i] - new) * inside[i]
        size += abs(new) * inside[i]
        u[i] = new
    return lacks, size


@compiled_for_threads
def _grow(u: Array, cells: Integers, part: float) -> None:
    for m in numba.prange(cells.size):
        u[cells[m]] += abs(u[cells[m]]) * part


class RedBlack(Owner):
    """Backward Euler for one diffusivity on a cut box; `solve` as of `KrylovDiffusion`'s other solvers.

    `diffusivity`: a number or an array (n_local,) with valid ghosts.
    """

    method = "cg + red-black elimination"

    @destroyed_if_unfinished
    def __init__(self, space: CutBoxSpace, diffusivity: float | Array) -> None:
        self.space = space
        self._conductance = space.conductance(diffusivity)
        rows, columns = space.ghosted_shape[1:]
        self._steps = np.array([1, columns, columns * rows])
        self._around = self._sum_of_faces()
        self._dt = 0.0
        self._root, self._weight, self._u, self._w = (space.zeros() for _ in range(4))
        self._whole = self._conductance.max(axis=(1, 2, 3), initial=0.0)
        inner = self._inner()
        parity = np.indices(space.ghosted_shape).sum(axis=0) + sum(start for start, _ in space.ranges)
        own = np.zeros(space.ghosted_shape, bool)
        space.owned(own.reshape(-1))[...] = space.own_shares > 0.0
        self._black, self._red = (self._coloured(own & (parity % 2 == colour), inner) for colour in (1, 0))
        self._of_black, self._of_red = (np.zeros(colour.cells.size) for colour in (self._black, self._red))
        size = self._of_black.size, space.comm.allreduce(self._of_black.size)
        self._x, self._b = (self.adopt(PETSc.Vec().createMPI(size, comm=space.comm)) for _ in range(2))
        context = SimpleNamespace(mult=self._multiply)
        self._matrix = self.adopt(PETSc.Mat().createPython((size, size), context=context, comm=space.comm))
        self._matrix.setUp()
        self._ksp = self.adopt(PETSc.KSP().create(space.comm))
        self._ksp.setOperators(self._matrix)
        self._ksp.getPC().setType(PETSc.PC.Type.NONE)
        self._ksp.setInitialGuessNonzero(True)
        prepare(self._ksp)

    def solve(self, values: Array, dt: float, name: str) -> int:
        """Solve in place on this rank's own cells, field `name` in messages; the number of iterations; collective.

        Raises NumericsError when the solver does not converge.
        """
        space, u, w = self.space, self._u, self._w
        if dt != self._dt:
            self._set(dt)
        space.owned(u)[...] = values
        _begin(u, self._black.cells, self._weight, w, self._of_black)
        _begin(u, self._red.cells, self._weight, w, self._of_red)
        _guess(u, self._black.cells, self._root, self._x.array)
        self._exchange()
        _add_neighbours(w, self._black, self._steps, 1.0, self._of_black, self._b.array)
        iterations = run(self._ksp, self._b, self._x, name, dt)
        _spread(w, self._black.cells, self._x.array_r)
        self._exchange()
        _take_neighbours(w, self._red, self._steps)
        w[self._red.cells] += self._of_red
        self._give_back()
        values[...] = space.owned(u)
        return iterations

    def _give_back(self) -> None:
        """Take u from w, with the total that it had."""
        colours, inside = (self._black, self._red), self.space.inside.reshape(-1)
        sums = np.sum([_finish(self._u, self._w, colour.cells, self._root, inside) for colour in colours], axis=0)
        self.space.comm.Allreduce(sums.copy(), sums)
        if sums[1] > 0.0:
            for colour in colours:
                _grow(self._u, colour.cells, sums[0] / sums[1])

    def _multiply(self, _matrix: Any, x: Any, y: Any) -> None:
        """y = (I - B^T B) x."""
        black = x.array_r
        _spread(self._w, self._black.cells, black)
        self._exchange()
        _take_neighbours(self._w, self._red, self._steps)
        self._exchange()
        _add_neighbours(self._w, self._black, self._steps, -1.0, black, y.array)

    def _exchange(self) -> None:
        if self.space.comm.size > 1:
            self.space.exchange_field(self._w)

    # ---- coefficients --------------------------------------------------------------------------------------------

    def _sum_of_faces(self) -> Array:
        """Conductances of each own cell's faces, summed; shape with ghosts, 0 there."""
        sums = np.zeros(self.space.ghosted_shape)
        own = self.space.owned(sums.reshape(-1))
        for axis, faces in enumerate(self._conductance):
            before = [slice(1, -1)] * 3
            before[2 - axis] = slice(0, -2)
            own += faces[1:-1, 1:-1, 1:-1] + faces[tuple(before)]
        return sums

    def _inner(self) -> NDArray[np.bool_]:
        """Which local cells are whole, as are all of their neighbours, and coupled to these as all others are."""
        whole = np.zeros(self.space.ghosted_shape)
        own = self.space.owned(whole.reshape(-1))
        own[...] = self.space.own_shares == 1.0
        for axis, faces in enumerate(self._conductance == self._whole[:, None, None, None]):
            before = [slice(1, -1)] * 3
            before[2 - axis] = slice(0, -2)
            own *= faces[1:-1, 1:-1, 1:-1] & faces[tuple(before)]
        self.space.renew(whole)
        inner = whole.reshape(-1) > 0.0
        for step in self._steps:
            inner[step:-step] &= (whole.reshape(-1)[2 * step :] > 0.0) & (whole.reshape(-1)[: -2 * step] > 0.0)
        return inner.reshape(whole.shape)

    def _coloured(self, cells: NDArray[np.bool_], inner: NDArray[np.bool_]) -> _Colour:
        within, edge = np.flatnonzero(cells & inner), np.flatnonzero(cells & ~inner)
        return _Colour(np.concatenate([within, edge]), within, edge, np.zeros(3), np.zeros((edge.size, 6)))

    def _set(self, dt: float) -> None:
        """Make the coefficients for dt; collective."""
        space = self.space
        diagonal = space.inside + dt * self._around
        space.renew(diagonal)
        holds = space.inside > 0.0
        root = self._root.reshape(space.ghosted_shape)
        root[...] = 0.0
        np.divide(1.0, np.sqrt(diagonal), out=root, where=holds)
        np.multiply(space.inside.reshape(-1), self._root, out=self._weight)
        of_whole = dt * self._whole
        conductance = dt * self._conductance.reshape(3, -1)
        for colour in (self._black, self._red):
            colour.uniform[:] = of_whole / (1.0 + 2.0 * of_whole.sum())
            _couple(colour.edge, conductance, self._steps, self._root, colour.coefficients)
        self._dt = dt
