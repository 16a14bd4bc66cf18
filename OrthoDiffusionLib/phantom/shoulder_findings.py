"""How often the findings of the shoulder occur."""

from __future__ import annotations

from types import MappingProxyType

from OrthoDiffusionLib.phantom.findings import Prevalence, Rates

CLINICAL = Rates(
    MappingProxyType(
        {
            "SSP": 0.5,
            "ISP": 0.1,
            "SSC": 0.12,
            "LHBT_INJURY": 0.12,
            "AC": 0.45,
            "GHJ": 0.15,
            "LHBT_EFFUSION": 0.2,
            "SASD": 0.3,
        }
    ),
    MappingProxyType(
        {
            "SSP": MappingProxyType(
                {"ISP": 0.25, "SSC": 0.3, "LHBT_INJURY": 0.3, "GHJ": 0.35, "LHBT_EFFUSION": 0.4, "SASD": 0.6}
            )
        }
    ),
)
"""Orders of magnitude in symptomatic adults referred for MRI, without a source."""

BALANCED = Rates(
    MappingProxyType(
        {
            "SSP": 0.4,
            "ISP": 0.3,
            "SSC": 0.3,
            "LHBT_INJURY": 0.3,
            "AC": 0.35,
            "GHJ": 0.35,
            "LHBT_EFFUSION": 0.35,
            "SASD": 0.35,
        }
    ),
    MappingProxyType({"SSP": MappingProxyType({"SASD": 0.55, "GHJ": 0.45})}),
)
"""Chosen for training: each finding often enough to be learned."""

RATES: dict[Prevalence, Rates] = {"balanced": BALANCED, "clinical": CLINICAL}
