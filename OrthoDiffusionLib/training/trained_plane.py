"""One plane's trained networks in a folder: what the training commands hand on to each other and to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import Pooling
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks

DESCRIPTION = "plane.json"
PARTS = ("encoder", "segmentation", "diagnosis")

NO_READING = {"reads_structures": False, "reads_around": False, "pools_features": True}
"""In the description of networks whose diagnosis head is gone."""

Labels = Literal["masks", "findings"]
"""What a training learns from beside images."""


class PlaneDescription(BaseModel):
    """What the networks of a plane are, and how they came to be.

    Attributes:
        joint: whose structures and findings the heads have.
        plane: of the networks.
        base_channels: of the encoder.
        channel_multipliers: of the encoder.
        block: whose activation is the feature map.
        timestep: of the noise.
        window_size: pixels.
        skips: whether the decoder sees the encoder's finer levels.
        pooling: of the diagnosis head.
        reads_structures: whether that head reads the segmented structures too.
        reads_around: whether it also reads what lies around them.
        pools_features: whether it was trained on pooled features; otherwise these are of a pooling of chance.
        encoder_saw: what labels the encoder has learnt from since its pre-training, in the folders of this library; of
            a bundle's encoder the history alone tells.
        history: a sentence for each training, in order; the first one is about the encoder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint: str
    plane: Plane
    base_channels: int
    channel_multipliers: tuple[int, ...]
    block: str
    timestep: int
    window_size: int
    skips: bool = False
    pooling: Pooling = "self_attention"
    reads_structures: bool = False
    reads_around: bool = False
    pools_features: bool = True
    encoder_saw: tuple[Labels, ...] = ()
    history: tuple[str, ...]

    def told_apart(self) -> dict[str, Any]:
        """What tells these networks from others; what there was no choice of in earlier versions is left out where it
        is as it was then, so that what these versions kept is found again."""
        told = self.model_dump(mode="json")
        for name in ("reads_around", "pools_features"):
            if told[name] == PlaneDescription.model_fields[name].default:
                del told[name]
        return told

    def after(self, labels: Labels, encoder_rate: float) -> tuple[Labels, ...]:
        """What the encoder has learnt from after a training on labels, at that share of the learning rate."""
        return self.encoder_saw if encoder_rate == 0 or labels in self.encoder_saw else (*self.encoder_saw, labels)


@dataclass(frozen=True)
class TrainedPlane:
    """A plane's networks in evaluation mode, and what is told about them."""

    description: PlaneDescription
    networks: PlaneNetworks

    def told(self, sentence: str, **changes: Any) -> TrainedPlane:
        """The same networks with a sentence more of history."""
        update = {"history": (*self.description.history, sentence), **changes}
        return replace(self, description=self.description.model_copy(update=update))


def empty_networks(description: PlaneDescription, *, segmentation: bool, diagnosis: bool) -> PlaneNetworks:
    """Untrained networks as described, with the heads asked for."""
    joint = load_joint(description.joint)
    return PlaneNetworks(
        UNetConfig(description.base_channels, description.channel_multipliers),
        description.block,
        len(joint.structures) + 1 if segmentation else 0,
        len(joint.findings) if diagnosis else 0,
        skips=description.skips,
        pooling=description.pooling,
        reads_structures=description.reads_structures,
        reads_around=description.reads_around,
    )


def without_diagnosis(trained: TrainedPlane) -> TrainedPlane:
    """A plane's encoder and decoder, in networks of their own; it has a decoder."""
    description = trained.description.model_copy(update=NO_READING)
    networks = empty_networks(description, segmentation=True, diagnosis=False)
    assert networks.segmentation is not None and trained.networks.segmentation is not None
    networks.encoder.load_state_dict(trained.networks.encoder.state_dict())
    networks.segmentation.load_state_dict(trained.networks.segmentation.state_dict())
    return TrainedPlane(description, networks.eval().requires_grad_(False))


def save_plane(folder: Path, trained: TrainedPlane, extra: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Write the networks; the description comes last, so that a folder with one is whole.

    Args:
        folder: made when it is not there.
        trained: what to write.
        extra: more files of tensors by their name without suffix, such as held-out logits.

    Raises:
        OSError: when a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    for part in PARTS:
        module = getattr(trained.networks, part)
        path = folder / f"{part}.safetensors"
        if module is None:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, weights_bytes(module.state_dict()))
    for name, tensors in extra.items():
        write_whole(folder / f"{name}.safetensors", weights_bytes(tensors))
    (folder / DESCRIPTION).write_text(trained.description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_plane(folder: Path) -> TrainedPlane:
    """Read what `save_plane` wrote.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder that holds no such networks, or not all of them.
    """
    try:
        description = PlaneDescription.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
        there = {part: folder / f"{part}.safetensors" for part in PARTS}
        networks = empty_networks(
            description, segmentation=there["segmentation"].exists(), diagnosis=there["diagnosis"].exists()
        )
        for part in PARTS:
            module = getattr(networks, part)
            if module is not None:
                module.load_state_dict(load_file(there[part]))
    except (OSError, ValidationError, SafetensorError, RuntimeError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds no networks of a plane, or not all of them.",
            "Name the output folder of `orthodiffusion train-segmentation` or `train-diagnosis`.",
            detail=str(error),
        ) from error
    return TrainedPlane(description, networks.eval().requires_grad_(False))


def common_description(trained: Mapping[Plane, TrainedPlane]) -> PlaneDescription:
    """Of networks that are to work together, one's description: joint and sizes are those of all.

    Raises:
        OrthoDiffusionError: WRONG_PLANE for networks of another plane than they are given as; BAD_SETTINGS for
            networks of different joints or sizes.
    """
    described = [plane.description for plane in trained.values()]
    for plane, networks in trained.items():
        if networks.description.plane is not plane:
            raise OrthoDiffusionError(
                ErrorKind.WRONG_PLANE,
                f"The networks given as {plane.value} are of the {networks.description.plane.value} plane.",
                "Name each plane's own folder.",
            )
    sizes = {(d.joint, d.base_channels, d.channel_multipliers, d.window_size) for d in described}
    if len(sizes) != 1:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The planes' networks are of different sizes or joints.",
            "Train them with the same configuration.",
        )
    return described[0]
