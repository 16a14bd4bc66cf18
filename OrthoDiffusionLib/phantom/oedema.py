"""Oedema: its outline wanders, and its edge seeps into what is around."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import SPACING, STEP
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field

LOBES = 9.0
"""mm from one lobe of an outline to the next."""

STREAKS = 3.6
"""mm between the streaks into which an edge dissolves."""

ON_LATTICE = (slice(None, None, STEP),) * 3
"""The lattice points among a region's grid points."""


def seeping(distance: Field, wander: float, fade: float, generator: np.random.Generator) -> Field:
    """Distance to a swelling with an irregular outline.

    Args:
        distance: to a smooth body, mm, on lattice points.
        wander: standard deviation in mm by which lobes stand out of the outline.
        fade: mm over which the edge dissolves into streaks and grains; a slice of 3 mm averages over the grains, and
            shows an edge that fades.
        generator: draws lobes, streaks and grains.
    """
    lobes, streaks = (variation(distance, length, generator) for length in (LOBES, STREAKS))
    grains = generator.standard_normal(distance.shape, np.float32)
    ragged = wander * lobes + fade * (0.5 * streaks + 0.9 * grains)
    # Bounded, so that no grain lies far from the swelling that it belongs to.
    farthest = 1.2 * wander + 0.8 * fade
    return np.asarray(distance + np.clip(ragged, -farthest, farthest), np.float32)


def variation(like: Field, length: float, generator: np.random.Generator) -> Field:
    """A smooth field of about unit variance on as many lattice points, that varies over a length in mm."""
    knots = [max(2, round(n * SPACING * STEP / length)) for n in like.shape]
    return smooth_field(like.shape, knots, generator)
