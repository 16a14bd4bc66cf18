"""What is known of a person besides the images."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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

    model_config = ConfigDict(extra="forbid", frozen=True)

    age: float | None = Field(default=None, ge=0, le=120)
    height: float | None = Field(default=None, ge=30, le=250)
    weight: float | None = Field(default=None, ge=2, le=400)
    sex: Literal[0, 1] | None = None
    patient_type: Literal[0, 1] | None = None
    event: int = Field(default=0, ge=0, le=19)
