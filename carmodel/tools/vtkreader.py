"""Reads VTK images and grids with VTK's own readers, and says so when they complain."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .signals import held_interrupts
from .vtkheader import check_vtk

_READERS = {
    ".vti": "vtkXMLImageDataReader",
    ".pvti": "vtkXMLPImageDataReader",
    ".vtu": "vtkXMLUnstructuredGridReader",
    ".pvtu": "vtkXMLPUnstructuredGridReader",
}


def read_vtk(path: Path) -> Any:
    """A `pyvista.ImageData` from `.vti` or `.pvti`, a `pyvista.UnstructuredGrid` from `.vtu` or `.pvtu`.

    Raises ValueError, in one line, where the file is not one that VTK can read without harm, and where VTK finds
    anything wrong: VTK itself prints its complaints and goes on.
    """
    check_vtk(path)
    with held_interrupts():
        import pyvista  # takes a second to import, and most commands read no image
        from vtkmodules import vtkIOXML

    with complaints() as said:
        reader = getattr(vtkIOXML, _READERS.get(path.suffix, _READERS[".vti"]))()
        reader.SetFileName(os.fsencode(path))
        reader.Update()
    if said():
        raise ValueError("not a whole VTK file")
    return pyvista.wrap(reader.GetOutput())


@contextmanager
def complaints() -> Iterator[Callable[[], str]]:
    """Collect what VTK would print, on its window and in its log; call the result for the text."""
    from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow

    window, screen = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkOutputWindow.SetInstance(window)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)  # it logs to stderr beside the window
    try:
        yield window.GetOutput
    finally:
        vtkOutputWindow.SetInstance(screen)
        vtkLogger.SetStderrVerbosity(verbosity)
