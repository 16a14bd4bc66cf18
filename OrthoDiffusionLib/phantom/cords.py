"""Ligaments and tendons as bodies with a course along them, whole or torn.

A torn one keeps its thickness: it is lax and bright where fluid is bright, and interrupted when the tear is complete;
the gap is no part of its label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Mask, Region
from OrthoDiffusionLib.phantom.distances import Field, Vector, curve
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
    inside = room & (body.distance < 0)
    from_tear = np.abs(body.along - place)
    if severity:
        swelling = room & (body.distance < 1.0 + 3.5 * severity) & (from_tear < (0.2 + 0.3 * severity) * breadth)
        canvas.paint(region, swelling & ~canvas.is_any(region, Tissue.FLUID), Tissue.SOFT_OEDEMA)
    canvas.paint(region, inside, tissue, label)
    if severity:
        frayed = inside & (from_tear < (0.12 + 0.25 * severity) * breadth)
        # Fibres that still hold run dark through a tear that is not complete.
        frayed &= (body.distance > -0.7 - 2.5 * severity) | (severity >= COMPLETE)
        canvas.paint(region, frayed, Tissue.TORN_FIBRES)
    if severity >= COMPLETE:
        gap: Mask = inside & (from_tear < (0.03 + 0.13 * severity) * breadth)
        canvas.paint(region, gap, Tissue.FLUID, 0)
