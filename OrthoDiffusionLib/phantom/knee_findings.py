"""How often the findings of the knee occur."""

from __future__ import annotations

from types import MappingProxyType

from OrthoDiffusionLib.phantom.findings import Prevalence, Rates

CLINICAL = Rates(
    MappingProxyType(
        {"ACL": 0.22, "PCL": 0.03, "MM": 0.37, "LM": 0.17, "MCL": 0.12, "LCL": 0.04, "PD": 0.04, "EFFU": 0.335}
    ),
    MappingProxyType(
        {
            "ACL": MappingProxyType({"MM": 0.35, "LM": 0.35, "MCL": 0.25, "EFFU": 0.85}),
            "PCL": MappingProxyType({"EFFU": 0.8}),
            "MCL": MappingProxyType({"EFFU": 0.6}),
            "PD": MappingProxyType({"EFFU": 0.9}),
        }
    ),
)
"""Orders of magnitude in symptomatic adults referred for MRI, without a source. All causes taken together, a lateral
meniscus is torn in 21 %, an MCL in 15 % and an effusion there in 50 %. What bleeds into the joint nearly always has an
effusion; an MCL, which lies outside of it, more often than not."""

BALANCED = Rates(
    MappingProxyType(
        {"ACL": 0.35, "PCL": 0.3, "MM": 0.35, "LM": 0.35, "MCL": 0.3, "LCL": 0.3, "PD": 0.25, "EFFU": 0.4}
    ),
    MappingProxyType({"ACL": MappingProxyType({"EFFU": 0.6})}),
)
"""Chosen for training: each finding often enough to be learned."""

RATES: dict[Prevalence, Rates] = {"balanced": BALANCED, "clinical": CLINICAL}
