from __future__ import annotations

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.checks import check_affine
from OrthoDiffusionLib.volumes.orientation import plane_of
from OrthoDiffusionLib.volumes.resampling import (
    MAX_FUSED_VOXELS,
    box_corners,
    fused_grid,
    reformat,
    resample_labels_nearest,
    resample_linear,
)
from OrthoDiffusionLib.volumes.storage_order import stored_as
from OrthoDiffusionLib.volumes.volume import Volume

DIRECTIONS = np.linalg.qr(np.array([[0.1, 0.05, 1.0], [-1.0, 0.1, 0.1], [0.1, -1.0, 0.05]]))[0]


def positions(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def dess(shape: tuple[int, int, int] = (101, 96, 41)) -> Volume:
    """An oblique sagittal 3D volume whose intensity is a linear function of the place."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS * np.sign(DIRECTIONS[[1, 2, 0], [0, 1, 2]]) * (0.7, 0.7, 1.5)
    affine[:3, 3] = (5, -7, 11)
    return Volume(ramp(positions(shape, affine)), affine)


def ramp(places: np.ndarray) -> np.ndarray:
    return (places @ [1.0, 2.0, -3.0] + 500.0).astype(np.float32)


@pytest.mark.parametrize("plane", [Plane.AXIAL, Plane.CORONAL])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_reformatted_slices_show_what_lies_there(plane: Plane, order: tuple[int, int, int]) -> None:
    volume = stored_as(dess(), order, (False, True, False))
    stack = reformat(volume, plane)
    assert plane_of(stack.affine, stack.shape) is plane
    assert stack.spacing[2] == pytest.approx(3.0)
    # The mean of a linear function is its value in the middle. Voxels that a slice's face cuts count by their share,
    # not by where they are cut: that is worth 0.05 voxels at most, 0.1 of this intensity.
    np.testing.assert_allclose(stack.array, ramp(positions(stack.shape, stack.affine)), atol=0.1)
    middle = box_corners(stack).mean(axis=0)
    np.testing.assert_allclose(middle, box_corners(volume).mean(axis=0), atol=1e-6)


def test_labels_reach_half_a_voxel_and_no_farther() -> None:
    labels = np.ones((4, 4, 4), np.int16)
    fine = np.diag([0.25, 0.25, 0.25, 1.0])
    fine[:3, 3] = -1.0 + 0.125
    result = resample_labels_nearest(labels, np.eye(4), fine, (24, 24, 24))
    inside = np.abs(positions((24, 24, 24), fine) - 1.5).max(axis=-1) < 2.0
    np.testing.assert_array_equal(result, inside.astype(np.int16))


def test_linear_resampling_is_exact_for_a_ramp() -> None:
    volume = dess()
    target = volume.affine.copy()
    target[:3, :3] = target[:3, :3] * 1.3
    target[:3, 3] += volume.affine[:3, :3] @ [3.2, 4.4, 2.1]
    result = resample_linear(volume.array, volume.affine, target, (40, 41, 20))
    np.testing.assert_allclose(result, ramp(positions(result.shape, target)), atol=0.01)


def test_fused_grid_of_thick_stacks_covers_them_all() -> None:
    sagittal, plane_turn = dess(), np.diag([1.0, 1.0, 2.5, 1.0])
    thick = Volume(sagittal.array[:, :, :20], sagittal.affine @ plane_turn)
    axial = reformat(dess(), Plane.AXIAL)
    affine, shape = fused_grid({Plane.AXIAL: axial, Plane.SAGITTAL: thick})
    check_affine(affine)
    corners = np.concatenate([box_corners(axial), box_corners(thick)])
    index = (corners - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    assert (index >= -0.5 - 1e-6).all() and (index <= np.array(shape) - 0.5 + 1e-6).all()
    assert np.prod(shape) <= 1.05 * MAX_FUSED_VOXELS
    assert (np.diag(affine)[:3] > 0).all()


def test_fused_grid_of_a_3d_volume_is_its_own() -> None:
    volume = dess((101, 96, 44))
    affine, shape = fused_grid({Plane.SAGITTAL: volume})
    np.testing.assert_array_equal(affine, volume.affine)
    assert shape == volume.shape


def test_a_volume_halfway_between_two_planes_is_taken_for_the_one_it_was_named_for() -> None:
    half = np.sqrt(0.5)
    directions = np.array([[0, half, half], [0, half, -half], [1.0, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = directions * (0.7, 0.7, 1.5)
    volume = Volume(ramp(positions((101, 96, 41), affine)), affine)
    with pytest.raises(OrthoDiffusionError) as caught:
        reformat(volume, Plane.AXIAL)
    assert caught.value.kind is ErrorKind.AMBIGUOUS_PLANE
    stack = reformat(volume, Plane.AXIAL, taken_for=Plane.SAGITTAL)
    np.testing.assert_allclose(stack.array, ramp(positions(stack.shape, stack.affine)), atol=0.1)
    thick = Volume(volume.array[:, :, :20], affine @ np.diag([1.0, 1.0, 2.5, 1.0]))
    for plane in (Plane.SAGITTAL, Plane.CORONAL):
        grid, _shape = fused_grid({plane: thick})
        check_affine(grid)
        # Along the volume's own axes, whichever of them stands for which.
        across = np.abs(grid[:3, :3].T @ directions).round(6)
        assert sorted(across.max(axis=0)) == pytest.approx([0.8, 0.8, 0.8])
