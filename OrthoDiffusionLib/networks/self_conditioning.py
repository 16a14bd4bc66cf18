"""Self-conditioning: what the middle of the denoising network has understood steers its decoder."""

from __future__ import annotations

import torch
from torch import nn

from OrthoDiffusionLib.networks.config import UNetConfig

SELF_CONDITIONING_PART = "self_conditioning."
"""Prefix of the tensors' names; no published tensor begins so."""


def summary_of(middle: torch.Tensor) -> torch.Tensor:
    """Mean over all positions of the middle's output, (batch, channels, k, i, j) to (batch, channels)."""
    return middle.mean(dim=(2, 3, 4))


class SelfConditioning(nn.Module):
    """A summary of the middle as a vector that is added to the timestep embedding of the decoder's blocks.

    Its last layer begins at zero, so that a network begins as the one without it. The input blocks and the middle see
    nothing of it: encoders are the same with and without.

    Source: self-conditioning of DDAE++ (Xiang et al. 2025, arXiv 2505.10999): features of the denoising network itself
    guide its decoder; the layers here are ours.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.middle_channels, config.embedding_channels),
            nn.SiLU(),
            nn.Linear(config.embedding_channels, config.embedding_channels),
        )
        self.silence()

    @torch.no_grad()
    def silence(self) -> None:
        """Set the last layer to zero, as it begins."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.zero_()
        last.bias.zero_()

    def forward(self, summary: torch.Tensor) -> torch.Tensor:
        """Map (batch, middle channels) to (batch, embedding channels)."""
        vector: torch.Tensor = self.layers(summary)
        return vector
