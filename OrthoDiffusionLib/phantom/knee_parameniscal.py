"""Oedema beside a meniscus: round some tears, and without one where the capsule is strained or the joint worn.

It is no sign to rely on: it comes with a minority of tears, and without any in some knees. The shares are orders of
magnitude.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.oedema import seeping
from OrthoDiffusionLib.phantom.tissues import Tissue

WITH_TEAR = (0.1, 0.3)
"""Share of tears that have it: of the least ones, and how much more of the most severe."""

WITHOUT = 0.05
"""Share of whole menisci that have it; a tenth of the knees with two of them."""

WIDTH, HEIGHT = 10.0, 6.0
"""mm that a meniscus is wide and high, about."""


class Rim(NamedTuple):
    """Where the lattice points round a meniscus lie: 0 at its free edge, 1 at its rim, more beyond; 0 below it to 1 on
    top; and the angle about its middle in degrees."""

    region: Region
    rise: Field
    level: Field
    angle: Field


def paint_parameniscal_oedema(
    canvas: AnatomyCanvas, rim: Rim, severity: float, at: float, generator: np.random.Generator
) -> None:
    """Paint a crescent of oedema outside a meniscus' rim, thickest beside the tear, if this meniscus has one.

    Args:
        canvas: with the menisci painted.
        rim: of the meniscus.
        severity: of its tear, 0 to 1.
        at: angle of the tear.
        generator: draws whether there is oedema, its size and its outline.
    """
    chance, size, spread, elsewhere = generator.uniform(size=4)
    least, more = WITH_TEAR
    if chance >= (least + more * severity if severity else WITHOUT):
        return
    middle, deep = (at if severity else 140.0 * elsewhere - 80.0), 1.5 + 3.0 * size
    tapering = 1 - ((rim.angle - middle) / (18 + 22 * spread)) ** 2
    beyond, off_middle = WIDTH * (rim.rise - 1), HEIGHT * np.abs(rim.level - 0.5)
    from_rim = np.hypot(np.maximum(beyond, 0), np.maximum(off_middle - 1.0, 0))
    swelling = seeping(from_rim - deep * np.maximum(tapering, -1.5), 0.9, 0.8, generator)
    outside = rim.region.below(-beyond.astype(np.float32)) & canvas.is_any(rim.region, Tissue.FAT, Tissue.SEPTUM)
    canvas.paint(rim.region, rim.region.below(swelling) & outside, Tissue.SOFT_OEDEMA)
