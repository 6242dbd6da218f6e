"""Reads a segmentation: labels of voxels, and where these lie, from NIfTI, NRRD or VTK image files.

Files are read as far as their headers say, and refused where these say too much: a small compressed file may hold
any number of bytes.
"""

import gzip
import io
import re
import zlib
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .files import VOLUME_BYTES, open_regular
from .memory import available, in_words

Array = NDArray[np.float64]

#: Share of the free memory that a file's voxels may take.
SHARE = 0.25

#: Largest header, in bytes: what stands before the voxels.
HEADER_BYTES = 1_000_000

#: Centimetres in the units of length that files or people name.
UNITS = {"m": 100.0, "cm": 1.0, "mm": 0.1, "um": 1e-4}

#: Values that a label may have.
LARGEST_LABEL = 1_000_000

_NIFTI_UNITS = {"meter": "m", "mm": "mm", "micron": "um", "unknown": "mm"}
_NRRD_UNITS = {"m": "m", "cm": "cm", "mm": "mm", "um": "um", "microns": "um", "µm": "um"}
_NRRD_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2", "unsigned short": "u2",
    "uint16": "u2", "uint16_t": "u2", "int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4", "unsigned int": "u4",
    "uint32": "u4", "uint32_t": "u4", "float": "f4", "double": "f8",
}  # fmt: skip

#: Directions of a NRRD file's axes that point the other way than those of NIfTI: right, anterior, superior.
_NRRD_SPACES = {
    "right-anterior-superior": (1.0, 1.0, 1.0), "ras": (1.0, 1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0, 1.0), "lps": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0), "las": (-1.0, 1.0, 1.0),
}  # fmt: skip


#: Ends of the names of files that say where their voxels lie.
SCANS = (".nii", ".nii.gz", ".nrrd")

#: How far beyond its outermost voxels a scan is taken to reach, in voxels: what rounding makes is less.
NEAR = 0.01


class Scan(NamedTuple):
    """Values of voxels, shape (i, j, k); `affine`, (4, 4), takes i, j, k, 1 to the centre of a voxel in cm.

    Of NIfTI and of NRRD files that tell their directions, x points right, y to the front, z up (RAS).
    """

    values: NDArray[Any]
    affine: Array
    unit: str

    @property
    def voxel(self) -> Array:
        """Edges of a voxel in cm, shape (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume(self) -> float:
        """In cm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def places(self, x: Array, y: Array, z: Array) -> Array:
        """Places in the image, in voxels, of points in cm: shape (3, ...)."""
        return places_in(self.affine, x, y, z)

    def covers(self, low: Array, high: Array) -> bool:
        """Whether all between two corners in cm, shape (3,) each, lies in its voxels; of no corners, yes."""
        if not low.size:
            return True
        corners = np.meshgrid(*zip(low, high, strict=True))
        limits = np.array(self.values.shape).reshape(3, 1, 1, 1) - 0.5 + NEAR
        places = self.places(*corners)
        return bool((places >= -0.5 - NEAR).all() and (places <= limits).all())

    def interpolated(self, x: Array, y: Array, z: Array) -> Array:
        """Values at points in cm, linear between the centres of voxels; beyond these those of the nearest."""
        return np.asarray(map_coordinates(self.values, self.places(x, y, z), order=1, mode="nearest", output=float))


def places_in(affine: Array, x: Array, y: Array, z: Array) -> Array:
    """Places in an image, in voxels, of points in cm: shape (3, ...)."""
    inverse = np.linalg.inv(affine)
    rows = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in inverse[:3]]
    return np.stack(np.broadcast_arrays(*rows))


def read_scan(path: Path, array: str, unit: str | None = None) -> Scan:
    """The voxels of a `.nii`, `.nii.gz`, `.nrrd`, `.vti` or `.pvti` file.

    `array`: which cell data of a VTK image; `unit`: of the file's lengths; what the file says unless given.

    Raises ValueError, in a few words, where the file is not one, or is too large, or has other than three dimensions.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            scan = _nifti(path, unit)
        elif name.endswith(".nrrd"):
            scan = _nrrd(path, unit)
        elif name.endswith((".vti", ".pvti")):
            scan = _vtk(path, array, unit)
        else:
            raise ValueError("is of no known kind")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError("is damaged: cannot be decompressed to its end") from None
    if not np.isfinite(scan.affine).all() or not scan.voxel_volume > 0.0:
        raise ValueError("does not say where its voxels lie: its affine has no inverse")
    return scan


def read_labels(path: Path, array: str, unit: str | None = None) -> Scan:
    """As `read_scan`, of whole numbers.  Raises ValueError where there are others."""
    scan = read_scan(path, array, unit)
    values = scan.values
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("has voxels that are not finite")
        if not (values == np.rint(values)).all():
            raise ValueError("has voxels that are no labels: no whole numbers")
    if values.size and (values.min() < -LARGEST_LABEL or values.max() > LARGEST_LABEL):
        raise ValueError(f"has labels beyond {LARGEST_LABEL}")
    return scan._replace(values=values.astype(np.int32))


def _check_size(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of the voxels; ValueError where there are none, or too many."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ValueError(f"has {len(shape)} dimensions, {' x '.join(map(str, shape))}; accepted: three")
    if min(shape) < 1:
        raise ValueError(f"has {' x '.join(map(str, shape))} voxels")
    size, most = prod(shape) * itemsize, int(SHARE * available())
    if size > most:
        raise ValueError(f"announces {in_words(size)} of voxels; at most {in_words(most)} are read here")
    return size


def _read_exactly(stream: Any, size: int) -> bytes:
    """So many bytes, the last of a file.  Raises ValueError where there are fewer or more."""
    data: bytes = stream.read(size)
    if len(data) < size:
        raise ValueError(f"announces {size} bytes of voxels and has {len(data)}")
    if stream.read(1):
        raise ValueError(f"announces {size} bytes of voxels and has more")
    return data


def _opened(file: BinaryIO) -> Any:
    """A file, decompressed if it is compressed."""
    start = file.read(2)
    file.seek(0)
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if start == b"\x1f\x8b" else file


def _nifti(path: Path, unit: str | None) -> Scan:
    import nibabel

    with open_regular(path, VOLUME_BYTES) as file:
        stream = _opened(file)
        start = stream.read(4)
        kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
        before = min(int.from_bytes(start, "little"), int.from_bytes(start, "big"))
        if before not in kinds:
            raise ValueError("is no NIfTI file")
        try:
            header = kinds[before](start + stream.read(before - 4))
            offset, shape = int(header["vox_offset"]), tuple(int(n) for n in header.get_data_shape())
            dtype, unit_of_file = header.get_data_dtype(), header.get_xyzt_units()[0]
            slope, inter = header.get_slope_inter()
            affine = np.array(header.get_best_affine(), float)
        except (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError, KeyError) as error:
            raise ValueError(f"is no NIfTI file: {str(error).splitlines()[0]}") from None
        if bytes(header["magic"])[:2] != b"n+":
            raise ValueError("has its voxels in another file; accepted: one file")
        if not before <= offset <= HEADER_BYTES:
            raise ValueError(f"says that its voxels begin at byte {offset}")
        if dtype.kind not in "iuf":
            raise ValueError(f"has voxels of type {dtype}; accepted: one number a voxel")
        size = _check_size(shape, dtype.itemsize)
        stream.read(offset - before)
        values = np.frombuffer(_read_exactly(stream, size), dtype).reshape(shape[:3], order="F")
    if slope is not None and (slope, inter) != (1.0, 0.0):
        values = values * slope + inter
    chosen = unit or _NIFTI_UNITS.get(unit_of_file, "mm")
    affine[:3] *= UNITS[chosen]
    return Scan(values, affine, chosen)


def _nrrd(path: Path, unit: str | None) -> Scan:
    import nrrd

    with open_regular(path, VOLUME_BYTES) as file:
        start = file.read(HEADER_BYTES)
        end = re.search(rb"\r?\n\r?\n", start)
        if not start.startswith(b"NRRD") or not end:
            raise ValueError("is no NRRD file with its voxels in it")
        try:
            header = nrrd.read_header(io.BytesIO(start[: end.end()]))
        except (nrrd.NRRDError, ValueError, KeyError, IndexError) as error:
            raise ValueError(f"is no NRRD file: {str(error).splitlines()[0] if str(error) else 'header'}") from None
        if "data file" in header or "datafile" in header:
            raise ValueError("has its voxels in another file; accepted: one file")
        if header.get("type") not in _NRRD_TYPES:
            raise ValueError(f"has voxels of type {header.get('type')}; accepted: one number a voxel")
        dtype = np.dtype(_NRRD_TYPES[header["type"]])
        dtype = dtype.newbyteorder(">" if header.get("endian") == "big" else "<")
        shape = tuple(int(n) for n in header.get("sizes", ()))
        size = _check_size(shape, dtype.itemsize)
        file.seek(end.end())
        encoding = header.get("encoding", "raw")
        if encoding not in ("raw", "gzip", "gz"):
            raise ValueError(f"is encoded as {encoding}; accepted: raw or gzip")
        stream: Any = file if encoding == "raw" else gzip.GzipFile(fileobj=file)
        values = np.frombuffer(_read_exactly(stream, size), dtype).reshape(shape[:3], order="F")
    affine, found = np.eye(4), ""
    directions = header.get("space directions")
    if directions is not None:
        affine[:3, :3] = np.asarray(directions, float)[:3, :3].T
    elif "spacings" in header:
        affine[:3, :3] = np.diag(np.asarray(header["spacings"], float)[:3])
    affine[:3, 3] = np.asarray(header.get("space origin", (0.0, 0.0, 0.0)), float)[:3]
    space = str(header.get("space", "")).lower()
    if space and space not in _NRRD_SPACES:
        raise ValueError(f"has the space '{space}'; accepted: {', '.join(_NRRD_SPACES)}")
    affine[:3] *= np.array(_NRRD_SPACES.get(space, (1.0, 1.0, 1.0)))[:, None]
    found = (header.get("space units") or ["mm"])[0]
    chosen = unit or _NRRD_UNITS.get(str(found).strip('"'), "mm")
    affine[:3] *= UNITS[chosen]
    return Scan(values, affine, chosen)


def _vtk(path: Path, array: str, unit: str | None) -> Scan:
    from .vtkreader import read_vtk

    image = read_vtk(path)
    if not hasattr(image, "dimensions"):
        raise ValueError("is no image")
    if array not in image.cell_data:
        raise ValueError(f"has cell data {sorted(image.cell_data.keys())}; accepted: '{array}'")
    values = np.asarray(image.cell_data[array])
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ValueError(f"'{array}' is not one number a cell")
    shape = tuple(n - 1 for n in image.dimensions)
    _check_size(shape, values.dtype.itemsize)
    affine = np.eye(4)
    turned = np.array([[image.GetDirectionMatrix().GetElement(i, j) for j in range(3)] for i in range(3)])
    affine[:3, :3] = turned * np.array(image.spacing)
    affine[:3, 3] = np.array(image.origin) + affine[:3, :3] @ (np.array(image.extent[::2]) + 0.5)
    chosen = unit or "cm"
    affine[:3] *= UNITS[chosen]
    return Scan(values.reshape(shape, order="F"), affine, chosen)
