"""Label maps of real knees on disk: found, read, and named by what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.folder_walk import RESULT_IMAGES, RESULT_MARK
from OrthoDiffusionLib.volumes.label_values import LabelValues
from OrthoDiffusionLib.volumes.reading import read_series
from OrthoDiffusionLib.volumes.segment_names import by_segment_names
from OrthoDiffusionLib.volumes.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Of the files that a folder is searched for."""

CORRECTED = "segmentation.seg.nrrd"
"""Of a result's images, the one that people correct."""


def find_label_maps(paths: Sequence[Path]) -> list[Path]:
    """The files of label maps at some paths: files as they are, and a folder's and its subfolders' sorted by path.

    Hidden files and those in hidden folders are left out: a Mac leaves one beside every file that it copies. Of a
    result of `orthodiffusion run` the segmentation is taken alone, the file that Slicer shows and saves corrections to.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY for a folder without label maps.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if _may_be_label_map(file, path))
        if not inside:
            raise OrthoDiffusionError(
                ErrorKind.EMPTY_STUDY,
                "The folder holds no label maps.",
                "Give a folder with NIfTI, NRRD or MetaImage files.",
                detail=str(path),
            )
        found += inside
    return found


def _may_be_label_map(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    if hidden or not file.name.lower().endswith(SUFFIXES) or not file.is_file():
        return False
    of_result = file.name in RESULT_IMAGES and (file.parent / RESULT_MARK).exists()
    return not of_result or file.name == CORRECTED


def read_label_map(path: Path, values: LabelValues | None = None) -> Volume:
    """A knee's label map from a file; the values of a segmentation of Slicer are told by its segments' names.

    Args:
        path: of the file.
        values: what its values stand for, unless its segments have names; None for the knee's own labels.

    Raises:
        OrthoDiffusionError: BAD_LABEL_MAP for values that are no whole numbers or, where `values` are given, are not
            named there, and for segments that are no structure of the knee; what reading a series raises.
    """
    volumes = read_series(path)
    if len(volumes) != 1:
        raise unusable("The file holds several volumes.")
    volume = volumes[0]
    if not np.array_equal(volume.array, np.rint(volume.array)):
        raise unusable("The volume holds values that are no labels.")
    named = by_segment_names(volume, path, load_joint("knee").structures)
    if named is not volume:
        return named
    if values is not None:
        return values.applied(volume)
    largest = float(volume.array.max())
    if largest > np.iinfo(np.int16).max:
        # As 16 bits it would be another number, and perhaps a label.
        raise unusable(f"The value {largest:.0f} is no label of the knee.")
    return Volume(volume.array.astype(np.int16), volume.affine, volume.source)


def content_name(labels: Volume) -> str:
    """A name for a label map that tells it from others and says nothing of whose it is, as its file's may: the first
    half of the SHA-256 of its voxels and where they lie, as 32 hexadecimal digits."""
    digest = hashlib.sha256(str(labels.shape).encode())
    digest.update(np.ascontiguousarray(labels.affine, "<f8").tobytes())
    digest.update(np.ascontiguousarray(labels.array, "<i2").tobytes())
    return digest.hexdigest()[:32]


def unusable(sentence: str) -> OrthoDiffusionError:
    """The error for a label map that no knee can be made of."""
    return OrthoDiffusionError(
        ErrorKind.BAD_LABEL_MAP,
        sentence,
        "Give a label map of a knee with this extension's labels (1 femur, 2 tibia, and so on), or say with"
        " --label-values which value is which structure.",
    )
