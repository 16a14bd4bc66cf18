"""Small networks from a summary of the denoising network's middle to the space where views are compared."""

from __future__ import annotations

import torch
from torch import nn

HIDDEN, PROJECTED = 256, 128
"""Widths of the hidden layers and of projections."""


class ProjectionHeads(nn.Module):
    """A projector, of which the teacher has an average, and a predictor that the student alone has.

    They are needed in training only: no checkpoint's encoder, averaged network or bundle holds them.

    Source: MoCo v3 (Chen, Xie and He 2021, arXiv 2104.02057), with normalisation over channels in place of that over
    the batch: a window's projection must not depend on the windows beside it, or processes could not share a batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projector = _perceptron(channels)
        self.predictor = _perceptron(PROJECTED)

    def forward(self, summary: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels) to the student's vectors, (batch, 128), not normalised."""
        queries: torch.Tensor = self.predictor(self.projector(summary))
        return queries


def projector_of(channels: int) -> nn.Sequential:
    """An empty projector, for the teacher's average: (batch, channels) to (batch, 128)."""
    return _perceptron(channels)


def _perceptron(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, HIDDEN), nn.LayerNorm(HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, PROJECTED, bias=False)
    )
