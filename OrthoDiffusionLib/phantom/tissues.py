"""The tissues of a phantom and what MR sees of them.

Relaxation times in vivo at 1.5 and 3 T of cartilage, muscle, fluid, fat and marrow: Gold et al. 2004 (AJR 183:343), at
3 T also Jordan et al. 2013 (Eur J Radiol 82:734). For others there are figures of

- menisci: T2 at 3 T 11.4 +- 3.9 ms; in severe osteoarthritis, when parts of them are degenerate, 16.6 +- 8.2 (Rauscher
  et al. 2008, Radiology 249:591);
- ligaments and tendons: T2* at 1.5 T of the ACL 11.9 +- 2.4, the PCL 8.3 +- 2.1, the patellar tendon 5.2 +- 2.1 ms
  (Acta Radiol, doi 10.1177/02841851211043834); at 3 T of tendons 2.3 to 2.5 (Chang et al. 2015, J Magn Reson Imaging
  42:114) and 1.0 (Juras et al., ISMRM 2011, 3212). T2 is longer, see `REVERSIBLE`;
- cortex: water is a fifth of its volume (Ma et al. 2020, Front Endocrinol 11:567417), bound for the most part, with a
  T2 of 0.4 ms (Manhard et al. 2014, PMC3899101);
- blood: T1 at 3 T 1584 (venous) to 1664 ms (Lu et al. 2004, Magn Reson Med, doi 10.1002/mrm.20178);
- nerves: T2 of the sciatic one at 3 T 64.5 +- 8.2 ms with its fat (Preisner et al. 2021, Eur Radiol 31:9120), without
  it 44.6 +- 3.0 (Sollmann et al. 2020, Magn Reson Mater Phys 33:713);
- torn fibres: T2 over the torn part of a supraspinatus tendon 43.9 +- 12.7 ms, with the fibres in it that are whole,
  over the same part of a whole one 33.6 +- 5.3 (Knee Surg Sports Traumatol Arthrosc, doi 10.1007/s00167-015-3547-2);
- fatty muscle: fat is 10 to 20 % of it in the first years of an illness, later 50 to 70 % (Greve et al. 2021, Quant
  Imaging Med Surg 11:2610).

No figures were found for skin, synovium, septa, the oedema of marrow and of soft tissue and red marrow at the knee (in
the spines of men in their twenties fat is 32 +- 8 % of it: Baum et al. 2018, Front Endocrinol 9:141), nor for T1 and
density of fibrous tissue. Those below are orders of magnitude: what is torn or oedematous approaches fluid (60 to 150
ms); fatty muscle and red marrow lie between their water's and their fat's figures.
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
    NERVE = 15
    SYNOVIUM = 16
    DEGENERATE = 17
    SEPTUM = 18
    FATTY_MUSCLE = 19
    RED_MARROW = 20


class Relaxation(NamedTuple):
    """Relative proton density (0 to 1), T1 and T2 in ms at a field strength, and the share of the protons in fat."""

    density: float
    t1: float
    t2: float
    fat: float = 0.0


FIELDS = (1.5, 3.0)
"""Tesla, of the two columns below."""

RELAXATION: dict[Tissue, tuple[Relaxation, Relaxation]] = {
    Tissue.AIR: (Relaxation(0.0, 1000, 10), Relaxation(0.0, 1000, 10)),
    Tissue.SKIN: (Relaxation(0.55, 750, 30), Relaxation(0.55, 900, 28)),
    Tissue.FAT: (Relaxation(0.95, 288, 165, fat=1.0), Relaxation(0.95, 371, 133, fat=1.0)),
    Tissue.MUSCLE: (Relaxation(0.75, 1130, 35), Relaxation(0.75, 1420, 32)),
    Tissue.MARROW: (Relaxation(0.85, 288, 165, fat=0.93), Relaxation(0.85, 365, 133, fat=0.93)),
    Tissue.CORTEX: (Relaxation(0.2, 800, 0.5), Relaxation(0.2, 900, 0.5)),
    Tissue.CARTILAGE: (Relaxation(0.75, 1060, 42), Relaxation(0.75, 1240, 37)),
    Tissue.MENISCUS: (Relaxation(0.6, 800, 10), Relaxation(0.6, 900, 9)),
    Tissue.LIGAMENT: (Relaxation(0.6, 800, 12), Relaxation(0.6, 900, 10)),
    Tissue.TENDON: (Relaxation(0.5, 700, 4), Relaxation(0.5, 800, 3.5)),
    Tissue.FLUID: (Relaxation(1.0, 2850, 1210), Relaxation(1.0, 3620, 767)),
    Tissue.VESSEL: (Relaxation(0.9, 1400, 200), Relaxation(0.9, 1650, 130)),
    Tissue.OEDEMA: (Relaxation(0.85, 1300, 105, fat=0.25), Relaxation(0.85, 1600, 95, fat=0.25)),
    Tissue.TORN_FIBRES: (Relaxation(0.85, 1300, 85), Relaxation(0.85, 1500, 75)),
    Tissue.SOFT_OEDEMA: (Relaxation(0.9, 1800, 130, fat=0.2), Relaxation(0.9, 2200, 115, fat=0.2)),
    Tissue.NERVE: (Relaxation(0.75, 1000, 70, fat=0.2), Relaxation(0.75, 1200, 62, fat=0.2)),
    Tissue.SYNOVIUM: (Relaxation(0.8, 1200, 70, fat=0.15), Relaxation(0.8, 1400, 62, fat=0.15)),
    Tissue.DEGENERATE: (Relaxation(0.7, 900, 28), Relaxation(0.7, 1000, 25)),
    Tissue.SEPTUM: (Relaxation(0.6, 700, 20, fat=0.4), Relaxation(0.6, 800, 18, fat=0.4)),
    Tissue.FATTY_MUSCLE: (Relaxation(0.8, 900, 50, fat=0.3), Relaxation(0.8, 1100, 45, fat=0.3)),
    Tissue.RED_MARROW: (Relaxation(0.85, 400, 110, fat=0.8), Relaxation(0.85, 500, 95, fat=0.8)),
}


REVERSIBLE: dict[Tissue, float] = {
    **dict.fromkeys((Tissue.MARROW, Tissue.RED_MARROW, Tissue.OEDEMA), 9.0),
    Tissue.MENISCUS: 13.0,
    Tissue.LIGAMENT: 20.0,
    Tissue.TENDON: 4.5,
    Tissue.CARTILAGE: 60.0,
    Tissue.MUSCLE: 90.0,
}
"""T2' in ms: 1 / T2* = 1 / T2 + 1 / T2'. Gradient echoes lose the signal with exp(-TE / T2'), spin echoes do not.

Trabeculae bend the field, and so do ordered fibres. With T2, it gives a T2* of 6 to 11 ms in ligaments and 2 in
tendons, as measured (above). For menisci (here 5 to 6 ms), cartilage (23), muscle and marrow no source was found: they
are orders of magnitude. In the one real DESS knee that this was held against, menisci have 0.25 to 0.3 of the
cartilage's signal; with T2 alone the phantom's had 0.53."""


def relaxation(tissue: Tissue, field: float) -> Relaxation:
    """Of a tissue at a field strength in tesla: 1.5 or 3.

    Raises:
        KeyError: for another field.
    """
    return RELAXATION[tissue][{strength: column for column, strength in enumerate(FIELDS)}[field]]
