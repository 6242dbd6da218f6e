"""Wrong models are refused in one line, before anything is written or, but for the last kinds, compiled."""

import re
import sys

import pytest

from carmodel import models
from carmodel.model import MODELS
from carmodel.soundness import check
from carmodel.tools.errors import InputError
from tests.conftest import ROOT
from tests.models import twelve_fields, two_fields

#: The example of the documentation, which is sound.
TEXT = re.search(r"```python\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.DOTALL)[1]
RUN_FILE = 'model = "hypoxia_car"\n[space]\ncells = [4, 4, 4]\n[time]\nend = 0.1\n'

LOSS = "T=p.growth / p.capacity * u.T + p.killing * switched_on * u.C"
PASSES = '    passes=(("T", "C"),),\n    passing=lambda u, slow, p: {},\n    tumour=("T",),'

#: What is changed in the example, into what, and what is said.
WRONG = {
    "no file content": (TEXT, "", "MODEL = None; accepted: MODEL = Model(...)"),
    "syntax": ("def sources(u: Any", "def sources(u: Any:", "SyntaxError"),
    "exception while loading": ("TABLE = {", "1 / 0\nTABLE = {", "ZeroDivisionError: division by zero"),
    "program ends": ("TABLE = {", "raise SystemExit(0)\nTABLE = {", "SystemExit: 0"),
    "unknown name": ("sources=sources", "sources=source", "NameError: name 'source' is not defined"),
    "missing item": ("    sinks=sinks,\n", "", "TypeError"),
    "unknown item": ("    sinks=sinks,\n", "    sinks=sinks,\n    sink=sinks,\n", "TypeError"),
    "no MODEL": ("MODEL = Model", "model = Model", "MODEL = None; accepted: MODEL = Model(...)"),
    "MODEL is something else": ("MODEL = Model(", "MODEL = dict(", "accepted: MODEL = Model(...)"),
    "another name": ('name="hypoxia_car"', 'name="other"', "MODEL.name = 'other'; accepted: 'hypoxia_car'"),
    "import of another package": ("from typing", "import scipy\nfrom typing", "import of 'scipy'; accepted: carmodel"),
    "import of a neighbour": ("from typing", "from . import x\nfrom typing", "line 3: import of '.'; accepted:"),
    "fields are no named tuple": (
        "    Fields=Fields",
        "    Fields=tuple",
        "Fields = <class 'tuple'>; accepted: a class of named",
    ),
    "no fields": (
        "    C: float\n    T: float\n    H: float",
        "    pass",
        "Fields: is empty; accepted: one name or more",
    ),
    "parameters twice": ("    Parameters=Parameters,\n    species", "    Parameters=Fields,\n    species", "table: "),
    "field with a key's name": (
        "    C: float\n    T: float\n    H: float\n",
        "    C: float\n    T: float\n    tumour: float\n",
        "Fields: 'tumour' means something else",
    ),
    "field of PETSc's": (
        "    C: float\n    T: float\n    H: float\n",
        "    C: float\n    T: float\n    ksp: float\n",
        "Fields: 'ksp' is how options of PETSc begin",
    ),
    "names differ in case": (
        "    C: float\n    T: float\n    H: float\n",
        "    C: float\n    T: float\n    t_: float\n    T_: float\n",
        "names that differ by more than their case",
    ),
    "parameter with a key's name": (
        "    chi: float\n",
        "    chi: float\n    preset: float = 0.0\n",
        "Parameters: 'preset' means something else",
    ),
    "no species": ('"H": Species("hypoxia", "1")', "", "species: has no 'H'; accepted: a key for each of C, T, H"),
    "species of nothing": ('"H": Species(', '"X": Species("x", "1"), "H": Species(', "species: 'X' is not declared"),
    "species is a text": (
        '"H": Species("hypoxia", "1")',
        '"H": "hypoxia"',
        "species of H = 'hypoxia'; accepted: Species(",
    ),
    "no unit of a field": (
        'Species("hypoxia", "1")',
        'Species("hypoxia", "")',
        "species of H: unit = ''; accepted: a text",
    ),
    "no unit of a parameter": (
        'tumour", "1/day", 0.15',
        'tumour", None, 0.15',
        "table of growth: unit = None; accepted: a text",
    ),
    "no source": ('0.4, 0.1, 1.0, "assumed"', '0.4, 0.1, 1.0, " "', "table of uptake: source = ' '; accepted: a text"),
    "parameter without a row": ('    "chi": Entry(', '    "xhi": Entry(', "unexpected keyword argument 'xhi'"),
    "value outside its range": (
        "0.4, 0.1, 1.0",
        "4.0, 0.1, 1.0",
        "table of uptake: value = 4; accepted: from low = 0.1",
    ),
    "half a range": ("0.4, 0.1, 1.0", "0.4, None, 1.0", "table of uptake: low = None, high = 1.0; accepted: both"),
    "infinite value": (
        "0.4, 0.1, 1.0",
        "float('inf'), None, None",
        "table of uptake: value = inf; accepted: a finite number",
    ),
    "negative value": (
        "0.4, 0.1, 1.0",
        "-0.4, None, None",
        "table of uptake: value = -0.4; accepted: a finite number, 0 or",
    ),
    "value is a text": (
        "0.4, 0.1, 1.0",
        "'0.4', None, None",
        "table of uptake: value = '0.4'; accepted: a finite number",
    ),
    "positive is zero": (
        "0.5, 0.1, 1.0",
        "0.0, 0.0, 1.0",
        "table of K_H: value = 0, and the parameter is one of `positive`",
    ),
    "preset is a dict": (
        'presets={"assumed": Parameters(**',
        'presets={"assumed": dict(**',
        "presets: 'assumed' is a dict; accepted",
    ),
    "no preset": (
        'presets={"assumed": Parameters(**{name: entry.value for name, entry in TABLE.items()})}',
        "presets={}",
        "presets = {}; accepted",
    ),
    "preset of whole numbers": ("entry.value for name", "round(entry.value) + 1 for name", "accepted: a float, as 1.0"),
    "diffusivity is missing": (', "H": "D_H"}', "}", "diffusivity: has no 'H'; accepted: a key for each of C, T, H"),
    "diffusivity of no parameter": (
        '"H": "D_H"}',
        '"H": "D_X"}',
        "diffusivity of H: 'D_X' is not declared; accepted: D_C",
    ),
    "sources is no function": ("sources=sources", "sources=3", "sources = 3; accepted: a function"),
    "positive is not declared": ('"capacity", "K_H"}', '"capacity", "K_X"}', "positive: 'K_X' is not declared"),
    "tumour is a text": ('tumour=("T",)', 'tumour="T"', "tumour = 'T'; accepted: a tuple of names, (NAME,) for one"),
    "tumour is not declared": ('tumour=("T",)', 'tumour=("X",)', "tumour: 'X' is not declared; accepted: C, T, H"),
    "both tumour and CAR-T": ('cart=("C",)', 'cart=("T",)', "cart: 'T' is one of `tumour` as well"),
    "capacity is not declared": ('capacity="capacity"', 'capacity="K"', "capacity: 'K' is not declared"),
    "capacity may be zero": (
        'positive=frozenset({"capacity", "K_H"})',
        'positive=frozenset({"K_H"})',
        "capacity = 'capacity'; accepted: one of `positive`",
    ),
    "taxis of nothing": ('Taxis(of="C"', 'Taxis(of="X"', "taxis 0: of: 'X' is not declared"),
    "taxis along itself": ('along="H"', 'along="C"', "taxis 0: 'C' along itself; accepted: along another field"),
    "strength is not declared": ('strength="chi"', 'strength="psi"', "taxis 0: strength: 'psi' is not declared"),
    "taxis is not in a tuple": ('strength="chi"),)', 'strength="chi"))', "taxis 0 = 'C'; accepted: Taxis(of, along"),
    "sensitivity depends on more": (
        "lambda u, p: p.chi,",
        "lambda u, p: p.chi * u.T,",
        "taxis 0: sensitivity: depends on T; accepted: by = (..., 'T')",
    ),
    "strength does not switch off": (
        "lambda u, p: p.chi,",
        "lambda u, p: p.chi + 0.1,",
        "with chi = 0; accepted: 0, as strength = 'chi' says",
    ),
    "negative source": ("H=p.uptake * u.T", "H=p.uptake * u.T - 0.1 * u.H", "sources: H = -"),
    "negative sink": (LOSS, "T=-p.growth * u.T", "sinks: T = -"),
    "negative in a corner alone": ("C=p.death,", "C=p.death - 0.09 * p.killing * p.K_H + 0.11,", "sinks: C = -"),
    "infinite rate": ("u.H / (p.K_H + u.H)", "float('inf') * u.H", "accepted: a finite number"),
    "exception inside": (
        "u.H / (p.K_H + u.H)",
        "u.H / undefined",
        "NameError: name 'undefined'",
    ),
    "parameter is not declared": (
        "p.uptake * u.T",
        "p.intake * u.T",
        "sources: hypoxia_car.py, line 44: AttributeError: 'Parameters' object",
    ),
    "division by zero": ("u.H / (p.K_H + u.H)", "u.H / (u.H * p.K_H)", "ZeroDivisionError"),
    "field is not declared": ("p.uptake * u.T", "p.uptake * u.TA", "sources: hypoxia_car.py, line 44: AttributeError"),
    "too few rates": (
        "return Fields(C=0.0, T=p.growth * u.T, H=p.uptake * u.T)",
        "return 0.0, p.growth * u.T",
        "sources: gives a tuple; accepted: Fields(...)",
    ),
    "rate is missing": (
        "C=0.0, T=p.growth * u.T, ",
        "T=p.growth * u.T, ",
        "sources: hypoxia_car.py, line 44: TypeError",
    ),
    "whole number": ("Fields(C=0.0", "Fields(C=0", "sources: C is 0, no float; accepted: a float, as 0.0"),
    "text": ("Fields(C=0.0", "Fields(C='0'", "sources: C is '0', no float; accepted: a float"),
    "passes without a rate": (
        '    tumour=("T",),',
        PASSES.format("()"),
        "passing: gives 0 numbers; accepted: 1, one for each pair",
    ),
    "rate without passes": (
        '    tumour=("T",),',
        PASSES.format("(0.1,)").replace('(("T", "C"),)', "()"),
        "passing: gives 1 numbers; accepted: 0, `passes` is empty",
    ),
    "negative passing": ('    tumour=("T",),', PASSES.format("(-0.1 * u.C,)"), "passing: from T to C = -"),
    "passes to itself": (
        '    tumour=("T",),',
        PASSES.format("(0.1,)").replace('"T", "C"', '"T", "T"'),
        "accepted: from one field to another",
    ),
    "passes a triple": (
        '    tumour=("T",),',
        PASSES.format("(0.1,)").replace('"T", "C"', '"T", "C", "H"'),
        "accepted: pairs of fields",
    ),
    "slow gives a number": (
        '    tumour=("T",),',
        '    slow=lambda u, p: 1.0,\n    tumour=("T",),',
        "slow: gives a float; accepted: a tuple",
    ),
    "no arrays": (
        "u.H / (p.K_H + u.H)",
        "0.5 if u.H > p.K_H else 0.1",
        "accepted: what takes arrays, as np.exp for math.exp",
    ),
    "unsteady": (
        "from typing",
        "from itertools import count\nfrom typing",
        "gives other numbers when it is called again",
    ),
    "cannot be compiled": ("return Fields(C=0.0,", "import math as m\n    return Fields(C=0.0,", "sources: "),
}


def folder_of(tmp_path, kind):
    """A folder with the wrong model."""
    old, new, _ = WRONG[kind]
    assert TEXT.count(old) == 1, (kind, TEXT.count(old))
    text = TEXT.replace(old, new)
    if kind == "unsteady":
        text = text.replace("C=0.0", "C=float(next(NUMBER))").replace("TABLE =", "NUMBER = count()\nTABLE =")
    (tmp_path / "hypoxia_car.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_models_are_refused_in_one_line(tmp_path, kind):
    folder, known, modules = folder_of(tmp_path, kind), set(MODELS), set(sys.modules)
    with pytest.raises(InputError) as refusal:
        models.named("hypoxia_car", [folder])
    said = str(refusal.value)
    assert WRONG[kind][2] in said
    assert said.startswith(f"{folder / 'hypoxia_car.py'}: ")
    assert "\n" not in said
    assert set(MODELS) == known  # nothing of it stays
    assert not [name for name in set(sys.modules) - modules if "hypoxia_car" in name]


@pytest.mark.parametrize("kind", ["syntax", "negative sink", "no unit of a parameter", "exception inside"])
@pytest.mark.parametrize("command", ["check", "run", "sweep", "steady"])
def test_commands_refuse_them_and_write_nothing(carmodel, write, tmp_path, kind, command):
    file = write(RUN_FILE + ("[sweep]\n'time.end' = [0.1, 0.2]\n" if command == "sweep" else ""), "case.toml")
    folder, out = folder_of(tmp_path, kind), tmp_path / "out"
    where = ("--out", out) if command in ("run", "sweep") else ()
    code, said, complaint = carmodel(command, file, "--models", folder, *where)
    assert (code, said) == (2, "")
    assert complaint.count("\n") == 1
    assert complaint.startswith(f"{file}: ")
    assert f"{folder / 'hypoxia_car.py'}: " in complaint
    assert WRONG[kind][2] in complaint
    assert not out.exists()


@pytest.mark.parametrize("model", [*map(models.named, models.NAMES), two_fields.MODEL, twelve_fields.MODEL])
def test_sound_models_pass(model):
    check(model)
