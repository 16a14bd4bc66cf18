"""The part of a canvas that a body needs: smaller regions are painted sooner."""

from __future__ import annotations

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
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
    return canvas.everywhere().around(distance, level=reach)[0]
