"""Late fusion of the image with clinical data (EHR). Attribute names give the published tensors' names."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

NUMERIC, ONE_HOT, EVENTS, EVENT_CHANNELS, HIDDEN = 3, 3, 20, 8, 64


class ClinicalInputs(NamedTuple):
    """What `ClinicalFusionHead` takes beside the features; see there."""

    numeric: torch.Tensor
    sex: torch.Tensor
    patient_type: torch.Tensor
    event: torch.Tensor


def clinical_inputs(values: torch.Tensor, centre: torch.Tensor, spread: torch.Tensor) -> ClinicalInputs:
    """Code clinical data for the head.

    Args:
        values: age (years), height (cm), weight (kg), sex and patient type (0 or 1), event (0 to 19); NaN where
            unknown; (batch, 6).
        centre: means of age, height and weight over the training studies, (3,): what an unknown one is taken for.
        spread: their standard deviations, (3,).
    """
    numeric = torch.nan_to_num((values[:, :NUMERIC] - centre) / spread)
    codes = torch.nan_to_num(values[:, NUMERIC:], nan=-1).long()
    sex, patient_type = (
        functional.one_hot(torch.where(code < 0, ONE_HOT - 1, code), ONE_HOT).to(values.dtype)
        for code in codes[:, :2].unbind(dim=1)
    )
    return ClinicalInputs(numeric, sex, patient_type, codes[:, 2].clamp(min=0))


class ClinicalFusionOutput(NamedTuple):
    """Logits of both sources, mixed and apart, each (batch, findings), and the image's share `alpha` (findings,)."""

    logits: torch.Tensor
    image_logits: torch.Tensor
    clinical_logits: torch.Tensor
    alpha: torch.Tensor


class ClinicalFusionHead(nn.Module):
    """The image's logits and those of age, height, weight, sex, patient type and event, mixed for each finding."""

    def __init__(self, channels: int = 1536, findings: int = 8) -> None:
        super().__init__()
        self.mri_head = nn.Linear(channels, findings)
        self.event_embed = nn.Embedding(EVENTS, EVENT_CHANNELS)
        self.tab_proj = nn.Sequential(
            nn.Linear(NUMERIC + 2 * ONE_HOT + EVENT_CHANNELS, HIDDEN), nn.ReLU(), nn.LayerNorm(HIDDEN), nn.Dropout(0.1)
        )
        self.tab_head = nn.Linear(HIDDEN, findings)
        self.alpha_param = nn.Parameter(torch.zeros(findings))

    def forward(
        self,
        features: torch.Tensor,
        numeric: torch.Tensor,
        sex: torch.Tensor,
        patient_type: torch.Tensor,
        event: torch.Tensor,
    ) -> ClinicalFusionOutput:
        """Mix both sources.

        Args:
            features: of the image, (batch, channels).
            numeric: age, height and weight, standardised, (batch, 3).
            sex: one-hot 0, 1, unknown, (batch, 3).
            patient_type: one-hot 0, 1, unknown, (batch, 3).
            event: index 0 to 19, (batch,).
        """
        image = self.mri_head(features)
        tabular = torch.cat([numeric, sex, patient_type, self.event_embed(event)], dim=-1)
        clinical = self.tab_head(self.tab_proj(tabular))
        alpha = torch.sigmoid(self.alpha_param)
        return ClinicalFusionOutput(alpha * image + (1 - alpha) * clinical, image, clinical, alpha)
