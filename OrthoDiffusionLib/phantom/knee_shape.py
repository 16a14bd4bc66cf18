"""The individual shape of a knee: what differs from one person to the next.

Joint frame of a right knee, mm: x lateral, y anterior, z superior; the origin lies between the plateaus. Bodies are
described for the standard knee, 78 mm wide across the condyles; an individual is that knee scaled and smoothly bent.

Sizes of adults, women at the low and men at the high end, with means and standard deviations where one is cited:

- condyles 70 to 95 mm wide (men 88.6 +- 4.2, women 78.5 +- 3.0) and 55 to 61 deep, notch 18 to 24 (22.0 +- 1.8 and
  18.7 +- 1.0): Terzidis et al. 2012, Anat Res Int 679658; they are of dry bones of Greeks, and the phantom's are lower
  (the upper end of the widths is an order of magnitude, no source);
- plateau 65 to 90 mm wide (order of magnitude, no source), sloping 4 to 12 degrees (8 on the medial, 7.7 on the lateral
  side: Cinotti et al. 2013, Clin Anat 26:883; wider still in Hashemi et al. 2008, J Bone Joint Surg Am 90:2724);
- patella 38 to 50 mm wide and 20 to 25 thick (women 40.7 +- 3.8 and 20.7 +- 1.9: Ab Rahman et al. 2020, Adv Orthop
  4539792; the upper ends, men's, are orders of magnitude, no source);
- cartilage of the femur 1.5 to 2.8, tibia 1.5 to 3.5 and patella 2.5 to 4.5 mm (a knee's mean 1.57 to 2.43, the
  patella's 2.76, up to 5.72: Eckstein et al. 2001, Osteoarthritis Cartilage 9:101);
- menisci 8 to 12 mm wide in the body and 4 to 7 high (with their cartilage 7.6 and 8.6 behind, 5.2 in front: Cinotti et
  al. 2013; the medial body reaches 10.1 +- 3.5 over the plateau and 1.6 +- 0.9 beyond it, the lateral one 9.8 +- 2.4
  and 0.6 +- 0.7: BMC Musculoskelet Disord 2014, 15:32; South Indians' are 7.8 +- 1.0 and 8.6 +- 1.2 wide: In vivo
  morphometry of menisci of the knee, Biomed J, February 2014);
- ACL 28 to 40 mm long (31 +- 3: Odensten and Gillquist 1985, J Bone Joint Surg Am 67:257) and 6 to 12 wide (9.9 by 3.9
  in its middle: Siebold et al. 2015, Knee Surg Sports Traumatol Arthrosc 23:3136);
- PCL 32 to 40 mm long, 11 to 14 wide (37.7 +- 1.9 and 13.7 +- 1.7: The posterior cruciate ligament, an anthropometric
  study in Asians, Ann Acad Med Singap 2002, 31:631) and 5 to 6.4 thick (5.4 +- 0.8 at a width of 13.3 +- 2.0: Kato et
  al. 2018, Knee Surg Sports Traumatol Arthrosc 26:31; in a sagittal image 7 and more mean a tear: Rodriguez et al.
  2008, AJR 191:1031);
- MCL 90 to 110 mm long (94.8: LaPrade et al. 2007, J Bone Joint Surg Am 89:2000; centres of its ends 62 +- 6 under and
  31 +- 5 over the joint: Liu et al. 2010, J Orthop Surg Res 5:69); LCL 55 to 70 (66, from 59 to 74, and 3.4 thick:
  Meister et al. 2000, Am J Sports Med 28:869; other series have 48 to 61);
- fibular head 24 by 25 mm in the standard knee (breadths of 25.1 to 27.1: Brenner and Krimbacher 1995, Z Morphol
  Anthropol 80:281);
- sulcus angle 138 +- 6 degrees (Merchant et al. 1974, J Bone Joint Surg Am 56:1391), over 145 in dysplasia (Dejour et
  al. 1994, Knee Surg Sports Traumatol Arthrosc 2:19); on the bone 26 to 34 mm over the joint space the phantom's is 134
  to 143, that of a dislocated patella's trochlea 146 to 157. Higher up any groove is shallower: healthy ones have up to
  149 at 40 mm;
- a quarter of knees with osteoarthritis, height, shift and tilt of a kneecap in its groove: orders of magnitude, no
  source. Tilts over 20 degrees mark unstable kneecaps (Dejour et al. 1994);
- what else has no source here, such as the MCL's width, is an order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from OrthoDiffusionLib.phantom.bending import bent_back
from OrthoDiffusionLib.phantom.distances import Points


@dataclass(frozen=True)
class KneeShape:
    """Sizes in mm of this knee, angles in degrees.

    Attributes:
        female: whether it is a woman's knee; women's are smaller, with more fat and less muscle.
        scale: of the whole joint; 1 is 78 mm across the condyles.
        bend_seed: of the smooth bending that makes no two knees alike.
        flexion: of the femur over the tibia.
        rotation: of the femur over the tibia about the long axis, lateral positive.
        slope: of the plateau, down to the back.
        femoral_cartilage: thickness.
        tibial_cartilage: thickness.
        patellar_cartilage: thickness.
        cartilage_loss: of osteoarthritis, 0 to 1: share of the medial cartilage that is gone.
        osteophytes: of osteoarthritis, mm that they stand out of the rims.
        meniscus_height: at the rim.
        medial_meniscus_width: of its body.
        lateral_meniscus_width: of its body.
        acl_radius: of the cord.
        pcl_radius: of the band, half its thickness.
        patella_height: of its centre over the joint line.
        patella_shift: lateral, of its centre.
        patella_tilt: lateral.
        groove_depth: of the trochlea.
        groove_fill: of a dysplastic trochlea, how far the bone that fills its valley stands out; 0 without such bone.
        notch_width: between the condyles.
        fat: thickness under the skin.
        muscle: scale of the muscles' cross-section.
        fluid: depth of the physiological film of fluid in the suprapatellar recess.
    """

    female: bool
    scale: float
    bend_seed: int
    flexion: float
    rotation: float
    slope: float
    femoral_cartilage: float
    tibial_cartilage: float
    patellar_cartilage: float
    cartilage_loss: float
    osteophytes: float
    meniscus_height: float
    medial_meniscus_width: float
    lateral_meniscus_width: float
    acl_radius: float
    pcl_radius: float
    patella_height: float
    patella_shift: float
    patella_tilt: float
    groove_depth: float
    groove_fill: float
    notch_width: float
    fat: float
    muscle: float
    fluid: float

    def describe(self, points: Points) -> Points:
        """Positions in this knee's joint frame, as positions in the standard knee: bent back and unscaled."""
        # 1.5 mm at one standard deviation over some 40 mm: contacts stay, outlines differ.
        return bent_back(points, self.bend_seed, 1.5, (4, 4, 5), self.scale)


def draw_shape(generator: np.random.Generator) -> KneeShape:
    """A knee from the ranges of adults; a quarter has osteoarthritis."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    female = bool(generator.random() < 0.5)
    large = float(np.clip(generator.normal(), -1.9, 1.9))
    worn = between(0.2, 1.0) if generator.random() < 0.25 else 0.0
    return KneeShape(
        female=female,
        # Condyles and plateau 70 to 80 mm wide in women, 79 to 89 in men.
        scale=(0.965 if female else 1.075) + 0.035 * large,
        bend_seed=int(generator.integers(2**31)),
        flexion=between(0, 30),
        rotation=between(-5, 5),
        slope=between(4, 11),
        femoral_cartilage=between(1.6, 2.8),
        tibial_cartilage=between(1.7, 3.2),
        patellar_cartilage=between(2.5, 4.4),
        cartilage_loss=0.8 * worn,
        osteophytes=3.5 * worn,
        meniscus_height=between(5.0, 7.0),
        medial_meniscus_width=between(8.5, 11.0),
        lateral_meniscus_width=between(9.5, 12.0),
        acl_radius=between(3.8, 5.2),
        pcl_radius=between(2.5, 3.2),
        patella_height=between(28, 38),
        patella_shift=between(-1, 4),
        patella_tilt=between(-2, 9),
        groove_depth=between(5.0, 8.0),
        groove_fill=0.0,
        notch_width=between(18, 23),
        fat=between(4, 18) if female else between(2.5, 13),
        muscle=between(0.9, 1.35) if female else between(1.0, 1.55),
        fluid=between(0.8, 3.0),
    )
