"""Measurements: speed as ratios within one run, and the figures that docs/ quotes."""

import carmodel  # noqa: F401  before PETSc: it tells the threads how to wait
