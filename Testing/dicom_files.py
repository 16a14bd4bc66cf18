"""DICOM files with a known answer, written for tests: any direction, compression, echo or frame layout."""

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
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, RLELossless, generate_uid

from OrthoDiffusionLib.volumes.volume import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def oblique_volume(
    shape: tuple[int, int, int] = (21, 18, 7), spacing: tuple[float, float, float] = (0.5, 0.75, 3.3), seed: int = 0
) -> Volume:
    """An oblique sagittal stack of random int16 voxels: column posterior, row inferior, slice to the left."""
    angle, tilt = 0.2, -0.15
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    directions = turn @ np.array([[0, 0, -1], [-1, 0, 0], [0, -1, 0]], np.float64)
    # Right-handed in LPS, so that the slices follow row x column.
    if np.linalg.det(LPS[:3, :3] @ directions) < 0:
        directions[:, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = [12.5, -33.25, 101.0]
    array = np.random.default_rng(seed).integers(0, 3000, shape).astype(np.int16)
    return Volume(array, affine)


def slice_dataset(volume: Volume, k: int, series_uid: str, **elements: Any) -> Dataset:
    """One slice of a volume as an uncompressed MR image; `elements` are set last."""
    lps = LPS @ volume.affine
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series_uid, "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "4711", "19700101"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "MR", 3, k + 1
    columns, rows, _ = volume.shape
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.ImageOrientationPatient = [
        f"{value:.9f}" for axis in (0, 1) for value in lps[:3, axis] / volume.spacing[axis]
    ]
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in (lps @ [0, 0, k, 1])[:3]]
    dataset.PixelSpacing = [f"{volume.spacing[1]:.6f}", f"{volume.spacing[0]:.6f}"]
    dataset.PixelData = volume.array[:, :, k].T.astype("<i2").tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def write_series(folder: Path, volume: Volume, compression: str = "none", **elements: Any) -> list[Path]:
    """Write a volume as a series of slices, in an order of names that is not that of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = elements.pop("SeriesInstanceUID", generate_uid())
    paths = []
    for k in range(volume.shape[2]):
        dataset = slice_dataset(volume, k, uid, **elements)
        compress(dataset, compression)
        path = folder / f"{(k * 5) % 7}_{k}_{str(uid)[-8:]}.dcm"
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        paths.append(path)
    return paths


def compress(dataset: Dataset, compression: str) -> None:
    """Compress a slice in place: none, RLE, or one of the codecs that GDCM writes (JPEG lossless, JPEG 2000)."""
    if compression == "none":
        return
    if compression == "RLE":
        dataset.compress(RLELossless)
        return
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compression)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.dcm"
        writer.SetFileName(str(path))
        writer.Execute(sitk.GetImageFromArray(np.asarray(dataset.pixel_array)[None]))
        packed = pydicom.dcmread(path)
    dataset.PixelData = packed.PixelData
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID


def write_enhanced(
    path: Path, volume: Volume, order: npt.NDArray[np.intp], slope: float = 1.0, compression: str = "none"
) -> None:
    """Write a volume as one enhanced multi-frame MR file with its frames in the given order."""
    dataset = slice_dataset(volume, 0, generate_uid())
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    orientation, spacing = dataset.ImageOrientationPatient, dataset.PixelSpacing
    del dataset.ImageOrientationPatient, dataset.ImagePositionPatient, dataset.PixelSpacing
    shared = Dataset()
    shared.PixelMeasuresSequence = _sequence(PixelSpacing=spacing, SliceThickness="3")
    shared.PlaneOrientationSequence = _sequence(ImageOrientationPatient=orientation)
    shared.PixelValueTransformationSequence = _sequence(RescaleSlope=str(slope), RescaleIntercept="0")
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        groups = Dataset()
        position = (LPS @ volume.affine @ [0, 0, k, 1])[:3]
        groups.PlanePositionSequence = _sequence(ImagePositionPatient=[f"{value:.6f}" for value in position])
        frames.append(groups)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = b"".join(volume.array[:, :, k].T.astype("<i2").tobytes() for k in order)
    if compression != "none":
        slices = [slice_dataset(volume, int(k), "1.2.3") for k in order]
        for single in slices:
            compress(single, compression)
        codes = [next(generate_frames(single.PixelData, number_of_frames=1)) for single in slices]
        dataset.PixelData = encapsulate(codes)
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = slices[0].file_meta.TransferSyntaxUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _sequence(**elements: Any) -> Sequence:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])
