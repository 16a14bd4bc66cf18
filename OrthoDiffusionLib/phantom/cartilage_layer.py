"""Cartilage painted as a layer over a bone."""

from __future__ import annotations

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.tissues import Tissue

THINNEST = 0.5
"""mm: a thinner layer is no more than the grid's own blur, and breaks into specks."""


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
    beyond = distance * canvas.scale
    layer = (region.fine(beyond - thickness) < 0) & (region.fine(beyond) >= 0) & (region.fine(thickness) > THINNEST)
    canvas.paint(region, layer & canvas.is_any(region, *free), Tissue.CARTILAGE, label)
