"""The individual shape of a shoulder: what differs from one person to the next.

Joint frame of a right shoulder, mm: x lateral, y anterior, z superior; the origin is the centre of the humeral head.
Bodies are described for the standard shoulder, whose head is 47 mm across; an individual is that shoulder scaled and
smoothly bent. Ranges are those of adults (women at the low, men at the high end):

- humeral head 43 to 52 mm across (mean 46 mm: Boileau and Walch 1997, J Bone Joint Surg Br 79:857; radius 24 mm:
  Iannotti et al. 1992, J Bone Joint Surg Am 74:491), retroversion 20 to 30 degrees (the middle of a wide range, same);
- glenoid 33 to 40 mm high and 24 to 29 mm wide (39 x 29 mm: Iannotti et al. 1992);
- cartilage of the head 1.2 to 2.0 and of the glenoid 1.5 to 2.5 mm (1.44 and 2.16 mm: Soslowsky et al. 1992, J Orthop
  Res 10:524);
- supraspinatus tendon 5 to 7 mm thick, 20 to 25 mm of footprint from front to back (23 mm; infraspinatus 29 mm,
  subscapularis 40 mm high: Curtis et al. 2006, Arthroscopy 22:609);
- acromion to head 8 to 12 mm (6 to 14 mm: Petersson and Redlund-Johnell 1984, Acta Orthop Scand 55:490); acromion 46 to
  48 mm long, 18 to 20 mm wide and 7 to 8 mm thick (Nicholson et al. 1996, J Shoulder Elbow Surg 5:1);
- acromioclavicular joint 1 to 6 mm wide, biceps tendon 4 to 6 mm and clavicle 10 to 14 mm thick at its end: usual
  radiological figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from OrthoDiffusionLib.phantom.bending import bent_back
from OrthoDiffusionLib.phantom.distances import Points

HEAD = 23.5
"""mm, radius of the standard shoulder's humeral head."""

BEND = 1.1
"""mm, standard deviation of the bending: less than the knee's, for the space under the acromion is narrow."""


@dataclass(frozen=True)
class ShoulderShape:
    """Sizes in mm of this shoulder, angles in degrees.

    Attributes:
        scale: of the whole joint; 1 is a humeral head 47 mm across.
        bend_seed: of the smooth bending that makes no two shoulders alike.
        scapular_plane: by which the scapula's blade lies before the coronal plane.
        rotation: of the arm about its long axis, external positive; 0 has the greater tuberosity's top in the plane of
            the scapula.
        retroversion: of the humeral head against the elbow's axis.
        humeral_cartilage: thickness at the head's middle.
        glenoid_cartilage: mean thickness; thinner in the middle, thicker towards the rim.
        cuff: thickness of the supraspinatus tendon over the head.
        acromiohumeral: least distance of the acromion's bone from the head's.
        biceps_radius: half thickness of the long head's tendon.
        clavicle_radius: half thickness of the clavicle's end, from above downwards.
        ac_gap: width of the acromioclavicular joint between the bones.
        osteophytes: of acromioclavicular degeneration, mm that they stand out of the rims.
        fat: thickness under the skin.
        muscle: scale of the muscles' cross-section.
        fluid: depth of the physiological fluid in the axillary recess.
    """

    scale: float
    bend_seed: int
    scapular_plane: float
    rotation: float
    retroversion: float
    humeral_cartilage: float
    glenoid_cartilage: float
    cuff: float
    acromiohumeral: float
    biceps_radius: float
    clavicle_radius: float
    ac_gap: float
    osteophytes: float
    fat: float
    muscle: float
    fluid: float

    def describe(self, points: Points) -> Points:
        """Positions in this shoulder's joint frame, as positions in the standard one: bent back and unscaled."""
        return bent_back(points, self.bend_seed, BEND, (4, 4, 4), self.scale)

    def joint_space(self) -> float:
        """From the head's bone to the glenoid's at its middle, in the standard shoulder, mm."""
        return (self.humeral_cartilage + 0.8 * self.glenoid_cartilage + 0.5) / self.scale


def draw_shape(generator: np.random.Generator) -> ShoulderShape:
    """A shoulder from the ranges of adults."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    large = float(np.clip(generator.normal(), -1.7, 1.8))
    humeral_cartilage, cuff = between(1.25, 1.95), between(5.0, 6.5)
    return ShoulderShape(
        scale=1.0 + 0.05 * large,
        bend_seed=int(generator.integers(2**31)),
        scapular_plane=between(27, 38),
        rotation=between(-12, 20),
        retroversion=between(20, 30),
        humeral_cartilage=humeral_cartilage,
        glenoid_cartilage=between(1.6, 2.4),
        cuff=cuff,
        # Head, tendon and a film of fat fit under the acromion.
        acromiohumeral=float(np.clip(0.8 * humeral_cartilage + cuff + between(1.2, 4.5), 8.6, 11.6)),
        biceps_radius=between(2.1, 2.8),
        clavicle_radius=between(5.2, 6.7),
        ac_gap=between(2.0, 3.6),
        osteophytes=0.0,
        fat=between(3.0, 20.0),
        muscle=between(0.9, 1.15),
        fluid=between(0.6, 2.0),
    )
