"""Everything that looks at one plane: its encoder, and the heads on its feature map."""

from __future__ import annotations

import torch
from torch import nn

from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder
from OrthoDiffusionLib.networks.fusion import LinearHead
from OrthoDiffusionLib.networks.pooling import make_pooling
from OrthoDiffusionLib.networks.segmentation_decoder import SegmentationDecoder
from OrthoDiffusionLib.networks.skip_decoder import SkipSegmentationDecoder
from OrthoDiffusionLib.networks.structure_reading import StructureReading
from OrthoDiffusionLib.networks.structure_statistics import statistics_of


class PlaneDiagnosis(nn.Module):
    """Pooling of the feature map, and one linear layer to the findings' logits.

    Args:
        channels: of the feature map.
        findings: how many there are.
        pooling: its kind.
        statistics: of the segmented structures, which move the logits; 0 for none.
    """

    def __init__(self, channels: int, findings: int, pooling: str = "self_attention", statistics: int = 0) -> None:
        super().__init__()
        self.pooling = make_pooling(pooling, channels)
        self.head = LinearHead(2 * channels, findings)
        self.reading = StructureReading(statistics, findings) if statistics else None

    def forward(self, features: torch.Tensor, statistics: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, channels, k, i, j) to logits (batch, findings)."""
        return self.logits_and_pooled(features, statistics)[0]

    def logits_and_pooled(
        self, features: torch.Tensor, statistics: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a feature map to logits (batch, findings) and the pooled features (batch, 2 channels).

        Args:
            features: (batch, channels, k, i, j).
            statistics: (batch, statistics), for a head with a reading.

        Raises:
            ValueError: when the head has a reading and no statistics are given.
        """
        pooled: torch.Tensor = self.pooling(features)
        logits: torch.Tensor = self.head(pooled)
        if self.reading is not None:
            if statistics is None:
                raise ValueError("this head reads statistics of the segmented structures")
            logits = logits + self.reading(statistics)
        return logits, pooled


def channels_last(networks: PlaneNetworks) -> PlaneNetworks:
    """The networks with their weights stored channels last, in place: the fastest layout of convolutions on a CPU."""
    return networks.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


class PlaneNetworks(nn.Module):
    """The networks of one plane; without a decoder it does not segment, without a diagnosis head not diagnose.

    Args:
        config: sizes of the encoder.
        block: whose activation is the feature map, `mid_0` to `mid_2`.
        classes: of the segmentation, background included; 0 for no decoder.
        findings: number of findings; 0 for no diagnosis head.
        skips: whether the decoder also sees the encoder's finer levels, which the published one does not.
        pooling: of the diagnosis head, `self_attention` or `global_local`.
        reads_structures: whether the diagnosis head reads the segmented structures too; it needs a decoder.
        reads_around: whether it also reads what lies around them.
    """

    def __init__(
        self,
        config: UNetConfig,
        block: str,
        classes: int,
        findings: int,
        *,
        skips: bool = False,
        pooling: str = "self_attention",
        reads_structures: bool = False,
        reads_around: bool = False,
    ) -> None:
        super().__init__()
        self.block = block
        self.reads_around = reads_around
        self.encoder = DenoisingEncoder(config)
        channels = config.middle_channels
        self.segmentation: SegmentationDecoder | SkipSegmentationDecoder | None = None
        if classes:
            self.segmentation = (
                SkipSegmentationDecoder(config.widths, classes)
                if skips
                else SegmentationDecoder(channels, classes, doublings=len(config.widths) - 1)
            )
        statistics = (classes - 1) * statistics_of(around=reads_around) if reads_structures and classes else 0
        self.diagnosis = PlaneDiagnosis(channels, findings, pooling, statistics) if findings else None

    def features(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Feature map of noised windows (batch, 1, k, i, j)."""
        return self.encoder.features(x_t, timesteps, self.block)

    def scores_and_features(self, x_t: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class scores (batch, classes, k, i, j) and feature map of noised windows (batch, 1, k, i, j).

        Raises:
            ValueError: when there is no decoder.
        """
        if self.segmentation is None:
            raise ValueError("these networks have no segmentation decoder")
        if isinstance(self.segmentation, SkipSegmentationDecoder):
            features, levels = self.encoder.features_and_levels(x_t, timesteps, self.block)
            return self.segmentation(features, levels), features
        features = self.features(x_t, timesteps)
        return self.segmentation(features), features
