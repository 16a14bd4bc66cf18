"""From a path a person chose to the volumes in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.archives import ZIP_MAGIC, unpacked
from OrthoDiffusionLib.volumes.dicom import read_dicom
from OrthoDiffusionLib.volumes.dicom_headers import is_dicom
from OrthoDiffusionLib.volumes.folder_walk import study_files
from OrthoDiffusionLib.volumes.itk_formats import read_metaimage, read_nrrd
from OrthoDiffusionLib.volumes.names import shown_name
from OrthoDiffusionLib.volumes.nifti import read_nifti
from OrthoDiffusionLib.volumes.refusals import not_opened, unreadable
from OrthoDiffusionLib.volumes.volume import Volume

_READERS: dict[str, Callable[[Path], Volume]] = {
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
}


@dataclass(frozen=True)
class Refusal:
    """A series that could not be read.

    Attributes:
        name: of the series, or what kind of file it is; no patient identifier.
        error: why, and what to do.
    """

    name: str
    error: OrthoDiffusionError


@dataclass(frozen=True)
class Survey:
    """All that was found at a path: the volumes that could be read, and what could not."""

    volumes: tuple[Volume, ...]
    refusals: tuple[Refusal, ...]


def read_series(path: Path) -> list[Volume]:
    """Read every series at a path; one that cannot be read stops it.

    Args:
        path: a NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or DICOM file, a zip of such files,
            or a folder, searched with its subfolders as `study_files` says.

    Returns:
        at least one volume, unchecked (see `check_volume`); localizers and multi-echo series give one for each stack.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, UNREADABLE_FILE, TRUNCATED_FILE, WRONG_DIMENSIONS, BAD_SPACING, BAD_AFFINE,
            INCOMPLETE_SERIES, MIXED_ORIENTATIONS, DISK_FULL, or EMPTY_STUDY for a folder without images.
    """
    survey = survey_series(path)
    if survey.refusals:
        raise survey.refusals[0].error
    return list(survey.volumes)


def survey_series(path: Path) -> Survey:
    """Read every series at a path that can be read, and say of the others why they cannot.

    Args:
        path: as for `read_series`.

    Raises:
        OrthoDiffusionError: FILE_NOT_FOUND, EMPTY_STUDY, or what is wrong with a zip as a whole.
    """
    try:
        if path.is_dir():
            return _survey_folder(path)
        if not path.is_file():
            raise OrthoDiffusionError(
                ErrorKind.FILE_NOT_FOUND, "There is no such file or folder.", "Check the path and choose it again."
            )
        if _starts_with(path, ZIP_MAGIC) or path.suffix.lower() == ".zip":
            with unpacked(path) as folder:
                return _survey_folder(folder)
        return _survey_files([path])
    except OSError as error:
        raise not_opened(detail=type(error).__name__) from error


def _survey_folder(folder: Path) -> Survey:
    closed: list[Refusal] = []
    files = study_files(folder, lambda path: closed.append(Refusal(shown_name(path), not_opened())))
    survey = _survey_files([file for file in files if _reader(file) is not None or is_dicom(file)])
    survey = Survey(survey.volumes, (*survey.refusals, *closed))
    if not survey.volumes and not survey.refusals:
        raise OrthoDiffusionError(
            ErrorKind.EMPTY_STUDY,
            "The folder holds no images.",
            "Choose a folder with DICOM, NIfTI, NRRD or MetaImage files.",
        )
    return survey


def _survey_files(files: list[Path]) -> Survey:
    volumes: list[Volume] = []
    refusals: list[Refusal] = []

    def refuse(name: str, error: OrthoDiffusionError) -> None:
        refusals.append(Refusal(name, error))

    dicom_files = []
    for file in files:
        reader = _reader(file)
        if reader is None:
            dicom_files.append(file)
            continue
        try:
            volumes.append(reader(file))
        except OrthoDiffusionError as error:
            refuse(shown_name(file), error)
    volumes += read_dicom(dicom_files, refuse)
    if not volumes and not refusals and files:
        refuse(shown_name(files[0]), unreadable("image"))
    return Survey(tuple(volumes), tuple(refusals))


def _reader(path: Path) -> Callable[[Path], Volume] | None:
    name = path.name.lower()
    return next((reader for suffix, reader in _READERS.items() if name.endswith(suffix)), None)


def _starts_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic
