"""A trained fusion of planes in a folder: what `orthodiffusion train-fusion` hands on to a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import FusionKind, Sha256
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.plane_fusion import FusionNetwork, make_fusion
from OrthoDiffusionLib.training.fusion_data import HELD_OUT, FusionData
from OrthoDiffusionLib.training.fusion_training import FusionTraining
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, common_description

DESCRIPTION = "fusion.json"


class FusionDescription(BaseModel):
    """What a fusion is, and how it came to be.

    Attributes:
        joint: whose findings it has.
        kind: of the fusion.
        channels: of each plane's pooled features.
        planes: that it fuses, with `fingerprint` of their networks: those of others mean something else.
        history: one sentence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint: str
    kind: FusionKind
    channels: int
    planes: dict[Plane, Sha256]
    history: str


@dataclass(frozen=True)
class TrainedFusion:
    """A fusion in evaluation mode, what is told about it, and what it said of studies that it did not see.

    Attributes:
        description: of it.
        network: on the CPU.
        logits: out of fold, (studies, findings).
        present: 0, 1 or NaN for unknown, (studies, findings).
    """

    description: FusionDescription
    network: FusionNetwork
    logits: torch.Tensor
    present: torch.Tensor


def fingerprint(trained: TrainedPlane) -> str:
    """SHA-256 of what makes a plane's pooled features and logits: encoder and diagnosis head."""
    digest = hashlib.sha256(weights_bytes(trained.networks.encoder.state_dict()))
    if trained.networks.diagnosis is not None:
        digest.update(weights_bytes(trained.networks.diagnosis.state_dict()))
    return digest.hexdigest()


def described_fusion(
    kind: str, training: FusionTraining, data: FusionData, planes: Mapping[Plane, TrainedPlane], dropout: float
) -> TrainedFusion:
    """A training's fusion with what is told about it.

    Args:
        kind: of fusion.
        training: that made it.
        data: that it was trained on.
        planes: whose networks it reads.
        dropout: probability with which planes were taken away.
    """
    names = ", ".join(plane.value for plane in Plane if plane in planes)
    description = FusionDescription.model_validate(
        {
            "joint": common_description(planes).joint,
            "kind": kind,
            "channels": data.channels,
            "planes": {plane: fingerprint(trained) for plane, trained in planes.items()},
            "history": f"Fusion of {names} by {kind} trained for {training.epochs} epochs on {len(data.studies)}"
            f" studies, planes taken away with probability {dropout:g}.",
        }
    )
    return TrainedFusion(description, training.network, training.held_out, data.present)


def save_fusion(folder: Path, trained: TrainedFusion) -> None:
    """Write a fusion; the description comes last, so that a folder with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    state = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    save_file(state, folder / "head.safetensors")
    save_file({"logits": trained.logits, "present": trained.present}, folder / f"{HELD_OUT}.safetensors")
    (folder / DESCRIPTION).write_text(trained.description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_fusion(folder: Path) -> TrainedFusion:
    """Read what `save_fusion` wrote.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder that holds no fusion, or not all of it.
    """
    try:
        description = FusionDescription.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
        network = make_fusion(description.kind, description.channels, len(load_joint(description.joint).findings))
        network.load_state_dict(load_file(folder / "head.safetensors"))
        held_out = load_file(folder / f"{HELD_OUT}.safetensors")
        return TrainedFusion(description, network.eval().requires_grad_(False), held_out["logits"], held_out["present"])
    except (OSError, ValidationError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds no fusion of planes, or not all of it.",
            "Name the output folder of `orthodiffusion train-fusion`.",
            detail=str(error),
        ) from error
