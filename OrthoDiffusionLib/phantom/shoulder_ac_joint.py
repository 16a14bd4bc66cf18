"""The acromioclavicular joint: its disc and capsule, and what wear makes of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom import shoulder_bones as bones
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Field, Points, capsule, difference, ellipsoid, union
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape
from OrthoDiffusionLib.phantom.slabs import slabwise
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue


def place(shape: ShoulderShape) -> npt.NDArray[np.float64]:
    """The joint's middle in the joint frame of the standard shoulder, mm."""
    height = HEAD + shape.acromiohumeral / shape.scale + bones.ACROMION_RADII[2]
    edge = -bones.ACROMION_RADII[0] + 2.5 - 0.5 * shape.ac_gap / shape.scale
    return bones.from_scapula(np.array([(edge, -1.0, height)]), shape)[0]


@slabwise
def with_osteophytes(bone: Field, other: Field, points: Points, shape: ShoulderShape, side: int) -> Field:
    """A bone with ridges above and below the joint, which leave the other bone free.

    Args:
        bone: distance to it.
        other: distance to the other one.
        points: of both, in the joint frame.
        shape: whose `osteophytes` is their size.
        side: 1 for the acromion's, -1 for the clavicle's.
    """
    if not shape.osteophytes:
        return bone
    x, y, z = place(shape)
    size = shape.osteophytes / shape.scale
    for up, reach in ((1, 4.6), (-1, 5.0)):
        low = (x + side * 3.4, y - 4, z + up * reach)
        ridge = capsule(points, low, (low[0] + side, y + 4, low[2] - 0.5 * up), 0.8 + 0.75 * size)
        bone = union(bone, difference(ridge, other - np.float32(0.9)), 2)
    return bone


def paint_ac_joint(
    canvas: AnatomyCanvas,
    shape: ShoulderShape,
    acromion: Field,
    clavicle: Field,
    severity: float,
    generator: np.random.Generator,
) -> None:
    """Paint disc and capsule; with disease fluid in a bulging joint, and oedema in both ends.

    Args:
        canvas: with the bones painted.
        shape: of the shoulder.
        acromion: distance to the scapula over the whole lattice, mm of the standard shoulder.
        clavicle: the same to the clavicle.
        severity: 0 to 1.
        generator: draws the oedema's outline.
    """
    x, y, z = place(shape)
    region = canvas.region((x - 24, y - 24, z - 22), (x + 24, y + 24, z + 22))
    gap = shape.ac_gap / shape.scale
    one, two = region.part(acromion), region.part(clavicle)
    near = ellipsoid(region.points, (x, y, z), (6, 10, 6))
    space = np.maximum(one + two - (gap + 1.6), near)
    soft = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SKIN)
    room = canvas.is_any(region, *soft) & ~canvas.labelled(region)
    capsule_of = np.maximum(np.maximum(one, two) - (gap + 2.2), near - 1.0)
    canvas.paint(region, room & (region.fine(capsule_of) < 0), Tissue.LIGAMENT)
    canvas.paint(region, room & (region.fine(space) < 0), Tissue.MENISCUS)
    ragged = smooth_field(near.shape, (5, 5, 5), generator)
    if not severity:
        return
    bulge = ellipsoid(region.points, (x - 1, y, z + 5.0 + severity), (4 + 4 * severity, 9, 1.5 + 2.5 * severity))
    below = ellipsoid(region.points, (x, y, z - 5.0), (3 + 2 * severity, 7, 0.8 + 1.6 * severity))
    fluid = np.minimum(np.minimum(bulge, below), space + 1.6 - 1.4 * severity)
    canvas.paint(region, room & (region.fine(np.minimum(bulge, below)) < 1.0), Tissue.SYNOVIUM)
    canvas.paint(region, room & (region.fine(fluid.astype(np.float32)) < 0), Tissue.FLUID)
    radius = 8.0 + 7.0 * severity
    oedema = ellipsoid(region.points, (x, y, z), (radius, radius, radius)) + 0.25 * radius * ragged
    marrow = canvas.is_any(region, Tissue.MARROW, Tissue.RED_MARROW)
    canvas.paint(region, marrow & (region.fine(oedema.astype(np.float32)) < 0), Tissue.OEDEMA)
