"""What lies around the ankle: skin, fat, fascia and muscles; Kager's and the plantar fat are what they leave free."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.ankle_courses import course
from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, Points, curve, intersection, loft, union
from OrthoDiffusionLib.phantom.muscles import paint_bellies, section_box
from OrthoDiffusionLib.phantom.smooth_fields import draw_smooth_field, smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

SKIN = 1.7
"""mm; the sole's is thicker, by `SOLE_SKIN`."""

SOLE_SKIN = 1.6

SOLE = -85.0
"""mm, height of the sole's fascia in the foot's frame: the heel pad is 15 to 20 mm thick with its skin."""

# The leg's front within its fascia, without the ridge of the Achilles tendon: z, centre x and y, half width, half
# depth. Narrowest 25 to 30 mm over the joint, some 22 cm round with its skin.
LEG = (
    (-45, 0, -3, 29, 22),
    (-15, 0, -1, 32, 26),
    (5, -2, -1.5, 32, 26.5),
    (25, 0, -3, 28, 25),
    (45, 3, -6, 28, 26),
    (70, 4, -11, 31, 30),
    (100, 4, -16, 37, 36),
    (160, 4, -20, 46, 45),
)

# The fat between the leg's front and the Achilles tendon, with Kager's triangle.
BEHIND = ((-45, 0, -30, 17, 20), (0, 0, -28, 15, 19), (40, 1, -28, 15, 17), (160, 2, -28, 20, 17))

# The foot within its fascia, in its own frame: y, centre x and z, half width, half height.
FOOT = (
    (-58, 1, -60, 19, 20),
    (-45, 1, -60, 24, 26),
    (-25, 1, -56, 28, 30),
    (0, 0, -48, 32, 38),
    (25, -3, -46, 34, 39),
    (50, -4, -51, 36, 35),
    (75, -2, -57, 38, 29),
    (110, 0, -66, 39, 20),
)

# Sections of the muscles. Those of the leg: z, centre x, centre y, half width, half depth.
LEG_MUSCLES: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "flexor hallucis longus": ((-8, 2, -23, 4, 3), (12, 5, -23, 9, 6), (50, 9, -22, 11, 8), (120, 13, -21, 14, 10)),
    "tibialis posterior and flexor digitorum": (
        (22, -14, -19, 4, 3), (50, -11, -20, 9, 6), (120, -9, -22, 15, 10),
    ),
    "tibialis anterior": ((52, 7, 13, 4, 3), (80, 9, 10, 7, 7), (120, 12, 10, 10, 10)),
    "extensors of the toes": ((8, 13, 19, 4, 2.5), (35, 15, 13, 6, 6), (70, 17, 7, 7, 9), (120, 20, 5, 8, 12)),
    "peronei": ((-4, 27, -20, 3, 3), (25, 28, -19, 5, 6), (60, 30, -15, 7, 9), (120, 32, -12, 9, 13)),
}  # fmt: skip

# Those of the foot, in its frame: y, centre x, centre z, half width, half height.
FOOT_MUSCLES: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "abductor hallucis": ((-26, -17, -66, 4, 7), (5, -25, -63, 5, 11), (40, -28, -62, 6, 11), (110, -30, -72, 7, 8)),
    "flexor digitorum brevis": ((-24, 0, -76, 8, 4), (15, -3, -75, 13, 6), (60, -4, -75, 14, 6), (110, -4, -79, 15, 5)),
    "abductor digiti minimi": ((-28, 15, -71, 5, 7), (15, 21, -71, 6, 9), (60, 27, -72, 6, 8), (110, 33, -78, 6, 6)),
    "quadratus plantae": ((-16, -9, -63, 3, 8), (15, -9, -65, 7, 6), (45, -8, -66, 9, 5), (60, -8, -67, 6, 3)),
    "extensor digitorum brevis": ((8, 14, -35, 6, 5), (30, 14, -32, 10, 6), (60, 12, -33, 11, 5), (90, 9, -42, 8, 3)),
    "interossei": ((60, 2, -62, 14, 6), (110, 4, -72, 20, 7)),
}


def paint_soft_tissue(canvas: AnatomyCanvas, shape: AnkleShape, bones: Field, generator: np.random.Generator) -> None:
    """Paint the leg and foot without joint and tendons; `bones` is the distance to them over the whole lattice."""
    region = canvas.everywhere()
    foot = shape.in_foot(region.points)
    fascia = _fascia(region.points, foot, bones, shape) * canvas.scale
    sole = np.clip((SOLE + 12 - foot[2]) / 10, 0, 1)
    # The fat of the foot is thin and much the same in all.
    on_foot = np.clip((-8 - region.points[2]) / 25, 0, 1)
    uneven = np.clip(1 + 0.25 * smooth_field(fascia.shape, (3, 4, 4), generator), 0.4, 1.6)
    cover = uneven * (shape.fat * (1 - on_foot) + (1.2 + 0.25 * shape.fat) * on_foot)
    outer = fascia - cover.astype(np.float32)
    skin = outer - np.float32(SOLE_SKIN) * sole.astype(np.float32)
    body, (skin, outer, sheet, height) = region.around(skin, outer, fascia, foot[2], level=SKIN)
    canvas.paint(body, body.covered(skin, SKIN), Tissue.SKIN)
    canvas.paint(body, body.covered(outer), Tissue.FAT)
    canvas.paint(body, body.covered(sheet, 0.4) & ~body.covered(sheet, -0.4), Tissue.SEPTUM)
    _paint_septa(canvas, body, outer, height, generator)
    paint_bellies(canvas, _leg_muscles(canvas, shape, generator), fascia + 1.0, generator)
    paint_bellies(canvas, _foot_muscles(canvas, shape, generator), fascia + 1.0, generator, fibres=1)


def _fascia(points: Points, foot: Points, bones: Field, shape: AnkleShape) -> Field:
    """Distance to what the fascia holds, mm of the standard ankle."""
    leg = intersection(loft(points, LEG, 2.2), (-42 - points[2]).astype(np.float32), 25)
    ridge, _ = curve(points, achilles_course(shape)[::6], (1.35, 1, 1), reach=50)
    sections = loft((foot[0], foot[2], foot[1]), FOOT, 2.3)
    behind = (-53.0 - foot[1]).astype(np.float32)
    sole = (SOLE - foot[2]).astype(np.float32)
    fat = intersection(loft(points, BEHIND), (-50 - points[2]).astype(np.float32), 20)
    back = union(union(leg, fat, 12), (ridge - 6).astype(np.float32), 12)
    whole = union(back, intersection(sections, behind, 20), 20)
    return union(intersection(whole, sole, 10), (bones - 2.5).astype(np.float32), 8)


def achilles_course(shape: AnkleShape) -> npt.NDArray[np.float64]:
    """The middle of the Achilles tendon from above downwards to its insertion on the calcaneus."""
    leg = ((2.0, -43.0, 180.0), (2.0, -42.0, 90.0), (1.0, -44.0, 40.0), (0.5, -46.0, 5.0))
    return course(shape, leg, ((0.5, -49.0, -38.0), (1.0, -50.0, -50.0), (1.0, -48.0, -62.0)), 60)


def _leg_muscles(
    canvas: AnatomyCanvas, shape: AnkleShape, generator: np.random.Generator
) -> Iterator[tuple[Region, Field]]:
    low = shape.soleus_end
    soleus = ((low, 1, -40, 3, 2), (low + 25, 2, -37, 13, 5), (low + 55, 3, -35, 24, 8), (140, 4, -40, 34, 18))
    for sections in (*LEG_MUSCLES.values(), soleus):
        table = np.array(sections, float)
        table[:, 3:] *= shape.muscle * generator.uniform(0.9, 1.1)
        part = canvas.region(*section_box(table, table[0, 0], 130))
        end = (table[0, 0] - part.points[2]).astype(np.float32)
        yield part, intersection(loft(part.points, table, 2.2), end, 10)


def _foot_muscles(
    canvas: AnatomyCanvas, shape: AnkleShape, generator: np.random.Generator
) -> Iterator[tuple[Region, Field]]:
    for sections in FOOT_MUSCLES.values():
        table = np.array(sections, float)
        table[:, 3:] *= shape.muscle * generator.uniform(0.9, 1.1)
        first, last = table[0, 0], table[-1, 0]
        (low_x, low_z, low_y), (high_x, high_z, high_y) = section_box(table, first, last if last < 100 else 130)
        corners = itertools.product((low_x, high_x), (low_y, high_y), (low_z, high_z))
        moved = np.array([shape.from_foot(corner) for corner in corners])
        part = canvas.region(tuple(moved.min(axis=0)), tuple(moved.max(axis=0)))
        foot = shape.in_foot(part.points)
        ends = np.maximum(first - foot[1], (foot[1] - last) if last < 100 else np.float32(-99))
        yield part, intersection(loft((foot[0], foot[2], foot[1]), table, 2.2), ends.astype(np.float32), 10)


def _paint_septa(
    canvas: AnatomyCanvas, region: Region, outer: Field, height: Field, generator: np.random.Generator
) -> None:
    """Septa in the fat: sparse under the skin and in Kager's fat pad, dense and upright in the sole's pad.

    Args:
        canvas: with skin and fat painted.
        region: of leg and foot.
        outer: distance to the fat's surface on its lattice points, mm.
        height: in the foot's frame, mm.
        generator: draws the septa.
    """
    fat = region.below(outer, -1.0) & canvas.is_any(region, Tissue.FAT)
    sparse, lines, dense = (
        draw_smooth_field(canvas.tissue.shape, knots, generator) for knots in ((9, 14, 15), (9, 12, 8), (24, 36, 9))
    )
    septa = sparse.between(-0.025, 0.025, region.slices) | lines.between(-0.025, 0.025, region.slices)
    canvas.paint(region, fat & septa, Tissue.SEPTUM)
    fat &= region.below(height, SOLE + 9)
    canvas.paint(region, fat & dense.between(-0.13, 0.13, region.slices), Tissue.SEPTUM)
