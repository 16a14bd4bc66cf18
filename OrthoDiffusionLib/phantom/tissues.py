"""The tissues of a phantom and what MR sees of them.

Relaxation times at 3 T from Gold et al. 2004 (AJR 183:343) and Jordan et al. 2013 (Eur J Radiol 82:734); torn fibres
and oedematous marrow approach fluid.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Tissue(IntEnum):
    """What a voxel of the anatomy is made of."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    MARROW = 4
    CORTEX = 5
    CARTILAGE = 6
    MENISCUS = 7
    LIGAMENT = 8
    TENDON = 9
    FLUID = 10
    VESSEL = 11
    OEDEMA = 12
    TORN_FIBRES = 13
    SOFT_OEDEMA = 14


class Relaxation(NamedTuple):
    """Relative proton density (0 to 1), T1 and T2 in ms, and the share of it that fat suppression takes away."""

    density: float
    t1: float
    t2: float
    fat: float = 0.0


RELAXATION: dict[Tissue, Relaxation] = {
    Tissue.AIR: Relaxation(0.0, 1000, 10),
    Tissue.SKIN: Relaxation(0.55, 900, 28),
    Tissue.FAT: Relaxation(0.95, 371, 133, fat=1.0),
    Tissue.MUSCLE: Relaxation(0.75, 1420, 32),
    Tissue.MARROW: Relaxation(0.85, 365, 133, fat=0.93),
    Tissue.CORTEX: Relaxation(0.2, 900, 1.0),
    Tissue.CARTILAGE: Relaxation(0.75, 1240, 37),
    Tissue.MENISCUS: Relaxation(0.6, 900, 9),
    Tissue.LIGAMENT: Relaxation(0.6, 900, 10),
    Tissue.TENDON: Relaxation(0.5, 800, 4),
    Tissue.FLUID: Relaxation(1.0, 3620, 767),
    Tissue.VESSEL: Relaxation(0.9, 1900, 180),
    Tissue.OEDEMA: Relaxation(0.85, 1600, 95, fat=0.25),
    Tissue.TORN_FIBRES: Relaxation(0.85, 1500, 80),
    Tissue.SOFT_OEDEMA: Relaxation(0.9, 2200, 140, fat=0.15),
}
