"""The half of the denoising U-Net that features come from: input blocks and middle, and no decoder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from OrthoDiffusionLib.networks.blocks import (
    ConditionedSequence,
    Downsample,
    ResidualBlock,
    SelfAttention,
    timestep_embedding,
)
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.self_conditioning import SELF_CONDITIONING_PART

ENCODER_PARTS = ("time_embed.", "input_blocks.", "middle_block.")
DECODER_PARTS = ("output_blocks.", "out.", SELF_CONDITIONING_PART)


class DenoisingEncoder(nn.Module):
    """Input blocks and middle of the denoising U-Net; tensor names are the published ones."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UNetConfig()
        base, widths, embedding = self.config.base_channels, self.config.widths, self.config.embedding_channels
        self.time_embed = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        blocks = [ConditionedSequence(nn.Conv3d(1, base, 3, padding=1))]
        channels = base
        for level, width in enumerate(widths):
            lowest = level == len(widths) - 1
            layers: list[nn.Module] = [ResidualBlock(channels, embedding, width)]
            if lowest:
                layers.append(SelfAttention(width))
            blocks.append(ConditionedSequence(*layers))
            channels = width
            if not lowest:
                blocks.append(ConditionedSequence(Downsample(width)))
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = ConditionedSequence(
            ResidualBlock(channels, embedding, channels),
            SelfAttention(channels),
            ResidualBlock(channels, embedding, channels),
        )

    @property
    def block_names(self) -> tuple[str, ...]:
        """Blocks that features can be taken from, in order: `input_0` and so on, then `mid_0` to `mid_2`."""
        names = [f"input_{index}" for index in range(len(self.input_blocks))]
        return (*names, *(f"mid_{index}" for index in range(len(self.middle_block))))

    def features(self, x_t: torch.Tensor, timesteps: torch.Tensor, block: str) -> torch.Tensor:
        """The activation of one block; nothing behind it is computed.

        Args:
            x_t: noised windows, float32 (batch, 1, k, i, j), each axis a multiple of `config.reduction`.
            timesteps: (batch,), 0 to 999.
            block: one of `block_names`.

        Returns:
            float32 (batch, channels, k', i', j').

        Raises:
            ValueError: for an unknown block or a size that cannot be halved as often as the network does.
        """
        self._check_block(block)
        return next(hidden for name, hidden in self.activations(x_t, timesteps) if name == block)

    def features_and_levels(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, block: str
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The activation of a middle block, and of each level but the lowest on the way there, finest first.

        Arguments and errors are those of `features`; `block` is one of `mid_0` to `mid_2`.
        """
        self._check_block(block)
        # Blocks of even number lead from one level to the next, and the last of the odd ones is the lowest level.
        last_of_level = [f"input_{index}" for index in range(1, len(self.input_blocks) - 1, 2)]
        levels: list[torch.Tensor] = []
        for name, hidden in self.activations(x_t, timesteps):
            if name in last_of_level:
                levels.append(hidden)
            if name == block:
                break
        return hidden, levels

    def activations(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """Each block's name and activation, in order, computed as they are asked for."""
        self._check_size(x_t)
        embedding = self._embed(timesteps)
        hidden = x_t
        for index, layer in enumerate(self.input_blocks):
            hidden = layer(hidden, embedding)
            yield f"input_{index}", hidden
        for index, layer in enumerate(self.middle_block):
            hidden = layer(hidden, embedding) if isinstance(layer, ResidualBlock) else layer(hidden)
            yield f"mid_{index}", hidden

    def _check_block(self, block: str) -> None:
        if block not in self.block_names:
            raise ValueError(f"unknown block {block!r}; blocks are {', '.join(self.block_names)}")

    def _embed(self, timesteps: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.time_embed(timestep_embedding(timesteps, self.config.base_channels))
        return embedded

    def _check_size(self, x_t: torch.Tensor) -> None:
        reduction = self.config.reduction
        if x_t.ndim != 5 or x_t.shape[1] != 1 or any(size % reduction for size in x_t.shape[2:]):
            raise ValueError(
                f"a window must have the shape (batch, 1, k, i, j) with k, i and j multiples of {reduction},"
                f" not {tuple(x_t.shape)}"
            )


def encoder_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's tensors of a whole network's; the decoder's are left out, anything else is refused.

    Raises:
        ValueError: for a name that neither half of the network has.
    """
    unknown = [name for name in state if not name.startswith(ENCODER_PARTS + DECODER_PARTS)]
    if unknown:
        raise ValueError(f"not a tensor of the denoising network: {re.sub(r'[^ -~]', '?', unknown[0])!r}")
    return {name: tensor for name, tensor in state.items() if name.startswith(ENCODER_PARTS)}
