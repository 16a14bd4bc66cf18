"""What is known of a bundle once it was measured on phantoms."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from OrthoDiffusionLib.phantom.findings import Prevalence

Interval = tuple[float, float]
Contrast = Literal["physical", "random"]


@dataclass(frozen=True)
class Evaluation:
    """Measures of one bundle over phantoms.

    Attributes:
        bundle: name and version.
        studies: how many phantoms.
        seed: of the first.
        centre: where they were scanned; `anywhere`, which is no centre, for a random contrast.
        dice: for each plane and structure, the mean over the studies in which truth or label map has it.
        auroc: of each finding; not a number where none or all of the phantoms have it.
        ece: expected calibration error over all findings.
        mean_dice: mean over structures and planes.
        plane_dice: for each plane, the mean over structures.
        macro_auroc: mean over the findings that have one; as every measure, not a number where the bundle has no such
            heads, or the phantoms do not define it.
        intervals: 95 % bootstrap interval of each measure by its name.
        combined: whether each plane's label map was made of all planes.
        contrast: that of the centre's sequences, or signals, resolution and artefacts of chance.
        rates: how often findings occurred: often enough to be measured, or as in patients.
        seen: seeds among them that the bundle's data card names as trained on; None where it names no seeds.
    """

    bundle: str
    studies: int
    seed: int
    centre: str
    dice: Mapping[str, Mapping[str, float]]
    auroc: Mapping[str, float]
    ece: float
    mean_dice: float
    plane_dice: Mapping[str, float]
    macro_auroc: float
    intervals: Mapping[str, Interval]
    combined: bool = True
    contrast: Contrast = "physical"
    rates: Prevalence = "balanced"
    seen: tuple[int, ...] | None = None

    @property
    def undefined_auroc(self) -> tuple[str, ...]:
        """Findings that none or all of the phantoms have, of which macro_auroc is not the mean."""
        return tuple(finding for finding, value in self.auroc.items() if not math.isfinite(value))

    def to_json_dict(self) -> dict[str, object]:
        """All of it, for `--json`."""
        return {
            "bundle": self.bundle,
            "studies": self.studies,
            "seed": self.seed,
            "centre": self.centre,
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "combined": self.combined,
            "contrast": self.contrast,
            "rates": self.rates,
            "seeds_seen_in_training": None if self.seen is None else list(self.seen),
            "mean_dice": _known(self.mean_dice),
            "plane_dice": _known_ones(self.plane_dice),
            "dice": {plane: _known_ones(values) for plane, values in self.dice.items()},
            "macro_auroc": _known(self.macro_auroc),
            "macro_auroc_findings": len(self.auroc) - len(self.undefined_auroc),
            "auroc": _known_ones(self.auroc),
            "undefined_auroc": list(self.undefined_auroc),
            "ece": _known(self.ece),
            "intervals": {name: [_known(low), _known(high)] for name, (low, high) in self.intervals.items()},
        }

    def table(self) -> list[tuple[str, str, str]]:
        """Rows of measure, value and interval; without those that the phantoms or the bundle leave undefined."""
        rows = [("mean Dice", self.mean_dice, "mean_dice")]
        rows += [(f"mean Dice, {plane}", value, f"plane_dice/{plane}") for plane, value in self.plane_dice.items()]
        rows += [("macro-AUROC", self.macro_auroc, "macro_auroc"), ("calibration error", self.ece, "ece")]
        for structure in next(iter(self.dice.values()), ()):
            for plane in self.dice:
                rows.append((f"Dice {structure}, {plane}", self.dice[plane][structure], f"dice/{plane}/{structure}"))
        rows += [(f"AUROC {finding}", value, f"auroc/{finding}") for finding, value in self.auroc.items()]
        return [
            (name, f"{value:.3f}", "{:.3f} to {:.3f}".format(*self.intervals[key]))
            for name, value, key in rows
            if math.isfinite(value)
        ]

    def conditions(self) -> str:
        """In a few sentences how the figures came about."""
        where = f"at {self.centre}" if self.contrast == "physical" else "in contrasts of chance"
        how_often = ", with findings as often as in patients" if self.rates == "clinical" else ""
        planes = "" if self.combined else " Each plane by itself."
        return (
            f"{self.bundle} on {self.studies} phantoms from seed {self.seed} {where}{how_often},"
            f" {date.today().isoformat()}, {platform.machine()} with {os.cpu_count()} processors."
            f"{planes}{self._left_out()}{self._seen()} Phantoms are not patients."
        )

    def _left_out(self) -> str:
        left = self.undefined_auroc
        if not left:
            return ""
        known = len(self.auroc) - len(left)
        mean = "there is no macro-AUROC"
        if known:
            mean = f"the macro-AUROC is of the other {known} of {len(self.auroc)} findings"
        return f" None or all of the phantoms have {', '.join(left)}, whose AUROC is not defined; {mean}."

    def _seen(self) -> str:
        return f" The bundle was trained on {len(self.seen)} of these phantoms." if self.seen else ""


def _known(value: float) -> float | None:
    """None for what is no number, which JSON has no word for."""
    return value if math.isfinite(value) else None


def _known_ones(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _known(value) for key, value in values.items()}
