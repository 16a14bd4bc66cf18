"""Which plane a volume lies in, and how its axes are turned to the network's: from the affine, never from storage order."""

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

SAME_SPACING = 1.05
"""Spacings within 5 % of each other do not tell which axis the slices are stacked along."""

TIE = 1e-3
"""Direction cosines closer than this are a tie: an angle of 45 degrees to within 0.04 degrees."""

ISOTROPIC_SPACING = 1.6
"""mm: slices no farther apart than this stand for a true 3D volume (clinical 3D series have 0.4 to 1.6 mm, 2D 3 mm)."""

ISOTROPIC_EXTENT = 60.0
"""mm along the slices that a 3D volume must cover to be reformatted: about the joint itself."""

_DIRECTION = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def slice_axis(affine: Affine, shape: Sequence[int]) -> int:
    """The array axis that slices are stacked along: the one of largest spacing.

    Where spacings are alike (a 3D volume) it is the axis with the fewest voxels, and the last one where those are alike.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    candidates = [axis for axis in range(3) if spacing[axis] * SAME_SPACING >= spacing.max()]
    return min(candidates, key=lambda axis: (shape[axis], -axis))


def plane_of(affine: Affine, shape: Sequence[int]) -> Plane:
    """The plane that a stack's slices lie in, up to 45 degrees oblique.

    Args:
        affine: (4, 4), voxel index to RAS in mm.
        shape: voxels along i, j, k.

    Raises:
        OrthoDiffusionError: AMBIGUOUS_PLANE, when the slices lie halfway between two planes.
    """
    column = affine[:3, slice_axis(affine, shape)]
    normal = np.abs(column) / np.linalg.norm(column)
    order = np.argsort(normal)
    if normal[order[2]] - normal[order[1]] < TIE:
        raise OrthoDiffusionError(
            ErrorKind.AMBIGUOUS_PLANE,
            "The slices of a volume lie halfway between two planes.",
            "Name the plane by its own option, or leave the volume out.",
        )
    return next(plane for plane in Plane if plane.normal_axis == order[2])


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
    along_slices = slice_axis(volume.affine, volume.shape)
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    codes = [_DIRECTION[code] for code in plane.network_axcodes]
    first, second = (axis for axis in range(3) if axis != along_slices)

    def fit(axis_i: int, axis_j: int) -> float:
        return float(abs(directions[codes[0][0], axis_i]) + abs(directions[codes[1][0], axis_j]))

    if fit(second, first) > fit(first, second) + TIE:
        first, second = second, first
    axes = (first, second, along_slices)
    flipped = tuple(
        bool(directions[ras, axis] * sign < 0) for axis, (ras, sign) in zip(axes, codes, strict=True)
    )
    array = np.transpose(volume.array, axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    turned = np.eye(4)
    turned[:3, :3] = 0
    for new, (axis, flip) in enumerate(zip(axes, flipped, strict=True)):
        turned[axis, new] = -1 if flip else 1
        turned[axis, 3] = volume.shape[axis] - 1 if flip else 0
    return Reoriented(array, volume.affine @ turned, axes, (flipped[0], flipped[1], flipped[2]))
