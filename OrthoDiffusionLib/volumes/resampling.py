"""Other grids: slices of another plane, labels on another volume, the grid of a fused label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.volumes.orientation import is_nearly_isotropic, patient_axes, plane_of
from OrthoDiffusionLib.volumes.volume import Volume

REFORMAT_SLICE_MM = 3.0
"""Thickness of reformatted slices: that of common 2D series of the knee, which the networks are trained on."""

FUSED_SPACING_MM = 0.8
"""Voxel edge of a fused label map made of 2D series: finer than their slices, coarser than their pixels."""

MAX_FUSED_VOXELS = 16_000_000
"""Most voxels of such a grid; a larger field of view gets larger voxels. As int16 labels this is 32 MB."""


def reformat(
    volume: Volume, plane: Plane, slice_mm: float = REFORMAT_SLICE_MM, *, taken_for: Plane | None = None
) -> Volume:
    """Cut slices of another plane out of a 3D volume, along the volume's own axes: nothing is rotated.

    The slices are perpendicular to the voxel axis nearest to the plane's normal, adjacent, and centred in the volume;
    each is the mean over its thickness, as a 2D acquisition has it. In-plane voxels stay as they are.

    Args:
        volume: nearly isotropic, finite.
        plane: of the slices; not the volume's own.
        slice_mm: thickness and distance of the slices in mm.
        taken_for: the volume's own plane, which a person may have named; that of its affine if left out.

    Returns:
        float32, slices along k, on its own grid in the same RAS space, with the source of `volume`.

    Raises:
        OrthoDiffusionError: AMBIGUOUS_PLANE, as `plane_of` does, where its own plane is left out.
    """
    own = plane_of(volume.affine, volume.shape) if taken_for is None else taken_for
    axis = patient_axes(volume.affine, volume.shape, own)[plane.normal_axis]
    voxels, step = volume.shape[axis], volume.spacing[axis]
    thickness = max(slice_mm, step) / step
    count = max(int(voxels / thickness + 1e-6), 1)
    edges = (voxels - count * thickness) / 2 + thickness * np.arange(count + 1)
    covered = np.clip(edges[:, None] - np.arange(voxels)[None, :], 0.0, 1.0)
    weights = (np.diff(covered, axis=0) / thickness).astype(np.float32)
    moved = np.moveaxis(volume.array, axis, 2).astype(np.float32)
    kept = [other for other in range(3) if other != axis]
    to_source = np.zeros((4, 4))
    to_source[kept[0], 0] = to_source[kept[1], 1] = to_source[3, 3] = 1.0
    to_source[axis, 2] = thickness
    # Voxel v covers v to v + 1 on the scale of the edges, and its centre has the index v.
    to_source[axis, 3] = edges[0] + thickness / 2 - 0.5
    return Volume(moved @ weights.T, volume.affine @ to_source, volume.source)


def resample_labels_nearest(
    labels: npt.NDArray[np.integer[Any]],
    from_affine: npt.NDArray[np.float64],
    to_affine: npt.NDArray[np.float64],
    to_shape: Sequence[int],
) -> npt.NDArray[np.integer[Any]]:
    """Labels on another grid: that of the voxel each target centre lies in, 0 outside.

    Args:
        labels: shape (i, j, k).
        from_affine: (4, 4), index of `labels` to RAS in mm.
        to_affine: (4, 4), index of the target grid to RAS in mm.
        to_shape: of the target grid.

    Returns:
        the type of `labels`, shape `to_shape`.
    """
    to_source = np.linalg.inv(from_affine) @ to_affine
    # grid-constant: a voxel reaches half its size beyond its centre, at the border too.
    return np.asarray(
        ndimage.affine_transform(
            labels,
            to_source[:3, :3],
            to_source[:3, 3],
            tuple(to_shape),
            order=0,
            mode="grid-constant",
            cval=0,
        )
    )


def resample_linear(
    array: npt.NDArray[Any],
    from_affine: npt.NDArray[np.float64],
    to_affine: npt.NDArray[np.float64],
    to_shape: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Intensities or probabilities on another grid, interpolated linearly; beyond the border its value holds.

    Args:
        array: shape (i, j, k).
        from_affine: (4, 4), index of `array` to RAS in mm.
        to_affine: (4, 4), index of the target grid to RAS in mm.
        to_shape: of the target grid.

    Returns:
        float32, shape `to_shape`.
    """
    to_source = np.linalg.inv(from_affine) @ to_affine
    return np.asarray(
        ndimage.affine_transform(
            array.astype(np.float32),
            to_source[:3, :3],
            to_source[:3, 3],
            tuple(to_shape),
            order=1,
            mode="nearest",
        ),
        np.float32,
    )


def fused_grid(volumes: Mapping[Plane, Volume]) -> tuple[npt.NDArray[np.float64], tuple[int, int, int]]:
    """The grid of a label map fused from several planes.

    A nearly isotropic volume lends its own grid. Otherwise the grid is isotropic (`FUSED_SPACING_MM`), covers all the
    volumes, and follows the axes of the sagittal volume, or of the first, so that its slices stay aligned.

    Args:
        volumes: at least one, checked, by the plane that it is taken for: halfway between two its affine cannot say.

    Returns:
        affine (4, 4), index to RAS in mm, and shape; i, j and k run nearest to right, anterior and superior unless
        the grid is a volume's own.
    """
    for volume in volumes.values():
        if is_nearly_isotropic(volume):
            return volume.affine.copy(), volume.shape
    plane = Plane.SAGITTAL if Plane.SAGITTAL in volumes else next(iter(volumes))
    axes = _orthonormal_axes(volumes[plane], plane)
    corners = np.concatenate([box_corners(volume) for volume in volumes.values()]) @ axes
    low, high = corners.min(axis=0), corners.max(axis=0)
    extent = high - low
    spacing = max(FUSED_SPACING_MM, float(np.prod(extent) / MAX_FUSED_VOXELS) ** (1 / 3))
    i, j, k = (max(int(count), 1) for count in np.ceil(extent / spacing - 1e-6))
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    first_centre = (low + high) / 2 - spacing * (np.array([i, j, k]) - 1) / 2
    affine[:3, 3] = axes @ first_centre
    return affine, (i, j, k)


def box_corners(volume: Volume) -> npt.NDArray[np.float64]:
    """The eight outer corners of a volume, half a voxel beyond its outermost centres: (8, 3), RAS in mm."""
    ends = np.stack(np.meshgrid(*([-0.5, count - 0.5] for count in volume.shape), indexing="ij"), axis=-1)
    return np.asarray(ends.reshape(8, 3) @ volume.affine[:3, :3].T + volume.affine[:3, 3], np.float64)


def _orthonormal_axes(volume: Volume, plane: Plane) -> npt.NDArray[np.float64]:
    """Columns: the directions, nearest to right, anterior and superior, of a plane's volume, made perpendicular."""
    columns = volume.affine[:3, list(patient_axes(volume.affine, volume.shape, plane))]
    columns = columns / np.linalg.norm(columns, axis=0)
    columns = columns * np.where(np.diag(columns) < 0, -1.0, 1.0)
    left, _, right = np.linalg.svd(columns)
    return np.asarray(left @ right, np.float64)
