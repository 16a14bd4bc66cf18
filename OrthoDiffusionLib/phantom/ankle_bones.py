"""Bones of the ankle, as signed distances in the standard right ankle (mm).

Surfaces that meet are cut one from the other, a joint space apart: contacts are even whatever the foot's position.
Tibia and fibula are described in the joint frame, the others in that of the foot in neutral position.
"""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.ankle_shape import DOME_CENTRE, DOME_RADIUS, AnkleShape
from OrthoDiffusionLib.phantom.distances import (
    Field,
    Points,
    capsule,
    difference,
    ellipsoid,
    intersection,
    loft,
    union,
)
from OrthoDiffusionLib.phantom.slabs import slabwise

# z, centre x, centre y, half width, half depth. 45 mm wide over the plafond, of which the medial malleolus takes a
# quarter; shaft 23 by 26 mm. Plafond 32 mm wide (Stagni et al. 2005, Clin Biomech 20:307: 30 to 36).
TIBIAL_SHAFT = (
    (-8, -6, 0, 23.5, 17.5),
    (4, -6, 0, 23.5, 19),
    (12, -6, -0.5, 22, 19),
    (25, -5, -1, 18, 17),
    (42, -4.5, -1.5, 14, 14.5),
    (65, -4, -2, 12, 13),
    (160, -3, -3, 11.5, 13),
)

# Tip 27 mm under the plafond, that of the medial malleolus 15.3 (Patil et al. 2012, Al Ameen J Med Sci 5).
FIBULA = (
    (-29, 22.5, -6.5, 4.5, 6.5),
    (-22, 23.5, -6, 7, 9.5),
    (-10, 24, -6, 7.5, 11),
    (4, 23.5, -7.5, 7, 10),
    (18, 22, -9, 6, 8.5),
    (40, 21.5, -10, 5.5, 7),
    (160, 23, -12, 5.5, 7),
)
FIBULAR_TIP = -27.0
MALLEOLAR_TIP = -15.3

SYNDESMOSIS = 2.6
"""mm between tibia and fibula: clear space of 2.4 +- 1.3 to 4.5 +- 1.2 (Patil et al. 2012)."""

# y, centre x, centre z, half width, half height; 77 mm long, of 70 to 85 (Qiang et al. 2014, J Foot Ankle Res 7:19).
CALCANEUS = (
    (-52, 2, -57.5, 9, 10.5),
    (-43, 2, -57, 13, 15.5),
    (-35, 2, -56, 13.5, 17.5),
    (-26, 2, -54.5, 12, 17),
    (-15, 3, -53.5, 11.5, 16),
    (0, 4, -54, 11, 13),
    (12, 5, -54.5, 11.5, 10.5),
    (22, 6, -52.5, 12, 11.5),
    (34, 6, -51.5, 12, 11.5),
)


def _rounds(points: Points) -> Field:
    """Distance from the axis about which the dome curves."""
    _, y, z = points
    return np.asarray(np.hypot(y - DOME_CENTRE[1], z - DOME_CENTRE[2]), np.float32)


def medial_wall(points: Points) -> Field:
    """How far medial of the dome's medial side each point of the foot's frame lies."""
    x, y, z = points
    return np.asarray(-x - (13.6 + 0.07 * np.clip(y, -18, 18)), np.float32)


def lateral_wall(points: Points) -> Field:
    """How far lateral of the dome's lateral side; it flares downwards, over the lateral process."""
    x, y, z = points
    flare = 0.016 * np.maximum(-z - 8, 0) ** 2 * np.exp(-(((y - 1) / 9) ** 2))
    return np.asarray(x - (13.7 + 0.2 * np.clip(y, -18, 18)) - np.minimum(flare, 8.5), np.float32)


def over_dome(points: Points) -> Field:
    """Height over the dome's bone: 31 mm wide in front, 23.5 at the back (29.9 and 25.2: Hayes et al. 2006; 31 and
    21.4: Natl J Clin Anat 2018), its shoulders a little higher than its groove.
    """
    x = points[0]
    groove = 0.9 * (np.clip(np.abs(x) / 12, 0, 1.2) ** 2 - 0.5)
    return np.asarray(_rounds(points) - DOME_RADIUS - groove, np.float32)


@slabwise
def dome(points: Points) -> Field:
    """The talus' trochlea, as if its cylinder were whole."""
    sides = np.maximum(medial_wall(points), lateral_wall(points))
    return intersection(over_dome(points), sides.astype(np.float32), 2.0)


@slabwise
def talus(points: Points, calcaneal: Field, shape: AnkleShape) -> Field:
    """The talus: body, neck and head; 57 mm long, 33 high (Liu et al. 2020, J Jilin Univ Med 46:102).

    Args:
        points: in the foot's frame.
        calcaneal: distance to the calcaneus.
        shape: of the ankle.
    """
    z = points[2]
    neck = capsule(points, (0.5, 8, -24), (-8, 25, -27), 10.5)
    head = ellipsoid(points, (-9, 25.5, -27), (14.0, 10.5, 11.5))
    back = ellipsoid(points, (-2, -16, -27), (8, 6.5, 5))
    body = intersection(dome(points), (-36.5 - z).astype(np.float32), 3)
    whole = union(union(body, back, 3), union(neck, head, 4), 5)
    return difference(whole, calcaneal - np.float32(shape.subtalar_space), 1.5)


@slabwise
def calcaneus(points: Points) -> Field:
    """The calcaneus: tuberosity, body with the posterior facet, sustentaculum and anterior process."""
    x, y, z = points
    long = loft((x, z, y), CALCANEUS, 2.6)
    ends = np.maximum(-47.5 - y, y - 29.5).astype(np.float32)
    body = intersection(long, ends, 11)
    # The posterior facet, a cylinder's round back that faces forwards and laterally.
    forward = 0.92 * y + 0.39 * x
    facet = np.hypot(forward + 11, z + 56) - 22
    around = np.maximum.reduce([np.abs(x - 3.5) - 11.5, -22 - y, y - 11, -50 - z])
    thalamus = intersection(facet.astype(np.float32), around.astype(np.float32), 5)
    sustentaculum = ellipsoid(points, (-11.5, 7, -41.5), (11.5, 10, 5.2), 2.3)
    return union(union(body, thalamus, 5), sustentaculum, 6)


@slabwise
def tibia(points: Points, mortise: Field, fibular: Field, shape: AnkleShape) -> Field:
    """The tibia.

    Args:
        points: in the joint frame.
        mortise: distance to the talus' dome as it stands, at these points.
        fibular: distance to the fibula.
        shape: of the ankle.
    """
    shaft = loft(points, TIBIAL_SHAFT, 2.4)
    lips = intersection(shaft, (-7.0 - points[2]).astype(np.float32), 3)
    malleolus = ellipsoid(points, (-22.5, 3, MALLEOLAR_TIP + 17), (8.0, 12.0, 17.0), 2.3)
    whole = union(lips, malleolus, 5)
    notched = difference(whole, fibular - np.float32(SYNDESMOSIS), 1.5)
    return difference(notched, mortise - np.float32(shape.ankle_space), 1.0)


@slabwise
def fibula(points: Points, mortise: Field, shape: AnkleShape) -> Field:
    """The fibula down to the tip of the lateral malleolus; arguments as for the tibia."""
    shaft = intersection(loft(points, FIBULA, 2.2), (FIBULAR_TIP - points[2]).astype(np.float32), 4)
    return difference(shaft, mortise - np.float32(shape.ankle_space), 1.0)


@slabwise
def foot_bones(points: Points, talar: Field, calcaneal: Field, shape: AnkleShape) -> list[Field]:
    """Navicular, cuboid, cuneiforms and the bases of the metatarsals, none inside another.

    Args:
        points: in the foot's frame.
        talar: distance to the talus.
        calcaneal: distance to the calcaneus.
        shape: of the ankle.
    """
    space = np.float32(shape.subtalar_space)
    bodies = [
        ellipsoid(points, (-11, 34.5, -29), (19, 9.5, 13.5), 2.4),
        ellipsoid(points, (10, 44.5, -52), (12.5, 16, 11.5), 2.8),
        ellipsoid(points, (-22, 56, -37), (7.5, 12, 13), 2.8),
        ellipsoid(points, (-9.5, 54, -34), (6.5, 9.5, 11), 2.8),
        ellipsoid(points, (2, 55, -38), (6.5, 10.5, 11), 2.8),
        capsule(points, (-24, 75, -41), (-28, 160, -72), 8.5),
        capsule(points, (-10, 71, -37), (-12, 160, -70), 6.0),
        capsule(points, (2, 73, -43), (4, 160, -74), 6.0),
        capsule(points, (11, 68, -50), (18, 160, -77), 6.0),
        capsule(points, (21, 64, -57), (31, 160, -79), 6.0),
    ]
    apart: list[Field] = []
    taken = np.minimum(talar, calcaneal)
    for body in bodies:
        apart.append(difference(body, taken - space, 1.0))
        taken = np.minimum(taken, apart[-1])
    return apart
