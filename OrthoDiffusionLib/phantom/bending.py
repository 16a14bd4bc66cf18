"""Smooth bending, by which no two joints are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from OrthoDiffusionLib.phantom.canvas import REACH
from OrthoDiffusionLib.phantom.distances import Points
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field


def bent_back(points: Points, seed: int, spread: float, knots: Sequence[int], scale: float) -> Points:
    """Positions in an individual's joint frame, as positions in the standard joint.

    Args:
        points: mm.
        seed: of the bending.
        spread: of the shift along each axis, mm, one standard deviation; it stays within the canvas' `REACH`.
        knots: of the bending along each axis of the points' grid.
        scale: of the individual over the standard joint.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    bent = []
    for coordinate in points:
        shift = spread * smooth_field(coordinate.shape, knots, generator)
        bent.append(((coordinate + np.clip(shift, -0.9 * REACH, 0.9 * REACH)) / scale).astype(np.float32))
    return bent[0], bent[1], bent[2]
