"""Observers that write a run: volumes, tables, profile along a line, progress, warnings, manifest."""

from .clamping import ClampingWarning
from .line import LineProfile
from .manifest import Manifest
from .progress import Progress
from .published_csv import PublishedCsv
from .series import Series
from .vtk import VtkVolumes

__all__ = ["ClampingWarning", "LineProfile", "Manifest", "Progress", "PublishedCsv", "Series", "VtkVolumes"]
