"""From what each plane says to one answer, by the bundle's fusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.bundles.clinical_data import ClinicalRecord
from OrthoDiffusionLib.networks.clinical_fusion import ClinicalFusionHead, clinical_inputs
from OrthoDiffusionLib.networks.plane_fusion import FeatureFusion, FusionNetwork, GatedPlanes


class PlaneAnswer(NamedTuple):
    """What one plane says: logits (findings,) of its own head, and its pooled features (channels,); on the CPU."""

    logits: torch.Tensor
    pooled: torch.Tensor


class FusedAnswer(NamedTuple):
    """What the planes say together.

    Attributes:
        logits: one for each finding.
        weights: (findings,) for each assessed plane, summing to one over the planes; empty for a fusion of features,
            in which no plane has a weight of its own.
    """

    logits: tuple[float, ...]
    weights: Mapping[Plane, torch.Tensor]


@dataclass(frozen=True)
class ClinicalFusion:
    """A bundle's clinical head, and the means and standard deviations of age, height and weight, (3,) each."""

    head: ClinicalFusionHead
    centre: torch.Tensor
    spread: torch.Tensor

    def logits(self, features: torch.Tensor, clinical: ClinicalRecord) -> torch.Tensor:
        """Logits (1, findings) of image and clinical data together, from fused features (1, width)."""
        inputs = clinical_inputs(torch.tensor([clinical.values()]), self.centre, self.spread)
        return self.head(features, *inputs).logits


@dataclass(frozen=True)
class PlaneFusion:
    """A bundle's fusion; all networks are on the CPU in evaluation mode.

    Attributes:
        network: None for the planes' plain mean.
        clinical: of a fusion of features, how clinical data take part; None where they do not.
    """

    network: FusionNetwork | None
    clinical: ClinicalFusion | None = None

    def fuse(self, answers: Mapping[Plane, PlaneAnswer], clinical: ClinicalRecord | None = None) -> FusedAnswer:
        """Fuse the planes that were assessed, at least one, with clinical data where both run and bundle have them."""
        if self.network is None or isinstance(self.network, GatedPlanes):
            weights = self._weights({plane: answer.logits for plane, answer in answers.items()}, self.network)
            findings = range(len(next(iter(answers.values())).logits))
            logits = (
                sum(float(weights[plane][index]) * float(answers[plane].logits[index]) for plane in answers)
                for index in findings
            )
            return FusedAnswer(tuple(logits), weights)
        reads_features = isinstance(self.network, FeatureFusion)
        read = {plane: answer.pooled if reads_features else answer.logits for plane, answer in answers.items()}
        stacked, present = _stacked(read)[None], _present(read)[None]
        if clinical is not None and self.clinical is not None and isinstance(self.network, FeatureFusion):
            mixed = self.clinical.logits(self.network.fused(stacked, present), clinical)
            return FusedAnswer(tuple(float(logit) for logit in mixed[0]), {})
        fused = self.network(stacked, present)
        shares = {} if fused.weights is None else {plane: fused.weights[0, plane.pose_id] for plane in answers}
        return FusedAnswer(tuple(float(logit) for logit in fused.logits[0]), shares)

    @staticmethod
    def _weights(logits: Mapping[Plane, torch.Tensor], network: GatedPlanes | None) -> dict[Plane, torch.Tensor]:
        if network is None:
            return {plane: torch.full_like(value, 1 / len(logits)) for plane, value in logits.items()}
        weights = network.gate(_stacked(logits)[None], _present(logits))[0]
        return {plane: weights[plane.pose_id] for plane in logits}


def _stacked(values: Mapping[Plane, torch.Tensor]) -> torch.Tensor:
    """One row a plane in pose order, zeros for those that are missing."""
    some = next(iter(values.values()))
    return torch.stack([values.get(plane, torch.zeros_like(some)) for plane in Plane])


def _present(values: Mapping[Plane, torch.Tensor]) -> torch.Tensor:
    return torch.tensor([plane in values for plane in Plane])
