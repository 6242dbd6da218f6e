"""Reads VTK images (.vti, .pvti) with VTK's own readers, and says so when they complain."""

from pathlib import Path
from typing import Any


def read_image(path: Path) -> Any:
    """A `pyvista.ImageData`.

    Raises ValueError, in one line, where VTK finds anything wrong: VTK itself prints its complaints and goes on.
    """
    import pyvista  # takes a second to import, and most commands read no image
    from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLPImageDataReader

    if not path.is_file():
        raise ValueError("no such file")
    complaints, screen = vtkStringOutputWindow(), vtkOutputWindow.GetInstance()
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkOutputWindow.SetInstance(complaints)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)  # it logs to stderr beside the window
    try:
        reader = vtkXMLPImageDataReader() if path.suffix == ".pvti" else vtkXMLImageDataReader()
        reader.SetFileName(str(path))
        reader.Update()
    finally:
        vtkOutputWindow.SetInstance(screen)
        vtkLogger.SetStderrVerbosity(verbosity)
    if complaints.GetOutput():
        raise ValueError("not a whole VTK image")
    return pyvista.wrap(reader.GetOutput())
