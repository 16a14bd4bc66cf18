"""From a feature map to one vector per plane. Attribute names give the published tensors' names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class SelfAttentionPooling(nn.Module):
    """Global mean, joined with the mean over the self-attention of all positions."""

    def __init__(self, channels: int = 256, heads: int = 16) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels ({channels}) must be a multiple of heads ({heads})")
        self.heads = heads
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to (batch, 2 channels): the mean first."""
        tokens = features.flatten(start_dim=2).transpose(1, 2)
        query, key, value = (
            projection(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(start_dim=2)
        return torch.cat([tokens.mean(dim=1), self.out_proj(attended.mean(dim=1))], dim=-1)


class GlobalLocalPooling(nn.Module):
    """Global mean, joined with a sum over positions with learned softmax weights."""

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.attn = nn.Sequential(nn.Linear(channels, channels // 8), nn.ReLU(), nn.Linear(channels // 8, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to (batch, 2 channels): the mean first."""
        tokens = features.flatten(start_dim=2).transpose(1, 2)
        weights = torch.softmax(self.attn(tokens), dim=1)
        return torch.cat([tokens.mean(dim=1), (weights * tokens).sum(dim=1)], dim=-1)


def make_pooling(kind: str, channels: int) -> SelfAttentionPooling | GlobalLocalPooling:
    """An untrained pooling.

    Args:
        kind: `self_attention`, the published default, or `global_local`.
        channels: of the feature map; a multiple of 16 for `self_attention`, 8 or more for `global_local`.

    Raises:
        ValueError: for another kind, or channels that it cannot take.
    """
    if kind == "self_attention":
        return SelfAttentionPooling(channels)
    if kind == "global_local":
        return GlobalLocalPooling(channels)
    raise ValueError(f"there is no pooling {kind!r}")
