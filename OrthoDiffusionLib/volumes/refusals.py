"""What the readers say when a file cannot be used; never with the file's name, which may be a patient's."""

from __future__ import annotations

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def unreadable(form: str, detail: str = "") -> OrthoDiffusionError:
    """A file that is not what its name or start says.

    Args:
        form: the expected format's name.
        detail: for the log.
    """
    return OrthoDiffusionError(
        ErrorKind.UNREADABLE_FILE,
        f"The file is not a readable {form} file.",
        "Choose a DICOM folder, zip, NIfTI, NRRD or MetaImage file, or export it again.",
        detail,
    )


def not_opened(detail: str = "") -> OrthoDiffusionError:
    """A file or folder that the system does not let us read."""
    return OrthoDiffusionError(
        ErrorKind.UNREADABLE_FILE,
        "The file or folder cannot be opened.",
        "Check that you may read it and that its drive is connected.",
        detail,
    )


def truncated(detail: str = "") -> OrthoDiffusionError:
    """A file that ends before its last voxel."""
    return OrthoDiffusionError(
        ErrorKind.TRUNCATED_FILE,
        "The file is shorter than its header says or is damaged.",
        "Copy or export it again.",
        detail,
    )


def not_a_volume(sentence: str) -> OrthoDiffusionError:
    """An image that is not three-dimensional with one intensity for each voxel."""
    return OrthoDiffusionError(
        ErrorKind.WRONG_DIMENSIONS,
        sentence,
        "Choose a 3D greyscale series: no single images, no time series, no colour.",
    )


def incomplete(sentence: str) -> OrthoDiffusionError:
    """A series whose slices do not make up one regular stack."""
    return OrthoDiffusionError(
        ErrorKind.INCOMPLETE_SERIES, sentence, "Export the whole series again from the archive or scanner."
    )


def bad_affine(sentence: str) -> OrthoDiffusionError:
    """A volume whose place in the patient is missing or impossible."""
    return OrthoDiffusionError(
        ErrorKind.BAD_AFFINE, sentence, "Export the series again from its source, with its orientation."
    )


def bad_spacing(sentence: str) -> OrthoDiffusionError:
    """A volume with impossible voxel sizes."""
    return OrthoDiffusionError(
        ErrorKind.BAD_SPACING, sentence, "Export the series again from its source, with voxel sizes in millimetres."
    )
