"""From planes' trained networks to a bundle: gate and calibration on held-out logits, lineage and data card."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file

from OrthoDiffusionLib import __version__
from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.building import write_bundle
from OrthoDiffusionLib.bundles.manifest import FindingCalibration
from OrthoDiffusionLib.bundles.opening import Bundle
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.fusion import PlaneGate
from OrthoDiffusionLib.training.calibration import calibrate
from OrthoDiffusionLib.training.gate_training import train_gate
from OrthoDiffusionLib.training.trained_plane import PARTS, PlaneDescription, TrainedPlane, load_plane

HELD_OUT = "held_out"
"""Name of the file with logits of studies that a plane's head did not see."""

GATE_STUDIES = 30
"""Fewest studies with all three planes on which a gate is trained; below, the planes' logits are averaged."""


class BundleCard(BaseModel):
    """What only people know about a model: the fields of `bundle export --card FILE`.

    Attributes:
        name: lower case, of letters, digits, dots and dashes.
        version: of the bundle.
        title: one line.
        intended_use: one or two sentences; shown wherever the model's output is.
        license: SPDX identifier.
        license_text: of the weights.
        authors: of the model.
        copyright: line.
        data: what the model was trained on, one or two sentences.
        studies: how many.
        synthetic: whether none of it shows a person.
        known_limits: one sentence each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    title: str
    intended_use: str = "Research use only, not for diagnosis."
    license: str
    license_text: str = Field(min_length=1)
    authors: str
    copyright: str
    data: str
    studies: int = Field(ge=1)
    synthetic: bool = False
    known_limits: tuple[str, ...] = Field(min_length=1)


def export_bundle(folder: Path, planes: Mapping[Plane, Path], card: BundleCard) -> Bundle:
    """Write a bundle of one to three planes' trained networks.

    Args:
        folder: of the bundle; must not exist yet.
        planes: folder of each plane's networks, as the training commands leave it.
        card: what people know about the model.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID; BAD_SETTINGS, when the planes' networks do not belong together;
            what writing a bundle raises.
    """
    trained = {plane: load_plane(path) for plane, path in planes.items()}
    first = _common(trained)
    joint = load_joint(first.joint)
    weights: dict[str, Mapping[str, torch.Tensor]] = {}
    recipes = {}
    for plane, networks in trained.items():
        files = {part: f"models/{plane.value}_{part}.safetensors" for part in PARTS if getattr(networks.networks, part)}
        weights |= {file: getattr(networks.networks, part).state_dict() for part, file in files.items()}
        recipes[plane.value] = {
            "timestep": networks.description.timestep,
            "block": networks.description.block,
            "skips": networks.description.skips,
            "pooling": networks.description.pooling,
            "encoder_training": " ".join(networks.description.history),
            **files,
        }
    logits, present = _held_out({plane: path for plane, path in planes.items() if trained[plane].networks.diagnosis})
    gate = None
    if logits is not None and logits.shape[1] == len(Plane) and len(logits) >= GATE_STUDIES:
        known = torch.nan_to_num(present)
        gate = train_gate(logits, known)
        weights["models/gate.safetensors"] = gate.state_dict()
    description = {
        "name": card.name,
        "version": card.version,
        "title": card.title,
        "intended_use": card.intended_use,
        "license": card.license,
        "task": f"Segmentation of structures of the {joint.name} in MR images, and probabilities of findings",
        "description": card.title,
        "authors": card.authors,
        "copyright": card.copyright,
        "monai_version": "1.6.1",
        "joint": joint.name,
        "structures": [structure.model_dump(mode="json") for structure in joint.structures],
        "findings": [finding.model_dump(mode="json") for finding in joint.findings],
        "network": {
            "base_channels": first.base_channels,
            "channel_multipliers": first.channel_multipliers,
            "window_slices": 16,
            "window_size": first.window_size,
        },
        "planes": recipes,
        "fusion": {"gate": "models/gate.safetensors" if gate is not None else None},
        "calibration": _calibrations(first.joint, gate, logits, present),
        "training_data": {
            "description": card.data,
            "studies": card.studies,
            "synthetic": card.synthetic,
            "seeds": "",
            "known_limits": card.known_limits,
        },
        "lineage": {
            "created_by": f"orthodiffusion bundle export {__version__}",
            "created_on": date.today().isoformat(),
            "source": "Trained with OrthoDiffusion for 3D Slicer; see each plane's training.",
        },
    }
    try:
        return write_bundle(folder, description, weights, _readme(card, trained), card.license_text)
    except ValidationError as error:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "These networks make no valid bundle.",
            f"{error.errors()[0]['msg']}: {'.'.join(map(str, error.errors()[0]['loc']))}.",
            detail=str(error),
        ) from error


def _common(trained: Mapping[Plane, TrainedPlane]) -> PlaneDescription:
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


def _held_out(folders: Mapping[Plane, Path]) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Logits (studies, planes, findings) and findings (studies, findings) of the studies that every plane has."""
    files = [load_file(path / f"{HELD_OUT}.safetensors") for _, path in sorted(folders.items(), key=_pose)]
    if not files:
        return None, torch.zeros(0)
    common = set.intersection(*({key[7:] for key in file if key.startswith("logits/")} for file in files))
    if not common:
        return None, torch.zeros(0)
    ids = sorted(common)
    logits = torch.stack([torch.stack([file[f"logits/{study}"] for file in files]) for study in ids])
    return logits, torch.stack([files[0][f"present/{study}"] for study in ids])


def _pose(item: tuple[Plane, Path]) -> int:
    return item[0].pose_id


def _calibrations(
    joint: str, gate: PlaneGate | None, logits: torch.Tensor | None, present: torch.Tensor
) -> dict[str, FindingCalibration]:
    """Of every finding; temperature 1 and threshold 0.5 where too little is known about it."""
    found = {}
    with torch.inference_mode():
        if logits is not None:
            fused = (gate(logits) * logits).sum(dim=1) if gate is not None else logits.mean(dim=1)
    for index, finding in enumerate(load_joint(joint).findings):
        found[finding.key] = FindingCalibration(temperature=1.0, threshold=0.5)
        if logits is not None:
            truth = present[:, index].double().numpy()
            known = np.isfinite(truth)
            if known.any() and len(set(truth[known])) == 2:
                found[finding.key] = calibrate(fused[:, index].double().numpy()[known], truth[known])
    return found


def _readme(card: BundleCard, trained: Mapping[Plane, TrainedPlane]) -> str:
    lines = [f"# {card.title}", "", f"**{card.intended_use}**", "", card.data, "", "## Training", ""]
    lines += [f"- {plane.value}: {' '.join(networks.description.history)}" for plane, networks in trained.items()]
    lines += ["", "## Known limits", "", *(f"- {limit}" for limit in card.known_limits)]
    return "\n".join(lines) + "\n"
