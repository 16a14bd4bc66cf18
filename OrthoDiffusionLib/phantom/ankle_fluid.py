"""The fluid of the ankle and of the joints under it: a film in the contacts, a little in the recesses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Field, ellipsoid, two_nearest, union
from OrthoDiffusionLib.phantom.tissues import Tissue

CONTACT = 3.6
"""mm between two bones up to which nothing but joint lies between them: two layers of cartilage and a film."""

SOFT = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.TENDON)


def paint_fluid(canvas: AnatomyCanvas, shape: AnkleShape, bones: Sequence[Field]) -> None:
    """Paint the joints' fluid; bones and cartilage are painted over it later.

    Args:
        canvas: with the soft tissue painted.
        shape: of the ankle.
        bones: distance to each over the whole lattice; tibia and fibula count as one, for a ligament fills their gap.
    """
    region = canvas.everywhere()
    nearest, second = two_nearest(bones)
    contact = region.around(nearest + second - np.float32(CONTACT / canvas.scale))
    deep = (0.4 + shape.fluid) / canvas.scale
    front = ellipsoid(region.points, (0, 18.5, -8), (11, 0.7 * deep + 0.3, 4 + deep))
    behind = ellipsoid(region.points, (1, -20.5, -10), (9, 0.8 * deep + 0.3, 3.5 + deep))
    recess = union(front, behind)
    inner, (between,) = contact
    free = canvas.is_any(inner, *SOFT)
    near, (recess,) = region.around(recess, level=0.7)
    room = canvas.is_any(near, *SOFT)
    canvas.paint(near, near.covered(recess, 0.7) & room, Tissue.SYNOVIUM)
    canvas.paint(near, near.covered(recess) & room, Tissue.FLUID)
    canvas.paint(inner, inner.below(between) & free, Tissue.FLUID)
    _paint_bursa(canvas, shape)


def _paint_bursa(canvas: AnatomyCanvas, shape: AnkleShape) -> None:
    """The retrocalcaneal bursa, a sliver of fluid between Achilles tendon and calcaneus: under 2 mm deep in health."""
    x, y, z = shape.from_foot((1.0, -46.2, -40.5))
    region = canvas.region((x - 12, y - 8, z - 10), (x + 12, y + 8, z + 10))
    body = ellipsoid(region.points, (x, y, z), (4.5, 0.4 + 0.25 * shape.fluid, 2.0 + shape.fluid))
    canvas.paint(region, (region.fine(body) < 0) & canvas.is_any(region, Tissue.FAT, Tissue.SEPTUM), Tissue.FLUID)
