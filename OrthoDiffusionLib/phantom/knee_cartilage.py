"""The cartilage of femur, tibia and patella: layers on their joint surfaces that thin out towards the margins."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.knee_bones import joint_space
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.smooth_steps import rising
from OrthoDiffusionLib.phantom.surface_normals import normals


def femoral_thickness(points: Points, distance: Field, shape: KneeShape, generator: np.random.Generator) -> Field:
    """mm of cartilage over each point near the femur's surface; `points` in the femur's frame."""
    x, y, z = points
    low = joint_space(shape)
    across, _, up = normals(distance)
    half = 0.5 * shape.notch_width / shape.scale
    # It ends at the sides, in the notch, and where the condyles go over into the shaft.
    sides = rising(0.88 - np.abs(across), 0.25)
    notch = 1 - rising(half + 2.5 - np.abs(x), 2.5) * rising(9 - y, 4)
    behind = 1 - rising(-y - 8, 4) * rising(z - (low + 37), 5)
    above = 1 - rising(z - (low + 45 - 1.4 * np.maximum(np.abs(x) - 14, 0) * (y > 0)), 5)
    above *= 1 - rising(up - 0.4, 0.25)
    uneven = 1 + 0.12 * smooth_field(distance.shape, (7, 7, 7), generator)
    trochlea = 1 + 0.25 * rising(y - 14, 10)
    worn = 1 - shape.cartilage_loss * rising(-x - 6, 8) * (1 - rising(z - (low + 14), 8))
    return np.asarray(shape.femoral_cartilage * sides * notch * behind * above * uneven * trochlea * worn, np.float32)


def tibial_thickness(points: Points, distance: Field, shape: KneeShape, generator: np.random.Generator) -> Field:
    """mm of cartilage over each point near the tibia's surface."""
    x, y, z = points
    _, _, up = normals(distance)
    reach = np.where(
        x < 0,
        1 - np.sqrt(((x + 21.5) / 17) ** 2 + ((y + 1) / 24) ** 2),
        1 - np.sqrt(((x - 21.5) / 17) ** 2 + ((y + 1) / 22) ** 2),
    )
    uneven = 1 + 0.12 * smooth_field(distance.shape, (6, 6, 3), generator)
    thick = np.where(x < 0, 0.9, 1.1) * (0.75 + 0.35 * rising(reach, 0.8))
    worn = 1 - shape.cartilage_loss * (x < 0)
    cover = rising(reach, 0.16) * rising(up - 0.45, 0.25) * (z > -12)
    return np.asarray(shape.tibial_cartilage * cover * uneven * thick * worn, np.float32)


def patellar_thickness(points: Points, distance: Field, shape: KneeShape) -> Field:
    """mm of cartilage over each point near the patella's surface; `points` in the patella's frame."""
    x, y, z = points
    cover = rising(20.5 - np.abs(x), 5) * rising(z + 13, 4) * rising(17 - z, 4) * (y < -1)
    return np.asarray(shape.patellar_cartilage * cover * (1 - 0.018 * np.abs(x)), np.float32)
