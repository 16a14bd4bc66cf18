"""Which files of a folder may be series of a study."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

RESULT_MARK = "result.json"
"""A folder with this file holds a result of an earlier run."""

RESULT_IMAGES = frozenset(
    {f"{kind}_{plane}.nii.gz" for kind in ("labels", "confidence") for plane in ("axial", "coronal", "sagittal")}
    | {"labels_fused.nii.gz", "segmentation.seg.nrrd"}
)
"""Images of a result, as `inference.result_folder` names them, which is above this room; a test holds them together."""

_SEGMENTATION = ".seg.nrrd"


def study_files(folder: Path, not_entered: Callable[[Path], None]) -> Iterator[Path]:
    """The files in a folder and its subfolders, in the order of their names, that may be somebody's images.

    Left out are hidden files and folders (results on their way, copies that a Mac leaves), the index of a DICOM folder,
    segmentations of Slicer, and the images of a result of our own: read as series, they would win over the study's.
    The folder itself may be hidden, for the person chose it.

    Args:
        folder: to be walked.
        not_entered: hears of each subfolder that may not be listed.

    Raises:
        OSError: when the folder itself may not be listed.
    """

    def refused(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        not_entered(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        left_out = RESULT_IMAGES if RESULT_MARK in names else frozenset[str]()
        for name in sorted(names):
            passed_over = name.startswith(".") or name.upper() == "DICOMDIR" or name.lower().endswith(_SEGMENTATION)
            if not passed_over and name not in left_out and (path := Path(parent) / name).is_file():
                yield path
