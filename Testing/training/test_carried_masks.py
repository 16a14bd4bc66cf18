"""Another plane's masks are a starting point that keeps what a plane learnt from its own images."""

from __future__ import annotations

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.training.carried_masks import with_masks_of
from OrthoDiffusionLib.training.trained_plane import PlaneDescription, TrainedPlane, empty_networks


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
