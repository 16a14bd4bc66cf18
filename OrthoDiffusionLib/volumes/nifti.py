"""NIfTI files: nibabel reads them, after the raw header was looked at, as nibabel mends headers without a word."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.volumes.names import shown_name
from OrthoDiffusionLib.volumes.refusals import bad_affine, bad_spacing, not_a_volume, truncated, unreadable
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume

SPACING_TOLERANCE = 0.01
"""Relative difference allowed between the header's voxel sizes and those of its affine."""

_GZIP = b"\x1f\x8b"
_NOT_PACKED = "Not a gzipped file"
"""How the message of Python's gzip starts where other bytes follow the packed ones."""

_DRAINED_BYTES = 1 << 20
_MILLIMETRES = (0, 2)
_MOST_PACKED = 1032
"""Bytes that one byte of deflated data can stand for at most (zlib's technical details)."""

_HEADERS = ((348, nibabel.Nifti1Header), (540, nibabel.Nifti2Header))


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI-1 or NIfTI-2 file (.nii, .nii.gz); packed or not is seen from its content.

    The affine is the sform where its code is set, else the qform, as nibabel and dcm2niix have it; a file with neither
    holds no orientation and is refused. Scaled intensities become float32, others keep their type.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, TRUNCATED_FILE, WRONG_DIMENSIONS, BAD_SPACING or BAD_AFFINE.
    """
    header = _raw_header(path)
    _check_shape(header)
    _check_geometry(header)
    _check_length(path, header)
    # Not `nibabel.load`, which goes by the file's name, and quotes its path where content and name disagree.
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    try:
        with _opened(path) as file:
            image: Any = kind.from_stream(file)
            affine = np.asarray(image.affine, np.float64)
            array = np.asanyarray(image.dataobj)
            if isinstance(file, gzip.GzipFile):
                _check_sum(file)
    except (EOFError, zlib.error, OSError, ValueError) as error:
        raise truncated(detail=type(error).__name__) from error
    except (nibabel.spatialimages.HeaderDataError, nibabel.filebasedimages.ImageFileError) as error:
        raise unreadable("NIfTI", detail=type(error).__name__) from error
    array = array.reshape(array.shape[:3])
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    sizes = np.asarray(header["pixdim"][1:4], np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if np.isfinite(spacing).all() and spacing.min() > 0 and np.abs(sizes / spacing - 1).max() > SPACING_TOLERANCE:
        raise bad_spacing("The file's voxel sizes contradict its affine.")
    # Native byte order, and in memory: the file may be gone (a zip's folder) when the voxels are used.
    array = np.array(array, dtype=array.dtype.newbyteorder("="))
    return Volume(array, affine, SeriesSource(name=shown_name(path)))


def _opened(path: Path) -> BufferedIOBase:
    """The file's content, unpacked where it is packed, whatever the file's name says."""
    with open(path, "rb") as file:
        zipped = file.read(2) == _GZIP
    return gzip.open(path, "rb") if zipped else open(path, "rb")


def _check_sum(file: gzip.GzipFile) -> None:
    """Read on to the end, where gzip compares its checksum: without that, a flipped bit would be other voxels.

    Raises:
        gzip.BadGzipFile, EOFError, zlib.error: when the content is damaged.
    """
    try:
        while file.read(_DRAINED_BYTES):
            pass
    except gzip.BadGzipFile as error:
        # The checksum of what came before was right by then; gzip's own tools pass over what follows, too.
        if not str(error).startswith(_NOT_PACKED):
            raise


def _raw_header(path: Path) -> Any:
    try:
        with _opened(path) as file:
            start = file.read(540)
    except (EOFError, zlib.error) as error:
        raise truncated(detail=type(error).__name__) from error
    except OSError as error:
        raise unreadable("NIfTI", detail=type(error).__name__) from error
    for size, kind in _HEADERS:
        for endianness in ("<", ">"):
            if start[:4] == np.array(size, f"{endianness}i4").tobytes():
                if len(start) < size:
                    raise truncated(detail="the header is cut off")
                return kind(start[:size], endianness=endianness, check=False)
    raise unreadable("NIfTI")


def _check_shape(header: Any) -> None:
    count = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : count + 1]] if 1 <= count <= 7 else []
    if count < 3 or any(size != 1 for size in sizes[3:]):
        raise not_a_volume(f"The file holds an image of {len(sizes) or 'an unknown number of'} dimensions.")
    if min(sizes) < 1:
        raise unreadable("NIfTI", detail=f"dimensions {sizes}")
    try:
        kind = header.get_data_dtype()
    except nibabel.spatialimages.HeaderDataError as error:
        raise unreadable("NIfTI", detail=type(error).__name__) from error
    if kind.kind not in "iuf":
        raise not_a_volume("The file holds colours or complex numbers.")


def _check_length(path: Path, header: Any) -> None:
    """Before memory is taken for what the header promises."""
    promised = math.prod(int(size) for size in header["dim"][1:4]) * header.get_data_dtype().itemsize
    with open(path, "rb") as file:
        packed = _MOST_PACKED if file.read(2) == _GZIP else 1
    if promised > packed * path.stat().st_size:
        raise truncated(detail=f"{promised} bytes promised")


def _check_geometry(header: Any) -> None:
    sizes: npt.NDArray[np.float64] = np.asarray(header["pixdim"][1:4], np.float64)
    if not (np.isfinite(sizes).all() and sizes.min() > 0):
        raise bad_spacing("The file gives a voxel size that is zero, negative or not a number.")
    if int(header["xyzt_units"]) & 7 not in _MILLIMETRES:
        raise bad_spacing("The file gives its voxel sizes in another unit than millimetres.")
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        raise bad_affine("The file does not say how the volume lies in the patient (sform and qform codes are 0).")
