"""Tendons, vessels and nerves around the ankle that carry no label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.phantom.ankle_courses import course
from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Vector, curve
from OrthoDiffusionLib.phantom.tissues import Tissue


class Strand(NamedTuple):
    """A cord's points in the leg's and then in the foot's frame, its half thickness (mm) and how it is flattened."""

    leg: tuple[Vector, ...]
    foot: tuple[Vector, ...]
    radius: float
    stretch: Vector = (1.0, 1.0, 1.0)


# Half thickness as in anatomy texts: tibialis posterior twice as thick as the flexors beside it.
TENDONS: Mapping[str, Strand] = {
    "tibialis anterior": Strand(
        ((4, 15, 130), (-4, 18, 60), (-10, 22, 20), (-13, 24, 0)), ((-20, 31, -14), (-27, 48, -27), (-29, 60, -42)), 2.6
    ),
    "extensor hallucis longus": Strand(
        ((8, 15, 130), (3, 18, 50), (-2, 23, 10)), ((-7, 31, -11), (-16, 60, -21), (-24, 130, -53)), 1.7
    ),
    "extensor digitorum longus": Strand(
        ((14, 14, 130), (11, 19, 40), (8, 23, 5)), ((8, 30, -14), (8, 60, -25), (9, 130, -56)), 1.6, (2.4, 1, 1)
    ),
    "tibialis posterior": Strand(
        ((-10, -19, 130), (-17, -18, 40), (-23, -14, 8)), ((-26, -8, -18), (-27, 12, -31), (-27, 32, -37)), 2.8
    ),
    "flexor digitorum longus": Strand(
        ((-10, -22, 130), (-17, -22, 35), (-22, -19, 5)),
        ((-25, -11, -28), (-25, 8, -44), (-14, 38, -62), (-4, 130, -77)),
        1.8,
    ),
    "flexor hallucis longus": Strand(
        ((6, -27, 60), (1, -27, 15), (-3, -26, -8)),
        ((-6, -23, -28), (-14, -6, -47), (-15, 20, -53), (-22, 60, -68), (-26, 130, -80)),
        2.2,
    ),
    "peroneus longus": Strand(
        ((33, -15, 130), (29, -20, 40), (27, -21, 0)),
        ((25, -19, -22), (23, -9, -40), (22, 8, -57), (20, 30, -66), (4, 46, -68), (-14, 58, -60)),
        2.2,
        (1, 1.3, 1),
    ),
    "peroneus brevis": Strand(
        ((31, -12, 130), (27, -17, 40), (26, -17.5, 0)),
        ((25, -15, -22), (22, -4, -37), (23, 14, -49), (25, 42, -57), (29, 62, -60)),
        1.9,
        (1, 1.4, 1),
    ),
    "plantar aponeurosis": Strand(
        (), ((-4, -38, -73.5), (-4, -10, -80), (-3, 40, -82), (-2, 130, -86)), 1.4, (7.0, 1, 1)
    ),
}

VESSELS: Mapping[str, tuple[Strand, Tissue]] = {
    "posterior tibial artery": (
        Strand(((-4, -30, 130), (-14, -27, 30), (-20, -23, 0)), ((-23, -17, -32), (-20, 2, -55), (-14, 40, -67)), 1.4),
        Tissue.VESSEL,
    ),
    "posterior tibial vein": (
        Strand(((-8, -32, 130), (-17, -28, 30), (-22, -25, 0)), ((-25, -19, -32), (-22, 0, -55), (-17, 40, -66)), 1.7),
        Tissue.VESSEL,
    ),
    "tibial nerve": (
        Strand(((0, -32, 130), (-10, -29, 30), (-16, -26, 0)), ((-21, -21, -32), (-18, -3, -56), (-11, 40, -68)), 1.9),
        Tissue.NERVE,
    ),
    "anterior tibial vessels": (
        Strand(((6, 6, 130), (5, 15, 40), (3, 20, 5)), ((2, 29, -13), (-5, 60, -22), (-8, 130, -55)), 1.3),
        Tissue.VESSEL,
    ),
    "great saphenous vein": (
        Strand(((-33, -6, 130), (-28, 4, 50), (-29, 14, 10)), ((-30, 26, -18), (-26, 60, -24)), 1.6),
        Tissue.VESSEL,
    ),
    "small saphenous vein": (
        Strand(((6, -60, 130), (16, -45, 60), (26, -30, 10)), ((30, -22, -22), (32, 6, -42), (31, 50, -50)), 1.4),
        Tissue.VESSEL,
    ),
    "peroneal vessels": (Strand(((14, -14, 130), (15, -16, 50), (17, -20, 5)), ((18, -24, -24),), 1.1), Tissue.VESSEL),
}

WANDER = 1.2
"""mm, standard deviation of a vessel's place from one person to the next."""


def paint_tendons(canvas: AnatomyCanvas, shape: AnkleShape, generator: np.random.Generator) -> None:
    """Paint tendons in their fat, then vessels and nerves; bones are painted over them later."""
    for strand in TENDONS.values():
        size = generator.uniform(0.85, 1.15)
        _paint_strand(canvas, shape, strand._replace(radius=strand.radius * size), Tissue.TENDON, (0.0, 0.0, 0.0))
    for strand, tissue in VESSELS.values():
        x, y, z = generator.normal(0, WANDER, size=3)
        size = generator.uniform(0.75, 1.3)
        _paint_strand(canvas, shape, strand._replace(radius=strand.radius * size), tissue, (x, y, z))


def _paint_strand(canvas: AnatomyCanvas, shape: AnkleShape, strand: Strand, tissue: Tissue, shift: Vector) -> None:
    path = course(shape, strand.leg, strand.foot) + np.array(shift)
    margin = 5 + strand.radius * max(strand.stretch)
    region = canvas.region(tuple(path.min(axis=0) - margin), tuple(path.max(axis=0) + margin))
    distance, _ = curve(region.points, path, strand.stretch, reach=strand.radius + 4)
    region, (surface,) = region.around((distance - np.float32(strand.radius)) * np.float32(canvas.scale), level=0.8)
    inside_skin = ~canvas.is_any(region, Tissue.AIR, Tissue.SKIN)
    # A sheath parts a tendon from the muscle beside it.
    sheath = region.covered(surface, 0.8) & canvas.is_any(region, Tissue.MUSCLE, Tissue.FATTY_MUSCLE)
    canvas.paint(region, sheath, Tissue.SEPTUM if tissue is Tissue.TENDON else Tissue.FAT)
    free = inside_skin & ~canvas.is_any(region, Tissue.TENDON) if tissue is not Tissue.TENDON else inside_skin
    canvas.paint(region, region.covered(surface) & free, tissue)
