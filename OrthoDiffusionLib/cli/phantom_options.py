"""Options on phantoms that several commands have."""

from __future__ import annotations

from enum import Enum


class Contrast(str, Enum):
    """Where a phantom's signals come from."""

    PHYSICAL = "physical"
    RANDOM = "random"


class Side(str, Enum):
    """Of the person."""

    LEFT = "left"
    RIGHT = "right"
