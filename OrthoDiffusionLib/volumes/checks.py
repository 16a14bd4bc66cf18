"""What a volume and a study must hold before a network looks at them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.orientation import planes_near
from OrthoDiffusionLib.volumes.refusals import bad_affine, bad_spacing, not_a_volume
from OrthoDiffusionLib.volumes.storage_order import storage_orders, stored_as
from OrthoDiffusionLib.volumes.volume import Volume

MIN_SLICES = 4
"""Fewest voxels along any axis; shorter stacks are localizers or single images."""

MIN_SPACING_MM, MAX_SPACING_MM = 0.02, 20.0
"""Voxel sizes outside this range come from wrong units or damaged headers, not from MR of a joint."""

MAX_SHEAR_COSINE = 0.01
"""Largest cosine between two voxel axes (0.57 degrees off a right angle): rounding of headers stays far below."""

MIN_CONTRAST = 1e-6
"""Smallest intensity range; below it the published recipe's epsilon of 1e-8 distorts the scaling."""

MIN_SHARED_FRACTION = 0.1
"""Part of the smaller volume that must lie inside the other for both to show the same joint."""


def check_volume(volume: Volume) -> None:
    """Refuse a volume that cannot be assessed.

    Raises:
        OrthoDiffusionError: WRONG_DIMENSIONS, BAD_AFFINE, BAD_SPACING, TOO_FEW_SLICES, NOT_FINITE or NO_CONTRAST.
    """
    if volume.array.ndim != 3 or volume.array.dtype.kind not in "iufb":
        raise not_a_volume("The image is not a 3D volume of single intensities.")
    check_affine(volume.affine)
    if min(volume.array.shape) < MIN_SLICES:
        raise OrthoDiffusionError(
            ErrorKind.TOO_FEW_SLICES,
            f"The series has only {min(volume.array.shape)} slices.",
            f"Choose a series with at least {MIN_SLICES} slices.",
        )
    low, high = float(volume.array.min()), float(volume.array.max())
    limit = float(np.finfo(np.float32).max)
    if not (np.isfinite(low) and np.isfinite(high) and max(-low, high) <= limit):
        raise OrthoDiffusionError(
            ErrorKind.NOT_FINITE,
            "Some voxels of the volume are not finite numbers.",
            "Export the series again from its source, without NaN or infinite voxels.",
        )
    if high - low < MIN_CONTRAST:
        raise OrthoDiffusionError(
            ErrorKind.NO_CONTRAST,
            "All voxels of the volume have the same value.",
            "Choose a series that shows an image.",
        )


def check_affine(affine: npt.NDArray[np.float64]) -> None:
    """Refuse an affine that does not place a grid of right-angled voxels.

    Args:
        affine: (4, 4), voxel index to RAS in mm.

    Raises:
        OrthoDiffusionError: BAD_AFFINE or BAD_SPACING.
    """
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise bad_affine("The volume's place in the patient is not given by finite numbers.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
        sizes = " x ".join(f"{step:.4g}" for step in spacing)
        raise bad_spacing(f"The voxels measure {sizes} mm, which cannot be right.")
    directions = affine[:3, :3] / spacing
    if abs(np.linalg.det(directions)) < 0.5:
        raise bad_affine("Two voxel axes of the volume point the same way.")
    cosines = np.abs(directions.T @ directions - np.eye(3))
    if cosines.max() > MAX_SHEAR_COSINE:
        raise bad_affine("The voxel axes of the volume are not at right angles.")


def check_modality(volume: Volume) -> None:
    """Refuse a series of which DICOM says that it is not MR; one that says nothing passes.

    Raises:
        OrthoDiffusionError: USAGE.
    """
    modality = volume.source.modality
    if modality is not None and modality.strip().upper() != "MR":
        raise OrthoDiffusionError(ErrorKind.USAGE, f"The series is {modality.strip()}, not MR.", "Choose an MR series.")


def check_one_orientation(volume: Volume) -> None:
    """Refuse a part of a series that shows several planes; only a person can say that it stands for one of them.

    Raises:
        OrthoDiffusionError: MIXED_ORIENTATIONS.
    """
    if volume.source.of_several_orientations:
        raise OrthoDiffusionError(
            ErrorKind.MIXED_ORIENTATIONS,
            "The series holds slices of several planes, as a localizer does.",
            "Choose a series of one plane, or name this one for a plane.",
        )


def check_same_patient(volumes: Iterable[Volume]) -> None:
    """Refuse series of more than one patient, as far as DICOM says whose they are.

    Raises:
        OrthoDiffusionError: DIFFERENT_PATIENTS.
    """
    if len({volume.source.patient_key for volume in volumes} - {None}) > 1:
        raise OrthoDiffusionError(
            ErrorKind.DIFFERENT_PATIENTS,
            "The series belong to different patients.",
            "Choose the series of one visit of one patient.",
        )


def check_study(volumes: Mapping[Plane, Volume], check_planes: bool = True) -> None:
    """Refuse volumes that do not make up one study.

    Args:
        volumes: the volume given for each plane, each checked by `check_volume`.
        check_planes: whether each volume must lie in the plane it was given for; halfway between two, either will do.

    Raises:
        OrthoDiffusionError: EMPTY_STUDY, DUPLICATE_VOLUME, WRONG_PLANE, DIFFERENT_PATIENTS or NO_OVERLAP.
    """
    if not volumes:
        raise OrthoDiffusionError(ErrorKind.EMPTY_STUDY, "No volume was given.", "Give at least one series.")
    pairs = list(itertools.combinations(volumes.values(), 2))
    if any(_same_volume(first, second) for first, second in pairs):
        raise OrthoDiffusionError(
            ErrorKind.DUPLICATE_VOLUME, "The same volume was given twice.", "Give each series once, for its own plane."
        )
    if check_planes:
        for plane, volume in volumes.items():
            near = planes_near(volume.affine, volume.shape)
            if plane not in near:
                actual = " or ".join(other.value for other in near)
                raise OrthoDiffusionError(
                    ErrorKind.WRONG_PLANE,
                    f"The volume given as {plane.value} is {actual}.",
                    f"Give it as the {actual} series, and choose a {plane.value} one instead.",
                )
    check_same_patient(volumes.values())
    if any(shared_fraction(first, second) < MIN_SHARED_FRACTION for first, second in pairs):
        raise OrthoDiffusionError(
            ErrorKind.NO_OVERLAP,
            "The series do not show the same part of the body.",
            "Choose series of the same joint, same side and same visit.",
        )


def shared_fraction(first: Volume, second: Volume) -> float:
    """Part of the smaller volume's space that lies inside the other, 0 to 1, estimated at 17 x 17 x 17 places."""
    small, large = sorted((first, second), key=lambda volume: float(np.prod(volume.spacing) * volume.array.size))
    places = (np.arange(17) + 0.5) / 17
    index = np.stack(np.meshgrid(*(count * places - 0.5 for count in small.shape), indexing="ij"), axis=-1)
    to_large = np.linalg.inv(large.affine) @ small.affine
    position = index @ to_large[:3, :3].T + to_large[:3, 3]
    inside = (position >= -0.5) & (position <= np.array(large.shape) - 0.5)
    return float(inside.all(axis=-1).mean())


def _same_volume(first: Volume, second: Volume) -> bool:
    """Whether both hold the same voxels, in whatever storage order, or are one DICOM series read twice."""
    if sorted(first.array.shape) != sorted(second.array.shape):
        return False
    same_series = first.source.series_uid is not None and first.source.series_uid == second.source.series_uid
    if same_series and first.shape == second.shape and np.allclose(first.affine, second.affine, atol=1e-3):
        return first.source.name == second.source.name or np.array_equal(first.array, second.array)
    if not np.isclose(float(first.array.sum(dtype=np.float64)), float(second.array.sum(dtype=np.float64)), rtol=1e-9):
        return False
    return any(
        np.array_equal(stored_as(first, order, flipped).array, second.array)
        for order, flipped in storage_orders()
        if tuple(first.shape[axis] for axis in order) == second.shape
    )
