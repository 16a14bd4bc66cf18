"""NRRD and MetaImage files: the grid from their headers, the voxels through SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import check_affine
from OrthoDiffusionLib.volumes.names import shown_name
from OrthoDiffusionLib.volumes.refusals import not_a_volume, truncated, unreadable
from OrthoDiffusionLib.volumes.text_headers import read_metaimage_header, read_nrrd_header
from OrthoDiffusionLib.volumes.volume import SeriesSource, Volume


def read_nrrd(path: Path) -> Volume:
    """Read an NRRD file (.nrrd, .nhdr) whose space is RAS, LAS or LPS.

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, TRUNCATED_FILE, WRONG_DIMENSIONS, BAD_SPACING or BAD_AFFINE.
    """
    header = read_nrrd_header(path)
    return _with_voxels(path, header.shape, header.affine, "NrrdImageIO", "NRRD")


def read_metaimage(path: Path) -> Volume:
    """Read a MetaImage file (.mha, .mhd).

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, TRUNCATED_FILE, WRONG_DIMENSIONS, BAD_SPACING or BAD_AFFINE.
    """
    header = read_metaimage_header(path)
    return _with_voxels(path, header.shape, header.affine, "MetaImageIO", "MetaImage")


def _with_voxels(path: Path, shape: tuple[int, ...], affine: np.ndarray, reader_name: str, form: str) -> Volume:
    # ITK refuses singular directions and zero spacings as if the file were unreadable; this says what is wrong.
    check_affine(affine)
    _check_path(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(form, detail=type(error).__name__) from error
    if reader.GetNumberOfComponents() != 1 or "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise not_a_volume("The file holds colours, vectors or complex numbers.")
    try:
        array = sitk.GetArrayFromImage(reader.Execute()).transpose(2, 1, 0)
    except RuntimeError as error:
        raise truncated(detail=type(error).__name__) from error
    if array.shape != shape:
        raise unreadable(form, detail=f"voxels {array.shape}, header {shape}")
    return Volume(array, affine, SeriesSource(name=shown_name(path)))


def _check_path(path: Path) -> None:
    """SimpleITK ends the whole process when it is given a name that is not UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            "The file cannot be opened, for its name or that of its folder has letters of an unknown kind.",
            "Rename it with plain letters.",
            detail=type(error).__name__,
        ) from error
