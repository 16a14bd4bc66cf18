"""What lies around the shoulder: skin, fat, fascia, muscles, chest wall with ribs and lung, vessels and nerves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom import shoulder_bones as bones
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, Points, bezier, curve, ellipsoid, intersection, loft, union
from OrthoDiffusionLib.phantom.muscles import paint_bellies, section_box
from OrthoDiffusionLib.phantom.shoulder_cuff import CuffBody
from OrthoDiffusionLib.phantom.shoulder_shape import ShoulderShape
from OrthoDiffusionLib.phantom.slabs import slabwise
from OrthoDiffusionLib.phantom.smooth_fields import draw_smooth_field, smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

SKIN = 1.8

# The upper arm and the trunk within their fascia; z, centre x, centre y, half width, half depth.
ARM = ((-200, 15, -2, 40, 43), (-70, 12, -2, 42, 47), (-20, 6, -3, 42, 48), (10, 3, -4, 41, 46))
TRUNK = ((-200, -118, -12, 92, 84), (-50, -118, -12, 85, 78), (10, -120, -14, 80, 68), (50, -122, -18, 62, 46))
GIRDLE = np.array([(-8, -10, 20), (-45, -16, 27), (-85, -22, 42), (-130, -28, 66)], float)

LUNG = (-142.0, -4.0, -75.0)
LUNG_RADII = (64.0, 62.0, 108.0)
WALL = 11.0
"""mm of pleura, ribs and intercostal muscles."""

RIB_STEP = 29.0
"""mm from one rib to the next."""

# Muscles that run down the arm; z, centre x, centre y, half width, half depth, in the joint frame.
DOWN_THE_ARM = (
    ((-140, 10, -24, 24, 15), (-70, 5, -23, 14, 10), (-42, -7, -19, 7, 6), (-22, -21, -15, 4, 4)),
    ((-140, 10, 22, 22, 14), (-85, 13, 20, 12, 8), (-66, 16, 17, 4, 4)),
)

# Paths (joint frame), half thickness and stretch: subclavius, pectoralis minor, both heads of pectoralis major,
# coracobrachialis with the short head of the biceps, teres major with latissimus.
ALONG_PATHS = (
    (((-24, 22, 28), (-70, 20, 34), (-128, 36, 32)), 4.5, (1.0, 1.0, 1.0)),
    (((-24, 28, 8), (-62, 42, -14), (-118, 56, -70)), 4.5, (1.0, 1.0, 2.6)),
    (((10, 20, -50), (-34, 50, -46), (-128, 60, -56)), 7.0, (1.0, 1.0, 4.0)),
    (((10, 22, -40), (-30, 50, -12), (-128, 56, 12)), 6.5, (1.0, 1.0, 3.6)),
    (((-23, 29, 6), (-10, 26, -45), (2, 14, -140)), 7.0, (1.0, 1.0, 1.0)),
    (((4, 6, -60), (-30, -22, -62), (-92, -56, -96)), 9.0, (1.0, 1.0, 1.6)),
)

# In the scapula's frame: teres minor, from the lateral border to the back of the greater tuberosity.
TERES_MINOR = np.array([(-78, -12, -78), (-48, -15, -42), (-22, -25, -20), (0, -27, -12), (14, -20, -9)], float)


def paint_soft_tissue(
    canvas: AnatomyCanvas,
    shape: ShoulderShape,
    every_bone: Field,
    covered: Field,
    cuff: Sequence[CuffBody],
    cuff_region: Region,
    generator: np.random.Generator,
) -> None:
    """Paint the shoulder without its joint.

    Args:
        canvas: empty.
        shape: of the shoulder.
        every_bone: distance to the bones over the whole lattice, mm of the standard shoulder.
        covered: distance to humerus and cuff over the whole lattice.
        cuff: whose bellies the others leave free.
        cuff_region: of the cuff.
        generator: draws vessels, muscles and the fat's unevenness.
    """
    region = canvas.everywhere()
    lung = lung_distance(region)
    body = _outline(region.points) * np.float32(canvas.scale)
    firm = np.minimum(every_bone - np.float32(2.5), covered - np.float32(3)) * canvas.scale
    fascia = union(body, firm, 8)
    uneven = 1 + 0.25 * smooth_field(fascia.shape, (4, 4, 4), generator)
    # Thin over acromion and clavicle, thick at the armpit and the back of the arm.
    uneven *= 1 - 0.6 * np.clip((region.points[2] + 15) / 55, 0, 1)
    cover = shape.fat * np.clip(uneven, 0.3, 2)
    # Over bone that stands out of the muscles the skin has little fat under it.
    outer = union((body - cover).astype(np.float32), firm - np.float32(4), 8)
    inner, (outer, sheet) = region.around(outer, fascia, level=SKIN)
    canvas.paint(inner, inner.covered(outer, SKIN), Tissue.SKIN)
    canvas.paint(inner, inner.covered(outer), Tissue.FAT)
    canvas.paint(inner, inner.covered(sheet, 0.35) & ~inner.covered(sheet, -0.35), Tissue.SEPTUM)
    layer = inner.below(outer, -0.8) & ~inner.below(sheet, 0.8)
    veins = draw_smooth_field(canvas.tissue.shape, (14, 14, 9), generator)
    canvas.paint(inner, layer & veins.between(-0.03, 0.03, inner.slices), Tissue.SEPTUM)
    within = np.maximum(fascia + 1.0, (WALL - lung) * canvas.scale)
    keep_out = np.full_like(within, 99.0)
    for muscle in cuff:
        keep_out[cuff_region.cells] = np.minimum(keep_out[cuff_region.cells], muscle.distance)
    around = list(_muscles(canvas, shape, fascia / canvas.scale, covered, lung, generator))
    paint_bellies(canvas, around, np.maximum(within, 1.6 - keep_out), generator)
    _paint_vessels(canvas, generator)
    _paint_chest(canvas, lung, generator)


def lung_distance(region: Region) -> Field:
    """Distance to the lung's edge, mm of the standard shoulder, negative inside; the chest's wall is `WALL` thick."""
    return ellipsoid(region.points, LUNG, LUNG_RADII)


def _outline(points: Points) -> Field:
    """The body within its fascia: arm, shoulder, trapezius' slope and trunk."""
    arm = intersection(loft(points, ARM, 2.2), (points[2] + 4).astype(np.float32), 30)
    cap = ellipsoid(points, (1, -5, -8), (45, 54, 56), 2.4)
    slope, _ = curve(points, GIRDLE, (1.0, 1.5, 1.0))
    body = union(union(arm, cap, 10), slope - np.float32(25), 14)
    return union(body, loft(points, TRUNK, 3.2), 18)


def _muscles(
    canvas: AnatomyCanvas,
    shape: ShoulderShape,
    fascia: Field,
    covered: Field,
    lung: Field,
    generator: np.random.Generator,
) -> Iterator[tuple[Region, Field]]:
    everywhere = canvas.everywhere()
    yield everywhere, _deltoid(everywhere.points, covered)
    yield everywhere, _trapezius(everywhere.points, fascia, shape)
    yield everywhere, _serratus(everywhere.points, lung)
    for sections in DOWN_THE_ARM:
        table = np.array(sections, float)
        table[:, 3:] *= shape.muscle * generator.uniform(0.9, 1.1)
        part = canvas.region(*section_box(table, -140, table[-1, 0]))
        body = intersection(loft(part.points, table, 2.2), (part.points[2] - table[-1, 0]).astype(np.float32), 8)
        yield part, body
    for path, radius, stretch in ALONG_PATHS:
        course = bezier(*path)
        low, high = course.min(axis=0) - 32, course.max(axis=0) + 32
        part = canvas.region(tuple(low), tuple(high))
        half = radius * shape.muscle * generator.uniform(0.9, 1.1)
        distance, _ = curve(part.points, course, stretch, reach=half + 10)
        yield part, distance - np.float32(half)
    part = canvas.region((-90, -70, -100), (40, 20, 12))
    distance, along = curve(bones.in_scapula(part.points, shape), TERES_MINOR, reach=20)
    thick = 7.0 * shape.muscle * np.interp(along, (0, 0.3, 0.7, 1), (0.7, 1.0, 0.8, 0.45))
    yield part, (distance - thick).astype(np.float32)


@slabwise
def _trapezius(points: Points, fascia: Field, shape: ShoulderShape) -> Field:
    """A sheet under the fascia from the neck to spine, acromion and clavicle, which thins out towards them."""
    x, y, z = points
    beyond = np.maximum(x + 17, np.maximum(20 - z, y - 0.25 * z))
    # 10 mm thick up to its ends it would end in square steps.
    thickness = 10 * shape.muscle * _smooth_step(_field(-beyond / 16))
    return np.asarray(np.maximum(-fascia - thickness, beyond), np.float32)


@slabwise
def _serratus(points: Points, lung: Field) -> Field:
    """A sheet on the chest's wall."""
    _, y, z = points
    return np.asarray(np.maximum(np.abs(lung - WALL - 3.2) - 2.6, np.maximum(z - 12, y - 26)), np.float32)


@slabwise
def _deltoid(points: Points, covered: Field) -> Field:
    """From clavicle, acromion and spine over the shoulder down to the middle of the humerus."""
    x, y, z = points
    inner = (2.4 - covered).astype(np.float32)
    # Its front edge runs from the clavicle to the outside of the arm, its back edge from the spine. Under the fascia
    # both run on at some 45 degrees: at right angles to it they would end in square steps.
    front = _field(np.interp(z, (-110, -40, 30), (4, -3, -14)) - 0.35 * (y - 26) - 0.75 * np.maximum(y - 26, 0) - x)
    back = _field(np.interp(z, (-110, -40, 30), (8, -8, -36)) + 0.35 * (y + 30) - 0.75 * np.maximum(-30 - y, 0) - x)
    # From the one to the other, which lie up to 20 mm apart in the joint's middle, over 24 mm.
    edge = back + (front - back) * _smooth_step(_field((y + 12) / 24))
    depth = (np.hypot(x - 12, y) * -1 + np.interp(z, (-110, -60, -30), (24, 16, 2))).astype(np.float32)
    top = (z - 36).astype(np.float32)
    return intersection(intersection(inner, np.maximum(edge, depth), 6), top, 8)


def _field(values: npt.ArrayLike) -> Field:
    return np.asarray(values, np.float32)


def _smooth_step(share: Field) -> Field:
    """From 0 to 1 where a share rises from 0 to 1, without a bend at either end."""
    within = np.clip(share, 0, 1)
    return np.asarray(within * within * (3 - 2 * within), np.float32)


def _paint_vessels(canvas: AnatomyCanvas, generator: np.random.Generator) -> None:
    """Axillary vessels and plexus, circumflex and suprascapular vessels, the cephalic vein."""
    bundle = (
        (((-118, 26, 20), (-55, 24, -8), (-16, 12, -130)), 3.4, Tissue.VESSEL),
        (((-118, 30, 12), (-56, 28, -16), (-20, 14, -130)), 4.4, Tissue.VESSEL),
        (((-118, 22, 26), (-52, 19, -2), (-12, 8, -130)), 2.4, Tissue.NERVE),
        (((-118, 20, 20), (-56, 18, -10), (-20, 6, -130)), 2.2, Tissue.NERVE),
        (((-40, 10, -34), (-12, -14, -36), (20, -26, -34)), 1.6, Tissue.VESSEL),
        (((-6, 44, 20), (8, 40, -30), (22, 38, -130)), 1.7, Tissue.VESSEL),
        (((-60, -20, 18), (-46, -30, 12), (-44, -34, -10)), 1.3, Tissue.VESSEL),
    )
    for path, radius, tissue in bundle:
        course = bezier(*path) + generator.uniform(-2.5, 2.5, size=3)
        low, high = course.min(axis=0) - 8, course.max(axis=0) + 8
        region = canvas.region(tuple(low), tuple(high))
        distance, _ = curve(region.points, course, reach=radius + 4)
        region, (distance,) = region.around(distance, level=radius + 0.5)
        room = canvas.is_any(region, Tissue.FAT, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SEPTUM)
        canvas.paint(region, region.covered(distance, radius + 0.5) & room, Tissue.SEPTUM)
        canvas.paint(region, region.covered(distance, radius) & canvas.is_any(region, Tissue.SEPTUM), tissue)


def _paint_chest(canvas: AnatomyCanvas, lung: Field, generator: np.random.Generator) -> None:
    """The chest's wall of ribs and the muscles between them, and the dark lung within."""
    whole = canvas.region((-200, -200, -200), (LUNG[0] + LUNG_RADII[0] + WALL + 2, 200, 60))
    chest = whole.points[0].shape
    region, (lung,) = whole.around(whole.part(lung), level=(WALL + 2) / canvas.scale)
    x, y, z = region.points
    scaled = lung * np.float32(canvas.scale)
    canvas.paint(region, region.covered(scaled, WALL - 1), Tissue.MUSCLE)
    # Ribs fall forward.
    phase = np.mod(z + 0.45 * y + 0.15 * x + generator.uniform(0, RIB_STEP), RIB_STEP) - RIB_STEP / 2
    rib = np.hypot(phase / 1.35, lung - 5.5) - 4.0
    near = region.covered(scaled, WALL + 2)
    for level, tissue in ((1.2, Tissue.FAT), (0.0, Tissue.CORTEX), (-1.1, Tissue.MARROW)):
        canvas.paint(region, near & region.covered(rib.astype(np.float32), level), tissue)
    canvas.paint(region, region.covered(scaled, 1.0), Tissue.SEPTUM)
    # Air, with the little that its vessels give.
    vessels = draw_smooth_field(chest, [max(2, n // 6) for n in chest], generator).part(region.cells_in(whole))
    canvas.paint(region, region.covered(scaled), Tissue.AIR)
    canvas.paint(region, region.below(scaled, -4) & ~region.below(vessels, 2.2), Tissue.VESSEL)
