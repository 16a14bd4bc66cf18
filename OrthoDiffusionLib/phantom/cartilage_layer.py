"""Cartilage painted as a layer over a bone."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.tissues import Tissue

THINNEST = 0.5
"""mm: a thinner layer is no more than the grid's own blur, and breaks into specks."""

BESIDE = 4.0
"""mm from the layer to which its box reaches: the lattice points round each of its grid points are within that."""


def paint_cartilage_layer(
    canvas: AnatomyCanvas, region: Region, distance: Field, thickness: Field, label: int, free: tuple[Tissue, ...]
) -> None:
    """Paint the cartilage of a bone.

    Args:
        canvas: with the bone painted.
        region: that holds the layer.
        distance: to the bone on the region's lattice points, mm of the standard joint.
        thickness: of the cartilage over each of these points, mm; none where it is under `THINNEST`.
        label: of the cartilage.
        free: tissues whose place it takes.
    """
    beyond = distance * np.float32(canvas.scale)
    covered = np.where(thickness > 0, np.abs(beyond) - thickness, np.float32(99))
    near, (covered, beyond, thickness) = region.around(covered, beyond, thickness, level=BESIDE)
    layer = near.covered(beyond - thickness) & ~near.covered(beyond) & ~near.below(thickness, THINNEST)
    canvas.paint(near, layer & canvas.is_any(near, *free), Tissue.CARTILAGE, label)
