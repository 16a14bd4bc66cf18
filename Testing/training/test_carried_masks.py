"""Another plane's masks are a starting point that keeps what a plane learnt from its own images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_dataset import write_dataset
from typer.testing import CliRunner

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.cli.app import app
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.training.carried_masks import carried_masks, with_masks_of
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.training.trained_plane import (
    PlaneDescription,
    TrainedPlane,
    empty_networks,
    load_plane,
    save_plane,
)


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
    save_plane(tmp_path / "elsewhere", images.told("Trained on something else."), {})
    settings = SegmentationSettings()
    begun = carried_masks(own, tmp_path / "masks", str(tmp_path / "images"), settings)
    for found, right in zip(
        begun.networks.parameters(), with_masks_of(own, images, masks).networks.parameters(), strict=True
    ):
        assert torch.equal(found, right)

    def refused(start: TrainedPlane, masks: str, began: str) -> tuple[ErrorKind, str]:
        with pytest.raises(OrthoDiffusionError) as caught:
            carried_masks(start, tmp_path / masks, str(tmp_path / began), settings)
        return caught.value.kind, str(caught.value)

    kind, said = refused(masks, "masks", "images")
    assert kind is ErrorKind.WRONG_PLANE and "sagittal plane itself" in said
    assert refused(own, "masks", "own")[0] is ErrorKind.WRONG_PLANE
    kind, said = refused(own, "images", "images")
    assert kind is ErrorKind.BAD_SETTINGS and "no segmentation decoder" in said
    kind, said = refused(own, "masks", "elsewhere")
    assert kind is ErrorKind.BAD_SETTINGS and "did not start from" in said
    kind, said = refused(_of_chance(3, Plane.CORONAL, segmentation=True), "masks", "images")
    assert kind is ErrorKind.BAD_SETTINGS and "have heads" in said
    with pytest.raises(OrthoDiffusionError, match="Set decoder: skips"):
        published = SegmentationSettings(decoder="published")
        carried_masks(own, tmp_path / "masks", str(tmp_path / "images"), published)
    for change in ({"joint": "ankle"}, {"channel_multipliers": (1, 1, 2)}):
        other = replace(own, description=own.description.model_copy(update=change))
        kind, said = refused(other, "masks", "images")
        assert kind is ErrorKind.BAD_SETTINGS and "different joints or sizes" in said


@pytest.mark.parametrize("option", ["--masks-from", "--masks-began"])
def test_one_of_both_folders_is_not_enough(tmp_path: Path, option: str) -> None:
    command = ["train-segmentation", "--plane=axial", "--from=pre", "--phantoms=0:2", f"--output={tmp_path / 'out'}"]
    refused = CliRunner().invoke(app, [*command, f"{option}=other"])
    assert (refused.exit_code, "need both" in refused.output) == (2, True), refused.output


def test_by_commands_a_plane_begins_with_another_planes_images_and_masks(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, (Plane.AXIAL, Plane.CORONAL))
    images, masks = tmp_path / "axial-images", tmp_path / "axial-masks"

    def orthodiffusion(command: str, plane: str, *arguments: object) -> str:
        common = ["--plane", plane, "--dataset", dataset, "--cache", tmp_path / "cache", "--set=steps=1"]
        done = CliRunner().invoke(app, [command, *map(str, [*common, "--set=batch=1", *arguments])])
        assert done.exit_code == 0, done.output
        return " ".join(done.stdout.split())

    tiny = ["--accelerator=cpu", "--set=channel_multipliers=[1, 1]", "--set=window_size=16", "--set=sample_every=0"]
    orthodiffusion("pretrain", "axial", *tiny, "--output", images)
    orthodiffusion("pretrain", "coronal", *tiny, "--from", f"axial={images}", "--output", tmp_path / "coronal-images")
    orthodiffusion("train-segmentation", "axial", "--from", images, "--output", masks, "--set=timestep=10")
    carried = ["--masks-from", masks, "--masks-began", images]
    told = orthodiffusion(
        "train-segmentation", "coronal", "--from", tmp_path / "coronal-images", *carried, "--output", tmp_path / "both"
    )
    assert "Decoder of the axial plane taken over" in told
    description = load_plane(tmp_path / "both").description
    assert (description.plane, description.timestep) == (Plane.CORONAL, 10)
    assert "from a pre-training of the axial plane, 1 steps" in description.history[0]
