"""Steps without an edge: where one thing ends and the next begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.distances import Field


def rising(value: npt.NDArray[Any], width: float) -> Field:
    """0 below zero, 1 above `width`, smooth between."""
    t = np.clip(value / width, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
