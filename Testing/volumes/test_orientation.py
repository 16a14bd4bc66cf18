from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.volumes.orientation import is_nearly_isotropic, plane_of, slice_axis, to_network_axes
from OrthoDiffusionLib.volumes.storage_order import storage_orders, stored_as
from OrthoDiffusionLib.volumes.volume import Volume

STACK = (9, 8, 5)


def rotation(about: int, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    one, two = (axis for axis in range(3) if axis != about)
    turn = np.eye(4)
    turn[one, one] = turn[two, two] = np.cos(angle)
    turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
    return turn


def stack_in(plane: Plane, turn: np.ndarray, spacing: tuple[float, float, float] = (0.5, 0.6, 3.0)) -> Volume:
    """A stack in the plane's network axes, then turned in space."""
    codes = nibabel.orientations.axcodes2ornt(plane.network_axcodes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for axis, (ras, sign) in enumerate(codes):
        affine[int(ras), axis] = sign * spacing[axis]
    affine[:3, 3] = (10, -20, 30)
    return Volume(np.random.default_rng(3).random(STACK), turn @ affine)


@pytest.mark.parametrize("plane", Plane)
@given(tilt=st.floats(-40, 40), about=st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_all_storage_orders_give_the_same_network_axes_and_come_back(plane: Plane, tilt: float, about: int) -> None:
    volume = stack_in(plane, rotation(about, tilt))
    for order, flips in storage_orders():
        stored = stored_as(volume, order, flips)
        assert plane_of(stored.affine, stored.shape) is plane
        turned = to_network_axes(stored, plane)
        np.testing.assert_array_equal(turned.array, volume.array)
        np.testing.assert_allclose(turned.affine, volume.affine, atol=1e-9)
        np.testing.assert_array_equal(turned.restore(turned.array), stored.array)


def test_half_a_right_angle_in_plane_does_not_depend_on_storage() -> None:
    volume = stack_in(Plane.AXIAL, rotation(2, 45))
    results = [to_network_axes(stored_as(volume, *order), Plane.AXIAL) for order in storage_orders()]
    for result in results:
        np.testing.assert_array_equal(result.array, results[0].array)
        np.testing.assert_allclose(result.affine, results[0].affine, atol=1e-9)


def test_every_voxel_keeps_its_place() -> None:
    volume = stack_in(Plane.CORONAL, rotation(0, 20) @ rotation(1, 12))
    stored = stored_as(volume, (2, 0, 1), (True, False, True))
    turned = to_network_axes(stored, Plane.CORONAL)
    index = np.array([3, 5, 2])
    place = turned.affine @ [*index, 1]
    native = np.rint(np.linalg.inv(stored.affine) @ place)[:3].astype(int)
    assert stored.array[tuple(native)] == turned.array[tuple(index)]


def test_halfway_between_two_planes_is_ambiguous() -> None:
    volume = stack_in(Plane.SAGITTAL, rotation(2, 45))
    with pytest.raises(OrthoDiffusionError) as caught:
        plane_of(volume.affine, volume.shape)
    assert caught.value.kind is ErrorKind.AMBIGUOUS_PLANE


def test_slices_of_a_3d_volume_lie_along_its_shortest_side() -> None:
    pixels_differ_more_than_slices = np.diag([0.45, 0.4, 0.4, 1.0])
    assert slice_axis(pixels_differ_more_than_slices, (300, 320, 200)) == 2
    assert slice_axis(np.diag([1.0, 1.0, 1.0, 1.0]), (90, 128, 128)) == 0


@pytest.mark.parametrize(
    ("spacing", "shape", "expected"),
    [
        ((0.3125, 0.3125, 1.5), (512, 512, 80), True),
        ((0.7, 0.7, 0.7), (200, 200, 160), True),
        ((0.4, 0.4, 3.3), (384, 384, 30), False),
        ((0.5, 0.5, 1.5), (320, 320, 20), False),
    ],
)
def test_true_3d_volumes_are_known(
    spacing: tuple[float, float, float], shape: tuple[int, int, int], expected: bool
) -> None:
    volume = Volume(np.broadcast_to(np.int16(0), shape), np.diag([*spacing, 1.0]))
    assert is_nearly_isotropic(volume) is expected
