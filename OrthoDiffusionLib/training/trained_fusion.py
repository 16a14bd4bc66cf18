"""A trained fusion of planes in a folder: what `orthodiffusion train-fusion` hands on to a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import FusionKind, Sha256
from OrthoDiffusionLib.bundles.weights import weights_bytes
from OrthoDiffusionLib.datasets.whole_files import write_whole
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.clinical_fusion import ClinicalFusionHead
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, FusionNetwork, make_fusion
from OrthoDiffusionLib.training.clinical_training import ClinicalTraining
from OrthoDiffusionLib.training.fold_training import FoldTraining
from OrthoDiffusionLib.training.fusion_data import HELD_OUT, FusionData
from OrthoDiffusionLib.training.trained_plane import TrainedPlane, common_description

DESCRIPTION = "fusion.json"
CLINICAL_FILE = "clinical.safetensors"


class ClinicalDescription(BaseModel):
    """Means and standard deviations of age, height and weight over the training studies, what they tell, a sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    centre: tuple[float, float, float]
    spread: tuple[float, float, float]
    seen: dict[str, tuple[int, ...]]
    history: str


class FusionDescription(BaseModel):
    """What a fusion is, and how it came to be.

    Attributes:
        joint: whose findings it has.
        kind: of the fusion.
        channels: of each plane's pooled features.
        planes: that it fuses, with `fingerprint` of their networks: those of others mean something else.
        history: one sentence.
        clinical: of the clinical head; None without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    joint: str
    kind: FusionKind
    channels: int
    planes: dict[Plane, Sha256]
    history: str
    clinical: ClinicalDescription | None = None


@dataclass(frozen=True)
class TrainedClinical:
    """A clinical head in evaluation mode, and what it said, with the images, of studies that it did not see.

    Attributes:
        head: on the CPU.
        logits: out of fold, (studies, findings).
        present: 0, 1 or NaN for unknown, (studies, findings).
    """

    head: ClinicalFusionHead
    logits: torch.Tensor
    present: torch.Tensor


@dataclass(frozen=True)
class TrainedFusion:
    """A fusion in evaluation mode, what is told about it, and what it said of studies that it did not see.

    Attributes:
        description: of it.
        network: on the CPU.
        logits: out of fold, (studies, findings).
        present: 0, 1 or NaN for unknown, (studies, findings).
        clinical: None without clinical data.
    """

    description: FusionDescription
    network: FusionNetwork
    logits: torch.Tensor
    present: torch.Tensor
    clinical: TrainedClinical | None = None


def fingerprint(trained: TrainedPlane) -> str:
    """SHA-256 of what makes a plane's pooled features and logits: encoder, diagnosis head, and the decoder whose masks
    the head reads."""
    digest = hashlib.sha256(weights_bytes(trained.networks.encoder.state_dict()))
    if trained.networks.diagnosis is not None:
        digest.update(weights_bytes(trained.networks.diagnosis.state_dict()))
        if trained.networks.diagnosis.reading is not None and trained.networks.segmentation is not None:
            digest.update(weights_bytes(trained.networks.segmentation.state_dict()))
    return digest.hexdigest()


def described_fusion(
    kind: str,
    training: FoldTraining[FusionNetwork],
    data: FusionData,
    planes: Mapping[Plane, TrainedPlane],
    dropout: float,
    clinical: ClinicalTraining | None = None,
) -> TrainedFusion:
    """A training's fusion with what is told about it.

    Args:
        kind: of fusion.
        training: that made it.
        data: that it was trained on.
        planes: whose networks it reads.
        dropout: probability with which planes were taken away.
        clinical: a training of a clinical head on the fusion.
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
            "clinical": clinical
            and {
                "centre": clinical.centre.tolist(),
                "spread": clinical.spread.tolist(),
                "seen": clinical.seen,
                "history": f"Clinical head trained for {clinical.epochs} epochs on {len(clinical.present)} studies;"
                f" cross entropy on them, held out, {clinical.losses[0]:.3f}, by the images alone"
                f" {clinical.losses[1]:.3f}.",
            },
        }
    )
    head = TrainedClinical(clinical.head, clinical.held_out, clinical.present) if clinical else None
    return TrainedFusion(description, training.network, training.held_out, data.present, head)


def save_fusion(folder: Path, trained: TrainedFusion) -> None:
    """Write a fusion; the description comes last, so that a folder with one is whole.

    Raises:
        OSError: when a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    write_whole(folder / "head.safetensors", weights_bytes(trained.network.state_dict()))
    held_out = {"logits": trained.logits, "present": trained.present}
    (folder / CLINICAL_FILE).unlink(missing_ok=True)
    if trained.clinical is not None:
        held_out |= {"clinical_logits": trained.clinical.logits, "clinical_present": trained.clinical.present}
        write_whole(folder / CLINICAL_FILE, weights_bytes(trained.clinical.head.state_dict()))
    write_whole(folder / f"{HELD_OUT}.safetensors", weights_bytes(held_out))
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
        clinical = None
        if description.clinical is not None and isinstance(network, FeatureFusion):
            head = ClinicalFusionHead(network.width, held_out["present"].shape[1])
            head.load_state_dict(load_file(folder / CLINICAL_FILE))
            head = head.eval().requires_grad_(False)
            clinical = TrainedClinical(head, held_out["clinical_logits"], held_out["clinical_present"])
        network = network.eval().requires_grad_(False)
        return TrainedFusion(description, network, held_out["logits"], held_out["present"], clinical)
    except (OSError, ValidationError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise OrthoDiffusionError(
            ErrorKind.CHECKPOINT_INVALID,
            "The folder holds no fusion of planes, or not all of it.",
            "Name the output folder of `orthodiffusion train-fusion`.",
            detail=str(error),
        ) from error
