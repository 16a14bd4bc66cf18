"""The individual shape of an ankle: what differs from one person to the next.

Joint frame of a right ankle, mm: x lateral, y anterior, z superior; the origin lies in the middle of the tibial plafond
and z runs along the tibia. Bodies are described for the standard ankle in neutral position, its talar dome 31 mm wide
in front; an individual is that ankle plantar-flexed, scaled and smoothly bent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from OrthoDiffusionLib.phantom.bending import bent_back
from OrthoDiffusionLib.phantom.distances import Points, Vector, turned

DOME_RADIUS = 20.7
"""mm, of the talar dome in the sagittal plane: 20.7 +- 2.6 (Hayes et al. 2006, J Foot Ankle Surg 45:393)."""

DOME_CENTRE: Vector = (0.0, 0.0, -23.5)
"""Middle of the dome's circle, about which the foot turns under the tibia: a radius and a joint space down."""

FILM = 0.3
"""mm of fluid between two layers of cartilage in contact."""


@dataclass(frozen=True)
class AnkleShape:
    """Sizes in mm of this ankle, angles in degrees.

    Attributes:
        scale: of the whole joint; 1 is a talar dome 31 mm wide in front.
        bend_seed: of the smooth bending that makes no two ankles alike.
        flexion: plantar, of the foot under the tibia.
        talar_cartilage: thickness on the dome.
        tibial_cartilage: thickness on the plafond.
        subtalar_cartilage: thickness of each of the layers between talus, calcaneus and navicular.
        achilles_thickness: in the middle of the free tendon.
        achilles_width: in the middle of the free tendon.
        soleus_end: height of the soleus' lowest fibres.
        atfl_width: of the anterior talofibular ligament.
        cfl_width: of the calcaneofibular ligament.
        ligament_thickness: of both.
        fat: thickness under the skin of the leg.
        muscle: scale of the muscles' cross-section.
        fluid: depth of the physiological fluid in the joint's recesses.
    """

    scale: float
    bend_seed: int
    flexion: float
    talar_cartilage: float
    tibial_cartilage: float
    subtalar_cartilage: float
    achilles_thickness: float
    achilles_width: float
    soleus_end: float
    atfl_width: float
    cfl_width: float
    ligament_thickness: float
    fat: float
    muscle: float
    fluid: float

    def describe(self, points: Points) -> Points:
        """Positions in this ankle's joint frame, as positions in the standard ankle: bent back and unscaled."""
        # 1.2 mm at one standard deviation over some 40 mm: contacts stay, outlines differ.
        return bent_back(points, self.bend_seed, 1.2, (3, 5, 6), self.scale)

    def in_foot(self, points: Points) -> Points:
        """Points of the tibia's frame in the foot's: turned back from plantar flexion."""
        return turned(points, 0, self.flexion, DOME_CENTRE)

    def from_foot(self, point: Vector) -> Vector:
        """A point of the foot's frame, in the tibia's."""
        x, y, z = (np.full((1,), value, np.float32) for value in point)
        x, y, z = turned((x, y, z), 0, -self.flexion, DOME_CENTRE)
        return float(x[0]), float(y[0]), float(z[0])

    @property
    def ankle_space(self) -> float:
        """From the dome's bone to the plafond's, in the standard ankle (mm)."""
        return (self.talar_cartilage + self.tibial_cartilage + FILM) / self.scale

    @property
    def subtalar_space(self) -> float:
        """From the talus' bone to those of calcaneus and navicular where they meet, in the standard ankle (mm)."""
        return (2 * self.subtalar_cartilage + FILM) / self.scale


def draw_shape(generator: np.random.Generator) -> AnkleShape:
    """An ankle from the ranges of adults.

    Cartilage: talus 1.1 +- 0.2 to 1.35 +- 0.2, tibia 1.16 +- 0.14, in all 0.8 to 1.5 mm (Millington et al. 2007,
    Osteoarthritis Cartilage 15:205; Sugimoto et al. 2005, Arthroscopy 21:401). Achilles tendon 4.9 +- 0.5 mm thick and
    14.7 +- 1.8 wide (Szaro and Ghali Gataa 2021, Sci Rep 11:6131), free over 42 +- 13 mm (J Orthop Sci 2023, 28:204).
    Ligaments: ATFL 7.6, CFL 5.6 mm wide, 2.1 to 2.2 thick (J Exp Orthop 2021, 8:83, 251 MRIs). Size: a dome of 28 to
    34 mm, women at the low, men at the high end (Hayes et al. 2006). The others are orders of magnitude.
    """

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    return AnkleShape(
        scale=1.0 + 0.05 * float(np.clip(generator.normal(), -2.0, 2.0)),
        bend_seed=int(generator.integers(2**31)),
        flexion=between(0, 25),
        talar_cartilage=between(1.0, 1.5),
        tibial_cartilage=between(0.95, 1.4),
        subtalar_cartilage=between(0.8, 1.1),
        achilles_thickness=between(4.2, 5.8),
        achilles_width=between(12.2, 15.0),
        soleus_end=between(-8, 22),
        atfl_width=between(5.2, 8.0),
        cfl_width=between(4.2, 6.0),
        ligament_thickness=between(1.9, 2.4),
        fat=between(1.8, 9),
        muscle=between(0.85, 1.2),
        fluid=between(0.6, 2.6),
    )
