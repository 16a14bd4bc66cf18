"""What is known of a person besides the images.

These values never go into a log, an error or a result; of a run, its result names which of them took part.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FIELDS = ("age", "height", "weight", "sex", "patient_type", "event")
"""The order in which the values go into networks."""


class ClinicalRecord(BaseModel):
    """What is known of the person besides the images; None where unknown.

    Attributes:
        age: years.
        height: cm.
        weight: kg.
        sex: 0 or 1, as the dataset codes it.
        patient_type: 0 or 1, as the dataset codes it.
        event: 0 to 19, as the dataset codes it; 0 for none or unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    age: float | None = Field(default=None, ge=0, le=120)
    height: float | None = Field(default=None, ge=30, le=250)
    weight: float | None = Field(default=None, ge=2, le=400)
    sex: Literal[0, 1] | None = None
    patient_type: Literal[0, 1] | None = None
    event: int = Field(default=0, ge=0, le=19)

    def known(self) -> tuple[str, ...]:
        """Names of the values that are known."""
        return tuple(name for name in FIELDS if getattr(self, name) is not None and (name != "event" or self.event))

    def values(self) -> tuple[float, ...]:
        """The values in the order of `FIELDS`, NaN where unknown."""
        known = self.known()
        return tuple(float(getattr(self, name)) if name in known else math.nan for name in FIELDS)
