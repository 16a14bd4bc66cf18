"""The individual shape of a knee: what differs from one person to the next.

Joint frame of a right knee, mm: x lateral, y anterior, z superior; the origin lies between the plateaus. Sizes are
those of a knee 81 mm wide across the condyles (women at the low, men at the high end of 70 to 95); `scale` fits them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KneeShape:
    """Sizes in mm, angles in degrees.

    Attributes:
        scale: of the whole joint; 1 is 81 mm across the condyles.
        width: further scale along x.
        depth: further scale along y.
        flexion: of the femur over the tibia.
        slope: of the plateau, down to the back.
        femoral_cartilage: thickness.
        tibial_cartilage: thickness.
        patellar_cartilage: thickness.
        meniscus_height: at the rim.
        meniscus_width: of the body.
        acl_radius: of the cord.
        pcl_radius: of the cord.
        patella_height: of its centre over the joint line.
        patella_shift: lateral, of its centre.
        patella_tilt: lateral.
        notch_width: between the condyles.
        fat: thickness under the skin.
        muscle: scale of the muscles' cross-section.
    """

    scale: float
    width: float
    depth: float
    flexion: float
    slope: float
    femoral_cartilage: float
    tibial_cartilage: float
    patellar_cartilage: float
    meniscus_height: float
    meniscus_width: float
    acl_radius: float
    pcl_radius: float
    patella_height: float
    patella_shift: float
    patella_tilt: float
    notch_width: float
    fat: float
    muscle: float


def draw_shape(generator: np.random.Generator) -> KneeShape:
    """A knee from the ranges of adults."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    return KneeShape(
        scale=float(np.clip(generator.normal(1.0, 0.06), 0.87, 1.15)),
        width=between(0.96, 1.04),
        depth=between(0.95, 1.05),
        flexion=between(0, 14),
        slope=between(3, 10),
        femoral_cartilage=between(1.8, 2.8),
        tibial_cartilage=between(1.8, 3.2),
        patellar_cartilage=between(2.5, 4.2),
        meniscus_height=between(5.0, 7.0),
        meniscus_width=between(8.5, 11.0),
        acl_radius=between(4.0, 5.5),
        pcl_radius=between(5.0, 6.5),
        patella_height=between(28, 37),
        patella_shift=between(-1, 4),
        patella_tilt=between(0, 8),
        notch_width=between(18, 23),
        fat=between(4, 13),
        muscle=between(0.85, 1.15),
    )


def rotation_x(degrees: float) -> np.ndarray:
    """Rotation about x that tips +z towards -y for positive angles, (3, 3)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
