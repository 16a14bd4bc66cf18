"""From what each plane says to one answer, by the bundle's fusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from OrthoDiffusionLib.anatomy import Plane
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
class PlaneFusion:
    """A bundle's fusion; `network` is None for the planes' plain mean, else on the CPU in evaluation mode."""

    network: FusionNetwork | None

    def fuse(self, answers: Mapping[Plane, PlaneAnswer]) -> FusedAnswer:
        """Fuse the planes that were assessed, at least one."""
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
        fused = self.network(_stacked(read)[None], _present(read)[None])
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
