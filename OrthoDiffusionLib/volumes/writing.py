"""Writing label maps and volumes as NIfTI, on exactly the grid they were made on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import nibabel
import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError, is_disk_full
from OrthoDiffusionLib.volumes.volume import Volume

SCANNER_CODE = 1
"""NIFTI_XFORM_SCANNER_ANAT: the affine leads to the scanner's own patient coordinates."""


def write_labels(path: Path, labels: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Write a label map as NIfTI int16, with sform and qform set.

    Args:
        path: .nii or .nii.gz; replaced when it exists, and only once the whole file is written.
        labels: whole numbers within int16, shape (i, j, k).
        affine: (4, 4), voxel index to RAS in mm; kept to the float32 precision of the format.

    Raises:
        OrthoDiffusionError: DISK_FULL or OUTPUT_NOT_WRITABLE.
    """
    stored = labels.astype(np.int16)
    if not np.array_equal(stored, labels):
        raise ValueError("labels must be whole numbers within int16")
    _write(path, stored, affine)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume as NIfTI in its own data type; nothing of its source is written.

    Args:
        path: .nii or .nii.gz; replaced when it exists, and only once the whole file is written.
        volume: checked.

    Raises:
        OrthoDiffusionError: DISK_FULL or OUTPUT_NOT_WRITABLE.
    """
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    _write(path, array, volume.affine)


def _write(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine, SCANNER_CODE)
    image.set_qform(affine, SCANNER_CODE)
    image.header.set_xyzt_units("mm")
    suffix = ".nii.gz" if path.name.endswith(".nii.gz") else ".nii"
    # Not by `mkstemp`, whose files nobody but their owner may read, whatever the umask.
    partial = path.with_name(f".partial-{uuid4().hex}{suffix}")
    try:
        nibabel.save(image, partial)
        partial.replace(path)
    except OSError as error:
        if is_disk_full(error):
            raise OrthoDiffusionError(
                ErrorKind.DISK_FULL, "The disk is full.", "Free some space or choose another output folder."
            ) from error
        raise OrthoDiffusionError(
            ErrorKind.OUTPUT_NOT_WRITABLE,
            "The result cannot be written there.",
            "Choose an output folder that exists and that you may write to.",
            detail=str(error),
        ) from error
    finally:
        # Where its folder is none, it cannot even be looked for.
        with suppress(OSError):
            partial.unlink()
