"""Red marrow: islands in the yellow one, by which no two bones are alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from OrthoDiffusionLib.phantom.canvas import SPACING, STEP, AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.smooth_fields import draw_smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

YELLOW, FADING = 8.0, 16.0
"""mm from a joint's surface within which there is no red marrow in adults, and over which it sets in."""

WITH_RED = 0.5
"""Share of adults whose bones show red marrow at the joint; more in the young, women and smokers."""

ISLAND = 22.0
"""mm from one island to the next."""

MOTTLE = 4.0
"""mm between the specks into which an island's edge dissolves."""


def paint_red_marrow(
    canvas: AnatomyCanvas, generator: np.random.Generator, from_joint: Callable[[Points], Field] | None = None
) -> None:
    """Paint islands of red marrow into the yellow, in some people.

    Args:
        canvas: with the bones painted.
        generator: draws who has it, and where.
        from_joint: mm from the joint's surfaces of points in the joint frame: the ends of bones turn yellow first. Or
            None, for islands anywhere.
    """
    has_red, share = generator.random() < WITH_RED, generator.uniform(0.05, 0.45)
    region = canvas.everywhere()
    shape = region.points[0].shape
    extent = SPACING * np.array(canvas.tissue.shape)
    coarse, specks = ([max(2, round(size / length)) for size in extent] for length in (ISLAND, MOTTLE))
    islands, edges = draw_smooth_field(shape, coarse, generator), draw_smooth_field(shape, specks, generator)
    if has_red:
        redness = islands.part() + np.float32(0.7) * edges.part()
        if from_joint is not None:
            redness -= np.float32(3) * np.clip(1 - (from_joint(region.points) - YELLOW) / FADING, 0, 1)
        other = canvas.tissue[::STEP, ::STEP, ::STEP] != Tissue.MARROW
        near, (_, part) = region.around(other, redness, level=1)
        there = ~near.below(part, float(np.quantile(redness, 1 - share)))
        canvas.paint(near, there & canvas.is_any(near, Tissue.MARROW), Tissue.RED_MARROW)
