"""From the middle feature to class scores of a window. Attribute names give the published tensors' names."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

RESIDUAL_STEPS = 2
"""How many of the first steps up have a residual block after them, as published."""


class DecoderResidualBlock(nn.Module):
    """Two convolutions around a residual path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to the same shape."""
        return torch.relu(x + self.block(x))


class SegmentationDecoder(nn.Module):
    """Transposed convolutions, each doubling all three axes and halving the channels; no skips.

    Args:
        channels: of the feature map, 256 as published.
        classes: background and structures.
        doublings: as many as the encoder halves, four as published: the scores then are of the window's own size.
    """

    def __init__(self, channels: int = 256, classes: int = 12, doublings: int = 4) -> None:
        super().__init__()
        widths = [channels // 2**step for step in range(doublings + 1)]
        layers: list[nn.Module] = []
        for step, (width, narrower) in enumerate(pairwise(widths)):
            layers += [nn.ConvTranspose3d(width, narrower, 4, stride=2, padding=1), nn.ReLU()]
            if step < RESIDUAL_STEPS:
                layers.append(DecoderResidualBlock(narrower))
        self.net = nn.Sequential(*layers, nn.Conv3d(widths[-1], classes, kernel_size=1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to class scores (batch, classes, nk, ni, nj), n being 2 ** doublings."""
        scores: torch.Tensor = self.net(features)
        return scores
