"""The joint's capsule and its fluid: a physiological film, or an effusion."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, ellipsoid, union
from OrthoDiffusionLib.phantom.knee_flexion import straightened
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.tissues import Tissue


def paint_capsule(canvas: AnatomyCanvas, bones: Field, region: Region) -> None:
    """The joint's capsule and retinacula: a dark sheet over the joint's sides; `bones` is the distance to the bones."""
    x, y, z = region.points
    height = np.abs(z - 8) - 26
    sides = np.maximum(height, 14 - np.abs(x))
    sheet = np.maximum(np.abs(bones - 5.0) - 0.55, sides.astype(np.float32))
    near, (sheet,) = region.around(sheet)
    canvas.paint(near, near.covered(sheet) & canvas.is_any(near, Tissue.FAT), Tissue.SEPTUM)


def paint_fluid(canvas: AnatomyCanvas, shape: KneeShape, effusion: float, bones: Field, region: Region) -> None:
    """The joint's fluid, physiological or an effusion of a severity of 0 to 1; bones are painted over it later.

    An effusion fills the suprapatellar recess more than 5 mm deep, then the gutters, then the back of the joint. All
    depths are orders of magnitude, no source.
    """
    size = canvas.scale
    soft = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE)
    # Between the bones, where cartilage and menisci leave room.
    near = ellipsoid(region.points, (0, -1, 2), (37, 25, 9 + 2 * effusion))
    film = np.maximum(near, bones - (0.7 + 2.7 * effusion))
    inner, (film,) = region.around(film)
    canvas.paint(inner, inner.covered(film) & canvas.is_any(inner, *soft), Tissue.FLUID)
    depth = (shape.fluid if effusion == 0 else 5.0 + 12.0 * effusion) / size
    top = shape.patella_height / size + 24
    wide = 17 + 13 * effusion
    # The recess lies on the shaft, and turns with the thigh.
    points = straightened(region.points, shape.flexion)
    parts = [
        ellipsoid(points, (0, 25 + 0.5 * depth, top + 8 * effusion), (wide, 0.5 * depth + 0.3, 21 + 12 * effusion))
    ]
    if effusion:
        thick = 1.0 + 5.0 * effusion
        for side in (-1, 1):
            parts.append(ellipsoid(points, (side * 37.5, 10, 28), (thick, 17, 14 + 8 * effusion)))
        behind = 2.0 + 4.0 * max(effusion - 0.3, 0.0)
        parts.append(ellipsoid(points, (-17, -32, 16), (11, behind, 13)))
    recess = parts[0]
    for part in parts[1:]:
        recess = union(recess, part, 3)
    lining = 0.8 + 0.8 * effusion
    region, (recess, bones) = region.around(recess, bones, level=lining)
    room = canvas.is_any(region, *soft) & ~region.below(bones)
    canvas.paint(region, region.covered(recess, lining) & room, Tissue.SYNOVIUM)
    canvas.paint(region, region.covered(recess) & room, Tissue.FLUID)
