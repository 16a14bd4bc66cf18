"""Bones painted from their distances: a cortical rim around marrow."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.tissues import Tissue


def paint_bone(canvas: AnatomyCanvas, region: Region, distance: Field, label: int, rim: float | Field) -> None:
    """Paint a bone where no structure lies yet.

    Args:
        canvas: to be painted.
        region: that holds the bone.
        distance: to its surface in mm of the standard joint, negative inside, on the region's lattice points.
        label: of the bone.
        rim: thickness of the cortex in mm, one for all or on the region's lattice points.
    """
    depth = distance * np.float32(canvas.scale)
    near, (depth, marrow) = region.around(depth, depth + np.float32(rim))
    inside = near.covered(depth) & ~canvas.labelled(near)
    canvas.paint(near, inside, Tissue.CORTEX, label)
    canvas.paint(near, inside & near.covered(marrow), Tissue.MARROW)
