"""Units of what a run writes.  They follow from the preset of its parameters."""

from .. import FIELDS

#: Presets in which densities are counted in the carrying capacity, and S, A, H in their reference levels.
NORMALISED = frozenset({"normalised"})

#: Integrals over the domain, cm^3, whose unit has a name of its own.
_INTEGRALS = {"cells/cm^3": "cells", "mg/ml": "mg", "1": "cm^3"}


def field_units(preset: str) -> dict[str, str]:
    """Unit of each field.

    >>> field_units("normalised")["C"], field_units("table1")["TA"], field_units("table1")["S"]
    ('K_T', 'cells/cm^3', 'mg/ml')
    """
    if preset in NORMALISED:
        return {field: "reference levels" if field in "SAH" else "K_T" for field in FIELDS}
    return {field: {"S": "mg/ml", "A": "mg/ml", "H": "1"}.get(field, "cells/cm^3") for field in FIELDS}


def integral_unit(unit: str) -> str:
    """Unit of a field's integral over the domain.

    >>> integral_unit("cells/cm^3"), integral_unit("K_T")
    ('cells', 'K_T cm^3')
    """
    return _INTEGRALS.get(unit, f"{unit} cm^3")
