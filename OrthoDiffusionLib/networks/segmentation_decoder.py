"""From the middle feature to class scores of a window. Attribute names give the published tensors' names."""

from __future__ import annotations

import torch
from torch import nn


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
    """Four transposed convolutions, each doubling all three axes and halving the channels; no skips.

    Args:
        channels: of the feature map, 256 as published.
        classes: background and structures.
    """

    def __init__(self, channels: int = 256, classes: int = 12) -> None:
        super().__init__()
        widths = [channels // 2**step for step in range(5)]
        self.net = nn.Sequential(
            nn.ConvTranspose3d(widths[0], widths[1], 4, stride=2, padding=1),
            nn.ReLU(),
            DecoderResidualBlock(widths[1]),
            nn.ConvTranspose3d(widths[1], widths[2], 4, stride=2, padding=1),
            nn.ReLU(),
            DecoderResidualBlock(widths[2]),
            nn.ConvTranspose3d(widths[2], widths[3], 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose3d(widths[3], widths[4], 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv3d(widths[4], classes, kernel_size=1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to class scores (batch, classes, 16k, 16i, 16j)."""
        scores: torch.Tensor = self.net(features)
        return scores
