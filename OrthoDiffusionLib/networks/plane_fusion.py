"""Fusions of the planes that a study has: any of the three may be missing.

Of a plane that is missing, zeros stand where its projected features would, so that it adds nothing. Features are
standardised before, so zero is also what a plane says that has nothing to tell. A learned vector in its place would do
no more in a linear head than shift the logits, which the plane dropout of the training teaches the other weights, and
its tensor would be none of the published ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from OrthoDiffusionLib.networks.fusion import (
    PLANES,
    CrossAttentionFusion,
    FusedLinearHead,
    GatedStackingHead,
    LinearHead,
    PlaneGate,
    ProjectionFusion,
)

LEAST_SPREAD = 1e-3
"""Features that vary less than this over the studies are not blown up to unit spread."""


class FusedLogits(NamedTuple):
    """Logits (batch, findings); and the planes' weights (batch, 3, findings), where the fusion has such."""

    logits: torch.Tensor
    weights: torch.Tensor | None


class GatedPlanes(nn.Module):
    """MPAE gating: the planes' logits, weighed for each finding by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = PlaneGate()

    def forward(self, logits: torch.Tensor, present: torch.Tensor) -> FusedLogits:
        """Fuse the planes' logits (batch, 3, findings); `present` is bool, (batch, 3)."""
        weights = self.gate(logits, present)
        return FusedLogits((weights * torch.where(present[:, :, None], logits, 0.0)).sum(dim=1), weights)


class GatedStackedPlanes(GatedStackingHead):
    """MPAE gating and the stacking network, for studies that may lack planes; tensors named as published."""

    def forward(self, logits: torch.Tensor, present: torch.Tensor | None = None) -> FusedLogits:  # type: ignore[override]
        """Fuse the planes' logits (batch, 3, findings); `present` is bool, (batch, 3), None for all."""
        return FusedLogits(*super().forward(logits, present))


class FeatureFusion(nn.Module):
    """The planes' pooled features, fused, and a linear layer to the findings' logits.

    Args:
        kind: `concatenate`, `project_concatenate`, `project_add` or `cross_attention`.
        channels: of each plane's pooled features; a multiple of 4 for `cross_attention`.
        findings: number of findings.

    Attributes:
        width: of the fused features.
        centre: mean of each plane's features over the training studies, (3, channels).
        spread: their standard deviation, (3, channels).

    Raises:
        ValueError: for another kind.
    """

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, kind: str, channels: int, findings: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(PLANES, channels))
        self.register_buffer("spread", torch.ones(PLANES, channels))
        self.width = channels if kind == "project_add" else PLANES * channels
        self.head: LinearHead | FusedLinearHead
        if kind == "concatenate":
            self.head = LinearHead(self.width, findings)
        elif kind in ("project_concatenate", "project_add"):
            fusion = ProjectionFusion(channels, add=kind == "project_add")
            self.head = FusedLinearHead(fusion, self.width, findings)
        elif kind == "cross_attention":
            self.head = FusedLinearHead(CrossAttentionFusion(channels), self.width, findings)
        else:
            raise ValueError(f"there is no fusion of features {kind!r}")

    def standardise(self, features: torch.Tensor, present: torch.Tensor) -> None:
        """Take centre and spread from studies: features (studies, 3, channels), and bool (studies, 3)."""
        for plane in range(PLANES):
            known = features[present[:, plane], plane]
            if len(known) > 1:
                self.centre[plane] = known.mean(dim=0)
                self.spread[plane] = known.std(dim=0).clamp(min=LEAST_SPREAD)

    def fused(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Map (batch, 3, channels), of which `present`, bool (batch, 3), are there, to (batch, width)."""
        features = (features - self.centre) / self.spread
        features = torch.where(present[:, :, None], features, 0.0)
        if isinstance(self.head, FusedLinearHead):
            fused: torch.Tensor = self.head.fusion(*features.unbind(dim=1), present)
            return fused
        return features.flatten(start_dim=1)

    @property
    def last(self) -> nn.Linear:
        """The linear layer from the fused features to the logits."""
        return (self.head.head if isinstance(self.head, FusedLinearHead) else self.head).net

    def forward(self, features: torch.Tensor, present: torch.Tensor) -> FusedLogits:
        """Map (batch, 3, channels), of which `present`, bool (batch, 3), are there, to logits; there are no weights."""
        return FusedLogits(self.last(self.fused(features, present)), None)


FusionNetwork = GatedPlanes | GatedStackedPlanes | FeatureFusion


def reads_logits(kind: str) -> bool:
    """Whether a kind of fusion reads the planes' logits; the others read their pooled features."""
    return kind in ("gate", "gate_stacking")


def make_fusion(kind: str, channels: int, findings: int) -> FusionNetwork:
    """An untrained fusion.

    Args:
        kind: `gate`, `gate_stacking`, or one of `FeatureFusion`.
        channels: of each plane's pooled features.
        findings: number of findings.

    Raises:
        ValueError: for another kind.
    """
    if kind == "gate":
        return GatedPlanes()
    if kind == "gate_stacking":
        return GatedStackedPlanes(findings)
    return FeatureFusion(kind, channels, findings)
