"""Another plane's masks are a starting point that keeps what a plane learnt from its own images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.carried_masks import carried_masks, with_masks_of
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks, save_plane


def _of_chance(seed: int, plane: Plane, *, segmentation: bool) -> TrainedPlane:
    description = PlaneDescription(
        joint="knee", plane=plane, base_channels=32, channel_multipliers=(1, 1, 1), block="mid_0", timestep=10,
        window_size=16, skips=segmentation, history=("Of chance.",),
    )  # fmt: skip
    torch.manual_seed(seed)
    networks = empty_networks(description, segmentation=segmentation, diagnosis=False)
    return TrainedPlane(description, networks.eval().requires_grad_(False))


def test_the_decoder_is_the_other_planes_and_the_encoder_changes_by_as_much() -> None:
    images = _of_chance(0, Plane.SAGITTAL, segmentation=False)
    masks = _of_chance(1, Plane.SAGITTAL, segmentation=True)
    own = _of_chance(2, Plane.CORONAL, segmentation=False)
    begun = with_masks_of(own, images, masks)
    assert begun.description.plane is Plane.CORONAL and begun.description.skips
    assert begun.description.encoder_saw == ("masks",)
    assert begun.networks.segmentation is not None and masks.networks.segmentation is not None
    for found, right in zip(
        begun.networks.segmentation.parameters(), masks.networks.segmentation.parameters(), strict=True
    ):
        assert torch.equal(found, right)
    encoders = (one.networks.encoder.parameters() for one in (begun, own, masks, images))
    for found, before, after, other in zip(*encoders, strict=True):
        assert torch.allclose(found - before, after - other, atol=1e-6)


def test_folders_of_other_planes_joints_and_sizes_are_refused(tmp_path: Path) -> None:
    images, masks = (_of_chance(seed, Plane.SAGITTAL, segmentation=bool(seed)) for seed in (0, 1))
    own = _of_chance(2, Plane.CORONAL, segmentation=False)
    for name, networks in (("images", images), ("masks", masks), ("own", own)):
        save_plane(tmp_path / name, networks, {})
    begun = carried_masks(own, tmp_path / "masks", str(tmp_path / "images"))
    for found, right in zip(
        begun.networks.parameters(), with_masks_of(own, images, masks).networks.parameters(), strict=True
    ):
        assert torch.equal(found, right)

    def refused(start: TrainedPlane, masks: str, began: str) -> tuple[ErrorKind, str]:
        with pytest.raises(OrthoDiffusionError) as caught:
            carried_masks(start, tmp_path / masks, str(tmp_path / began))
        return caught.value.kind, str(caught.value)

    kind, said = refused(masks, "masks", "images")
    assert kind is ErrorKind.WRONG_PLANE and "sagittal plane itself" in said
    assert refused(own, "masks", "own")[0] is ErrorKind.WRONG_PLANE
    kind, said = refused(own, "images", "images")
    assert kind is ErrorKind.BAD_SETTINGS and "no segmentation decoder" in said
    for change in ({"joint": "ankle"}, {"channel_multipliers": (1, 1, 2)}):
        other = replace(own, description=own.description.model_copy(update=change))
        kind, said = refused(other, "masks", "images")
        assert kind is ErrorKind.BAD_SETTINGS and "different joints or sizes" in said
