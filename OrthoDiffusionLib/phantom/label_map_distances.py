"""Signed distances to the structures of a label map; shafts that its upper or lower end cuts go on beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, map_coordinates

from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.knee_bones import FEMORAL_SHAFT, FIBULA, TIBIAL_SHAFT
from OrthoDiffusionLib.volumes.volume import Volume

MARGIN = 12.0
"""mm around a structure in which its distance is computed; further away it grows by the way from there."""


class Shaft(NamedTuple):
    """The end of a long bone that a field of view cuts.

    Attributes:
        upwards: whether it goes on to the head, else to the foot.
        sections: of the standard knee's bone.
    """

    upwards: bool
    sections: tuple[tuple[float, ...], ...]


SHAFTS: Mapping[str, Shaft] = {
    "femur": Shaft(True, FEMORAL_SHAFT),
    "tibia": Shaft(False, TIBIAL_SHAFT),
    "fibula": Shaft(False, FIBULA),
}


class _End(NamedTuple):
    """A face of the map that cuts a shaft: its axis, and whether it is the one of the last index."""

    axis: int
    last: bool


def structure_distance(
    labels: Volume, key: str, label: int, to_index: npt.NDArray[np.float64], points: Points, scale: float
) -> Field:
    """Signed distance to a structure, in mm of the standard knee, negative inside.

    A shaft goes on along the map's own axis and narrows as the standard knee's does. What else the map's edge cuts ends
    there: of a sagittal phantom of 20 slices the last one still holds femur, which must not grow out of the leg's side.

    Args:
        labels: the map; it holds the structure.
        key: of the structure.
        label: of the structure.
        to_index: joint frame (mm) to the map's voxel index, (4, 4).
        points: of the standard knee.
        scale: of this knee over the standard one.
    """
    mask = labels.array == label
    spacing = np.linalg.norm(labels.affine[:3, :3], axis=0)
    beyond = np.ceil(MARGIN / spacing).astype(int)
    found = np.argwhere(mask)
    low = np.maximum(found.min(axis=0) - beyond, 0)
    high = np.minimum(found.max(axis=0) + beyond + 1, mask.shape)
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    shaft = SHAFTS.get(key)
    end = None if shaft is None else _cut_end(mask, to_index[:3, 2] * spacing, shaft.upwards)
    index = [
        np.asarray(sum(row[other] * scale * points[other] for other in range(3)) + row[3] - first, np.float32)
        for row, first in zip(to_index[:3], low, strict=True)
    ]
    away, narrower = np.zeros_like(points[0]), np.zeros_like(points[0])
    for axis, size in enumerate(part.shape):
        nearest = np.clip(index[axis], 0, size - 1)
        further = np.abs(index[axis] - nearest) * np.float32(spacing[axis])
        if shaft is not None and end is not None and axis == end.axis:
            beyond_end = (index[axis] > 0) == end.last
            narrower = _narrowing(points[2], further * beyond_end / np.float32(scale), shaft)
            further = further * ~beyond_end
        away, index[axis] = np.hypot(away, further), nearest
    sampled = map_coordinates(_signed_distance(part, spacing, end), index, order=1, mode="nearest")
    # Beyond the part it grows on: were it 12 mm everywhere, the fascia, 2.5 mm over the bones, would be within 10 mm of
    # every point, and a leg with more fat than that under its skin would be a block of fat up to the canvas' sides.
    sampled = np.where(away > 0, np.maximum(sampled, 0) + away, sampled)
    return np.asarray(sampled / scale + narrower, np.float32)


def _cut_end(mask: npt.NDArray[np.bool_], upwards_in_map: npt.NDArray[np.float64], upwards: bool) -> _End | None:
    """The map's end that a bone touches; None where it ends within the map.

    Args:
        mask: of the bone.
        upwards_in_map: the joint's long axis along each of the map's axes, 0 to 1.
        upwards: which end.
    """
    axis = int(np.argmax(np.abs(upwards_in_map)))
    last = bool(upwards_in_map[axis] > 0) == upwards
    return _End(axis, last) if mask.take(-1 if last else 0, axis).any() else None


def _narrowing(height: Field, further: Field, shaft: Shaft) -> Field:
    """mm by which the standard knee's shaft, half its width and depth in the mean, has narrowed since the map's end.

    Of a femur cut at the epicondyles, 38 mm over the joint line, it takes 16 mm off each side up to 98 mm; without it a
    block as wide as the condyles would fill the thigh.

    Args:
        height: of the points over the joint line, mm of the standard knee.
        further: mm of the standard knee that they lie beyond the map's end; 0 within it.
        shaft: of the bone.
    """
    sections = np.array(sorted(shaft.sections))
    end = height - further if shaft.upwards else height + further
    radii = sections[:, 3:5].mean(axis=1)
    here, there = (np.interp(z, sections[:, 0], radii) for z in (height, end))
    return np.asarray(np.maximum(there - here, 0), np.float32)


def _signed_distance(
    part: npt.NDArray[np.bool_], spacing: npt.NDArray[np.float64], end: _End | None
) -> npt.NDArray[np.float32]:
    """Distance to a mask's surface at its voxels, mm; the mask ends at its sides, except at the end that cuts it."""
    padding = np.ones((3, 2), int)
    if end is not None:
        padding[end.axis, int(end.last)] = 0
    # Half a voxel: the border lies between a voxel that is inside and one that is not.
    outside = distance_transform_edt(~part, sampling=spacing) - 0.5 * spacing.min()
    inside = distance_transform_edt(np.pad(part, padding), sampling=spacing) - 0.5 * spacing.min()
    inside = inside[tuple(slice(before, before + n) for before, n in zip(padding[:, 0], part.shape, strict=True))]
    return np.where(part, -inside, outside).astype(np.float32)
