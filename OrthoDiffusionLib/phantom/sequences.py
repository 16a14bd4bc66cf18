"""Signal equations: what a sequence makes of a tissue's proton density, T1 and T2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from OrthoDiffusionLib.phantom.tissues import Relaxation

Family = Literal["spin echo", "DESS", "steady state", "spoiled gradient echo"]


@dataclass(frozen=True)
class Sequence:
    """A sequence's timing.

    Attributes:
        family: which signal equation holds.
        repetition: TR in ms.
        echo: TE in ms.
        flip: degrees; of gradient echoes.
        fat_left: share of the fat signal that suppression or water excitation leaves, 0 to 1; 1 without.
    """

    family: Family
    repetition: float
    echo: float
    flip: float = 90.0
    fat_left: float = 1.0

    def signal(self, tissue: Relaxation, reversible: float = math.inf) -> tuple[float, float]:
        """Signal of a tissue's water and of its fat, relative to full magnetisation.

        Args:
            tissue: its relaxation at the field of the scanner.
            reversible: its T2' in ms, by which gradient echoes decay further.
        """
        magnetisation = tissue.density * self._weight(tissue)
        if self.family != "spin echo":
            magnetisation *= math.exp(-self.echo / reversible)
        return magnetisation * (1 - tissue.fat), magnetisation * tissue.fat * self.fat_left

    def _weight(self, tissue: Relaxation) -> float:
        first = np.exp(-self.repetition / tissue.t1)
        if self.family == "spin echo":
            return float((1 - first) * np.exp(-self.echo / tissue.t2))
        cos = np.cos(np.radians(self.flip))
        if self.family == "spoiled gradient echo":
            sin = np.sin(np.radians(self.flip))
            return float(sin * (1 - first) / (1 - cos * first) * np.exp(-self.echo / tissue.t2))
        return self._double_echo(first, cos, tissue.t2)

    def _double_echo(self, first: float, cos: float, t2: float) -> float:
        """First echo of a double-echo steady state, or both as root of the sum of squares (Bruder 1988, MRM 7:35)."""
        second = np.exp(-self.repetition / t2)
        p = 1 - first * cos - second**2 * (first - cos)
        q = second * (1 - first) * (1 + cos)
        r = (1 - second**2) / np.sqrt(max(p * p - q * q, 1e-12))
        half = np.sqrt((1 - cos) / (1 + cos))
        plus = half * (1 - (first - cos) * r) * np.exp(-self.echo / t2)
        if self.family == "steady state":
            return float(max(plus, 0.0))
        minus = half * (1 - (1 - first * cos) * r) * np.exp(self.echo / t2)
        return float(np.hypot(max(plus, 0.0), max(minus, 0.0)))
