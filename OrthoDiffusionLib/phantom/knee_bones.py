"""Bones and cartilage of the knee, as signed distances in the joint frame of a right knee (mm)."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.distances import Field, Points, capsule, difference, ellipsoid, union
from OrthoDiffusionLib.phantom.knee_shape import KneeShape, rotation_x

FLEXION_AXIS = (0.0, -4.0, 28.0)
"""A point on the epicondylar axis, about which the femur turns over the tibia."""


def scaled(points: Points, shape: KneeShape) -> Points:
    """Points of this knee in the frame of the knee of size 1."""
    x, y, z = points
    return (
        (x / (shape.scale * shape.width)).astype(np.float32),
        (y / (shape.scale * shape.depth)).astype(np.float32),
        (z / shape.scale).astype(np.float32),
    )


def in_femur(points: Points, shape: KneeShape) -> Points:
    """Points of the tibia's frame in the femur's: turned back by the flexion."""
    x, y, z = points
    _, ay, az = FLEXION_AXIS
    turn = rotation_x(-shape.flexion)
    return (
        x,
        (ay + turn[1, 1] * (y - ay) + turn[1, 2] * (z - az)).astype(np.float32),
        (az + turn[2, 1] * (y - ay) + turn[2, 2] * (z - az)).astype(np.float32),
    )


def femur(points: Points, shape: KneeShape) -> Field:
    """The femur: shaft, flare, two condyles and the trochlea, less the notch and the groove."""
    x, y, z = points
    bottom = 4.6 + 0.5 * (shape.tibial_cartilage + shape.femoral_cartilage - 4.8)
    medial = ellipsoid(points, (-21.5, -4, bottom + 23), (15.5, 30, 23))
    lateral = ellipsoid(points, (21.5, -3, bottom + 22.5), (15, 31, 22.5))
    trochlea = ellipsoid(points, (3, 12, bottom + 27), (30, 17, 19))
    flare = ellipsoid(points, (0, -2, 40), (37, 22, 24))
    shaft = capsule(points, (0, 2, 52), (0, 2, 160), 14.5)
    body = union(union(medial, lateral, 4), trochlea, 6)
    body = union(union(body, flare, 6), shaft, 14)
    half = 0.5 * shape.notch_width
    notch = ellipsoid(points, (0, -20, bottom + 8), (half, 26, 24))
    groove = capsule(points, (1, 34, bottom - 4), (1, 38, 60), 8.5)
    return difference(difference(body, notch, 3), groove, 4)


def tibia(points: Points, shape: KneeShape) -> Field:
    """The tibia: plateau, eminence, tubercle and shaft."""
    x, y, z = points
    tilt = np.float32(np.tan(np.radians(shape.slope)))
    top = -1.2 + tilt * 0.35 * (y + 4)
    eminence = 8.5 * np.exp(-(((np.abs(x) - 4.5) / 4.5) ** 2) - ((y + 6) / 12) ** 2)
    rim = ellipsoid(points, (0, -4, -12), (38.5, 25.5, 30))
    cone = ellipsoid(points, (0, -3, -30), (27, 22, 45))
    shaft = capsule(points, (0, -3, -55), (0, -6, -190), 15)
    tubercle = ellipsoid(points, (2, 17, -34), (9, 9, 15))
    body = union(union(rim, cone, 6), union(shaft, tubercle, 8), 12)
    above = (z - (top + eminence)).astype(np.float32)
    return np.maximum(body, above)


def fibula(points: Points, shape: KneeShape) -> Field:
    """The fibula: head and shaft, behind and lateral of the tibia."""
    head = ellipsoid(points, (36.5, -22, -20), (10, 10.5, 11))
    shaft = capsule(points, (37, -23, -30), (35, -24, -190), 6.5)
    return union(head, shaft, 6)


def patella(points: Points, shape: KneeShape) -> Field:
    """The patella in its own frame (see `in_patella`): a disc with a ridge behind."""
    x, y, z = points
    disc = ellipsoid(points, (0, 2.5, 0), (22.5, 10.5, 21.5))
    back = (-y - 5.5 + 0.22 * np.abs(x)).astype(np.float32)
    return np.maximum(disc, back)


def in_patella(points: Points, shape: KneeShape) -> Points:
    """Points in the patella's frame: its centre, turned by its tilt about z."""
    x, y, z = points
    angle = np.radians(shape.patella_tilt)
    x, y, z = x - shape.patella_shift, y - patella_front(shape), z - shape.patella_height
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (cos * x - sin * y).astype(np.float32), (sin * x + cos * y).astype(np.float32), z.astype(np.float32)


def patella_front(shape: KneeShape) -> float:
    """How far in front of the joint's middle the patella's centre lies; a shifted patella rides on the condyle."""
    return 39.5 + shape.patellar_cartilage + 0.28 * max(shape.patella_shift - 4, 0)
