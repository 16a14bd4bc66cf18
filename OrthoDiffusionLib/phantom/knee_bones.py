"""Bones of the knee, as signed distances in the standard right knee (mm).

Sizes were checked against the surfaces of one adult's knee (Lenhart et al. 2015; Smith et al. 2019), 72 mm wide over
the plateau and scaled to the standard one: see `Testing/phantom`.
"""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.distances import (
    Field,
    Points,
    Vector,
    capsule,
    difference,
    ellipsoid,
    intersection,
    loft,
    turned,
    union,
)
from OrthoDiffusionLib.phantom.knee_flexion import FLEXION_AXIS
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.slabs import slabwise

# z, centre x, centre y, half width, half depth. The flare over the condyles narrows to the shaft, which leans forward.
FEMORAL_SHAFT = (
    (14, 0, -2, 34, 22),
    (28, 0, 0, 39, 26),
    (38, 0, 3, 37.5, 25),
    (50, 0, 6, 30, 20),
    (62, 0, 8, 23, 17),
    (78, 0, 9, 17.5, 15),
    (98, 0, 10, 15, 14.5),
    (200, 0, 14, 14, 14),
)
TIBIAL_SHAFT = (
    (-190, -3, 12, 12, 14),
    (-90, -3, 12, 14, 16.5),
    (-70, -2, 10.5, 16.5, 18),
    (-50, -1, 8, 21, 20),
    (-32, 0, 4.5, 29, 22.5),
    (-18, 0, 1, 36.5, 25),
    (-7, 0, 0, 39.5, 26.5),
    (4, 0, 0, 38.5, 26),
)
FIBULA = (
    (-190, 31, -14, 6, 6.5),
    (-70, 32, -17, 6, 6.5),
    (-50, 33, -18.5, 7.5, 8.5),
    (-38, 34, -19.5, 10.5, 11),
    (-30, 35, -20, 12, 12.5),
    (-24, 35.5, -20, 10, 11),
    (-19, 36, -20, 5.5, 6.5),
)


def in_femur(points: Points, shape: KneeShape) -> Points:
    """Points of the tibia's frame in the femur's: turned back by flexion and rotation."""
    return turned(turned(points, 2, -shape.rotation, (0.0, 0.0, 0.0)), 0, -shape.flexion, FLEXION_AXIS)


def joint_space(shape: KneeShape) -> float:
    """From the plateaus' bone to the condyles', in the standard knee (mm): both layers of cartilage and a film."""
    return (shape.femoral_cartilage + shape.tibial_cartilage + 0.4) / shape.scale


@slabwise
def femur(points: Points, shape: KneeShape) -> Field:
    """The femur in its own frame: shaft and flare, two condyles and the trochlea, less the notch and the groove."""
    low = joint_space(shape)
    # Each condyle: a round back, a flatter underside that reaches forward, and the trochlea's ridge before it.
    back_medial = ellipsoid(points, (-22.5, -9.5, low + 21.5), (14.0, 22.0, 21.5), 2.3)
    back_lateral = ellipsoid(points, (22.5, -9.0, low + 21.5), (14.5, 21.5, 21.5), 2.3)
    under_medial = ellipsoid(points, (-21.5, 5.0, low + 24.0), (14.5, 25.5, 24.0), 2.2)
    under_lateral = ellipsoid(points, (22.0, 7.0, low + 24.0), (14.5, 28.0, 24.0), 2.2)
    condyles = union(union(back_medial, under_medial, 3), union(back_lateral, under_lateral, 3), 2)
    trochlea = union(
        ellipsoid(points, (-13, 14, low + 27), (17, 19.5, 20)), ellipsoid(points, (14, 16, low + 28), (17, 22.5, 22)), 5
    )
    shaft = intersection(loft(points, FEMORAL_SHAFT, 2.3), (low + 14 - points[2]).astype(np.float32), 8)
    body = union(union(condyles, trochlea, 5), shaft, 7)
    half = 0.5 * shape.notch_width / shape.scale
    notch = intersection(
        ellipsoid(points, (0, -22, low + 6), (half + 1.0, 30, 25), 2.4), (points[1] - 8).astype(np.float32), 3
    )
    # Between the condyles behind and over the notch the bone recedes: the popliteal surface.
    hollow = ellipsoid(points, (0, -33, low + 42), (19, 15, 22))
    depth = shape.groove_depth / shape.scale
    groove = capsule(points, (1, 51.5 - depth, low - 6), (2, 53 - depth, low + 46), 15.0)
    bone = difference(difference(difference(body, notch, 2.5), hollow, 5), groove, 5)
    if shape.groove_fill == 0:
        return bone
    # A shallower groove is not enough: between the ridges' round bodies a valley stays that it does not reach.
    fill = ellipsoid(points, (-1, 17, low + 30.5), (12, 13.0 + shape.groove_fill / shape.scale, 19), 2.3)
    return union(bone, fill, 3)


@slabwise
def tibia(points: Points, shape: KneeShape) -> Field:
    """The tibia: plateaus with their two spines, tubercle and shaft."""
    x, y, z = points
    top = plateau(x, y, shape)
    spines = 7.0 * np.exp(-(((np.abs(x - 0.5) - 5.0) / 3.6) ** 2) - ((y + 1) / 9) ** 2)
    saddle = 2.5 * np.exp(-((x / 7) ** 2) - ((y + 1) / 16) ** 2)
    shaft = loft(points, TIBIAL_SHAFT, 2.4)
    tubercle = ellipsoid(points, (8, 22, -34), (12, 9.5, 18))
    # Behind the lateral plateau the shaft recedes, over the fibula.
    recess = capsule(points, (42, -30, -30), (14, -27, -78), 13)
    behind = capsule(points, (0, -33, -30), (0, -32, 6), 9.5)
    body = difference(difference(union(shaft, tubercle, 7), behind, 5), recess, 8)
    above = (z - (top + spines + saddle)).astype(np.float32)
    return intersection(body, above, 2.5)


def plateau(x: Field, y: Field, shape: KneeShape) -> Field:
    """Height of the plateaus' bone: sloping down to the back; the medial one hollow, the lateral one slightly domed."""
    slope = np.float32(np.tan(np.radians(shape.slope)))
    from_medial = ((x + 21) / 16) ** 2 + ((y + 2) / 22) ** 2
    from_lateral = ((x - 21) / 16) ** 2 + ((y + 2) / 20) ** 2
    height = slope * (0.6 * (y + 2)) + 1.3 * np.minimum(from_medial, 1.6) * (x < 0)
    dome = (0.5 - 0.9 * np.minimum(from_lateral, 1.8)) * (x >= 0) * np.clip(x / 8, 0, 1)
    return (height + dome - 0.8).astype(np.float32)


@slabwise
def fibula(points: Points, shape: KneeShape) -> Field:
    """The fibula: head and shaft, behind and lateral of the tibia."""
    return intersection(loft(points, FIBULA), (points[2] + 17.5).astype(np.float32), 3)


@slabwise
def patella(points: Points, shape: KneeShape) -> Field:
    """The patella in its own frame (see `in_patella`): a pointed disc with two facets behind."""
    x, y, z = points
    # The lower pole is narrow, the base broad.
    narrowing = np.clip(1.0 + 0.011 * z, 0.7, 1.1).astype(np.float32)
    disc = ellipsoid(((x / narrowing), y, z), (0, 2.0, 0), (22, 11.5, 22), 2.3)
    return intersection(disc, behind_facets(points), 3)


def behind_facets(points: Points) -> Field:
    """mm behind the patella's two facets and its lower pole, negative in the bone; points in the patella's frame."""
    x, y, z = points
    ridge = np.where(x < 0, 0.38 * np.abs(x), 0.30 * np.abs(x)) + 0.012 * np.maximum(-z, 0) ** 1.6
    return np.asarray(-y - 9.0 + ridge, np.float32)


def in_patella(points: Points, shape: KneeShape) -> Points:
    """Points in the patella's frame: its centre, turned by its tilt about z and by half the flexion about x."""
    x, y, z = (p - np.float32(c) for p, c in zip(points, patella_centre(shape), strict=True))
    turned_back = turned((x, y, z), 2, shape.patella_tilt, (0.0, 0.0, 0.0))
    return turned(turned_back, 0, -0.5 * shape.flexion, (0.0, 0.0, 0.0))


def on_patella(shape: KneeShape, offset: Vector) -> Vector:
    """A point at an offset (mm) from the patella's centre in its own frame, in the tibia's."""
    x, y, z = (np.full((1,), value, np.float32) for value in offset)
    moved = turned(turned((x, y, z), 0, 0.5 * shape.flexion, (0.0, 0.0, 0.0)), 2, -shape.patella_tilt, (0.0, 0.0, 0.0))
    x0, y0, z0 = (float(c + p[0]) for c, p in zip(patella_centre(shape), moved, strict=True))
    return x0, y0, z0


def patella_centre(shape: KneeShape) -> Vector:
    """Where the patella's centre lies in the standard knee, mm: before its groove; a dislocated one slips back beside
    the condyle."""
    height = shape.patella_height / shape.scale
    cartilage = (shape.patellar_cartilage + shape.femoral_cartilage) / shape.scale
    front = 43.0 + cartilage - 0.7 * (shape.groove_depth - 6.5)
    # The trochlea rolls back 3.6 mm by 30 degrees, and the kneecap with it; 0.2 keeps a dislocated one off the condyle.
    front -= 0.12 * shape.flexion + 0.2 * max(shape.patella_shift - 10, 0)
    return shape.patella_shift, front, height
