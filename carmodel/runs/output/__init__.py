"""Observers that write a run: volumes, tables, profile along a line, progress, warnings, manifest."""
