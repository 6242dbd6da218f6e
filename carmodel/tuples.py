"""How loops over the cells are written out for a model: its fields, one cell's numbers, stay in registers.

A loop over fields inside a loop over cells would go through memory.  So the functions here are templates: each gives
the code for as many numbers as there are, without names, and numba compiles it into the loop that calls it.
The first kind finds the number in the types of its arguments; the second kind is a model's own, found by the type of
the last argument, the parameters.  Only those of the second kind can be called from plain Python too.
"""

from collections.abc import Callable, Iterable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.extending import overload, register_jitable

from .model import MODELS, Model, model_of

#: Packages whose functions numba knows itself.
_KNOWN = ("math", "numpy", "numba")


def function(arguments: str, *lines: str, **names: Any) -> Any:
    """A function from its lines; compiled functions may call it."""
    exec("\n    ".join([f"def written_out({arguments}):", *lines]), names)
    return register_jitable(names["written_out"])


def each(item: str, numbers: int | Iterable[int]) -> str:
    """`item` for f = 0, 1, ..., n - 1, or for given numbers f, a comma behind each."""
    return "".join(item.format(f=f) + ", " for f in (range(numbers) if isinstance(numbers, int) else numbers))


def inlined(plain: Callable[..., Any]) -> Any:
    """A plain function that compiled ones may call, and with it all plain functions that it calls by name."""
    seen: set[FunctionType] = set()

    def visit(function: Any) -> None:
        if not isinstance(function, FunctionType) or function in seen or function.__module__.split(".")[0] in _KNOWN:
            return
        seen.add(function)
        register_jitable(function)
        called = function.__code__.co_names
        for value in map(function.__globals__.get, called):
            visit(value)
            if isinstance(value, ModuleType) and value.__name__.split(".")[0] not in _KNOWN:
                for name in called:
                    visit(getattr(value, name, None))

    visit(plain)
    return plain


# ---- by the number of arguments' items -----------------------------------------------------------------------------


def by_types(template: Callable[..., Any]) -> Any:
    """A function whose code depends on the types of its arguments: `template` gives it."""
    made: dict[tuple[Any, ...], Any] = {}

    def called(*arguments: Any) -> Any:  # where numba does not compile: NUMBA_DISABLE_JIT
        key = tuple((type(a), len(a)) if isinstance(a, tuple) else None for a in arguments)
        if key not in made:
            made[key] = template(*arguments)
        return made[key](*arguments)

    overload(called, strict=False)(template)
    return called


@by_types
def at(rows: Any, i: Any) -> Any:
    """The fields of cell i, from a row of each."""
    Fields = getattr(rows, "instance_class", type(rows))  # of numba's type, or of the tuple itself
    return function("rows, i", f"return Fields({each('rows[{f}][i]', len(rows))})", Fields=Fields)


def _class_of(p: Any) -> Any:
    """Of a tuple, or of the one that numba's type stands for."""
    return getattr(p, "instance_class", type(p))


@by_types
def of_run(p: Any, start: Any, n: Any) -> Any:
    """Parameters of n local cells from `start` on, for `of_cell`."""
    model = MODELS[_class_of(p)]
    if _class_of(p) is not model.ByCell:
        return function("p, start, n", "return p")
    lines = [
        "table = np.empty((p.numbers.size, n))",
        "for k in range(p.numbers.size): table[k, :] = p.numbers[k]",
        "for k in range(p.places.size): table[p.places[k], :] = p.values[k, start : start + n]",
    ]
    return function("p, start, n", *lines, "return OfRun(table)", np=np, OfRun=model.OfRun)


@by_types
def of_cell(p: Any, i: Any) -> Any:
    """Parameters of cell i of a run."""
    model = MODELS[_class_of(p)]
    if _class_of(p) is not model.OfRun:
        return function("p, i", "return p")
    values = each("p.table[{f}, i]", len(model.parameter_names))
    return function("p, i", f"return Own({values})", Own=model.Parameters)


@by_types
def picked(arrays: Any, z: Any, y: Any, x: Any) -> Any:
    """The value of each array (nz, ny, nx) in one cell."""
    return function("arrays, z, y, x", f"return ({each('arrays[{f}][z, y, x]', len(arrays))})")


@by_types
def picked_at(arrays: Any, i: Any) -> Any:
    """The value of each array (cells,) in one cell."""
    return function("arrays, i", f"return ({each('arrays[{f}][i]', len(arrays))})")


@by_types
def velocity(S_left: Any, S_right: Any, chi_left: Any, chi_right: Any, weight: Any, inverse: Any) -> Any:
    """Velocity on the face between two cells, eq. (55), the sum over what is followed; `weight` is the left cell's."""
    terms = (
        f"(weight * chi_left[{k}] + (1.0 - weight) * chi_right[{k}]) * ((S_right[{k}] - S_left[{k}]) * inverse)"
        for k in range(len(S_left))
    )
    return function("S_left, S_right, chi_left, chi_right, weight, inverse", f"return {' + '.join(terms)}")


@by_types
def put(out: Any, i: Any, values: Any) -> Any:
    """Values into column i of an array (values, cells)."""
    return function("out, i, values", *(f"out[{f}, i] = values[{f}]" for f in range(len(values))), "return None")


@by_types
def put_at(rows: Any, i: Any, values: Any) -> Any:
    """Values into place i of as many rows."""
    return function("rows, i, values", *(f"rows[{f}][i] = values[{f}]" for f in range(len(values))), "return None")


@by_types
def net(P: Any, L: Any, u: Any) -> Any:
    """P - L u."""
    return function("P, L, u", f"return ({each('P[{f}] - L[{f}] * u[{f}]', len(P))})")


@by_types
def mean(a: Any, b: Any) -> Any:
    """Half of a + b."""
    return function("a, b", f"return ({each('0.5 * (a[{f}] + b[{f}])', len(a))})")


@by_types
def weighted_mean(weight: Any, a: Any, b: Any) -> Any:
    """Half of weight a + b."""
    return function("weight, a, b", f"return ({each('0.5 * (weight[{f}] * a[{f}] + b[{f}])', len(a))})")


@by_types
def shares(old: Any, predicted: Any) -> Any:
    """old / predicted, and 0 where the old value is not above 0."""
    return function("old, predicted", f"return ({each('max(old[{f}], 0.0) / max(predicted[{f}], 1e-300)', len(old))})")


# ---- by the model of the parameters, the last argument -------------------------------------------------------------


def of_model(template: Callable[[Model], Any]) -> Any:
    """A function whose code is the model's own: `template` gives it."""
    own = cache(template)

    def called(*arguments: Any) -> Any:
        return own(model_of(arguments[-1]))(*arguments)

    def find(*kinds: Any) -> Any:
        return own(MODELS[kinds[-1].instance_class])

    called.__doc__ = template.__doc__
    overload(called, strict=False)(find)
    return called


@of_model
def sources(model: Model) -> Any:
    """(u, p): production of all fields, exchange not included."""
    return inlined(model.sources)


@of_model
def sinks(model: Model) -> Any:
    """(u, p): specific loss of all fields, exchange not included."""
    return inlined(model.sinks)


@of_model
def passing(model: Model) -> Any:
    """(u, slow, p): specific rates of what passes."""
    return inlined(model.passing)


@of_model
def slow(model: Model) -> Any:
    """(u, p): the numbers that take an exponential."""
    return inlined(model.slow)


@of_model
def balance(model: Model) -> Any:
    """(u, slow, p): production and specific loss of all fields, with what passes."""
    gains, losses = ([f"{what}[{f}]" for f in range(len(model.names))] for what in "PL")
    for k, (a, b) in enumerate(model.arrows):
        gains[b] += f" + r[{k}] * u[{a}]"
        losses[a] += f" + r[{k}]"
    return function(
        "u, slow, p",
        "P, L, r = sources(u, p), sinks(u, p), passing(u, slow, p)",
        f"return Fields({', '.join(gains)}), Fields({', '.join(losses)})",
        Fields=model.Fields,
        sources=inlined(model.sources),
        sinks=inlined(model.sinks),
        passing=inlined(model.passing),
    )


@of_model
def implicit(model: Model) -> Any:
    """(u, P, L, r, h, p): v of v = u + h (P - L v + what passes at v at the rates r).

    The fields are eliminated one by one, the last first, without a subtraction (Grassmann, Taksar and Heyman 1985, doi
    10.1287/opre.33.5.1107): v >= 0, and as much arrives as leaves, whatever h.
    """
    n = len(model.names)
    lines = [f"s_{f}, b_{f} = 1.0 + h * L[{f}], u[{f}] + h * P[{f}]" for f in range(n)]
    lines += [f"c_{a}_{b} = h * r[{k}]" for k, (a, b) in enumerate(model.arrows)]
    coupled = set(model.arrows)
    back: list[str] = []
    for m in reversed(range(n)):
        out = [b for a, b in sorted(coupled) if a == m and b < m]
        into = [a for a, b in sorted(coupled) if b == m and a < m]
        lines.append(f"i_{m} = 1.0 / (s_{m}" + "".join(f" + c_{m}_{b}" for b in out) + ")")
        for a in into:
            lines += [f"q = c_{a}_{m} * i_{m}", f"s_{a} = s_{a} + q * s_{m}"]
            for b in out:
                if a != b:
                    lines.append(f"c_{a}_{b} = q * c_{m}_{b}" + (f" + c_{a}_{b}" if (a, b) in coupled else ""))
                    coupled.add((a, b))
        lines += [f"b_{b} = b_{b} + c_{m}_{b} * i_{m} * b_{m}" for b in out]
        back.insert(0, f"v_{m} = (b_{m}" + "".join(f" + c_{a}_{m} * v_{a}" for a in into) + f") * i_{m}")
    return function("u, P, L, r, h, p", *lines, *back, f"return Fields({each('v_{f}', n)})", Fields=model.Fields)


@of_model
def origins(model: Model) -> Any:
    """(values, p): for each pair of `passes` the value of the field that loses."""
    return function("values, p", f"return ({each('values[{f}]', [a for a, _ in model.arrows])})")


@of_model
def sensitivities(model: Model) -> Any:
    """(u, p): that of each taxis."""
    own = {f"chi_{k}": inlined(t.sensitivity) for k, t in enumerate(model.taxis)}
    return function("u, p", f"return ({''.join(f'{name}(u, p), ' for name in own)})", **own)


@of_model
def rows(model: Model) -> Any:
    """(v, z, y, p): the row (z, y) of each field of a state (fields, nz, ny, nx), ghosts included."""
    return function("v, z, y, p", f"return Fields({each('v[{f}, z, y]', len(model.names))})", Fields=model.Fields)


@of_model
def inner_rows(model: Model) -> Any:
    """(v, z, y, p): the same without ghosts."""
    values = each("v[{f}, z, y, 1:-1]", len(model.names))
    return function("v, z, y, p", f"return Fields({values})", Fields=model.Fields)


@of_model
def runs(model: Model) -> Any:
    """(u, start, stop, p): cells from start to stop of each field of a state (fields, cells)."""
    values = each("u[{f}, start:stop]", len(model.names))
    return function("u, start, stop, p", f"return Fields({values})", Fields=model.Fields)


@of_model
def column(model: Model) -> Any:
    """(v, i, p): the fields of cell i of a state (fields, cells)."""
    return function("v, i, p", f"return Fields({each('v[{f}, i]', len(model.names))})", Fields=model.Fields)


@of_model
def sensitivity_rows(model: Model) -> Any:
    """(chi, z, y, p): the row (z, y) of each taxis of an array (taxes, nz, ny, nx)."""
    return function("chi, z, y, p", f"return ({each('chi[{f}, z, y]', len(model.taxis))})")


@of_model
def slow_scratch(model: Model) -> Any:
    """(n, p): room for what `slow` gives for n cells."""
    return function("n, p", f"return np.empty(({model.slow_count}, n))", np=np)


@of_model
def slow_column(model: Model) -> Any:
    """(scratch, i, p): what `slow` gave for cell i."""
    return function("scratch, i, p", f"return ({each('scratch[{f}, i]', model.slow_count)})")
