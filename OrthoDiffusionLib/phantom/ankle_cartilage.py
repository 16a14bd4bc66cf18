"""The cartilage of the ankle and of the joints under it: layers where bones meet, and over the whole talar dome.

The talus is the thickest over the dome's shoulders, the fibula has less than the tibia (Millington et al. 2007).
Joints between two bones without a label have cartilage without a label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.phantom.ankle_bones import medial_wall, over_dome
from OrthoDiffusionLib.phantom.ankle_shape import DOME_CENTRE, AnkleShape
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.cartilage_layer import BESIDE, paint_cartilage_layer
from OrthoDiffusionLib.phantom.distances import Field, Points, two_nearest
from OrthoDiffusionLib.phantom.slabs import slabwise
from OrthoDiffusionLib.phantom.smooth_fields import SmoothField, draw_smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

FIBULAR = 0.75
"""Fibular over tibial thickness: 0.85 over 1.16 mm (Millington et al. 2007)."""

DOME_ARC = 54.0
"""Degrees before and behind the top to which the dome has cartilage: an arc of some 105 to 110 degrees."""

FREE = (Tissue.FAT, Tissue.FLUID, Tissue.SYNOVIUM, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.TENDON)


def paint_cartilage(
    canvas: AnatomyCanvas,
    shape: AnkleShape,
    bones: Mapping[str, Field],
    others: list[Field],
    label: int,
    generator: np.random.Generator,
) -> None:
    """Paint every layer.

    Args:
        canvas: with the bones painted.
        shape: of the ankle.
        bones: distance over the whole lattice to tibia, fibula, talus and calcaneus.
        others: to the foot's other bones; navicular and cuboid come first.
        label: of cartilage.
        generator: draws how uneven the layers are.
    """
    region = canvas.everywhere()
    uneven = draw_smooth_field(region.points[0].shape, (7, 10, 11), generator)
    mortise = np.minimum(bones["tibia"], bones["fibula"])
    tarsal = np.minimum.reduce([bones["calcaneus"], others[0]])
    over, under = shape.tibial_cartilage, shape.subtalar_cartilage
    layers = [
        (bones["tibia"], bones["talus"], shape.ankle_space, over),
        (bones["fibula"], bones["talus"], shape.ankle_space, FIBULAR * over),
        (bones["talus"], tarsal, shape.subtalar_space, under),
        (bones["calcaneus"], np.minimum(bones["talus"], others[1]), shape.subtalar_space, under),
        (others[0], bones["talus"], shape.subtalar_space, under),
        (others[1], bones["calcaneus"], shape.subtalar_space, under),
    ]
    near, (bone, other) = region.around(bones["talus"], mortise, level=BESIDE)
    foot = shape.in_foot(near.points)
    cover = np.maximum(_dome_cover(foot), _facing(other, shape.ankle_space)) * _shoulders(foot)
    _paint(canvas, near, bone, shape.talar_cartilage * cover * _even(uneven, near), label)
    for field, facing, space, thick in layers:
        near, (bone, other) = region.around(field, facing, level=BESIDE)
        _paint(canvas, near, bone, thick * _facing(other, space) * _even(uneven, near), label)
    nearest, second = two_nearest(others)
    for field in others:
        near, (bone, first, next_) = region.around(field, nearest, second, level=BESIDE)
        rest = np.where(bone > first, first, next_)
        _paint(canvas, near, bone, under * _facing(rest, shape.subtalar_space), 0)


def _even(uneven: SmoothField, near: Region) -> Field:
    """How the thickness varies in a region, around 1."""
    return np.float32(1) + np.float32(0.08) * uneven.part(near.cells)


def _paint(canvas: AnatomyCanvas, region: Region, bone: Field, thickness: Field, label: int) -> None:
    covered = np.where(thickness > 0.2, bone, np.float32(99))
    near, (covered, bone, thickness) = region.around(covered, bone, thickness, level=3)
    paint_cartilage_layer(canvas, near, bone, thickness.astype(np.float32), label, FREE)


@slabwise
def _facing(other: Field, space: float) -> Field:
    """1 where the bone on the other side is a joint space away, 0 from a millimetre further on."""
    t = np.clip((other - space - 0.3) / 1.0, 0, 1)
    return np.asarray(1 - t * t * (3 - 2 * t), np.float32)


@slabwise
def _dome_cover(foot: Points) -> Field:
    """1 over the dome's top, whether the plafond covers it or not."""
    _, y, z = foot
    angle = np.degrees(np.abs(np.arctan2(y - DOME_CENTRE[1], z - DOME_CENTRE[2])))
    on_top = (over_dome(foot) > -1.0) & (medial_wall(foot) < 0.5)
    return np.asarray(np.clip((DOME_ARC - angle) / 6, 0, 1) * on_top, np.float32)


def _shoulders(foot: Points) -> Field:
    return np.asarray(0.93 + 0.14 * np.clip(np.abs(foot[0]) / 13, 0, 1) ** 2, np.float32)
