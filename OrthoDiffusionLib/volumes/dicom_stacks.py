"""From the slices of a DICOM series to regular stacks, and their place in the patient."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import MAX_SHEAR_COSINE, MIN_SLICES
from OrthoDiffusionLib.volumes.dicom_headers import SliceHeader
from OrthoDiffusionLib.volumes.refusals import bad_affine, incomplete, not_a_volume

SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines within a stack (0.06 degrees): vendors round to 4 to 6 digits."""

SAME_PLACE_MM = 0.01
"""Slices closer than this lie at the same place; MR slices are never this thin."""

GAP_TOLERANCE = 0.1
"""Part of the slice distance by which single distances may differ: a missing slice differs by 1, rounding by 0.01."""

MAX_LOCALIZER_STACKS = 3
"""A localizer has one stack for each plane."""

Stack = list[SliceHeader]


def split_into_stacks(slices: Sequence[SliceHeader]) -> list[Stack]:
    """Sort the slices of one series into stacks, each in ascending order along its normal (row x column).

    A three-plane localizer becomes a stack for each plane. Several images at the same places (echoes, time points,
    Dixon parts) become a stack each, when the headers tell them apart.

    Raises:
        OrthoDiffusionError: WRONG_DIMENSIONS for colour or differing sizes, MIXED_ORIENTATIONS, BAD_AFFINE for slices
            stacked askew, INCOMPLETE_SERIES for missing slices or several at one place.
    """
    if any(header.samples != 1 for header in slices):
        raise not_a_volume("The DICOM series holds colour images.")
    stacks = []
    for group in _by_orientation(slices):
        if len({(header.rows, header.columns, header.pixel_spacing) for header in group}) > 1:
            raise not_a_volume("The images of the DICOM series differ in size.")
        for stack in _by_kind(group):
            _check_regular(stack)
            stacks.append(stack)
    return stacks


def lie_in_several_directions(stacks: Sequence[Stack]) -> bool:
    """Whether the stacks of one series are of different orientations, as a localizer's are and those of echoes not."""
    return len(_by_orientation([stack[0] for stack in stacks])) > 1


def stack_affine(stack: Stack) -> npt.NDArray[np.float64]:
    """Index (column, row, slice) to RAS in mm, from the slices' own positions.

    Args:
        stack: of `split_into_stacks`.

    Returns:
        (4, 4).
    """
    first, last = stack[0], stack[-1]
    step = first.normal * first.slice_spacing
    if len(stack) > 1:
        step = (last.position - first.position) / (len(stack) - 1)
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.pixel_spacing[1]
    affine[:3, 1] = first.along_column * first.pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, np.float64)


def _by_orientation(slices: Sequence[SliceHeader]) -> list[Stack]:
    groups: list[Stack] = []
    for header in slices:
        for group in groups:
            if (
                np.abs(header.along_row - group[0].along_row).max() < SAME_DIRECTION
                and np.abs(header.along_column - group[0].along_column).max() < SAME_DIRECTION
            ):
                group.append(header)
                break
        else:
            groups.append([header])
    askew = any(abs(float(a[0].normal @ b[0].normal)) > np.sqrt(0.5) for a, b in itertools.combinations(groups, 2))
    if len(groups) > MAX_LOCALIZER_STACKS or askew:
        raise OrthoDiffusionError(
            ErrorKind.MIXED_ORIENTATIONS,
            "The slices of the DICOM series lie in different directions.",
            "Choose a series of parallel slices.",
        )
    return groups


def _by_kind(group: Stack) -> list[Stack]:
    ordered = sorted(group, key=_place)
    if not _has_duplicates(ordered):
        return [ordered]
    count = len(ordered[0].kinds)
    for size in range(1, count + 1):
        for chosen in itertools.combinations(range(count), size):
            parts: dict[tuple[str, ...], Stack] = {}
            for header in ordered:
                parts.setdefault(tuple(header.kinds[index] for index in chosen), []).append(header)
            if len({len(part) for part in parts.values()}) == 1 and not any(map(_has_duplicates, parts.values())):
                return [parts[key] for key in sorted(parts, key=_natural)]
    raise incomplete("The DICOM series has several slices at the same place, or lacks some of them.")


def _natural(key: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    return tuple((float(part) if part.replace(".", "", 1).isdigit() else 0.0, part) for part in key)


def _place(header: SliceHeader) -> float:
    return float(header.position @ header.normal)


def _has_duplicates(stack: Stack) -> bool:
    places = np.array([_place(header) for header in stack])
    return bool((np.diff(places) < SAME_PLACE_MM).any())


def _check_regular(stack: Stack) -> None:
    if abs(float(stack[0].along_row @ stack[0].along_column)) > MAX_SHEAR_COSINE:
        raise bad_affine("The rows and columns of the DICOM series are not at right angles.")
    if len(stack) < MIN_SLICES:
        # Too few to be assessed, so too few to judge whether one is missing.
        return
    offsets = np.array([header.position - stack[0].position for header in stack])
    heights = offsets @ stack[0].normal
    aside = np.linalg.norm(offsets - heights[:, None] * stack[0].normal, axis=1)
    if (aside > MAX_SHEAR_COSINE * heights + SAME_PLACE_MM).any():
        raise bad_affine("The slices of the DICOM series are stacked askew.")
    distances = np.diff(heights)
    usual = float(np.median(distances))
    missing = int(np.round(distances / usual - 1).clip(min=0).sum())
    if missing:
        raise incomplete(f"The DICOM series lacks {missing} of {len(stack) + missing} slices.")
    if np.abs(distances - usual).max() > GAP_TOLERANCE * usual:
        raise incomplete("The distances between the slices of the DICOM series differ.")
