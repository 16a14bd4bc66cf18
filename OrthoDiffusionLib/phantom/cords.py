"""Ligaments and tendons as bodies with a course along them, whole or torn.

A torn one keeps its thickness: it is lax and bright where fluid is bright, and interrupted when the tear is complete;
the gap is no part of its label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from OrthoDiffusionLib.phantom.canvas import SPACING, STEP, AnatomyCanvas, Mask, Region
from OrthoDiffusionLib.phantom.distances import Field, Vector, curve
from OrthoDiffusionLib.phantom.oedema import LOBES, ON_LATTICE, STREAKS, seeping, variation
from OrthoDiffusionLib.phantom.tissues import Tissue

COMPLETE = 0.55
"""Severity from which on a tear parts the ligament; below it is partial: bright and slack, but continuous."""

ROOM = (
    Tissue.FAT,
    Tissue.FLUID,
    Tissue.SYNOVIUM,
    Tissue.SEPTUM,
    Tissue.MUSCLE,
    Tissue.FATTY_MUSCLE,
    Tissue.TENDON,
    Tissue.SOFT_OEDEMA,
)
"""What a cord takes the place of."""

CLOTTED = -0.5
"""Streaks under this, a third of them, in the gap of a complete tear are not fluid."""


class Cord(NamedTuple):
    """A cord's course from distal to proximal in the standard joint, its half thickness and how it is flattened.

    Attributes:
        path: (n, 3), mm.
        radius: half thickness, mm.
        stretch: of the axes, which turns a round cord into a flat band.
        sag: how far the middle of a wholly torn one hangs away from the course, mm.
    """

    path: npt.NDArray[np.float64]
    radius: float
    stretch: Vector = (1.0, 1.0, 1.0)
    sag: Vector = (0.0, 0.0, 0.0)


class CordBody(NamedTuple):
    """A cord on the grid: distance to its surface (mm, negative inside), and 0 to 1 along it."""

    region: Region
    distance: Field
    along: Field


def cord_body(canvas: AnatomyCanvas, cord: Cord, severity: float, generator: np.random.Generator) -> CordBody:
    """A cord along its course, which wanders from one person to the next and is wavy where it is torn."""
    path = cord.path.copy()
    t = np.linspace(0, 1, len(path))
    wander = generator.normal(0, 0.5, size=(1, 3)) * np.sin(np.pi * t)[:, None]
    waves = np.sin(np.pi * t)[:, None] + 0.5 * np.sin(3 * np.pi * t + generator.uniform(0, 6))[:, None]
    path = path + wander + severity * waves * np.array(cord.sag)
    margin = 8 + cord.radius * max(cord.stretch)
    region = canvas.region(tuple(path.min(axis=0) - margin), tuple(path.max(axis=0) + margin))
    distance, along = curve(region.points, path, cord.stretch, reach=cord.radius + 8)
    return CordBody(region, region.fine((distance - cord.radius) * canvas.scale), region.fine(along))


def paint_cord(
    canvas: AnatomyCanvas,
    body: CordBody,
    label: int,
    severity: float,
    generator: np.random.Generator,
    tissue: Tissue = Tissue.LIGAMENT,
) -> None:
    """Paint a cord into what bones and cartilage leave free.

    Args:
        canvas: with the firm structures painted.
        body: of the cord.
        label: of the structure it belongs to.
        severity: of its tear, 0 to 1.
        generator: where along the cord the tear lies, and how wide it is.
        tissue: of its whole fibres.
    """
    place, breadth = generator.uniform(0.35, 0.7), generator.uniform(0.8, 1.2)
    region = body.region
    room = canvas.is_any(region, *ROOM) & ~canvas.labelled(region)
    inside = room & region.covered(body.distance[ON_LATTICE])
    if not severity:
        canvas.paint(region, inside, tissue, label)
        return
    # A stream of its own: what it draws leaves where the next cords lie and tear as it was.
    (outline,) = generator.spawn(1)
    along = (body.along[ON_LATTICE] - place) / breadth
    around = room & ~canvas.is_any(region, Tissue.FLUID)
    paint_swelling(canvas, body, around, along / (0.25 + 0.35 * severity), 1.0 + 2.8 * severity, outline)
    canvas.paint(region, inside, tissue, label)
    lobes, streaks = (variation(along, length, outline) for length in (LOBES, STREAKS))
    # Stumps end at no one level: some bundles part nearer to the tear's middle, and some further from it.
    from_tear = np.abs(along) * np.clip(1 + 0.25 * lobes + 0.2 * streaks, 0.5, 1.8)
    frayed = inside & region.below(from_tear, 0.12 + 0.25 * severity)
    # Fibres that still hold run dark through a tear that is not complete, in thin bands too.
    deepest = -float(body.distance.min())
    bright = min(0.7 + 2.5 * severity, (0.4 + 0.5 * severity) * deepest)
    frayed &= (body.distance > -bright) | (severity >= COMPLETE)
    canvas.paint(region, frayed, Tissue.TORN_FIBRES)
    if severity >= COMPLETE:
        gap = inside & region.below(from_tear, 0.03 + 0.13 * severity)
        canvas.paint(region, gap, Tissue.FLUID, 0)
        # Clotted blood and shreds lie in what runs out between the stumps.
        canvas.paint(region, gap & region.below(streaks, CLOTTED), Tissue.SOFT_OEDEMA)


def paint_swelling(
    canvas: AnatomyCanvas, body: CordBody, room: Mask, along: Field, thickest: float, generator: np.random.Generator
) -> None:
    """Paint the swelling round a torn cord.

    Args:
        canvas: to be painted.
        body: of the cord.
        room: what it may seep into.
        along: from the swelling's middle (0) to its ends (-1 and 1), on the lattice points of the cord's region.
        thickest: in its middle, mm beyond the cord.
        generator: draws its outline.
    """
    # Beside a flat band the band's own distance grows too slowly, and has corners.
    outside = body.distance[ON_LATTICE] > 0.5
    from_cord = distance_transform_edt(outside, sampling=SPACING * STEP).astype(np.float32)
    # None wraps round the ends, which bone holds.
    to_end = np.minimum(body.along, 1 - body.along)[ON_LATTICE]
    tapering = np.clip(1 - along * along, -1, to_end / 0.1 - 0.6)
    swelling = seeping(from_cord - thickest * tapering, 0.5 + 0.3 * thickest, 0.3 + 0.2 * thickest, generator)
    canvas.paint(body.region, body.region.below(swelling) & room, Tissue.SOFT_OEDEMA)
