"""What lies around the joint: skin, fat, fascia, muscles, tendons and vessels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, bezier, curve, intersection, loft, union
from OrthoDiffusionLib.phantom.knee_bones import on_patella, patella_centre
from OrthoDiffusionLib.phantom.knee_flexion import flexed, flexed_box, straightened
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.muscles import paint_bellies, section_box
from OrthoDiffusionLib.phantom.smooth_fields import draw_smooth_field, smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

SKIN = 1.6

HANGING = 30.0
"""mm over which the fascia leaves the kneecap for the leg: with 8 mm the kneecap stood out of it like a stalk."""

# The leg within its fascia; z, centre x, centre y, half width, half depth.
FASCIA = (
    (-110, 2, -16, 48, 49),
    (-60, 1, -13, 50, 48),
    (-25, 0, -8, 50, 46),
    (5, 0, -4, 49.5, 47),
    (35, 0, 0, 51, 49),
    (60, 1, 2, 56, 53),
    (110, 2, 2, 63, 59),
)

# Muscles by name, each with its sections; where two meet, the nearer one has the point and a septum parts them.
MUSCLES = {
    "vastus medialis": (
        (10, -37, 18, 3, 6), (26, -38, 15, 8, 14), (45, -37, 14, 13, 21), (70, -32, 16, 21, 29), (110, -28, 18, 27, 34),
    ),
    "vastus lateralis": ((38, 37, 18, 5, 12), (60, 36, 16, 14, 25), (85, 34, 16, 20, 31), (110, 32, 16, 25, 35)),
    "vastus intermedius": ((62, 2, 27, 12, 3), (85, 2, 30, 20, 7), (110, 2, 32, 24, 11)),
    "semimembranosus": ((-6, -29, -31, 5, 5), (15, -28, -36, 10, 9), (45, -23, -37, 18, 14), (110, -18, -38, 24, 20)),
    "gracilis and sartorius": (
        (-30, -38, -22, 3, 6), (0, -42, -26, 5, 9), (40, -42, -24, 7, 11), (110, -42, -18, 9, 14),
    ),
    "biceps femoris": ((-16, 41, -22, 4, 5), (10, 39, -26, 7, 11), (45, 33, -33, 14, 16), (110, 28, -36, 22, 20)),
    # Muscle lies on the shaft's back too: where fat alone lay there, networks took a real knee's for bone.
    "biceps femoris, short head": ((44, 22, -20, 4, 4), (70, 19, -18, 12, 10), (110, 16, -16, 17, 13)),
    "adductor magnus": ((58, -20, -14, 3, 4), (80, -17, -14, 9, 9), (110, -14, -17, 15, 12)),
    "gastrocnemius, medial head": (
        (-110, -20, -46, 26, 20), (-50, -20, -44, 23, 18), (-15, -19, -41, 21, 16), (15, -18, -38, 18, 14),
        (38, -18, -35, 9, 9),
    ),
    "gastrocnemius, lateral head": (
        (-110, 22, -46, 24, 18), (-50, 22, -44, 22, 17), (-15, 21, -41, 20, 15), (15, 21, -38, 17, 13),
        (38, 21, -35, 8, 8),
    ),
    "soleus": ((-110, 6, -32, 34, 13), (-60, 12, -31, 24, 8), (-35, 22, -31, 10, 5), (-28, 24, -30, 3, 2)),
    "popliteus": (
        (-84, -4, -17, 6, 3), (-70, -4, -19, 16, 7), (-45, -2, -24, 17, 7), (-22, 10, -29, 15, 5), (-6, 22, -31, 8, 3),
    ),
    "tibialis anterior": ((-110, 26, 14, 14, 15), (-60, 27, 13, 10, 14), (-38, 29, 10, 5, 8)),
    "peroneus": ((-110, 42, -8, 9, 14), (-60, 42, -8, 7, 12), (-38, 43, -8, 4, 7)),
}  # fmt: skip


def paint_soft_tissue(canvas: AnatomyCanvas, shape: KneeShape, bones: Field, generator: np.random.Generator) -> None:
    """Paint the leg without its joint; `bones` is the distance to them over the whole lattice."""
    region = canvas.everywhere()
    fascia = loft(straightened(region.points, shape.flexion), FASCIA, 2.2) * canvas.scale
    front = 7.5 * np.exp(
        -((region.points[0] / 27) ** 2) - ((region.points[2] - shape.patella_height / shape.scale) / 32) ** 2
    )
    fascia -= np.where(region.points[1] > 0, front, 0) * canvas.scale
    # The fascia covers every bone, wherever a dislocated kneecap lies, and hangs from the kneecap to all sides.
    fascia = union(fascia, (bones - 2.5) * canvas.scale, HANGING)
    # The fat is thicker at the medial side and thin over kneecap and shin.
    uneven = 1 + 0.25 * smooth_field(fascia.shape, (4, 4, 4), generator) - 0.012 * region.points[0]
    uneven *= 1 - 0.55 * np.clip((region.points[1] - 12) / 24, 0, 1)
    cover = shape.fat * np.clip(uneven, 0.3, 2)
    leg, (outer, sheet) = region.around(fascia - cover.astype(np.float32), fascia, level=SKIN)
    canvas.paint(leg, leg.covered(outer, SKIN), Tissue.SKIN)
    canvas.paint(leg, leg.covered(outer), Tissue.FAT)
    canvas.paint(leg, leg.covered(sheet, 0.35) & ~leg.covered(sheet, -0.35), Tissue.SEPTUM)
    _paint_small_vessels(canvas, leg, outer, sheet, generator)
    paint_bellies(canvas, _muscles(canvas, shape, generator), fascia + 1.0, generator)
    _paint_vessels(canvas, shape, generator)
    _paint_tendons(canvas, shape)


def _muscles(canvas: AnatomyCanvas, shape: KneeShape, generator: np.random.Generator) -> Iterator[tuple[Region, Field]]:
    for sections in MUSCLES.values():
        table = np.array(sections, float)
        table[:, 3:] *= shape.muscle * generator.uniform(0.9, 1.1)
        first, last = table[0, 0], table[-1, 0]
        ends = (first if first > -100 else -130, last if last < 100 else 130)
        part = canvas.region(*flexed_box(*section_box(table, *ends), shape.flexion))
        points = straightened(part.points, shape.flexion)
        distance = loft(points, table, 2.2)
        # The ends within the field of view are closed; beyond it the muscle goes on.
        for end, within in ((first - points[2], first > -100), (points[2] - last, last < 100)):
            if within:
                distance = intersection(distance, end, 12)
        yield part, distance


def _paint_small_vessels(
    canvas: AnatomyCanvas, region: Region, outer: Field, fascia: Field, generator: np.random.Generator
) -> None:
    """A few veins and septa in the fat under the skin."""
    layer = region.below(outer, -0.8) & ~region.below(fascia, 0.8)
    veins = draw_smooth_field(canvas.tissue.shape, (26, 26, 14), generator)
    across = draw_smooth_field(canvas.tissue.shape, (20, 20, 18), generator)
    canvas.paint(region, layer & veins.between(-0.025, 0.025, region.slices), Tissue.SEPTUM)
    deep = layer & region.below(outer, -1.5)
    canvas.paint(region, deep & across.between(-0.025, 0.025, region.slices), Tissue.SEPTUM)
    for centre in ((-46.0, -14.0), (-30.0, 40.0), (44.0, -30.0)):
        wander = generator.uniform(-5, 5, size=2)
        low = (centre[0] + wander[0], centre[1], -130.0)
        high = (centre[0], centre[1] + wander[1], 130.0)
        around = canvas.region((centre[0] - 14, centre[1] - 12, -130), (centre[0] + 14, centre[1] + 12, 130))
        distance, _ = curve(around.points, np.array([low, high]), reach=6)
        inside = around.covered(distance, generator.uniform(1.0, 1.9)) & canvas.is_any(around, Tissue.FAT)
        canvas.paint(around, inside, Tissue.VESSEL)


def _paint_vessels(canvas: AnatomyCanvas, shape: KneeShape, generator: np.random.Generator) -> None:
    """Popliteal artery, vein and tibial nerve, in the fat behind the joint."""
    bundle = ((0.0, -34.0, 3.4, Tissue.VESSEL), (3.5, -40.0, 4.0, Tissue.VESSEL), (6.0, -46.0, 2.8, Tissue.NERVE))
    for x, y, radius, tissue in bundle:
        x, y = x + generator.uniform(-3, 3), y + generator.uniform(-2, 2)
        path = bezier(flexed((x - 6, y + 12, 120), shape.flexion), (x, y, 15), (x + 1, y + 3, -120))
        low, high = path.min(axis=0) - radius - 6, path.max(axis=0) + radius + 6
        region = canvas.region(tuple(low), tuple(high))
        distance, _ = curve(region.points, path, reach=radius + 4)
        region, (distance,) = region.around(distance, level=radius + 0.5)
        room = canvas.is_any(region, Tissue.FAT, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SEPTUM)
        canvas.paint(region, region.covered(distance, radius + 0.5) & room, Tissue.SEPTUM)
        canvas.paint(region, region.covered(distance, radius) & canvas.is_any(region, Tissue.SEPTUM), tissue)


def _paint_tendons(canvas: AnatomyCanvas, shape: KneeShape) -> None:
    shift, front, height = patella_centre(shape)
    thigh = partial(flexed, flexion=shape.flexion)
    bands = (
        # Patellar and quadriceps tendons, iliotibial band, semitendinosus, biceps: path, half width, half depth. Their
        # sizes are orders of magnitude, no source.
        (bezier(on_patella(shape, (0, 6, -15)), (0.5 * shift + 2, front + 3, height - 38), (8, 31, -36)), 13.0, 2.5),
        (bezier(on_patella(shape, (0, 3, 17)), thigh((0.6 * shift, 49, height + 36)), thigh((0, 38, 130))), 15.0, 3.3),
        (bezier((30, 20, -8), (43.5, 12, 20), thigh((46, 4, 120))), 1.1, 8.0),
        (bezier((-36, -2, -60), (-38, -34, -5), thigh((-24, -46, 120))), 2.2, 2.2),
        (bezier((38, -20, -20), (40, -24, -2), thigh((38, -28, 40))), 2.6, 3.2),
    )
    for path, half_width, half_depth in bands:
        low, high = path.min(axis=0) - 16, path.max(axis=0) + 16
        region = canvas.region(tuple(low), tuple(high))
        thin = min(half_width, half_depth)
        distance, _ = curve(region.points, path, (half_width / thin, half_depth / thin, 1), reach=thin + 4)
        region, (distance,) = region.around(distance, level=thin)
        inside = region.covered(distance, thin) & ~canvas.is_any(region, Tissue.AIR, Tissue.SKIN)
        canvas.paint(region, inside, Tissue.TENDON)
