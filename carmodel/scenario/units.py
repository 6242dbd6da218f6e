"""Units of integrals over the domain."""

#: Integrals over the domain, cm^3, whose unit has a name of its own.
_INTEGRALS = {"cells/cm^3": "cells", "mg/ml": "mg", "1": "cm^3"}


def integral_unit(unit: str) -> str:
    """Unit of a field's integral over the domain.

    >>> integral_unit("cells/cm^3"), integral_unit("nmol")
    ('cells', 'nmol cm^3')
    """
    return _INTEGRALS.get(unit, f"{unit} cm^3")
