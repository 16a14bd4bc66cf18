"""What a validation counts: every slice, each structure in the studies that show it, nothing that is not annotated."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tiny_dataset import affine_of
from torch import nn

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy, prepare_manifest
from OrthoDiffusionLib.datasets.manifest import read_manifest
from OrthoDiffusionLib.training.prepared_stacks import at_size, segmented_stack
from OrthoDiffusionLib.training.segmentation_batches import _draw
from OrthoDiffusionLib.training.segmentation_validation import mean_dice, structure_dice
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane

SIZE = 16
HIGHEST = 4
"""Largest label in the images, whose intensities are the labels."""


class ReadsIntensities(nn.Module):
    """Stands for networks that never err: a voxel's class is its intensity."""

    def scores_and_features(self, noised: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, None]:
        classes = ((noised[:, 0] + 1) / 2 * HIGHEST).round().clamp(0, 11).long()
        return 20.0 * nn.functional.one_hot(classes, 12).permute(0, 4, 1, 2, 3), None


@pytest.fixture
def reader() -> TrainedPlane:
    description = PlaneDescription(
        joint="knee", plane=Plane.AXIAL, base_channels=32, channel_multipliers=(1, 1, 1), block="mid_0", timestep=0,
        window_size=SIZE, history=("Not trained.",),
    )  # fmt: skip
    return TrainedPlane(description, ReadsIntensities())  # type: ignore[arg-type]


def prepared(folder: Path, depth: int, size: int) -> CachedStudy:
    """Bars of femur (1), fibula (3) and patella (4); half of the fibula is not annotated, and in the outermost slice
    the image shows a femur twice as large as the labels'."""
    labels = np.zeros((size, size, depth), np.int16)
    labels[2:4], labels[6:10], labels[12:14] = 1, 3, 4
    image = labels.astype(np.float32)
    image[4:6, :, -1] = 1
    labels[8:10] = -1
    for name, array in (("image", image), ("labels", labels)):
        nibabel.save(nibabel.Nifti1Image(array, affine_of(Plane.AXIAL, (2.0, 2.0, 3.0))), folder / f"{name}.nii.gz")
    series = [{"plane": "axial", "image": "image.nii.gz", "labels": "labels.nii.gz"}]
    path = folder / "dataset.json"
    path.write_text(json.dumps({"studies": [{"id": "one", "patient": "ann", "series": series, "findings": {}}]}))
    return prepare_manifest(read_manifest(path), folder / "cache", size)[0]


@pytest.mark.parametrize("depth", [9, 16, 29])
def test_every_slice_counts_once_and_what_is_not_annotated_nowhere(
    tmp_path: Path, reader: TrainedPlane, depth: int
) -> None:
    found = structure_dice(reader, [prepared(tmp_path, depth, SIZE)], "cpu")
    true, too_many = 2 * SIZE * depth, 2 * SIZE
    assert found == pytest.approx({"femur": 2 * true / (2 * true + too_many), "fibula": 1.0, "patella": 1.0})
    assert mean_dice(found) == pytest.approx((found["femur"] + 2) / 3)
    assert mean_dice({}) == 0.0


def test_larger_stacks_come_to_the_windows_size_with_their_labels(tmp_path: Path, reader: TrainedPlane) -> None:
    stack = segmented_stack(reader, prepared(tmp_path, 18, 20), 0, "cpu")
    assert stack.image.shape == (18, SIZE, SIZE)
    assert stack.scores.shape == (12, 18, SIZE, SIZE)
    assert stack.labels is not None
    assert stack.labels.dtype == np.int8
    assert set(np.unique(stack.labels)) == {-1, 0, 1, 3, 4}
    same = np.ones((2, SIZE, SIZE), np.float32)
    assert at_size(same, None, SIZE)[0] is same


def test_windows_at_a_stacks_ends_are_drawn_as_often_as_they_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = prepared(tmp_path, 26, SIZE)
    starts: list[int] = []
    whole = CachedStudy.window

    def noted(self: CachedStudy, plane: Plane, series: int, start: int, slices: int = 16):  # type: ignore[no-untyped-def]
        starts.append(start)
        return whole(self, plane, series, start, slices)

    monkeypatch.setattr(CachedStudy, "window", noted)
    generator = np.random.default_rng(0)
    for _ in range(300):
        _draw([study], Plane.AXIAL, SIZE, SegmentationSettings(), generator)
    share = np.bincount(starts, minlength=11) / 300
    assert len(share) == 11
    assert 0.27 < share[0] < 0.40
    assert 0.27 < share[10] < 0.40
    assert (share[1:10] > 0).all()
