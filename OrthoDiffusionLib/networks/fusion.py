"""Heads that make one answer of three planes' features. Attribute names give the published tensors' names.

Planes are given in one fixed order; the published heads are trained with (axial, sagittal, coronal).
"""

from __future__ import annotations

import torch
from torch import nn

PLANES = 3


def _only(present: torch.Tensor | None, planes: list[torch.Tensor]) -> list[torch.Tensor]:
    """The projected features of the planes, zeros for those that are not there."""
    if present is None:
        return planes
    return [torch.where(present[:, index, None], plane, 0.0) for index, plane in enumerate(planes)]


class LinearHead(nn.Module):
    """Features to the findings' logits by one linear layer: of one plane, or of all planes' features concatenated."""

    def __init__(self, channels: int, findings: int) -> None:
        super().__init__()
        self.net = nn.Linear(channels, findings)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels) to logits (batch, findings)."""
        logits: torch.Tensor = self.net(features)
        return logits


class ProjectionFusion(nn.Module):
    """Each plane's features projected linearly, then concatenated or added."""

    def __init__(self, channels: int = 512, *, add: bool = False) -> None:
        super().__init__()
        self.add = add
        self.proj1 = nn.Linear(channels, channels)
        self.proj2 = nn.Linear(channels, channels)
        self.proj3 = nn.Linear(channels, channels)

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, third: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map three (batch, channels) to (batch, channels) when adding, else (batch, 3 channels).

        Args:
            first: of the first plane, and so on.
            second: likewise.
            third: likewise.
            present: bool (batch, 3), False where a plane is missing; None for all, as published.
        """
        projected = _only(present, [self.proj1(first), self.proj2(second), self.proj3(third)])
        return torch.stack(projected).sum(dim=0) if self.add else torch.cat(projected, dim=-1)


class CrossAttentionFusion(nn.Module):
    """Each plane's projected features attend to the next plane's: 1 to 2, 2 to 3, 3 to 1."""

    def __init__(self, channels: int = 512, heads: int = 4) -> None:
        super().__init__()
        self.proj1 = nn.Linear(channels, channels)
        self.proj2 = nn.Linear(channels, channels)
        self.proj3 = nn.Linear(channels, channels)
        self.cross12 = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.cross23 = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.cross31 = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, third: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map three (batch, channels) to (batch, 3 channels).

        Args:
            first: of the first plane, and so on.
            second: likewise.
            third: likewise.
            present: bool (batch, 3), False where a plane is missing; None for all, as published.
        """
        projected = _only(present, [self.proj1(first), self.proj2(second), self.proj3(third)])
        planes = [plane[:, None] for plane in projected]
        attended = []
        for index, attention in enumerate((self.cross12, self.cross23, self.cross31)):
            query, other = planes[index], planes[(index + 1) % PLANES]
            answer, _ = attention(query, other, other, need_weights=False)
            attended.append(self.norm(query + answer)[:, 0])
        return torch.cat(attended, dim=-1)


class FusedLinearHead(nn.Module):
    """A fusion of three planes, and a linear layer to the findings' logits."""

    def __init__(self, fusion: ProjectionFusion | CrossAttentionFusion, channels: int, findings: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.head = LinearHead(channels, findings)

    def forward(self, first: torch.Tensor, second: torch.Tensor, third: torch.Tensor) -> torch.Tensor:
        """Map three (batch, features) to logits (batch, findings)."""
        logits: torch.Tensor = self.head(self.fusion(first, second, third))
        return logits


class PlaneGate(nn.Module):
    """MPAE gating: for each finding, how much each plane's logit counts, judged from the logits themselves."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PLANES, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, PLANES))

    def forward(self, logits: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Weights of the planes.

        Args:
            logits: (batch, 3, findings).
            present: bool (3,) or (batch, 3), False for a plane that was not assessed; at least one is True. Its
                logits are taken as 0 and its weight is 0; with all present the weights are the published ones.

        Returns:
            (batch, 3, findings), 0 to 1; they sum to one over the planes.
        """
        if present is not None:
            present = present.expand(len(logits), PLANES)
            logits = torch.where(present[:, :, None], logits, torch.zeros_like(logits))
        scores = self.net(logits.transpose(1, 2))
        if present is not None:
            scores = scores.masked_fill(~present[:, None], -torch.inf)
        return torch.softmax(scores, dim=-1).transpose(1, 2)


class GatedStackingHead(nn.Module):
    """MPAE gating followed by the small stacking network."""

    def __init__(self, findings: int = 8, hidden: int = 128) -> None:
        super().__init__()
        self.gate = PlaneGate()
        self.meta = nn.Sequential(nn.Linear(findings, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, findings))

    def forward(self, logits: torch.Tensor, present: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Map the planes' logits (batch, 3, findings) to logits (batch, findings) and weights (batch, 3, findings).

        `present` is as for `PlaneGate`.
        """
        weights = self.gate(logits, present)
        if present is not None:
            logits = torch.where(present.expand(len(logits), PLANES)[:, :, None], logits, 0.0)
        return self.meta((weights * logits).sum(dim=1)), weights
