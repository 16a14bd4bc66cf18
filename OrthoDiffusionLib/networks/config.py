"""Sizes of the denoising network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

NORM_GROUPS = 32
"""Groups of every GroupNorm in the denoising network, as published; each width is a multiple of it."""


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the denoising U-Net; the defaults are the published ones.

    Attributes:
        base_channels: width of the first level.
        channel_multipliers: width of each level over `base_channels`; each level but the first halves all three axes.
        self_conditioning: whether the middle's summary steers the decoder (beyond the paper); encoders lack it.
    """

    base_channels: int = 64
    channel_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    self_conditioning: bool = False

    def __post_init__(self) -> None:
        if self.base_channels < NORM_GROUPS or self.base_channels % NORM_GROUPS:
            raise ValueError(f"base_channels must be a multiple of {NORM_GROUPS}, not {self.base_channels}")
        if len(self.channel_multipliers) < 2 or min(self.channel_multipliers) < 1:
            raise ValueError(
                f"channel_multipliers must be two or more positive numbers, not {self.channel_multipliers}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.base_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def middle_channels(self) -> int:
        """Channels of the middle of the network, where features are taken."""
        return self.widths[-1]

    @property
    def embedding_channels(self) -> int:
        """Width of the timestep embedding."""
        return 4 * self.base_channels

    @property
    def reduction(self) -> int:
        """How much smaller each axis is in the middle of the network; inputs are multiples of it."""
        return int(2 ** len(list(pairwise(self.channel_multipliers))))
