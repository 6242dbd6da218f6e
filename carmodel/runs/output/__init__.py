"""Observers that write a run: volumes, tables, profile along a line, progress, warnings, manifest."""

from .clamping import ClampingWarning
from .data_package import DataPackage
from .line import LineProfile
from .manifest import Manifest
from .progress import Progress
from .published_csv import PublishedCsv
from .series import Series
from .vtk import VtkVolumes

__all__ = [
    "ClampingWarning",
    "DataPackage",
    "LineProfile",
    "Manifest",
    "Progress",
    "PublishedCsv",
    "Series",
    "VtkVolumes",
]
