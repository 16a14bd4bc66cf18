"""Bones of the shoulder, as signed distances in the standard right shoulder (mm); sizes and sources: see the shape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.distances import (
    Field,
    Points,
    curve,
    difference,
    ellipsoid,
    intersection,
    loft,
    turned,
    union,
)
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape
from OrthoDiffusionLib.phantom.slabs import slabwise

ORIGIN = (0.0, 0.0, 0.0)

# z, centre x, centre y, half width, half depth in the humerus' frame; the shaft lies lateral of the head's centre.
HUMERAL_SHAFT = (
    (-200, 12, 0, 10.5, 10.5),
    (-90, 10, 0, 11, 11),
    (-60, 9, 0, 12, 12),
    (-42, 8, 0, 14, 14),
    (-30, 7, 0, 17, 16.5),
    (-18, 6, 0, 20, 19),
    (-6, 5, 0, 21.5, 20.5),
    (6, 5, 0, 21, 20),
)

GROOVE = np.array([(20.8, 15.6, 16.0), (20.6, 15.2, -14.0), (20.3, 13.6, -36.0), (20.8, 13.6, -60.0)])
"""Course of the biceps' groove, between the tuberosities and down the shaft, in the humerus' frame."""

# In the scapula's frame: x, centre y, centre z, half width along y, half height along z.
GLENOID_VAULT = (
    (-70, -2, 3, 2.0, 3),
    (-54, -1, 1, 4.5, 10),
    (-42, 0, 0, 8, 14),
    (-34, 0, 0, 11.2, 17),
    (-27, 0, 0, 13.2, 18.3),
    (-10, 0, 0, 13.2, 18.3),
)
GLENOID_CURVE = 34.0
"""mm, radius of the glenoid's bone: flatter than the head, which cartilage and labrum make up for."""

SPINE_CREST = np.array(
    [(-112, -8, 12), (-82, -21, 18), (-60, -30, 23), (-40, -35, 28), (-20, -33, 33.5), (-4, -25, 37)], float
)
CORACOID = np.array([(-41, 3, 13), (-38, 12, 25), (-29, 25, 27), (-18, 34, 20), (-8, 38, 10)], float)
LATERAL_BORDER = np.array([(-33, 0, -16), (-56, -3, -52), (-94, -2, -112)], float)

# In the joint frame.
CLAVICLE = np.array(
    [(-2, -2, 40), (-18, -5, 41), (-40, -8, 42.5), (-58, -6, 43.5), (-76, 1, 44), (-96, 11, 43.5), (-128, 24, 41)],
    float,
)

BESIDE = 30.0
"""mm from the middle of a slender part within which its distance matters: to skin and fascia that it raises."""

ACROMION_RADII = (10.5, 23.5, 4.0)


def in_scapula(points: Points, shape: ShoulderShape) -> Points:
    """Points in the scapula's frame: x along its blade towards the head, y forward from the blade, z up."""
    return turned(points, 2, -shape.scapular_plane, ORIGIN)


def in_humerus(points: Points, shape: ShoulderShape) -> Points:
    """Points in the humerus' frame: that of the scapula, turned back by the arm's rotation."""
    return turned(in_scapula(points, shape), 2, shape.rotation, ORIGIN)


def from_scapula(path: npt.NDArray[np.float64], shape: ShoulderShape) -> npt.NDArray[np.float64]:
    """Positions (n, 3) of the scapula's frame in the joint frame."""
    return _about_z(path, shape.scapular_plane)


def from_humerus(path: npt.NDArray[np.float64], shape: ShoulderShape) -> npt.NDArray[np.float64]:
    """Positions (n, 3) of the humerus' frame in the joint frame."""
    return _about_z(path, shape.scapular_plane - shape.rotation)


def _about_z(path: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return path @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def humerus(points: Points) -> Field:
    """The humerus in its own frame: head, shaft, two tuberosities and the groove between them."""
    head = ellipsoid(points, ORIGIN, (HEAD, HEAD, HEAD))
    shaft = intersection(loft(points, HUMERAL_SHAFT), (points[2] - 8).astype(np.float32), 8)
    greater = union(
        ellipsoid(points, (13.0, -5.0, 0.5), (14.0, 16.0, 16.0), 2.3),
        ellipsoid(points, (15.0, 7.0, -1.0), (12.0, 9.5, 15.5), 2.3),
        4,
    )
    lesser = ellipsoid(points, (8.5, 19.0, -4.0), (8.5, 7.5, 12.0), 2.2)
    body = union(union(head, shaft, 4), union(greater, lesser, 3), 3)
    distance, _ = curve(points, GROOVE, reach=BESIDE)
    return difference(body, distance - np.float32(4.6), 2)


@slabwise
def acromion(points: Points, shape: ShoulderShape) -> Field:
    """The acromion alone, in the scapula's frame: a flat plate over the head."""
    height = HEAD + shape.acromiohumeral / shape.scale + ACROMION_RADII[2]
    tilted = turned(turned(points, 2, 8.0, (3.0, -11.0, 0.0)), 1, -6.0, (3.0, 0.0, height))
    return ellipsoid(tilted, (3.0, -11.0, height), ACROMION_RADII, 2.6)


def scapula(points: Points, shape: ShoulderShape) -> Field:
    """The scapula in its own frame: glenoid and neck, blade with its borders, spine, acromion and coracoid."""
    x, y, z = points
    border, _ = curve(points, LATERAL_BORDER, reach=BESIDE)
    blade = union(_blade(points), border - np.float32(4.2), 4)
    body = union(_glenoid(points, shape), blade, 5)
    body = union(body, _spine(points), 3)
    height = HEAD + shape.acromiohumeral / shape.scale - 33.0
    crest, _ = curve((x, y, (z - height * np.clip((x + 60) / 50, 0, 1)).astype(np.float32)), SPINE_CREST, reach=BESIDE)
    thick = np.interp(x, (-80, -30, 0), (3.2, 4.6, 3.5)).astype(np.float32)
    body = union(body, union(crest - thick, acromion(points, shape), 4), 4)
    hook, along = curve(points, CORACOID, reach=BESIDE)
    return union(body, hook - (6.5 - 1.2 * along), 4)


@slabwise
def _glenoid(points: Points, shape: ShoulderShape) -> Field:
    x, y, z = points
    # Pear-shaped: narrower above.
    narrowing = np.clip(1 - 0.008 * (z + 4), 0.78, 1.03).astype(np.float32)
    vault = loft(((y / narrowing), z, x), GLENOID_VAULT, 2.2)
    face = -(HEAD + shape.joint_space())
    socket = ellipsoid(points, (face + GLENOID_CURVE, 0.0, 0.0), (GLENOID_CURVE,) * 3)
    front = np.maximum((-70 - x).astype(np.float32), (x + 16).astype(np.float32))
    return intersection(difference(vault, socket, 1.0), front, 2)


def blade_depth(x: Field) -> Field:
    """y of the blade's middle in the scapula's frame: hollow towards the ribs."""
    return (0.0025 * (x + 30) * (x + 112)).astype(np.float32)


@slabwise
def _blade(points: Points) -> Field:
    x, y, z = points
    plate = (np.abs(y - blade_depth(x)) - 1.8).astype(np.float32)
    above = (z - (12 + 0.22 * (-40 - x))).astype(np.float32)
    below = ((-16 + 1.6 * (x + 33) - z) / 1.9).astype(np.float32)
    ends = np.maximum(x + 36, -124 - x).astype(np.float32)
    return intersection(intersection(plate, np.maximum(above, below), 1), ends, 2)


@slabwise
def _spine(points: Points) -> Field:
    """A plate from the blade backwards and up to the crest; lateral of it is the spinoglenoid notch."""
    x, y, z = points
    crest_y, crest_z = (np.interp(x, SPINE_CREST[:, 0], SPINE_CREST[:, axis]) for axis in (1, 2))
    root_y, root_z = blade_depth(x), np.interp(x, (-112, -40), (9, 11))
    along_y, along_z = crest_y - root_y, crest_z - root_z
    share = ((y - root_y) * along_y + (z - root_z) * along_z) / (along_y**2 + along_z**2)
    share = np.clip(share, 0, 1)
    away = np.hypot(y - root_y - share * along_y, z - root_z - share * along_z) - 1.9
    return intersection(away.astype(np.float32), (x + 43).astype(np.float32), 4)


def clavicle(points: Points, shape: ShoulderShape) -> Field:
    """The clavicle in the joint frame: flat at its lateral end, which keeps the joint's width from the acromion."""
    radius = shape.clavicle_radius / shape.scale
    height = HEAD + shape.acromiohumeral / shape.scale - 33.0
    raised = (points[0], points[1], (points[2] - height).astype(np.float32))
    body, _ = curve(raised, CLAVICLE, (1.0, 1.4, 1.0), reach=BESIDE)
    beyond = acromion(in_scapula(points, shape), shape)
    cut = (shape.ac_gap / shape.scale - beyond).astype(np.float32)
    lateral = (points[0] + 6.0).astype(np.float32)
    return intersection(intersection(body - np.float32(radius), cut, 1.0), lateral, 1.0)
