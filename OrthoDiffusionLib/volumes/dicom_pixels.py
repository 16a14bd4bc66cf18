"""Stored pixel values of DICOM slices, uncompressed or compressed.

pydicom decodes uncompressed and run-length encoded pixels by itself. JPEG, JPEG-LS and JPEG 2000 go to GDCM, which
SimpleITK carries with all its codecs, so that no further package is needed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.dicom_headers import PYDICOM_FAILURES, SliceHeader
from OrthoDiffusionLib.volumes.dicom_privacy import private_pydicom
from OrthoDiffusionLib.volumes.refusals import truncated, unreadable

_END_OF_FILE = "End of file reached"
"""How pydicom's warning starts when compressed pixels end before their delimiter."""

_FORMAT = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation",
)  # fmt: skip


def read_stack_pixels(stack: list[SliceHeader]) -> npt.NDArray[Any]:
    """The intensities of a stack.

    Args:
        stack: slices in order.

    Returns:
        shape (columns, rows, slices): the stored integers where no slice is rescaled, else float32.

    Raises:
        OrthoDiffusionError: TRUNCATED_FILE or UNREADABLE_FILE.
    """
    rescaled = any((header.slope, header.intercept) != (1.0, 0.0) for header in stack)
    volume: npt.NDArray[Any] | None = None
    frames: dict[Path, list[tuple[int, SliceHeader]]] = {}
    for number, header in enumerate(stack):
        frames.setdefault(header.path, []).append((number, header))
    for path, wanted in frames.items():
        stored = _stored_frames(path)
        for number, header in wanted:
            if header.frame >= len(stored) or stored.shape[1:] != (header.rows, header.columns):
                raise truncated(detail=f"{stored.shape} pixels")
            if volume is None:
                shape = (header.columns, header.rows, len(stack))
                volume = np.zeros(shape, np.float32 if rescaled else stored.dtype, order="F")
            image = stored[header.frame].T
            if not rescaled and not np.can_cast(image.dtype, volume.dtype):
                volume = volume.astype(np.promote_types(image.dtype, volume.dtype))
            volume[:, :, number] = image * header.slope + header.intercept if rescaled else image
    if volume is None:
        raise ValueError("a stack needs at least one slice")
    return volume


def _stored_frames(path: Path) -> npt.NDArray[Any]:
    """Stored values of all frames of a file: (frames, rows, columns)."""
    try:
        with private_pydicom() as warned:
            dataset = pydicom.dcmread(path)
        if "PixelData" not in dataset or any(warning.startswith(_END_OF_FILE) for warning in warned):
            raise truncated(detail="pixels are missing")
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated and syntax != RLELossless:
            return _brighter_is_more(_decoded_by_gdcm(dataset), dataset)
        with private_pydicom():
            pixels = _brighter_is_more(dataset.pixel_array, dataset)
    except (EOFError, ValueError) as error:
        raise truncated(detail=type(error).__name__) from error
    except (*PYDICOM_FAILURES, RuntimeError) as error:
        raise unreadable("DICOM", detail=type(error).__name__) from error
    return np.asarray(pixels if pixels.ndim == 3 else pixels[None])


def _brighter_is_more(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Stored values as they are, or turned over in their range where the file calls the lowest one white.

    Such MR images are rare, but allowed; taken as they are stored, their bone would be bright and their fluid dark.
    """
    if dataset.get("PhotometricInterpretation") != "MONOCHROME1":
        return stored
    highest = -1 if dataset.PixelRepresentation else (1 << int(dataset.BitsStored)) - 1
    return np.asarray(highest - stored, stored.dtype)


def _decoded_by_gdcm(dataset: Dataset) -> npt.NDArray[Any]:
    count = int(dataset.get("NumberOfFrames") or 1)
    codes = list(generate_frames(dataset.PixelData, number_of_frames=count))
    with tempfile.TemporaryDirectory(prefix="orthodiffusion-") as folder:
        return np.stack([_decoded_frame(dataset, code, Path(folder) / "frame.dcm") for code in codes])


def _decoded_frame(dataset: Dataset, code: bytes, path: Path) -> npt.NDArray[Any]:
    """Decode one frame from a file that holds its pixels alone.

    ITK rescales some classes of DICOM images and not others; a plain capture has no rescaling, so this gives the stored
    values. Nothing of the patient goes into the file.
    """
    bare = Dataset()
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    bare.Modality = "OT"
    for name in _FORMAT:
        setattr(bare, name, dataset[name].value)
    if bare.PhotometricInterpretation == "MONOCHROME1":
        # ITK would turn the values over by itself; here they are to come as they are stored.
        bare.PhotometricInterpretation = "MONOCHROME2"
    bare.PixelData = encapsulate([code])
    bare["PixelData"].VR = "OB"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(path, bare, enforce_file_format=True)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        return np.asarray(sitk.GetArrayFromImage(reader.Execute()).reshape(int(dataset.Rows), int(dataset.Columns)))
    except RuntimeError as error:
        raise OrthoDiffusionError(
            ErrorKind.UNREADABLE_FILE,
            f"The pixels of a DICOM image, compressed as {bare.file_meta.TransferSyntaxUID.name}, cannot be decoded.",
            "Copy the series again, or export it uncompressed.",
            detail=type(error).__name__,
        ) from error
