"""Everything that looks at one plane: its encoder, and the heads on its feature map."""

from __future__ import annotations

import torch
from torch import nn

from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.networks.fusion import LinearHead
from OrthoDiffusionLib.networks.pooling import SelfAttentionPooling
from OrthoDiffusionLib.networks.segmentation_decoder import SegmentationDecoder


class PlaneDiagnosis(nn.Module):
    """Pooling of the feature map, and one linear layer to the findings' logits."""

    def __init__(self, channels: int, findings: int) -> None:
        super().__init__()
        self.pooling = SelfAttentionPooling(channels)
        self.head = LinearHead(2 * channels, findings)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to logits (batch, findings)."""
        logits: torch.Tensor = self.head(self.pooling(features))
        return logits


def channels_last(networks: PlaneNetworks) -> PlaneNetworks:
    """The networks with their weights stored channels last, in place: 3.3 times as fast a convolution on a CPU."""
    return networks.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


class PlaneNetworks(nn.Module):
    """The networks of one plane; without a decoder it does not segment, without a diagnosis head not diagnose.

    Args:
        config: sizes of the encoder.
        block: whose activation is the feature map, `mid_0` to `mid_2`.
        classes: of the segmentation, background included; 0 for no decoder.
        findings: number of findings; 0 for no diagnosis head.
    """

    def __init__(self, config: UNetConfig, block: str, classes: int, findings: int) -> None:
        super().__init__()
        self.block = block
        self.encoder = DenoisingEncoder(config)
        channels = config.middle_channels
        self.segmentation = SegmentationDecoder(channels, classes) if classes else None
        self.diagnosis = PlaneDiagnosis(channels, findings) if findings else None

    def features(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Feature map of noised windows (batch, 1, k, i, j)."""
        return self.encoder.features(x_t, timesteps, self.block)
