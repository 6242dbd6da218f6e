"""CAR-T cell therapy of solid tumours in 3-D (model of Polyakov 2026, doi 10.20944/preprints202603.0742.v1)."""

__version__ = "0.1.0"

#: Order of the seven fields in every state array, table and file:
#: functional and exhausted CAR-T cells, antigen-positive and -negative tumour cells,
#: chemoattractant, immunosuppressive factor, hypoxia.
FIELDS = ("C", "E", "TA", "TB", "S", "A", "H")
