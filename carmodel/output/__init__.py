"""Observers that write a run: volumes, tables, profile along a line, progress, manifest."""

from .line import LineProfile
from .manifest import Manifest
from .progress import Progress
from .published_csv import PublishedCsv
from .series import Series
from .vtk import VtkVolumes

__all__ = ["LineProfile", "Manifest", "Progress", "PublishedCsv", "Series", "VtkVolumes"]
