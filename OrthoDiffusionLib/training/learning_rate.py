"""How learning rates fall."""

from __future__ import annotations

import math


def along_cosine(done: int, whole: int) -> float:
    """Share of the highest rate, from 1 at the beginning down to 0 at the end.

    Args:
        done: steps or epochs.
        whole: how many there are to be.
    """
    return 0.5 * (1 + math.cos(math.pi * done / whole))
