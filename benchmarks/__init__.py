"""Measurements: speed as ratios within one run, and the figures that docs/ quotes."""
