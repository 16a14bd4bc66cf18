"""The menisci: two C-shaped wedges between the condyles and the plateaus, whole or torn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.anatomy import Joint
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.knee_bones import scaled
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.tissues import Tissue

# Centre and outer radii (mm) of each ring in the plateau's plane, and half the angle (degrees) of its opening
# towards the middle: the medial meniscus is the longer and more open one, the lateral nearly a ring.
RINGS = {
    "MM": ("medial_meniscus", -1, (17.5, -5.0), (20.5, 23.0), 62.0),
    "LM": ("lateral_meniscus", 1, (19.0, -4.0), (18.0, 18.5), 38.0),
}


def paint_menisci(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    joint: Joint,
    findings: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Paint both menisci; a torn one is cleft by fluid that reaches its surface, and pushed out of the joint."""
    tilt = np.tan(np.radians(shape.slope)) * 0.35
    for finding, (key, side, (cx, cy), (rx, ry), opening) in RINGS.items():
        severity = findings[finding]
        where = float(generator.uniform(-1, 1))
        box, raw = canvas.box((-54, -44, -12), (54, 40, 18))
        x, y, z = scaled(raw, shape)
        # Away from the midline, from the ring's centre.
        outward = side * x - cx - 3.0 * severity
        forward = y - cy
        radius = np.sqrt((outward / rx) ** 2 + (forward / ry) ** 2)
        inner = 1 - shape.meniscus_width * (1 - 0.25 * severity) / (0.5 * (rx + ry))
        rise = np.clip((radius - inner) / (1 - inner), 0, 1)
        angle = np.degrees(np.abs(np.arctan2(forward / ry, -outward / rx)))
        floor = -1.2 + tilt * (y + 4) + shape.tibial_cartilage
        height = (0.8 + (shape.meniscus_height - 0.8) * rise) / shape.scale
        wedge = (radius > inner) & (radius < 1) & (angle > opening) & (z > floor - 1.5) & (z < floor + height)
        wedge &= canvas.is_any(box, Tissue.FLUID, Tissue.FAT, Tissue.MUSCLE)
        canvas.paint(box, wedge, Tissue.MENISCUS, joint.structure(key).label)
        if severity:
            behind = np.degrees(np.arctan2(-forward / ry, outward / rx))
            width = 6.0 + 9.0 * severity
            radial = np.abs(behind - (48 + 22 * where)) < width
            slanted = (np.abs(z - floor - 0.55 * height) < 0.7 + 0.9 * severity) & (forward < 4)
            torn = wedge & (radial | slanted)
            canvas.paint(box, torn, Tissue.FLUID)
            # A cleft wider than a voxel is no meniscus; a thin one stays part of its label.
            canvas.paint(box, wedge & radial, Tissue.FLUID, 0)
            around = (radius > 0.97) & (radius < 1.12) & (np.abs(z - floor - 0.5 * height) < 4) & (angle > opening)
            free = around & canvas.is_any(box, Tissue.FAT)
            canvas.paint(box, free & (forward < 10), Tissue.SOFT_OEDEMA)
