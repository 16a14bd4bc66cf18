"""What lies around the joint: skin, fat, muscles, tendons, vessels and the joint's fluid."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import bezier, capsule, curve, ellipsoid
from OrthoDiffusionLib.phantom.knee_bones import patella_front, scaled
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.tissues import Tissue

SKIN = 1.8
EVERYWHERE = ((-74.0, -80.0, -84.0), (74.0, 76.0, 94.0))

# Centre and radii (mm) of each muscle's belly within the field of view.
MUSCLES = (
    ((-30, -34, 78), (19, 17, 64)),  # semimembranosus and semitendinosus
    ((33, -32, 78), (14, 15, 62)),  # biceps femoris
    ((-32, 20, 84), (19, 22, 44)),  # vastus medialis
    ((34, 18, 88), (15, 20, 44)),  # vastus lateralis
    ((-22, -43, -40), (18, 17, 66)),  # gastrocnemius, medial head
    ((22, -43, -40), (16, 16, 62)),  # gastrocnemius, lateral head
    ((4, -32, -58), (24, 11, 38)),  # popliteus and soleus
    ((30, 8, -78), (14, 14, 46)),  # tibialis anterior
)


def paint_background(canvas: AnatomyCanvas, shape: KneeShape, effusion: float) -> None:
    """Paint the leg without its joint, then the joint's fluid; `effusion` is its severity, 0 to 1."""
    box, raw = canvas.box(*EVERYWHERE)
    x, y, z = scaled(raw, shape)
    wide = 49 + 9 * np.clip(z / 80, 0, 1) ** 2 + 3 * np.clip(-z / 80, 0, 1)
    thick = shape.fat / shape.scale
    radius = np.sqrt((x / (wide + thick)) ** 2 + ((y + 2) / (wide + 3 + 0.8 * thick)) ** 2)
    # The kneecap stands out of the round of the leg.
    front = 9 * np.exp(-((x / 26) ** 2) - ((z - shape.patella_height) / 34) ** 2)
    outside = (radius - 1) * wide - np.where(y > 0, front, 0)
    canvas.paint(box, outside < 0, Tissue.SKIN)
    canvas.paint(box, outside < -SKIN, Tissue.FAT)
    _paint_muscles(canvas, shape)
    _paint_tendons(canvas, shape)
    _paint_fluid(canvas, shape, effusion)


def _paint_muscles(canvas: AnatomyCanvas, shape: KneeShape) -> None:
    size = shape.scale * shape.muscle
    for centre, radii in MUSCLES:
        cx, cy, cz = (shape.scale * c for c in centre)
        rx, ry, rz = radii[0] * size, radii[1] * size, radii[2] * shape.scale
        box, points = canvas.box((cx - rx, cy - ry, cz - rz), (cx + rx, cy + ry, cz + rz))
        belly = ellipsoid(points, (cx, cy, cz), (rx, ry, rz)) < 0
        canvas.paint(box, belly & canvas.is_any(box, Tissue.FAT), Tissue.MUSCLE)
    for offset, radius in ((-5.0, 4.2), (4.0, 3.2)):
        box, points = canvas.box((-20, -56, -84), (20, -20, 94))
        vessel = capsule(points, (offset, -36, -90), (offset, -35, 100), radius) < 0
        canvas.paint(box, vessel, Tissue.VESSEL)


def _paint_tendons(canvas: AnatomyCanvas, shape: KneeShape) -> None:
    front, height, shift = patella_front(shape), shape.patella_height, shape.patella_shift
    box, raw = canvas.box((-40, 8, -60), (50, 76, 94))
    points = scaled(raw, shape)
    patellar = bezier((shift, front + 4, height - 17), (0.6 * shift, front + 4, height - 34), (2, 25, -34))
    quadriceps = bezier((shift, front + 3, height + 18), (0.7 * shift, front - 1, height + 34), (0, 30, 120))
    for path, half_width, half_thickness in ((patellar, 13.0, 2.6), (quadriceps, 15.0, 3.4)):
        distance, _ = curve(points, path, (half_width / half_thickness, 1, 1))
        canvas.paint(box, distance < half_thickness, Tissue.TENDON)


def _paint_fluid(canvas: AnatomyCanvas, shape: KneeShape, effusion: float) -> None:
    scale = shape.scale
    box, raw = canvas.box((-56, -46, -14), (56, 52, 94))
    points = scaled(raw, shape)
    x, y, z = points
    # A film between the bones; what bones, cartilage and menisci leave of it is seen.
    film = ellipsoid(points, (0, -4, 1.5), (36, 23, 6.5 + 2.0 * effusion))
    canvas.paint(box, (film < 0) & canvas.is_any(box, Tissue.FAT), Tissue.FLUID)
    depth = (2.2 if effusion == 0 else 6.0 + 9.0 * effusion) / scale
    recess = ellipsoid(points, (0, 26 + 0.4 * depth, 62), (20 + 8 * effusion, depth, 22 + 8 * effusion))
    canvas.paint(box, recess < 0, Tissue.FLUID)
    if effusion:
        thick = 2.5 + 5.0 * effusion
        for side in (-1, 1):
            gutter = ellipsoid(points, (side * 37.5, 8, 30), (thick, 20, 20))
            canvas.paint(box, gutter < 0, Tissue.FLUID)
        behind = ellipsoid(points, (-14, -33, 14), (12, 5 + 3 * effusion, 12))
        canvas.paint(box, behind < 0, Tissue.FLUID)
