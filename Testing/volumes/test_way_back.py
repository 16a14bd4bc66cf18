"""From a volume's own grid to the network's and back: a known label map must not move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dicom_files import oblique_volume

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.inference.grids import ScoreVolume, label_grid, network_grid_affine
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.resampling import reformat
from OrthoDiffusionLib.volumes.storage_order import storage_orders, stored_as
from OrthoDiffusionLib.volumes.volume import Volume
from OrthoDiffusionLib.volumes.windows import resize_slices


def labelled(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """A half-space (1) with a ball (2) in it, off centre, on an oblique grid."""
    affine = oblique_volume(shape, spacing).affine
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T
    middle = affine[:3, :3] @ (np.array(shape) * (0.55, 0.45, 0.5))
    extent = min(count * step for count, step in zip(shape, spacing, strict=True))
    labels = ((places - middle) @ [0.3, 0.2, 1.0] > 0).astype(np.int16)
    labels[np.linalg.norm(places - middle, axis=-1) < 0.35 * extent] = 2
    return Volume(labels, affine)


def seen_by_network(stack: Volume, plane: Plane, size: int) -> ScoreVolume:
    """Class scores that a perfect network gives: each class painted, and resized as its input is."""
    turned = to_network_axes(stack, plane)
    scores = np.stack([resize_slices((turned.array == label).astype(np.float32), size) for label in range(3)])
    return ScoreVolume(torch.from_numpy(scores), network_grid_affine(turned.affine, turned.array.shape, size))


def assert_unmoved(result: np.ndarray, truth: np.ndarray, dice: float, shift: float) -> None:
    for label in (1, 2):
        found, true = result == label, truth == label
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > dice
        moved = np.argwhere(found).mean(axis=0) - np.argwhere(true).mean(axis=0)
        assert np.abs(moved).max() < shift


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("stored", storage_orders()[5::11])
def test_labels_of_a_stack_come_back_in_place(size: int, stored: tuple) -> None:
    volume = stored_as(labelled((61, 47, 19), (0.8, 1.0, 3.3)), *stored)
    scores = seen_by_network(volume, Plane.SAGITTAL, size)
    result, _ = label_grid([scores], volume.affine, volume.shape, lambda: None)
    assert_unmoved(result, volume.array, 0.98, 0.1)


def test_labels_of_a_reformatted_plane_come_back_on_the_3d_grid() -> None:
    volume = labelled((101, 97, 50), (0.7, 0.7, 1.4))
    classes = [Volume((volume.array == label).astype(np.float32), volume.affine) for label in range(3)]
    masks = [reformat(mask, Plane.AXIAL) for mask in classes]
    scores = torch.stack([seen_by_network_mask(mask, 96) for mask in masks])
    turned = to_network_axes(masks[0], Plane.AXIAL)
    grid = network_grid_affine(turned.affine, turned.array.shape, 96)
    result, _ = label_grid([ScoreVolume(scores, grid)], volume.affine, volume.shape, lambda: None)
    middle = (slice(None), slice(4, -4))
    assert_unmoved(result[middle], volume.array[middle], 0.97, 0.15)


def seen_by_network_mask(mask: Volume, size: int) -> torch.Tensor:
    return torch.from_numpy(resize_slices(to_network_axes(mask, Plane.AXIAL).array, size))
