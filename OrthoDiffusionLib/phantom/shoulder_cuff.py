"""The rotator cuff: bellies in their fossae that go over into tendons, which lie as a hood on the humeral head.

A tendon is a layer over the head's surface, within a window that runs from the glenoid to a facet of a tuberosity. Its
coordinates: the angle in degrees around the head from its medial pole (90 is over its middle), the position across the
tendon in mm, and the depth, 0 at its joint side to 1 at its bursal side. Where the arm is turned, the layer twists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import Joint
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas, Mask, Region
from OrthoDiffusionLib.phantom.cords import COMPLETE
from OrthoDiffusionLib.phantom.distances import Field, Points, intersection, loft, union
from OrthoDiffusionLib.phantom.muscles import FATTY, SEPTUM, STREAK
from OrthoDiffusionLib.phantom.shoulder_bones import in_scapula
from OrthoDiffusionLib.phantom.shoulder_cartilage import rising
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape
from OrthoDiffusionLib.phantom.slabs import slabwise
from OrthoDiffusionLib.phantom.smooth_fields import SmoothField, draw_smooth_field, smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.phantom.upsampling import on_grid

ARC = float(np.degrees(1 / (HEAD + 3.0)))
"""Degrees around the head for a mm of tendon."""


TENDONS = ((-56.0, -42.0, -36.0), (46.0, 46.0, 44.0))
"""Corners (mm, joint frame of the standard shoulder) of what holds the tendons."""


class CuffMuscle(NamedTuple):
    """A muscle of the cuff in the standard shoulder.

    Attributes:
        key: of its structure.
        finding: of its tear.
        facing: direction (y, z) from the head's middle to that of the tendon.
        middle: mm across, of the tendon's middle.
        half: mm, half of the tendon's width and of its footprint's length.
        footprint: degrees around the head at which the footprint begins and ends.
        junction: x at which muscle goes over into tendon, mm.
        thickness: of its tendon over the supraspinatus'.
        belly: rows of x, centre y, centre z, half width along y, half height along z, in the scapula's frame.
        slip: half width and half height of the tendon within the belly, over those of the belly.
    """

    key: str
    finding: str
    facing: tuple[float, float]
    middle: float
    half: float
    footprint: tuple[float, float]
    junction: float
    thickness: float
    belly: tuple[tuple[float, float, float, float, float], ...]
    slip: tuple[float, float]


# Footprints: 23, 29 and 40 mm long (Curtis et al. 2006); the last one's lower third is muscle.
CUFF = (
    CuffMuscle(
        "supraspinatus", "SSP", (0.0, 1.0), -1.5, 11.5, (119, 150), -6, 1.0,
        (
            (-115, -9, 25, 8, 7), (-90, -12, 28, 12, 9), (-65, -13, 30, 13.5, 10), (-45, -10, 29.5, 13.5, 9.5),
            (-28, -5, 29, 13, 7.5), (-12, -1.5, 28.8, 12, 4.5), (0, -1.5, 28.5, 11, 3),
        ),
        (0.4, 0.13),
    ),
    CuffMuscle(
        "infraspinatus", "ISP", (-0.77, 0.64), -1.5, 13.0, (117, 148), -2, 0.85,
        (
            (-115, -8, -30, 9, 44), (-90, -14, -28, 11.5, 43), (-65, -16, -18, 13, 33), (-45, -17, -5, 13, 22),
            (-28, -21, 3, 10, 15), (-14, -23, 9, 6, 12), (-4, -22, 12, 4, 10),
        ),
        (0.12, 0.4),
    ),
    CuffMuscle(
        "subscapularis", "SSC", (1.0, 0.0), -3.5, 18.0, (97, 127), -8, 0.95,
        (
            (-115, 9, -32, 9, 48), (-90, 7, -32, 12, 48), (-65, 9, -20, 14, 40), (-45, 13, -9, 13, 28),
            (-30, 19, -3, 9.5, 20), (-16, 23.5, -2, 5.5, 18), (-4, 26, -3, 4, 16),
        ),
        (0.1, 0.6),
    ),
)  # fmt: skip


class CuffBody(NamedTuple):
    """A muscle of the cuff on the lattice of a region.

    Attributes:
        muscle: which one.
        distance: to its surface, mm of the standard shoulder, negative inside.
        slip: distance to the tendon within its belly.
        lateral: x in the scapula's frame, turned with the arm where the tendon lies, mm.
        angle: around the head, degrees.
        across: the tendon from its middle, mm.
        depth: through the tendon, 0 to 1.
    """

    muscle: CuffMuscle
    distance: Field
    slip: Field
    lateral: Field
    angle: Field
    across: Field
    depth: Field


def cuff_bodies(
    points: Points, shape: ShoulderShape, humerus: Field, floor: Field, findings: Mapping[str, float]
) -> list[CuffBody]:
    """The cuff around a humerus.

    Args:
        points: of a region, in the joint frame.
        shape: of the shoulder.
        humerus: distance to its bone there, mm of the standard shoulder.
        floor: height over the bone at which the tendons begin: cartilage and fluid, mm of the standard shoulder.
        findings: severity of each; a complete tear wastes the muscle.
    """
    at_scapula = in_scapula(points, shape)
    x, y, z = _twisted(at_scapula, shape)
    angle = np.degrees(np.arccos(np.clip(-x / np.maximum(np.sqrt(x * x + y * y + z * z), 1), -1, 1)))
    bodies = []
    for muscle in CUFF:
        wasting = 1 - 0.3 * max(findings[muscle.finding] - COMPLETE, 0.0)
        distance, slip, across, depth = _muscle(
            at_scapula, (x, y, z), angle, humerus, floor, muscle, shape, shape.muscle * wasting
        )
        bodies.append(CuffBody(muscle, distance, slip, x, angle, across, depth))
    return bodies


@slabwise
def _muscle(
    at_scapula: Points,
    twisted: Points,
    angle: Field,
    humerus: Field,
    floor: Field,
    muscle: CuffMuscle,
    shape: ShoulderShape,
    bulk: float,
) -> list[Field]:
    """Distances to a muscle and to the tendon within its belly, position across the tendon and depth in it.

    Args:
        at_scapula: points in the scapula's frame.
        twisted: the same, turned with the arm over the head.
        angle: of the points around the head, degrees.
        humerus: distance to its bone.
        floor: height over the bone at which the tendon begins.
        muscle: which one.
        shape: of the shoulder.
        bulk: scale of the belly's cross-section.
    """
    x, y, z = twisted
    facing_y, facing_z = muscle.facing
    across = (y * facing_z - z * facing_y) * np.float32(-1 if facing_y > 0.5 else 1) - np.float32(muscle.middle)
    begin, end = muscle.footprint
    # Thinner over the footprint, to whose far edge it runs out.
    share = 1 - 0.3 * rising(angle - begin + 14, 24) - 0.4 * rising(angle - end + 16, 16)
    thick = shape.cuff / shape.scale * muscle.thickness * share
    layer = np.maximum(floor - humerus, humerus - floor - thick)
    sides = np.maximum(np.abs(across) - muscle.half, -(y * facing_y + z * facing_z))
    ends = np.maximum((angle - end) / ARC, (-16 - x))
    tendon = intersection(intersection(layer, sides.astype(np.float32), 2), ends.astype(np.float32), 1.5)
    rows = np.array(muscle.belly, float)
    rows[:, 3:] *= np.where(rows[:, :1] < -20, bulk, 1.0)
    permuted = (at_scapula[1], at_scapula[2], at_scapula[0])
    belly = intersection(loft(permuted, rows, 2.2), (at_scapula[0] - rows[-1, 0]).astype(np.float32), 3)
    belly = np.maximum(belly, floor - humerus)
    rows[:, 3:] *= muscle.slip
    inner = np.maximum(loft(permuted, rows), np.maximum(-52 - at_scapula[0], at_scapula[0])).astype(np.float32)
    depth = (humerus - floor) / np.maximum(thick, 0.5)
    return [union(tendon, belly, 4), inner, across, depth.astype(np.float32)]


def _twisted(points: Points, shape: ShoulderShape) -> Points:
    """Points turned with the arm over the head, and with the scapula medial of it."""
    x, y, z = points
    turn = np.radians(shape.rotation) * rising(x + 24, 34)
    cos, sin = np.cos(turn), np.sin(turn)
    return (cos * x - sin * y).astype(np.float32), (sin * x + cos * y).astype(np.float32), z


def paint_cuff(
    canvas: AnatomyCanvas,
    region: Region,
    bodies: Sequence[CuffBody],
    joint: Joint,
    findings: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Paint bellies, tendons and tears into what firm structures leave."""
    soft = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SYNOVIUM, Tissue.SOFT_OEDEMA)
    streaks, fatness = _streaks(region, generator), generator.random() ** 2
    sampled = streaks.part((slice(None, None, 5),) * 3)
    for body in bodies:
        severity = findings[body.muscle.finding]
        label = joint.structure(body.muscle.key).label
        others = np.minimum.reduce([other.distance for other in bodies if other is not body])
        own_part, (depth,) = region.around(np.maximum(body.distance, body.distance - others) * np.float32(canvas.scale))
        inside = own_part.below(depth) & canvas.is_any(own_part, *soft) & ~canvas.labelled(own_part)
        canvas.paint(own_part, inside, None, label)
        # The rest of its outline stays the fat that parts it from its neighbours.
        belly = inside & own_part.covered(depth, -0.5 * SEPTUM)
        canvas.paint(own_part, belly, Tissue.MUSCLE)
        fatty, fat = np.quantile(sampled, [1 - share for share in _fattiness(severity, fatness)])
        box = on_grid(own_part.cells_in(region))
        canvas.paint(own_part, belly & streaks.between(fatty, np.inf, box), Tissue.FATTY_MUSCLE)
        canvas.paint(own_part, belly & streaks.between(fat, np.inf, box), Tissue.FAT)
        near = canvas.region(*TENDONS)
        tendons = _cropped(body, region, near)
        ragged = smooth_field(tendons.lateral.shape, [max(2, n // 7) for n in tendons.lateral.shape], generator)
        fibrous = np.minimum(body.muscle.junction - tendons.lateral + 2.5 * ragged, tendons.slip)
        own = canvas.labelled(near, label)
        tendon = own & near.below(fibrous.astype(np.float32))
        canvas.paint(near, tendon, Tissue.TENDON)
        _paint_tear(canvas, near, tendons, own, tendon, severity, generator)


def _cropped(body: CuffBody, region: Region, part: Region) -> CuffBody:
    """A body on a part of its region."""
    cells = part.cells_in(region)
    return CuffBody(body.muscle, *(field[cells] for field in body[1:]))


def _excess(severity: float) -> float:
    """How far a complete tear is from the least complete one, 0 to 1."""
    return max(severity - COMPLETE, 0.0) / (1 - COMPLETE)


def _fattiness(severity: float, fatness: float) -> tuple[float, float]:
    """Shares of the belly with any fat and of nothing but fat; one torn off turns to it (Goutallier grades 2 to 4).

    Args:
        severity: of the tear, 0 to 1.
        fatness: 0 to 1, of this person's muscles.
    """
    if severity < COMPLETE:
        share = FATTY[0] + (FATTY[1] - FATTY[0]) * fatness
        return share, 0.15 * share
    share = 0.25 + 0.45 * _excess(severity)
    return share, 0.4 * share


def _streaks(region: Region, generator: np.random.Generator) -> SmoothField:
    """A field on the grid that varies slowly along the cuff's fibres and fast across them."""
    fine = [piece.stop - piece.start for piece in region.slices]
    knots = [max(2, round(n * SPACING / length)) for n, length in zip(fine, (30.0, STREAK[0], STREAK[0]), strict=True)]
    return draw_smooth_field(fine, knots, generator)


def _paint_tear(
    canvas: AnatomyCanvas,
    region: Region,
    body: CuffBody,
    inside: Mask,
    tendon: Mask,
    severity: float,
    generator: np.random.Generator,
) -> None:
    """A partial tear thins the tendon at its footprint; a complete one parts it there, and it retracts."""
    place, bursal, waves = generator.uniform(-0.4, 0.4), generator.random() < 0.35, generator.uniform(0, 6)
    if not severity:
        return
    muscle = body.muscle
    across, angle = region.fine(body.across), region.fine(body.angle)
    width = muscle.half * (0.4 + 0.75 * severity)
    off_middle = np.abs(across - place * max(muscle.half - width, 0))
    wavy = angle + 1.5 * ARC * np.sin(across / 2.5 + waves)
    begin, end = muscle.footprint
    if severity < COMPLETE:
        # Joint-sided tears are about twice as common as bursal ones.
        depth = region.fine(body.depth)
        through = 1 - depth if bursal else depth
        zone = tendon & (off_middle < width) & (wavy > begin - (3 + 8 * severity) * ARC)
        share = 0.35 + 0.8 * severity
        canvas.paint(region, zone & (through < share), Tissue.TORN_FIBRES)
        canvas.paint(region, zone & (through < 0.5 * share) & (angle < end - 3 * ARC), Tissue.FLUID, 0)
        return
    edge = end - (14 + 18 * _excess(severity)) * ARC
    canvas.paint(region, tendon & (off_middle < width + 3) & (wavy > edge - 7 * ARC), Tissue.TORN_FIBRES)
    canvas.paint(region, inside & (off_middle < width) & (wavy > edge), Tissue.FLUID, 0)
