"""The paper's model with a forcing of each field, held by a field of its own that does not change.

A manufactured solution: with the right forcing any smooth fields stay as they are.
"""

from carmodel.model import Model, Species, extended
from carmodel.models import polyakov
from carmodel.models.polyakov import FIELDS, TABLE_1

#: Forcings are kept larger by this than they are: fields are not negative.
LIFT = 30.0

Fields = extended(__name__, "Fields", polyakov.Fields, *(f"F_{name}" for name in FIELDS))
Parameters = extended(__name__, "Parameters", polyakov.Parameters, "D_F")


def sources(u, p):
    """The paper's, and the forcing."""
    C, E, TA, TB, S, A, H = polyakov.sources(u, p)
    return Fields(
        C + u.F_C - LIFT,
        E + u.F_E - LIFT,
        TA + u.F_TA - LIFT,
        TB + u.F_TB - LIFT,
        S + u.F_S - LIFT,
        A + u.F_A - LIFT,
        H + u.F_H - LIFT,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    )


def sinks(u, p):
    """The paper's."""
    C, E, TA, TB, S, A, H = polyakov.sinks(u, p)
    return Fields(C, E, TA, TB, S, A, H, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


MODEL = Model(
    "forced",
    Fields,
    Parameters,
    species=polyakov.SPECIES | {f"F_{name}": Species(f"forcing of {name}", "1/day") for name in FIELDS},
    table=TABLE_1 | {"D_F": TABLE_1["D_T"]._replace(description="diffusivity of the forcing", value=0.0)},
    presets={name: Parameters(*p, D_F=0.0) for name, p in polyakov.PRESETS.items()},
    sources=sources,
    sinks=sinks,
    diffusivity={**polyakov.MODEL.diffusivity, **{f"F_{name}": "D_F" for name in FIELDS}},
    passes=polyakov.MODEL.passes,
    passing=polyakov.passing,
    slow=polyakov.slow,
    taxis=polyakov.MODEL.taxis,
    positive=polyakov.MODEL.positive,
)
