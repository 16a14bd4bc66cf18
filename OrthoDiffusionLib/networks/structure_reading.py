"""Findings read off the segmented structures: a linear layer on the statistics of those that a finding shows in."""

from __future__ import annotations

import torch
from torch import nn

READING_PART = "reading."
"""How the names of its tensors begin, in a diagnosis head's."""

FARTHEST = 5.0
"""Standard deviations by which a statistic counts at most: another scanner's must not outvote everything else."""


class StructureReading(nn.Module):
    """Standardised statistics to the findings' logits; each finding reads the statistics of its structures alone.

    Args:
        statistics: how many there are.
        findings: how many there are.
    """

    centre: torch.Tensor
    spread: torch.Tensor
    reads: torch.Tensor

    def __init__(self, statistics: int, findings: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(findings, statistics))
        self.register_buffer("centre", torch.zeros(statistics))
        self.register_buffer("spread", torch.ones(statistics))
        self.register_buffer("reads", torch.zeros(findings, statistics))

    def prepare(self, statistics: torch.Tensor, reads: torch.Tensor) -> None:
        """Take what stays fixed from the training data.

        Args:
            statistics: of the training stacks, (stacks, statistics); NaN where unknown.
            reads: which statistics each finding reads, (findings, statistics), 0 or 1.
        """
        known = torch.isfinite(statistics)
        count = known.sum(dim=0).clamp(min=1)
        centre = torch.where(known, statistics, 0.0).sum(dim=0) / count
        squares = torch.where(known, statistics - centre, 0.0).square().sum(dim=0) / count
        self.centre.copy_(centre)
        self.spread.copy_(squares.sqrt().clamp(min=1e-3))
        self.reads.copy_(reads)

    def standardised(self, statistics: torch.Tensor) -> torch.Tensor:
        """Statistics (batch, statistics) in standard deviations; NaN counts as the mean over the training stacks."""
        return torch.nan_to_num((statistics - self.centre) / self.spread, nan=0.0).clamp(-FARTHEST, FARTHEST)

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """Map (batch, statistics) to logits (batch, findings), without a bias."""
        return self.standardised(statistics) @ (self.weight * self.reads).T
