"""Measurements: speed as ratios within one run, and the figures that docs/ quotes."""

import os

# As the command line has it, and before PETSc is loaded: how long threads wait between loops.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
