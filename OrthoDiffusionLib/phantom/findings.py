"""Which findings a phantom has, and how severe they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

Prevalence = Literal["balanced", "clinical"]
"""Every finding common enough to be learned and measured on a few hundred phantoms, or as often as in patients."""

MILDEST = 0.3
"""Least severity drawn: signs of a lesser one are under the resolution of a 128 x 128 network window."""


class Rates(NamedTuple):
    """How often each finding occurs.

    Attributes:
        alone: of each finding, in the order of the joint's schema, 0 to 1.
        with_cause: of findings that others bring with them, by the cause; it comes before them. Of several causes that
            are there, the one with the highest rate counts.
    """

    alone: Mapping[str, float]
    with_cause: Mapping[str, Mapping[str, float]]


def draw_findings(generator: np.random.Generator, rates: Rates) -> dict[str, float]:
    """Severity of each finding: 0 where absent, else MILDEST to 1."""
    severity: dict[str, float] = {}
    for key, rate in rates.alone.items():
        brought = [found[key] for cause, found in rates.with_cause.items() if severity.get(cause) and key in found]
        rate = max(brought, default=rate)
        chance, degree = generator.random(), generator.uniform(MILDEST, 1.0)
        severity[key] = round(float(degree), 3) if chance < rate else 0.0
    return severity
