"""Which findings a phantom has, and how severe they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np


class Rates(NamedTuple):
    """How often each finding occurs, and how often with a torn anterior cruciate ligament."""

    alone: Mapping[str, float]
    with_acl: Mapping[str, float]


CLINICAL_RATES = Rates(
    MappingProxyType(
        {"ACL": 0.22, "PCL": 0.03, "MM": 0.37, "LM": 0.17, "MCL": 0.12, "LCL": 0.04, "PD": 0.04, "EFFU": 0.4}
    ),
    MappingProxyType({"MM": 0.35, "LM": 0.35, "MCL": 0.25, "EFFU": 0.85}),
)
"""Orders of magnitude in symptomatic adults referred for MRI."""

BALANCED_RATES = Rates(
    MappingProxyType(
        {"ACL": 0.35, "PCL": 0.3, "MM": 0.35, "LM": 0.35, "MCL": 0.3, "LCL": 0.3, "PD": 0.25, "EFFU": 0.4}
    ),
    MappingProxyType({"EFFU": 0.6}),
)
"""Every finding common enough to be learned and measured on a few hundred phantoms; not how patients are."""

MILDEST = 0.3
"""Least severity drawn: signs of a lesser one are under the resolution of a 128 x 128 network window."""


def draw_findings(generator: np.random.Generator, rates: Rates = BALANCED_RATES) -> dict[str, float]:
    """Severity of each finding: 0 where absent, else MILDEST to 1."""
    severity: dict[str, float] = {}
    for key, rate in rates.alone.items():
        if severity.get("ACL"):
            rate = rates.with_acl.get(key, rate)
        chance, degree = generator.random(), generator.uniform(MILDEST, 1.0)
        severity[key] = round(float(degree), 3) if chance < rate else 0.0
    return severity
