"""Which plane a volume lies in, and how its axes are turned to the network's: from the affine, not storage order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.volume import Volume

Affine = npt.NDArray[np.float64]

CLEARLY_THICKER = 1.25
"""The slice axis is one whose spacing exceeds the next by this factor; pixels of one slice differ less than that."""

SAME_EXTENT = 1.01
"""Extents within 1 % of each other do not tell which axis the slices are stacked along."""

TIE = 1e-3
"""Direction cosines closer than this are a tie: an angle of 45 degrees to within 0.04 degrees."""

ISOTROPIC_SPACING = 1.6
"""mm: slices no farther apart than this stand for a true 3D volume (clinical 3D series have 0.4 to 1.6 mm, 2D 3 mm)."""

ISOTROPIC_EXTENT = 60.0
"""mm along the slices that a 3D volume must cover to be reformatted: about the joint itself."""

_DIRECTION = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def slice_axis(affine: Affine, shape: Sequence[int]) -> int:
    """The array axis that slices are stacked along, whatever the storage order: the one of clearly the largest spacing.

    Where there is none (a 3D volume) it is the axis of the smallest extent in mm; where those are alike too, the one
    nearest to left-right, as 3D series of the knee are mostly acquired sagittally.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    by_spacing = np.argsort(spacing)
    if spacing[by_spacing[2]] >= CLEARLY_THICKER * spacing[by_spacing[1]]:
        return int(by_spacing[2])
    extent = spacing * np.asarray(shape)
    candidates = [axis for axis in range(3) if extent[axis] <= SAME_EXTENT * extent.min()]
    return max(candidates, key=lambda axis: abs(float(affine[0, axis] / spacing[axis])))


def plane_of(affine: Affine, shape: Sequence[int]) -> Plane:
    """The plane that a stack's slices lie in, up to 45 degrees oblique.

    Args:
        affine: (4, 4), voxel index to RAS in mm.
        shape: voxels along i, j, k.

    Raises:
        OrthoDiffusionError: AMBIGUOUS_PLANE, when the slices lie halfway between two planes.
    """
    near = planes_near(affine, shape)
    if len(near) > 1:
        raise OrthoDiffusionError(
            ErrorKind.AMBIGUOUS_PLANE,
            "The slices of a volume lie halfway between two planes.",
            "Name the plane by its own option, or leave the volume out.",
        )
    return near[0]


def planes_near(affine: Affine, shape: Sequence[int]) -> tuple[Plane, ...]:
    """The plane nearest to a stack's slices; two or three planes where they tie."""
    column = affine[:3, slice_axis(affine, shape)]
    normal = np.abs(column) / np.linalg.norm(column)
    return tuple(plane for plane in Plane if normal.max() - normal[plane.normal_axis] < TIE)


def clear_plane(affine: Affine, shape: Sequence[int]) -> Plane | None:
    """The plane that a stack's slices lie in, or None halfway between two."""
    near = planes_near(affine, shape)
    return near[0] if len(near) == 1 else None


def slice_count(affine: Affine, shape: Sequence[int]) -> int:
    """How many slices a stack has, whatever its storage order."""
    return int(shape[slice_axis(affine, shape)])


def patient_axes(affine: Affine, shape: Sequence[int], plane: Plane) -> tuple[int, int, int]:
    """The array axis nearest to each patient axis (right-left, anterior-posterior, superior-inferior).

    The slices' axis goes to the plane's normal; the other two go so that the sum of their cosines is largest. A tie,
    45 degrees in plane, is decided by the direction of the rotation, so that storage order has no say in it.

    Args:
        affine: (4, 4), voxel index to RAS in mm.
        shape: voxels along i, j, k.
        plane: that the slices are taken for.
    """
    along_slices = slice_axis(affine, shape)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    one, two = (axis for axis in range(3) if axis != along_slices)
    row, column = (ras for ras in range(3) if ras != plane.normal_axis)
    cosines = np.abs(directions)
    preference = cosines[row, one] + cosines[column, two] - cosines[row, two] - cosines[column, one]
    if abs(preference) < TIE:
        preference = directions[row, one] * directions[column, one]
    if preference < 0:
        one, two = two, one
    nearest = {plane.normal_axis: along_slices, row: one, column: two}
    return nearest[0], nearest[1], nearest[2]


def is_nearly_isotropic(volume: Volume) -> bool:
    """Whether a volume can be cut into other planes: slices up to 1.6 mm apart over at least 60 mm."""
    spacing = np.array(volume.spacing)
    extent = spacing * volume.shape
    return bool(spacing.max() <= ISOTROPIC_SPACING and extent.min() >= ISOTROPIC_EXTENT)


@dataclass(frozen=True)
class Reoriented:
    """A volume's voxels with their axes turned to the network's; no voxel is interpolated.

    Attributes:
        array: (i, j, k) in the network's axes; a view where numpy allows.
        affine: of this array, to the same RAS positions.
        axes: the volume's own axis behind each of the three.
        flipped: whether each of the three runs against the volume's own.
    """

    array: npt.NDArray[Any]
    affine: Affine
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def restore(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an array (i, j, k) on this grid back onto the volume's own grid."""
        flips = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return np.ascontiguousarray(np.transpose(array[flips], np.argsort(self.axes)))


def to_network_axes(volume: Volume, plane: Plane) -> Reoriented:
    """Turn a volume's axes to those that the network knows this plane in (see `Plane.network_axcodes`).

    The slices become k, in the direction of the plane's third code; the other two axes go where they point most.
    """
    nearest = patient_axes(volume.affine, volume.shape, plane)
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    codes = [_DIRECTION[code] for code in plane.network_axcodes]
    axes = (nearest[codes[0][0]], nearest[codes[1][0]], nearest[codes[2][0]])
    flipped = tuple(bool(directions[ras, axis] * sign < 0) for axis, (ras, sign) in zip(axes, codes, strict=True))
    array = np.transpose(volume.array, axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    turned = np.eye(4)
    turned[:3, :3] = 0
    for new, (axis, flip) in enumerate(zip(axes, flipped, strict=True)):
        turned[axis, new] = -1 if flip else 1
        turned[axis, 3] = volume.shape[axis] - 1 if flip else 0
    return Reoriented(array, volume.affine @ turned, axes, (flipped[0], flipped[1], flipped[2]))
