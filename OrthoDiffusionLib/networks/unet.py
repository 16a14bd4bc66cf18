"""The whole denoising U-Net, for pre-training and sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from OrthoDiffusionLib.networks.blocks import (
    ConditionedSequence,
    ResidualBlock,
    SelfAttention,
    Upsample,
    normalisation,
)
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.networks.self_conditioning import SELF_CONDITIONING_PART, SelfConditioning, summary_of

if TYPE_CHECKING:
    from torch.nn.modules.module import _IncompatibleKeys

BLOCKS_PER_LEVEL_UP = 2
"""Residual blocks of each decoder level: one more than in the encoder, for each encoder activation is used once."""


class DenoisingUNet(DenoisingEncoder):
    """Residual 3D U-Net that predicts the noise in a noised window; tensor names are the published ones.

    With `config.self_conditioning` the middle's summary steers the decoder, and the tensors of that have names of their
    own; weights that have none of them are taken up all the same, and the network is then the one without it.

    Source: arXiv 2602.20752 and its reference implementation; 34,524,545 parameters at the default sizes.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__(config)
        widths, embedding = self.config.widths, self.config.embedding_channels
        skips = self._skip_channels()
        channels = self.config.middle_channels
        blocks = []
        for level, width in reversed(list(enumerate(widths))):
            lowest = level == len(widths) - 1
            for position in range(BLOCKS_PER_LEVEL_UP):
                layers: list[nn.Module] = [ResidualBlock(channels + skips.pop(), embedding, width)]
                channels = width
                if lowest:
                    layers.append(SelfAttention(width))
                if level > 0 and position == BLOCKS_PER_LEVEL_UP - 1:
                    layers.append(Upsample(width))
                blocks.append(ConditionedSequence(*layers))
        self.output_blocks = nn.ModuleList(blocks)
        self.out = nn.Sequential(normalisation(channels), nn.SiLU(), nn.Conv3d(channels, 1, 3, padding=1))
        # Made last: the other weights are drawn as without it.
        self.self_conditioning = SelfConditioning(self.config) if self.config.self_conditioning else None
        self.register_load_state_dict_post_hook(_silence_what_was_not_given)

    def forward(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Predict the noise.

        Args:
            x_t: noised windows, float32 (batch, 1, k, i, j), each axis a multiple of `config.reduction`.
            timesteps: (batch,), 0 to 999.

        Returns:
            float32, the shape of `x_t`.

        Raises:
            ValueError: for a size that cannot be halved as often as the network does.
        """
        return self.denoised_and_summary(x_t, timesteps)[0]

    def denoised_and_summary(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction, and the mean over all positions of the middle's output, (batch, middle channels).

        Arguments and errors are those of `forward`.
        """
        self._check_size(x_t)
        embedding = self._embed(timesteps)
        hidden, skips = x_t, []
        for layer in self.input_blocks:
            hidden = layer(hidden, embedding)
            skips.append(hidden)
        hidden = self.middle_block(hidden, embedding)
        summary = summary_of(hidden)
        if self.self_conditioning is not None:
            embedding = embedding + self.self_conditioning(summary)
        for layer in self.output_blocks:
            hidden = layer(torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.out(hidden), summary

    def _skip_channels(self) -> list[int]:
        widths = self.config.widths
        channels = [self.config.base_channels]
        for level, width in enumerate(widths):
            channels += [width] if level == len(widths) - 1 else [width, width]
        return channels


def _silence_what_was_not_given(network: nn.Module, keys: _IncompatibleKeys) -> None:
    """Let weights without self-conditioning, such as published ones, make the network that they were trained as."""
    assert isinstance(network, DenoisingUNet)
    if network.self_conditioning is None:
        return
    missing = [name for name in keys.missing_keys if SELF_CONDITIONING_PART in name]
    if len(missing) == len(network.self_conditioning.state_dict()):
        network.self_conditioning.silence()
        for name in missing:
            keys.missing_keys.remove(name)
