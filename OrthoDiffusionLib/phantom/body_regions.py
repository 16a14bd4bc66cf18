"""The part of a canvas that a body needs: smaller regions are painted sooner."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import STEP, AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field


def region_near(canvas: AnatomyCanvas, distance: Field, reach: float = 3.0) -> Region:
    """The smallest region round a body.

    Args:
        canvas: that is painted on.
        distance: to the body over the whole lattice, mm of the standard joint.
        reach: how far beyond its surface the region goes, mm.

    Returns:
        the region; a corner of the canvas where there is no body.
    """
    near = distance < reach
    cells = []
    for axis, size in enumerate(near.shape):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(near.any(axis=others))
        low, high = (int(there[0]), int(there[-1])) if len(there) else (1, 1)
        cells.append(slice(max(low - 1, 0), min(high + 2, size)))
    fine = [slice(cell.start * STEP, (cell.stop - 1) * STEP + 1) for cell in cells]
    first, second, third = cells
    x, y, z = (coordinate[first, second, third] for coordinate in canvas.everywhere().points)
    return Region((fine[0], fine[1], fine[2]), (first, second, third), (x, y, z))
