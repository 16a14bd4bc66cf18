"""Clinical data as the panel knows them: names, limits, and what a model reads of them.

Standard library alone; nothing of ours, for the library's record of them needs a package that may be missing before the
first run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIMITS = {"age": (0, 120), "height": (30, 250), "weight": (2, 400)}
"""Of the numbers: years, cm and kg. The worker refuses what is beyond them."""

CODED = ("sex", "patient_type", "event")
"""What is given as a number that stands for something, which each model says for itself."""


@dataclass(frozen=True)
class ClinicalPart:
    """What a model reads of clinical data.

    Attributes:
        seen: names of the values that it learnt from, with the codes that it knows; no codes for a number.
        codes: what the codes mean, in its maker's words.
    """

    seen: Mapping[str, tuple[int, ...]]
    codes: str


def clinical_part(manifest: Mapping[str, Any]) -> ClinicalPart | None:
    """What a bundle's manifest says that the model reads of clinical data; None where it reads none.

    A manifest that makes no sense reads none: the worker verifies the bundle, and says what is wrong with it.
    """
    try:
        part = manifest["fusion"]["clinical"]
        seen = {str(name): tuple(map(int, codes)) for name, codes in part["seen"].items()}
        known = {name: codes for name, codes in seen.items() if name in LIMITS or name in CODED}
        return ClinicalPart(known, str(part["codes"])) if known else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def is_possible(name: str, value: float) -> bool:
    """Whether a number lies within its limits; not a number does not."""
    low, high = LIMITS[name]
    return low <= value <= high
