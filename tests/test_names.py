"""Outside `models/` and `paper/` no module knows a field's or a parameter's name, place or number.

The source is searched: names as text, attributes, keywords and variables, places as numbers, counts, imports of one
model.  Docstrings and comments are searched for the names that mean nothing else.
"""

import ast
import io
import re
import tokenize

import pytest

from carmodel import models
from tests.conftest import ROOT

PACKAGE = ROOT / "carmodel"
#: Folders whose subject is a model, or the paper.
OF_A_MODEL = ("models", "paper")

#: Findings that stay, by module, with the reason.
ALLOWED = {
    ("commands/cli.py", "import of paper.claims"): "`carmodel claims` judges the paper",
    ("commands/cli.py", "import of paper.analysis"): "`carmodel steady` judges the paper's propositions",
    ("commands/cli.py", "text 'S'"): "the help's name for a section",
    ("integrators/exponential.py", "number 7"): "arrays that hold a state or rates, in one piece of memory",
    ("solvers/migration.py", "attribute .D"): "a diffusivity, of whichever field",
    ("spaces/box.py", "number 7"): "a cell and its six neighbours",
    ("spaces/box.py", "prose ', 7)'"): "a cell and its six neighbours",
    ("spaces/msh.py", "number 7"): "a keyword's length",
    ("tools/codecache.py", "number 7"): "bytes of a random number",
    ("tools/memory.py", "text 'TB'"): "terabytes",
    ("tools/owner.py", "text 'S'"): "a type variable",
}

#: Modules that still hold one model's names.
LEFT = set()

MODELS = [models.named(name) for name in models.NAMES]
FIELDS = {name for model in MODELS for name in model.names}
PARAMETERS = {name for model in MODELS for name in model.parameter_names}
#: Names that mean nothing else: variables and prose are searched for these alone.
TELLING = {name for name in FIELDS | PARAMETERS if "_" in name or (len(name) > 1 and name.isupper())}


def any_of(names):
    """A pattern, the longest name first."""
    return "(?:" + "|".join(sorted(map(re.escape, names), key=lambda name: (-len(name), name))) + ")"


FIELD = any_of(FIELDS)
#: Texts that are a name, a column of a table, or several fields: "TA", "total_TA", "SAH", "C, E", "TA + TB".
TEXTS = [
    re.compile(rf"(?:(?:mean|min|max|total|clamped)_)?{any_of(FIELDS | PARAMETERS)}"),
    re.compile(rf"{FIELD}(?:[ ,+]*{FIELD})+"),
    re.compile(any_of(models.NAMES)),
]
PROSE = re.compile(rf"(?<![\w.]){any_of(TELLING)}(?![\w(])|\b[Ss]even (?:fields|equations)\b|\(7,|, 7\)")
OF_ONE_MODEL = re.compile(rf"(?:.*\.)?models\.{any_of(models.NAMES)}\b")
OF_THE_PAPER = re.compile(r"(?:.*\.)?(paper(?:\.\w+)?)")
#: What states, rates and their parts are called.
STATES = {"u", "v", "w", "y", "state", "rate", "rates", "P", "L", "production", "loss", "totals"}


def modules():
    """Files of the package that are to know no model, by their names in it."""
    files = {file.relative_to(PACKAGE).as_posix(): file for file in PACKAGE.rglob("*.py")}
    return {name: file for name, file in files.items() if not name.startswith(OF_A_MODEL)}


def docstrings(tree):
    """The texts that are statements of their own: docstrings."""
    alone = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return [node for node in alone if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def imports(node):
    """What is taken from one model's file, or from the paper."""
    match node:
        case ast.ImportFrom(module=module, names=aliases):
            taken = [f"{module or ''}.{alias.name}".lstrip(".") for alias in aliases]
        case ast.Import(names=aliases):
            taken = [alias.name for alias in aliases]
        case _:
            return
    for pattern in (OF_ONE_MODEL, OF_THE_PAPER):
        yield from (f"import of {(found[found.lastindex or 0])}" for found in map(pattern.match, taken) if found)


def names(node):
    """Names of fields, parameters and models."""
    match node:
        case ast.Constant(value=str(text)) if any(pattern.fullmatch(text) for pattern in TEXTS):
            yield f"text {text!r}"
        case ast.Attribute(attr=name) if name in FIELDS | PARAMETERS:
            yield f"attribute .{name}"
        case ast.keyword(arg=name) if name in FIELDS | PARAMETERS:
            yield f"keyword {name}="
        case ast.Name(id=name) | ast.arg(arg=name) if name in TELLING:
            yield f"variable {name}"


def places(node):
    """Places and numbers of fields."""
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(place))) if name in STATES:
            yield f"place {name}[{place}]"
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[ast.Constant(value=int(place)), *_])):
            if name in STATES:
                yield f"place {name}[{place}, ...]"
        case ast.Constant(value=7):
            yield "number 7"


def findings(text):
    """What a source holds of a model, by line."""
    tree = ast.parse(text)
    prose = docstrings(tree)
    found = [(node.lineno, what) for node in prose for what in PROSE.findall(node.value)]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found += [(token.start[0], what) for what in PROSE.findall(token.string)]
    found = [(line, f"prose {what!r}") for line, what in found]
    for node in ast.walk(tree):
        if node not in prose:
            found += [(node.lineno, what) for search in (imports, names, places) for what in search(node)]
    return sorted(set(found))


@pytest.mark.parametrize("name", modules())
def test_no_module_knows_one_model(name):
    found = [(line, what) for line, what in findings(modules()[name].read_text()) if (name, what) not in ALLOWED]
    if name not in LEFT:
        assert [f"carmodel/{name}:{line}: {what}" for line, what in found] == []


def test_what_is_allowed_is_there():
    """No exception outlives its reason."""
    found = {(name, what) for name, file in modules().items() for _, what in findings(file.read_text())}
    assert [pair for pair in ALLOWED if pair not in found and pair[0] not in LEFT] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = columns['total_TA']", "text 'total_TA'"),
        ("if name in 'SAH': pass", "text 'SAH'"),
        ("x = 'TA + TB'", "text 'TA + TB'"),
        ("x = p.K_T", "attribute .K_T"),
        ("x = u.TA", "attribute .TA"),
        ("x = p._replace(chi_0=0.0)", "keyword chi_0="),
        ("D_C = 1.0", "variable D_C"),
        ("def f(mu_0): pass", "variable mu_0"),
        ("from ..models.polyakov import PRESETS", "import of models.polyakov"),
        ("from ..models import polyakov", "import of models.polyakov"),
        ("from ..paper.steady import steady_states", "import of paper.steady"),
        ("x = u[0]", "place u[0]"),
        ("x = v[4, i]", "place v[4, ...]"),
        ("x = range(7)", "number 7"),
        ("u = np.zeros((7, n))", "number 7"),
        ('"""A state has shape (7, n)."""', "prose '(7,'"),
        ("x = 1  # counted in K_T", "prose 'K_T'"),
        ("model = named('polyakov')", "text 'polyakov'"),
    ],
)
def test_the_search_finds(source, expected):
    assert expected in [what for _, what in findings(source)]


def test_the_search_passes_over_what_is_no_model_s():
    assert (
        findings('"""Steps (eq. 7) of dt."""\nx = names[0], tuple(model.names), p.values, "clamped", 17, a["t"]\n')
        == []
    )


if __name__ == "__main__":
    for name, file in sorted(modules().items()):
        for line, what in findings(file.read_text()):
            print(f"carmodel/{name}:{line}: {what}" + (" (allowed)" if (name, what) in ALLOWED else ""))
