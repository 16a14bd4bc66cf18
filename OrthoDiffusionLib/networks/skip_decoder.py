"""A segmentation decoder that also sees the encoder's finer levels.

The published decoder starts from the middle feature alone, one position for each 16 x 16 x 16 voxels; on phantoms it
found bones but no thin structure. The encoder's activations on the way down cost nothing more and hold the edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

FINEST_WIDTH = 16
"""Channels at full resolution, where nearly all of the time goes."""

NORM_GROUPS = 8


class UpBlock(nn.Module):
    """Double all three axes, join the encoder's activation of that level, and convolve."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, out_channels, kernel_size=1)
        self.convolve = nn.Sequential(
            nn.Conv3d(out_channels + skip_channels, out_channels, 3, padding=1),
            nn.GroupNorm(NORM_GROUPS, out_channels),
            nn.SiLU(),
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) and the activation (batch, skip_channels, 2k, 2i, 2j) to the latter's size."""
        doubled = functional.interpolate(self.reduce(x), scale_factor=2, mode="trilinear", align_corners=False)
        joined: torch.Tensor = self.convolve(torch.cat([doubled, skip], dim=1))
        return joined


class SkipSegmentationDecoder(nn.Module):
    """Class scores from the middle feature and the encoder's activation of each level.

    Args:
        widths: channels of each encoder level, finest first.
        classes: background and structures.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        outs = [FINEST_WIDTH, *widths[1:-1]]
        ins = [*outs[1:], widths[-1]]
        self.ups = nn.ModuleList(
            UpBlock(channels, skip, out) for channels, skip, out in zip(ins, widths[:-1], outs, strict=True)
        )
        self.classify = nn.Conv3d(FINEST_WIDTH, classes, kernel_size=1)

    def forward(self, features: torch.Tensor, skips: Sequence[torch.Tensor]) -> torch.Tensor:
        """Class scores of a window.

        Args:
            features: of the middle, (batch, channels, k, i, j).
            skips: activation of each level but the lowest, finest first, each twice the size of the next.

        Returns:
            (batch, classes, ...) at the finest level's size.
        """
        for up, skip in zip(reversed(self.ups), reversed(skips), strict=True):
            features = up(features, skip)
        scores: torch.Tensor = self.classify(features)
        return scores
