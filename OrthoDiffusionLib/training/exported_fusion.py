"""The part of a bundle that makes one answer of its planes: fusion, temperatures and thresholds.

All of them come from logits of studies that the networks were not trained on: temperatures lower the cross entropy on
them most, thresholds have the best Youden index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane, load_joint
from OrthoDiffusionLib.bundles.manifest import FindingCalibration
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.networks.plane_fusion import GatedPlanes
from OrthoDiffusionLib.training.calibration import calibrate
from OrthoDiffusionLib.training.fusion_data import held_out_tensors
from OrthoDiffusionLib.training.trained_fusion import fingerprint, load_fusion
from OrthoDiffusionLib.training.trained_plane import TrainedPlane

GATE_FILE = "models/gate.safetensors"
HEAD_FILE = "models/fusion.safetensors"
CLINICAL_FILE = "models/clinical.safetensors"


@dataclass(frozen=True)
class ExportedFusion:
    """What goes into a bundle.

    Attributes:
        section: the manifest's `fusion`.
        calibration: of every finding; temperature 1 and threshold 0.5 where too little is known about it.
        weights: tensors of each weights file.
    """

    section: Mapping[str, Any]
    calibration: Mapping[str, FindingCalibration]
    weights: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict)


def mean_of_planes(joint: str, folders: Mapping[Plane, Path]) -> ExportedFusion:
    """The planes' plain mean.

    Args:
        joint: whose findings there are.
        folders: of the planes that diagnose, as `orthodiffusion train-diagnosis` leaves them.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID for a folder without logits of held-out studies.
    """
    logits, present = _held_out(folders)
    mean = None if logits is None else logits.mean(dim=1)
    return ExportedFusion({"kind": "mean"}, calibrations(joint, mean, present))


def trained_fusion(folder: Path, planes: Mapping[Plane, TrainedPlane], clinical_codes: str) -> ExportedFusion:
    """A fusion that `orthodiffusion train-fusion` left.

    Args:
        folder: of the fusion.
        planes: of the bundle.
        clinical_codes: what the numbers of sex, patient type and event mean.

    Raises:
        OrthoDiffusionError: CHECKPOINT_INVALID; BAD_SETTINGS for a fusion of other networks than these, or one that
            reads clinical data whose codes nobody explains.
    """
    fusion = load_fusion(folder)
    described = fusion.description
    diagnosing = {plane: trained for plane, trained in planes.items() if trained.networks.diagnosis is not None}
    if described.planes != {plane: fingerprint(trained) for plane, trained in diagnosing.items()}:
        raise OrthoDiffusionError(
            ErrorKind.BAD_SETTINGS,
            "The fusion was trained on other networks than those of the planes given.",
            "Name the planes' folders that it was trained on, all of them, or train it again.",
        )
    key, name = ("gate", GATE_FILE) if described.kind == "gate" else ("head", HEAD_FILE)
    # A gate's file holds the gate's tensors alone, as in bundles from before there were other kinds.
    network = fusion.network.gate if isinstance(fusion.network, GatedPlanes) else fusion.network
    section: dict[str, Any] = {"kind": described.kind, key: name, "training": described.history}
    weights: dict[str, Mapping[str, torch.Tensor]] = {name: network.state_dict()}
    if fusion.clinical is not None and described.clinical is not None:
        if not clinical_codes:
            raise OrthoDiffusionError(
                ErrorKind.BAD_SETTINGS,
                "The card does not say what the codes of the clinical data mean.",
                "Add clinical_codes to it: what 0 and 1 are for sex and patient type, and what each event is.",
            )
        section["clinical"] = {
            "head": CLINICAL_FILE,
            "centre": described.clinical.centre,
            "spread": described.clinical.spread,
            "seen": described.clinical.seen,
            "codes": clinical_codes,
            "calibration": calibrations(described.joint, fusion.clinical.logits, fusion.clinical.present),
            "training": described.clinical.history,
        }
        weights[CLINICAL_FILE] = fusion.clinical.head.state_dict()
    calibration = calibrations(described.joint, fusion.logits, fusion.present)
    return ExportedFusion(section, calibration, weights)


def calibrations(joint: str, logits: torch.Tensor | None, present: torch.Tensor) -> dict[str, FindingCalibration]:
    """Of every finding, from logits (studies, findings) of studies not trained on, and what is present in them."""
    found = {}
    for index, finding in enumerate(load_joint(joint).findings):
        found[finding.key] = FindingCalibration(temperature=1.0, threshold=0.5)
        if logits is not None:
            truth = present[:, index].double().numpy()
            known = np.isfinite(truth)
            if known.any() and len(set(truth[known])) == 2:
                found[finding.key] = calibrate(logits[:, index].double().numpy()[known], truth[known])
    return found


def _held_out(folders: Mapping[Plane, Path]) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Logits (studies, planes, findings) and findings (studies, findings) of the studies that every plane has."""
    in_order = sorted(folders.items(), key=lambda item: item[0].pose_id)
    files = [held_out_tensors(path) for _, path in in_order]
    if not files:
        return None, torch.zeros(0)
    common = set.intersection(
        *({key.removeprefix("logits/") for key in file if key.startswith("logits/")} for file in files)
    )
    if not common:
        return None, torch.zeros(0)
    ids = sorted(common)
    logits = torch.stack([torch.stack([file[f"logits/{study}"] for file in files]) for study in ids])
    return logits, torch.stack([files[0][f"present/{study}"] for study in ids])
