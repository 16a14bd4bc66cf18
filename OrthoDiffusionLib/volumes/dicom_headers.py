"""What the headers of DICOM files say of each slice; only the elements needed are read, none names the patient."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from OrthoDiffusionLib.volumes.dicom_privacy import private_pydicom
from OrthoDiffusionLib.volumes.refusals import bad_affine, bad_spacing, not_a_volume, truncated, unreadable

_SALT = secrets.token_bytes(32)
"""Of this process: patient keys can be compared within one run and lead nowhere afterwards."""

_ELEMENTS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "Modality", "ImageType",
    "PatientID", "PatientBirthDate", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "EchoTime", "EchoNumbers",
    "TemporalPositionIdentifier", "AcquisitionNumber", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
PYDICOM_FAILURES = (
    InvalidDicomError, BytesLengthException, OSError, ValueError, TypeError, LookupError, AttributeError,
    ArithmeticError, NotImplementedError,
)  # fmt: skip
"""What pydicom raises for files that are none, and for elements that cannot be what they should be."""

_NOT_ACQUIRED = ("SEG", "RTDOSE", "RTSTRUCT", "PR", "SR", "KO", "DOC")
_MAGIC_OFFSET = 128


@dataclass(frozen=True)
class SliceHeader:
    """One slice: a classic DICOM file, or a frame of a multi-frame one. Positions are LPS, in mm.

    Attributes:
        path: the file.
        frame: number of the frame in the file, from 0.
        instance_uid, series_uid, study_uid: DICOM UIDs; empty where missing.
        series_number, modality: as shown to the person.
        patient_key: salted hash of patient ID and birth date, or None without an ID.
        rows, columns: pixels.
        samples: values for each pixel; 1 is grey.
        position: centre of the first pixel.
        along_row, along_column: unit vectors in which the column and the row index grow.
        pixel_spacing: between rows, between columns.
        slice_spacing: nominal distance of slices; used for single slices only.
        slope, intercept: from stored values to intensities.
        kinds: what tells apart images at the same place: echo, time, acquisition, image type.
    """

    path: Path
    frame: int
    instance_uid: str
    series_uid: str
    study_uid: str
    series_number: str
    modality: str
    patient_key: str | None
    rows: int
    columns: int
    samples: int
    position: npt.NDArray[np.float64]
    along_row: npt.NDArray[np.float64]
    along_column: npt.NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    slice_spacing: float
    slope: float
    intercept: float
    kinds: tuple[str, ...]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector along row x column, LPS."""
        return np.cross(self.along_row, self.along_column)


def is_dicom(path: Path) -> bool:
    """Whether the file carries the DICOM mark after its preamble."""
    with open(path, "rb") as file:
        file.seek(_MAGIC_OFFSET)
        return file.read(4) == b"DICM"


def read_slice_headers(path: Path) -> list[SliceHeader]:
    """The slices of one DICOM file; empty for objects that are not acquired images (reports, segmentations).

    Raises:
        OrthoDiffusionError: UNREADABLE_FILE, TRUNCATED_FILE, WRONG_DIMENSIONS, BAD_AFFINE or BAD_SPACING.
    """
    try:
        with private_pydicom():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_ELEMENTS))
            # Here too, for pydicom converts an element when it is asked for, and only then finds that it cannot be.
            return _slices(path, dataset)
    except EOFError as error:
        raise truncated(detail=type(error).__name__) from error
    except PYDICOM_FAILURES as error:
        raise unreadable("DICOM", detail=type(error).__name__) from error


def _slices(path: Path, dataset: Any) -> list[SliceHeader]:
    if str(dataset.get("Modality", "")) in _NOT_ACQUIRED:
        return []
    if "Rows" not in dataset or "Columns" not in dataset:
        image_class = "Image Storage" in pydicom.uid.UID(dataset.file_meta.get("MediaStorageSOPClassUID", "")).name
        if image_class:
            raise truncated(detail="an image without rows")
        return []
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return list(_frames(path, dataset))
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise not_a_volume("A DICOM file holds several frames without saying where they lie.")
    return [_slice(path, dataset, 0, _Elements((dataset,)))]


class _Elements:
    """Elements of a slice from the places they may stand in: the frame's groups, the shared groups, the file."""

    def __init__(self, places: tuple[Any, ...]) -> None:
        self._places = places

    def get(self, name: str) -> Any:
        for place in self._places:
            value = place.get(name)
            if value not in (None, ""):
                return value
        return None

    def numbers(self, name: str, count: int) -> list[float] | None:
        value = self.get(name)
        if value is None:
            return None
        try:
            values = [float(part) for part in (value if count > 1 else [value])]
        except (TypeError, ValueError):
            return None
        return values if len(values) == count and bool(np.isfinite(values).all()) else None


def _frames(path: Path, dataset: Any) -> Iterator[SliceHeader]:
    shared = _members(dataset.get("SharedFunctionalGroupsSequence"))
    for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        yield _slice(path, dataset, number, _Elements((*_members([groups]), *shared, dataset)))


def _members(groups: Any) -> tuple[Any, ...]:
    """The first items of all sequences in the first item of a functional groups sequence."""
    if not groups:
        return ()
    return tuple(element.value[0] for element in groups[0] if element.VR == "SQ" and element.value)


def _slice(path: Path, dataset: Any, frame: int, elements: _Elements) -> SliceHeader:
    orientation = elements.numbers("ImageOrientationPatient", 6)
    position = elements.numbers("ImagePositionPatient", 3)
    spacing = elements.numbers("PixelSpacing", 2)
    if orientation is None or position is None:
        raise bad_affine("A DICOM image does not say how it lies in the patient.")
    if spacing is None or min(spacing) <= 0:
        raise bad_spacing("A DICOM image does not give the size of its pixels.")
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1.0) for length in lengths) > 0.01:
        raise bad_affine("The directions of a DICOM image are not of length one.")
    between = elements.numbers("SpacingBetweenSlices", 1) or elements.numbers("SliceThickness", 1) or [1.0]
    slope, intercept = elements.numbers("RescaleSlope", 1), elements.numbers("RescaleIntercept", 1)
    image_type = elements.get("FrameType") or elements.get("ImageType") or ""
    echo = elements.get("EffectiveEchoTime") or elements.get("EchoTime") or elements.get("EchoNumbers")
    time = elements.get("TemporalPositionIndex") or elements.get("TemporalPositionIdentifier")
    return SliceHeader(
        path=path,
        frame=frame,
        instance_uid=str(dataset.get("SOPInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        study_uid=str(dataset.get("StudyInstanceUID", "")),
        series_number=str(dataset.get("SeriesNumber") or ""),
        modality=str(dataset.get("Modality") or ""),
        patient_key=_patient_key(dataset),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=_samples(dataset),
        position=np.array(position),
        along_row=row / lengths[0],
        along_column=column / lengths[1],
        pixel_spacing=(spacing[0], spacing[1]),
        slice_spacing=abs(between[0]) or 1.0,
        slope=1.0 if slope is None else slope[0],
        intercept=0.0 if intercept is None else intercept[0],
        kinds=(str(echo), str(time), str(elements.get("AcquisitionNumber")), str(image_type)),
    )


def _samples(dataset: Any) -> int:
    if str(dataset.get("PhotometricInterpretation", "MONOCHROME2")).strip() == "PALETTE COLOR":
        return 3
    return int(dataset.get("SamplesPerPixel") or 1)


def _patient_key(dataset: Any) -> str | None:
    identity = str(dataset.get("PatientID") or "").strip()
    if not identity:
        return None
    birth = str(dataset.get("PatientBirthDate") or "").strip()
    return hashlib.sha256(_SALT + f"{identity}\0{birth}".encode()).hexdigest()
