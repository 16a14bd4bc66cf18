"""A volume: voxels with a place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SeriesSource:
    """Where a volume came from, without any patient identifier.

    Attributes:
        name: shown to the person: a file's name, or a DICOM series' modality and number.
        series_uid: DICOM SeriesInstanceUID, where there is one.
        study_uid: DICOM StudyInstanceUID, where there is one.
        patient_key: a salted hash of the DICOM PatientID, comparable within one run only.
        modality: DICOM Modality, where there is one.
        of_several_orientations: whether the DICOM series also holds slices of other planes, as a localizer does.
    """

    name: str = ""
    series_uid: str | None = None
    study_uid: str | None = None
    patient_key: str | None = None
    modality: str | None = None
    of_several_orientations: bool = False


@dataclass(frozen=True)
class Volume:
    """Voxels (i, j, k) and the affine that places them.

    Attributes:
        array: scalar voxels, shape (i, j, k).
        affine: shape (4, 4), float64: voxel index to RAS position in mm.
        source: where it came from.
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    source: SeriesSource = field(default_factory=SeriesSource)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        i, j, k = self.array.shape
        return int(i), int(j), int(k)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along i, j and k, in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)
