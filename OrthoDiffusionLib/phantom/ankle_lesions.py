"""Lesions of the talar dome, and bruises of the marrow that are none.

Osteochondral lesions lie at the medial shoulder in 62 of 100 and at the lateral in 34, in the middle third of the dome
most of all; the medial ones are larger and deeper (Elias, Raikin et al. 2007, Foot Ankle Int 28:154). Area 0.2 to 3.8
cm2, 1.4 on average (Orthop J Sports Med 2020, 8).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.ankle_shape import DOME_CENTRE, DOME_RADIUS, AnkleShape
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Mask, Region
from OrthoDiffusionLib.phantom.distances import Field, Points, Vector, ellipsoid
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field
from OrthoDiffusionLib.phantom.tissues import Tissue

MEDIAL = 0.64
"""Share of the lesions that lie at the medial shoulder; the others lie at the lateral one."""

BRUISED = 0.4
"""Share of ligament injuries fresh enough to show a bruise."""

INCIDENTAL = 0.12
"""Share of ankles with a bruise of another cause."""

# Where the bones meet when the ankle turns over, and where they are loaded, in the foot's frame: medial talus, lateral
# process, calcaneus' front, tuberosity.
BRUISES: tuple[Vector, ...] = (
    (-10.0, 2.0, -18.0),
    (14.0, 2.0, -24.0),
    (6.0, 22.0, -50.0),
    (2.0, -36.0, -54.0),
)


class Lesion(NamedTuple):
    """An osteochondral lesion: place on the dome in the foot's frame and radii (across, along, deep), mm."""

    centre: Vector
    radii: Vector


def draw_lesion(severity: float, generator: np.random.Generator) -> Lesion:
    """A lesion of this severity at a shoulder of the dome."""
    medial = generator.random() < MEDIAL
    angle = np.radians(generator.normal(-3 if medial else 5, 9))
    x = -11.0 if medial else 11.5
    centre = (x, float(DOME_RADIUS * np.sin(angle)), float(DOME_CENTRE[2] + DOME_RADIUS * np.cos(angle)))
    size = generator.uniform(0.9, 1.15)
    # Medial lesions are cups, lateral ones wafers.
    deep = (1.2 + 5.0 * severity) * (1.0 if medial else 0.7)
    return Lesion(centre, (size * (2.6 + 3.2 * severity), size * (3.6 + 4.4 * severity), deep))


def paint_dome_lesion(
    canvas: AnatomyCanvas,
    shape: AnkleShape,
    severity: float,
    talus: Field,
    label: int,
    generator: np.random.Generator,
) -> None:
    """Paint a crater through cartilage and subchondral bone, cysts under it, and the marrow's oedema around.

    Args:
        canvas: with bones and cartilage painted.
        shape: of the ankle.
        severity: 0 to 1; 0 paints nothing.
        talus: distance to it over the whole lattice.
        label: of the talus.
        generator: where it lies, and its outline.
    """
    if not severity:
        return
    lesion = draw_lesion(severity, generator)
    cysts = generator.normal(0, 1, size=(3, 3))
    wet = generator.random()
    x, y, z = shape.from_foot(lesion.centre)
    region = canvas.region((x - 26, y - 26, z - 26), (x + 26, y + 26, z + 16))
    ragged = smooth_field(region.points[0].shape, (7, 7, 7), generator)
    foot = shape.in_foot(region.points)
    across, along, deep = lesion.radii
    over = region.fine(region.part(talus) * canvas.scale)
    of_talus = canvas.labelled(region, label)
    bed = (lesion.centre[0] * 0.8, lesion.centre[1], lesion.centre[2] - 0.5 * deep)
    spread = 4.0 + 5.0 * severity
    around = ellipsoid(foot, bed, (across + spread, along + spread, deep + spread)) + 1.8 * ragged
    marrow = canvas.is_any(region, Tissue.MARROW, Tissue.RED_MARROW)
    canvas.paint(region, of_talus & marrow & (region.fine(around.astype(np.float32)) < 0), Tissue.OEDEMA)
    crater = region.fine((ellipsoid(foot, lesion.centre, lesion.radii) + 0.35 * ragged).astype(np.float32))
    footprint = ellipsoid(foot, lesion.centre, (across, along, deep + 3.0)) + 0.35 * ragged
    # The opposite layer stays: only what lies next to the talus is lost.
    cover = canvas.is_any(region, Tissue.CARTILAGE) & (over > 0) & (over < shape.talar_cartilage + 0.15)
    canvas.paint(region, cover & (region.fine(footprint.astype(np.float32)) < 0), Tissue.FLUID, 0)
    if severity > 0.5:
        # A worn rim of dense bone.
        canvas.paint(region, of_talus & (crater < 0.9), Tissue.CORTEX)
    filling = Tissue.FLUID if wet < 0.6 else Tissue.TORN_FIBRES
    canvas.paint(region, of_talus & (crater < 0), filling, 0)
    if severity > 0.6:
        _paint_cysts(canvas, region, foot, bed, deep, cysts, of_talus & (crater > 0.9))


def _paint_cysts(
    canvas: AnatomyCanvas,
    region: Region,
    foot: Points,
    bed: Vector,
    deep: float,
    cysts: npt.NDArray[np.float64],
    room: Mask,
) -> None:
    """Cysts in the bone under the crater; they lie within the talus and keep its label."""
    for dx, dy, size in cysts:
        centre = (bed[0] + 2.0 * dx, bed[1] + 2.5 * dy, bed[2] - 0.5 * deep - 2.0)
        radius = 1.0 + 0.6 * abs(size)
        body = region.fine(ellipsoid(foot, centre, (radius, radius, radius)))
        canvas.paint(region, room & (body < 0.6), Tissue.CORTEX)
        canvas.paint(region, room & (body < 0), Tissue.FLUID)


def paint_bruises(canvas: AnatomyCanvas, shape: AnkleShape, sprain: float, generator: np.random.Generator) -> None:
    """Paint marrow oedema with whole cartilage over it; `sprain` is the severity of the lateral ligaments' injury."""
    fresh, other = generator.random(), generator.random()
    place = generator.permutation(len(BRUISES))
    size = generator.uniform(4.5, 8.5, size=2)
    spots: list[tuple[Vector, float]] = []
    if sprain and fresh < BRUISED:
        spots.append((BRUISES[place[0]], size[0] * (0.8 + 0.4 * sprain)))
    if other < INCIDENTAL:
        spots.append((BRUISES[place[1]], size[1]))
    for centre, radius in spots:
        x, y, z = shape.from_foot(centre)
        reach = radius + 6
        region = canvas.region((x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach))
        body = ellipsoid(region.points, (x, y, z), (radius, radius, radius))
        body = body + 0.25 * radius * smooth_field(body.shape, (5, 5, 5), generator)
        marrow = canvas.is_any(region, Tissue.MARROW, Tissue.RED_MARROW)
        canvas.paint(region, marrow & (region.fine(body.astype(np.float32)) < 0), Tissue.OEDEMA)
