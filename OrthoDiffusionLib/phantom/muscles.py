"""Muscles: bellies parted by septa, streaked with fat along their fibres."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, Vector
from OrthoDiffusionLib.phantom.smooth_fields import draw_smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

SEPTUM = 1.1
"""mm of fat between two muscles."""

STREAK = (3.5, 40.0)
"""mm from one streak to the next across and along the fibres."""

BESIDE = 8.0
"""mm round a muscle within which it may part its neighbours from their septa."""

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
    nearest = np.full_like(within, 1e3)
    second = nearest.copy()
    for part, distance in bellies:
        before = nearest[part.cells]
        second[part.cells] = np.minimum(np.maximum(before, distance), second[part.cells])
        nearest[part.cells] = np.minimum(before, distance)
    region, (distance, apart) = canvas.everywhere().around(np.maximum(nearest, within), second - nearest)
    # Half way between two bellies both distances change alike: their difference does so at twice the rate.
    belly = region.covered(distance) & ~region.covered(np.float32(0.5) * apart, 0.5 * SEPTUM)
    canvas.paint(region, belly, Tissue.MUSCLE)
    extent = SPACING * np.array(canvas.tissue.shape)
    knots = [max(2, round(size / STREAK[axis == fibres])) for axis, size in enumerate(extent)]
    streaks = draw_smooth_field(canvas.tissue.shape, knots, generator)
    # The square: most are lean.
    share = FATTY[0] + (FATTY[1] - FATTY[0]) * generator.random() ** 2
    fatty, fat = np.quantile(streaks.part((slice(None, None, 4),) * 3), (1 - share, 1 - 0.15 * share))
    canvas.paint(region, belly & streaks.between(fatty, np.inf, region.slices), Tissue.FATTY_MUSCLE)
    canvas.paint(region, belly & streaks.between(fat, np.inf, region.slices), Tissue.FAT)


def section_box(table: npt.NDArray[np.float64], low: float, high: float) -> tuple[Vector, Vector]:
    """Corners of what a muscle's distance is needed in: further away it takes no part in any septum.

    Args:
        table: of its sections, along the third axis: place, centres and half widths along the other two, mm.
        low: along the third axis.
        high: along the third axis.
    """
    first, last = (
        (table[:, 1:3] - table[:, 3:5]).min(axis=0) - BESIDE,
        (table[:, 1:3] + table[:, 3:5]).max(axis=0) + BESIDE,
    )
    return (float(first[0]), float(first[1]), low), (float(last[0]), float(last[1]), high)
