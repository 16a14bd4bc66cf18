"""The cartilage of the ankle and of the joints under it: layers where bones meet, and over the whole talar dome.

The talus is the thickest over the dome's shoulders, the fibula has less than the tibia (Millington et al. 2007).
Joints between two bones without a label have cartilage without a label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.phantom.ankle_bones import medial_wall, over_dome
from OrthoDiffusionLib.phantom.ankle_shape import DOME_CENTRE, AnkleShape
from OrthoDiffusionLib.phantom.body_regions import region_near
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.cartilage_layer import paint_cartilage_layer
from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
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
    foot = shape.in_foot(region.points)
    uneven = 1 + 0.08 * smooth_field(region.points[0].shape, (7, 10, 11), generator)
    mortise = np.minimum(bones["tibia"], bones["fibula"])
    tarsal = np.minimum.reduce([bones["calcaneus"], others[0]])
    facing_mortise = _facing(mortise, shape.ankle_space)
    under = shape.subtalar_cartilage
    layers = [
        (bones["talus"], shape.talar_cartilage * np.maximum(_dome_cover(foot), facing_mortise) * _shoulders(foot)),
        (bones["tibia"], shape.tibial_cartilage * _facing(bones["talus"], shape.ankle_space)),
        (bones["fibula"], FIBULAR * shape.tibial_cartilage * _facing(bones["talus"], shape.ankle_space)),
        (bones["talus"], under * _facing(tarsal, shape.subtalar_space)),
        (bones["calcaneus"], under * _facing(np.minimum(bones["talus"], others[1]), shape.subtalar_space)),
        (others[0], under * _facing(bones["talus"], shape.subtalar_space)),
        (others[1], under * _facing(bones["calcaneus"], shape.subtalar_space)),
    ]
    for field, thickness in layers:
        _paint(canvas, field, (thickness * uneven).astype(np.float32), label)
    for index, field in enumerate(others):
        rest = np.minimum.reduce([other for place, other in enumerate(others) if place != index])
        thickness = under * _facing(rest, shape.subtalar_space)
        _paint(canvas, field, thickness.astype(np.float32), 0)


def _paint(canvas: AnatomyCanvas, bone: Field, thickness: Field, label: int) -> None:
    covered = np.where(thickness > 0.2, bone, 99).astype(np.float32)
    part = region_near(canvas, covered)
    paint_cartilage_layer(canvas, part, part.part(bone), part.part(thickness), label, FREE)


def _facing(other: Field, space: float) -> Field:
    """1 where the bone on the other side is a joint space away, 0 from a millimetre further on."""
    t = np.clip((other - space - 0.3) / 1.0, 0, 1)
    return np.asarray(1 - t * t * (3 - 2 * t), np.float32)


def _dome_cover(foot: Points) -> Field:
    """1 over the dome's top, whether the plafond covers it or not."""
    _, y, z = foot
    angle = np.degrees(np.abs(np.arctan2(y - DOME_CENTRE[1], z - DOME_CENTRE[2])))
    on_top = (over_dome(foot) > -1.0) & (medial_wall(foot) < 0.5)
    return np.asarray(np.clip((DOME_ARC - angle) / 6, 0, 1) * on_top, np.float32)


def _shoulders(foot: Points) -> Field:
    return np.asarray(0.93 + 0.14 * np.clip(np.abs(foot[0]) / 13, 0, 1) ** 2, np.float32)
