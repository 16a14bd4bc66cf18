"""Muscles: bellies parted by septa, streaked with fat along their fibres."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

SEPTUM = 1.1
"""mm of fat between two muscles."""

STREAK = (3.5, 40.0)
"""mm from one streak to the next across and along the fibres."""

FATTY = (0.04, 0.35)
"""Share of the belly whose fascicles hold fat, from a young athlete to an old knee (Goutallier grades 0 to 2)."""


def paint_bellies(
    canvas: AnatomyCanvas,
    bellies: Iterable[tuple[Region, Field]],
    within: Field,
    generator: np.random.Generator,
    fibres: int = 2,
) -> None:
    """Paint muscles; where two meet, the nearer one has the point and a septum of what was there parts them.

    Args:
        canvas: with fat where muscles may lie.
        bellies: each muscle's distance to its surface (mm of the standard joint, negative inside) in its region.
        within: distance to what holds the muscles, over the whole lattice, mm.
        generator: draws how fatty this person's muscles are, and the streaks.
        fibres: axis along which the fibres run, 0 to 2.
    """
    region = canvas.everywhere()
    nearest = np.full_like(within, 1e3)
    second = nearest.copy()
    for part, distance in bellies:
        before = nearest[part.cells]
        second[part.cells] = np.minimum(np.maximum(before, distance), second[part.cells])
        nearest[part.cells] = np.minimum(before, distance)
    belly = (region.fine(np.maximum(nearest, within)) < 0) & (region.fine(second - nearest) > SEPTUM)
    canvas.paint(region, belly, Tissue.MUSCLE)
    extent = SPACING * np.array(belly.shape)
    knots = [max(2, round(size / STREAK[axis == fibres])) for axis, size in enumerate(extent)]
    streaks = smooth_field(belly.shape, knots, generator)
    # The square: most are lean.
    share = FATTY[0] + (FATTY[1] - FATTY[0]) * generator.random() ** 2
    fatty, fat = np.quantile(streaks[::4, ::4, ::4], (1 - share, 1 - 0.15 * share))
    canvas.paint(region, belly & (streaks > fatty), Tissue.FATTY_MUSCLE)
    canvas.paint(region, belly & (streaks > fat), Tissue.FAT)
