"""How often the findings of the knee occur."""

from __future__ import annotations

from types import MappingProxyType

from OrthoDiffusionLib.phantom.findings import Prevalence, Rates

CLINICAL = Rates(
    MappingProxyType(
        {"ACL": 0.22, "PCL": 0.03, "MM": 0.37, "LM": 0.17, "MCL": 0.12, "LCL": 0.04, "PD": 0.04, "EFFU": 0.4}
    ),
    "ACL",
    MappingProxyType({"MM": 0.35, "LM": 0.35, "MCL": 0.25, "EFFU": 0.85}),
)
"""Orders of magnitude in symptomatic adults referred for MRI."""

BALANCED = Rates(
    MappingProxyType(
        {"ACL": 0.35, "PCL": 0.3, "MM": 0.35, "LM": 0.35, "MCL": 0.3, "LCL": 0.3, "PD": 0.25, "EFFU": 0.4}
    ),
    "ACL",
    MappingProxyType({"EFFU": 0.6}),
)

RATES: dict[Prevalence, Rates] = {"balanced": BALANCED, "clinical": CLINICAL}
