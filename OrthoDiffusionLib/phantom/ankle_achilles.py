"""The Achilles tendon, whole or torn 2 to 6 cm over its insertion.

Thickness in the middle 4.9 +- 0.5 mm in health and 11.2 +- 3.3 in tendinopathy, width 14.7 +- 1.8 and 17.2 +- 3.1,
25.7 at the insertion (Szaro and Ghali Gataa 2021, Sci Rep 11:6131). Tears lie 5.0 to 8.4 cm over the distal end of an
insertion some 2 cm long (Park et al. 2019, Am J Sports Med 47): 2 to 6 cm over its upper end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.ankle_soft_tissue import achilles_course
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Mask, Region
from OrthoDiffusionLib.phantom.cords import COMPLETE
from OrthoDiffusionLib.phantom.distances import Field, curve
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

TORN_RANGE = (20.0, 60.0)
"""mm over the insertion's upper end within which a tear lies."""

GAP = (6.0, 30.0)
"""mm between the stumps, from the mildest to the severest complete tear."""

SPREAD = 14.0
"""mm along the tendon over which it is thickened on either side of a tear."""

ROOM = (
    Tissue.FAT,
    Tissue.SEPTUM,
    Tissue.FLUID,
    Tissue.SYNOVIUM,
    Tissue.MUSCLE,
    Tissue.FATTY_MUSCLE,
    Tissue.TENDON,
    Tissue.VESSEL,
    Tissue.NERVE,
)


class Tear(NamedTuple):
    """A tear's severity, 0 to 1, and the stumps' ends in mm over the insertion; partial ones have the same end."""

    severity: float
    low: float
    high: float


def draw_tear(severity: float, generator: np.random.Generator) -> Tear:
    """A tear of this severity, somewhere in `TORN_RANGE`."""
    place = generator.random()
    gap = 0.0
    if severity >= COMPLETE:
        gap = float(np.interp(severity, (COMPLETE, 1.0), GAP))
    # Partial tears keep clear of the range's ends, for their swelling reaches further.
    margin = gap / 2 if gap else 6.0
    middle = float(np.interp(place, (0, 1), (TORN_RANGE[0] + margin, TORN_RANGE[1] - margin)))
    return Tear(severity, middle - gap / 2, middle + gap / 2)


def paint_achilles(
    canvas: AnatomyCanvas, shape: AnkleShape, severity: float, label: int, generator: np.random.Generator
) -> None:
    """Paint the tendon behind the calcaneus and up into the calf.

    Args:
        canvas: with bones and soft tissue painted.
        shape: of the ankle.
        severity: of the rupture, 0 to 1.
        label: of the tendon.
        generator: where the tear lies, and its texture.
    """
    tear = draw_tear(severity, generator)
    path = achilles_course(shape)
    low, high = path.min(axis=0) - 22, path.max(axis=0) + 22
    region = canvas.region(tuple(low), (float(high[0]), float(high[1]), 130.0))
    height = _heights(shape)
    x, y, z = region.points
    # The margins lie further forward than the middle: its front is flat or hollow.
    curved = (np.zeros_like(x), (y - 0.018 * np.minimum(x * x, 150)).astype(np.float32), z)
    sagittal, along = curve(curved, path * np.array([0, 1, 1]), reach=30)
    over = (np.interp(along, np.linspace(0, 1, len(path)), height) * canvas.scale).astype(np.float32)
    across = np.abs(x - np.interp(along, np.linspace(0, 1, len(path)), path[:, 0]))
    near = _near(over, tear)
    # Retracted stumps are clubbed.
    thick = 0.5 * shape.achilles_thickness * (1 + (0.35 + 0.95 * severity) * near * (severity > 0))
    wide = 0.5 * shape.achilles_width * (1 + 0.22 * near * severity)
    wide = (wide * (1 + 0.7 * np.clip((6 - over) / 25, 0, 1))).astype(np.float32)
    distance = region.fine(_flat((across * canvas.scale).astype(np.float32), sagittal * canvas.scale, wide, thick))
    free = canvas.is_any(region, *ROOM) & ~canvas.labelled(region)
    if severity:
        _paint_swelling(canvas, region, distance, over, tear, free, generator)
    inside = free & (distance < 0)
    canvas.paint(region, inside, Tissue.TENDON, label)
    if severity:
        _paint_tear(canvas, region, inside, over, tear, generator)


def _heights(shape: AnkleShape) -> Field:
    """Length along the course from the insertion's upper end to each of its points, mm of the standard ankle."""
    path = achilles_course(shape)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    upper = np.array(shape.from_foot((0.5, -49.0, -40.0)))
    start = length[int(np.argmin(np.linalg.norm(path - upper, axis=1)))]
    return np.asarray(start - length, np.float32)


def _near(over: Field, tear: Tear) -> Field:
    """1 at a stump's end, falling off along the tendon."""
    away = np.maximum(np.maximum(tear.low - over, over - tear.high), 0)
    return np.asarray(np.exp(-((away / SPREAD) ** 2)), np.float32)


def _flat(across: Field, sagittal: Field, wide: Field, thick: Field) -> Field:
    """Distance to a band with an elliptic section; first order off its surface."""
    level = np.sqrt((across / wide) ** 2 + (sagittal / thick) ** 2)
    slope = np.sqrt((across / wide**2) ** 2 + (sagittal / thick**2) ** 2) / np.maximum(level, 1e-6)
    return np.asarray((level - 1) / np.maximum(slope, 1e-3), np.float32)


def _paint_swelling(
    canvas: AnatomyCanvas,
    region: Region,
    distance: Field,
    over: Field,
    tear: Tear,
    free: Mask,
    generator: np.random.Generator,
) -> None:
    """Oedema of the fat round the tear: a sheath, and wisps into Kager's fat pad."""
    patches = region.fine(smooth_field(over.shape, (9, 12, 30), generator))
    near = region.fine(_near(over, tear))
    around = free & (distance < near * (1.0 + 2.5 * tear.severity) * (1 + 0.6 * patches)) & (near > 0.2)
    wisps = free & (distance < near * (4 + 7 * tear.severity)) & (patches > 1.3 - 0.7 * tear.severity) & (near > 0.2)
    fat = canvas.is_any(region, Tissue.FAT, Tissue.SEPTUM)
    canvas.paint(region, (around | wisps) & fat, Tissue.SOFT_OEDEMA)


def _paint_tear(
    canvas: AnatomyCanvas, region: Region, inside: Mask, over: Field, tear: Tear, generator: np.random.Generator
) -> None:
    """Bright torn fibres between dark ones that hold; from `COMPLETE` on a gap of blood that carries no label."""
    strands = region.fine(smooth_field(over.shape, (9, 16, 12), generator))
    clots = region.fine(smooth_field(over.shape, (7, 9, 16), generator))
    near = region.fine(_near(over, tear))
    share = np.clip(0.15 + 1.1 * tear.severity, 0, 0.95) * near
    # A strand that is brighter than a share of a normal distribution leaves dark.
    canvas.paint(region, inside & (strands < 2.2 * (share - 0.5) * 1.4) & (near > 0.3), Tissue.TORN_FIBRES)
    if tear.severity < COMPLETE:
        cleft = inside & (np.abs(region.fine(over) - tear.low) < 1.5 + 4 * tear.severity) & (clots > 0.9)
        canvas.paint(region, cleft, Tissue.FLUID)
        return
    # Stumps end in a brush, whose strands do not bridge the gap.
    frayed = np.minimum(0.12 * (tear.high - tear.low), 2.5) * np.clip(strands, -1.2, 1.2)
    height = region.fine(over)
    gap = inside & (height > tear.low + np.maximum(frayed, 0)) & (height < tear.high - np.maximum(-frayed, 0))
    canvas.paint(region, gap, Tissue.FLUID, 0)
    canvas.paint(region, gap & (clots > 0.8), Tissue.SOFT_OEDEMA)
