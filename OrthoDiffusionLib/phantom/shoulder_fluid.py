"""The shoulder's joint fluid and its bursa: physiological films, or effusions."""

from __future__ import annotations

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field, Points, difference, ellipsoid, union
from OrthoDiffusionLib.phantom.shoulder_bones import in_scapula
from OrthoDiffusionLib.phantom.shoulder_cartilage import rising
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape
from OrthoDiffusionLib.phantom.tissues import Tissue

SOFT = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SYNOVIUM)


def film(effusion: float) -> float:
    """mm of fluid between the head's cartilage and the cuff."""
    return 0.35 + 1.1 * effusion


def paint_joint_fluid(
    canvas: AnatomyCanvas, shape: ShoulderShape, effusion: float, humerus: Field, floor: Field, region: Region
) -> None:
    """Paint the fluid around the head and in the recesses.

    Args:
        canvas: with bones and cartilage painted.
        shape: of the shoulder.
        effusion: severity, 0 to 1.
        humerus: distance to it, mm of the standard shoulder.
        floor: height over the bone that cartilage and fluid take, mm of the standard shoulder.
        region: of both.
    """
    points = in_scapula(region.points, shape)
    room = canvas.is_any(region, *SOFT) & ~canvas.labelled(region)
    around = ellipsoid(points, (-4, 0, 0), (31, 32, 31))
    layer = np.maximum(around, humerus - floor)
    canvas.paint(region, room & region.covered(layer.astype(np.float32)), Tissue.FLUID)
    size = canvas.scale
    hang = (shape.fluid if not effusion else 4.0 + 11.0 * effusion) / size
    recesses = ellipsoid(points, (-16, -1, -21 - 0.5 * hang), (9 + 3 * effusion, 12 + 6 * effusion, 1.5 + 0.6 * hang))
    if effusion:
        behind = ellipsoid(points, (-17, -20, -7), (5 + 2 * effusion, 2 + 5 * effusion, 11 + 4 * effusion))
        before = ellipsoid(points, (-22, 17, 13), (8 + 4 * effusion, 2 + 5 * effusion, 3 + 5 * effusion))
        recesses = union(union(recesses, behind, 3), before, 3)
    away = ~region.below(humerus) & room
    canvas.paint(region, away & region.covered(recesses, 0.9 + 0.5 * effusion), Tissue.SYNOVIUM)
    canvas.paint(region, away & region.covered(recesses), Tissue.FLUID)


def paint_capsule(canvas: AnatomyCanvas, humerus: Field, region: Region) -> None:
    """The capsule and the coracohumeral ligament: a dark sheet over the head where no tendon covers it."""
    near = ellipsoid(region.points, (-2, 0, -2), (34, 34, 33))
    sheet = np.maximum(np.abs(humerus - 6.0) - 0.7, near)
    region, (sheet,) = region.around(sheet)
    inside = region.covered(sheet) & canvas.is_any(region, Tissue.FAT) & ~canvas.labelled(region)
    canvas.paint(region, inside, Tissue.LIGAMENT)


def paint_bursa(canvas: AnatomyCanvas, severity: float, covered: Field, points: Points, region: Region) -> None:
    """The subacromial-subdeltoid bursa: fluid over the cuff, under acromion and deltoid.

    Args:
        canvas: with the cuff painted.
        severity: 0 to 1.
        covered: distance to humerus and cuff, mm of the standard shoulder.
        points: of the region in the humerus' frame.
        region: of both.
    """
    if not severity:
        return
    reach = ellipsoid(points, (9, -3, 8), (27 + 4 * severity, 24 + 5 * severity, 27 + 8 * severity))
    notch = ellipsoid(points, (-30, 0, 0), (HEAD, 60, 60))
    thinning = rising(-difference(reach, notch), 5.0)
    thick = (1.2 + 3.6 * severity) * thinning
    fine = region.fine(covered * canvas.scale)
    room = canvas.is_any(region, *SOFT, Tissue.LIGAMENT) & ~canvas.labelled(region)
    layer = room & (fine > 0) & (region.fine(thinning) > 0.1)
    depth = region.fine(thick.astype(np.float32))
    canvas.paint(region, layer & (fine < depth + 0.8), Tissue.SYNOVIUM)
    canvas.paint(region, layer & (fine < depth), Tissue.FLUID)
