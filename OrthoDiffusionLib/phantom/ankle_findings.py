"""How often the findings of the ankle occur."""

from __future__ import annotations

from types import MappingProxyType

from OrthoDiffusionLib.phantom.findings import Prevalence, Rates

CLINICAL = Rates(
    MappingProxyType({"ATFL": 0.3, "CFL": 0.05, "ATR": 0.05, "OLT": 0.08}),
    MappingProxyType({"ATFL": MappingProxyType({"CFL": 0.4, "OLT": 0.2})}),
)
"""Orders of magnitude in symptomatic adults referred for MRI, without a source."""

BALANCED = Rates(
    MappingProxyType({"ATFL": 0.35, "CFL": 0.3, "ATR": 0.35, "OLT": 0.35}),
    MappingProxyType({"ATFL": MappingProxyType({"CFL": 0.45})}),
)
"""Chosen for training: each finding often enough to be learned."""

RATES: dict[Prevalence, Rates] = {"balanced": BALANCED, "clinical": CLINICAL}
