"""The blocks of the denoising U-Net. Attribute names give the published tensors' names and must not change."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from OrthoDiffusionLib.networks.config import NORM_GROUPS

EMBEDDING_MAX_PERIOD = 1000.0
"""Longest period of the timestep embedding, as published."""


def timestep_embedding(timesteps: torch.Tensor, channels: int) -> torch.Tensor:
    """Sinusoidal embedding of timesteps: the cosines first, then the sines, as published.

    Args:
        timesteps: shape (batch,), 0 to 999.
        channels: even.

    Returns:
        float32, shape (batch, channels).
    """
    half = channels // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(EMBEDDING_MAX_PERIOD) * exponents)[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def normalisation(channels: int) -> nn.GroupNorm:
    """GroupNorm with the published number of groups and epsilon 1e-5."""
    return nn.GroupNorm(NORM_GROUPS, channels, eps=1e-5)


class ResidualBlock(nn.Module):
    """Two normalised convolutions with the timestep added between them, and a residual path."""

    def __init__(self, channels: int, embedding_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            normalisation(channels), nn.SiLU(), nn.Conv3d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding_channels, out_channels))
        # The identity keeps the published index 3 of the convolution: a dropout of probability zero stood there.
        self.out_layers = nn.Sequential(
            normalisation(out_channels), nn.SiLU(), nn.Identity(), nn.Conv3d(out_channels, out_channels, 3, padding=1)
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else nn.Conv3d(channels, out_channels, kernel_size=1)
        )

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to (batch, out_channels, k, i, j)."""
        hidden = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None, None]
        out: torch.Tensor = self.skip_connection(x) + self.out_layers(hidden)
        return out


class SelfAttention(nn.Module):
    """Self-attention of one head over all positions, with a residual path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, kernel_size=1)
        self.proj_out = nn.Conv1d(channels, channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to the same shape."""
        flat = x.flatten(start_dim=2)
        query, key, value = self.qkv(self.norm(flat)).transpose(1, 2).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        return (flat + self.proj_out(attended)).reshape(x.shape)


class Downsample(nn.Module):
    """Halve all three axes by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv3d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to (batch, channels, k/2, i/2, j/2)."""
        halved: torch.Tensor = self.op(x)
        return halved


class Upsample(nn.Module):
    """Double all three axes by trilinear interpolation and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to (batch, channels, 2k, 2i, 2j)."""
        doubled: torch.Tensor = self.conv(
            functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        )
        return doubled


class ConditionedSequence(nn.Sequential):
    """Layers in sequence; residual blocks among them are given the timestep embedding."""

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Apply the layers to (batch, channels, k, i, j)."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResidualBlock) else layer(x)
        return x
