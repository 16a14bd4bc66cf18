"""Flexion: femur and thigh turn back over the lower leg, and the soft tissue round the joint bends between them."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.distances import Field, Points, Vector, turned

FLEXION_AXIS: Vector = (0.0, -8.0, 27.0)
"""Middle of the posterior condyles' circles, about which the femur turns over the tibia, in the standard knee (mm)."""

BEND = (-12.0, 62.0)
"""Heights (mm, standard knee) between which soft tissue takes up the angle: at 30 degrees it is pressed together to
0.4 at the hollow of the knee, 50 mm behind the axis, and nowhere folds."""


def straightened(points: Points, flexion: float) -> Points:
    """Points of a bent leg, as points of the straight one that its soft tissue is described in.

    Args:
        points: in the standard knee, mm.
        flexion: degrees.
    """
    return _turned_by(points, -flexion * _share(points[2]))


def flexed(point: Vector, flexion: float) -> Vector:
    """A point of the straight leg's soft tissue, in the bent one: what `straightened` takes back.

    Args:
        point: in the standard knee, mm.
        flexion: degrees.
    """
    straight = _single(point)
    bent = straight
    # Each round leaves at most 0.6 of the error: 0.01 mm after 20.
    for _ in range(20):
        bent = _turned_by(straight, flexion * _share(bent[2]))
    return _vector(bent)


def flexed_box(low: Vector, high: Vector, flexion: float) -> tuple[Vector, Vector]:
    """Corners of a box in the bent leg that holds what a box of the straight leg holds."""
    if flexion == 0:
        return low, high
    edges = [
        flexed((low[0], y, z), flexion) for y in (low[1], high[1]) for z in np.linspace(low[2], high[2], 12).tolist()
    ]
    (_, back, bottom), (_, front, top) = np.min(edges, axis=0), np.max(edges, axis=0)
    return (low[0], float(back), float(bottom)), (high[0], float(front), float(top))


def on_femur(point: Vector, flexion: float, rotation: float) -> Vector:
    """A point of the femur's frame in the tibia's; angles in degrees, see `KneeShape`."""
    return _vector(turned(turned(_single(point), 0, flexion, FLEXION_AXIS), 2, rotation, (0.0, 0.0, 0.0)))


def _single(point: Vector) -> Points:
    x, y, z = (np.full((1,), value, np.float32) for value in point)
    return x, y, z


def _vector(points: Points) -> Vector:
    x, y, z = (float(coordinate[0]) for coordinate in points)
    return x, y, z


def _share(height: Field) -> Field:
    """How much of the angle the tissue at a height has: 0 in the lower leg, 1 in the thigh."""
    share = np.clip((height - np.float32(BEND[0])) / np.float32(BEND[1] - BEND[0]), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _turned_by(points: Points, degrees: Field) -> Points:
    """Points turned about the axis of flexion, each by its own angle."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y, z = points
    behind, above = y - np.float32(FLEXION_AXIS[1]), z - np.float32(FLEXION_AXIS[2])
    return (
        x,
        np.asarray(cos * behind - sin * above + np.float32(FLEXION_AXIS[1]), np.float32),
        np.asarray(sin * behind + cos * above + np.float32(FLEXION_AXIS[2]), np.float32),
    )
