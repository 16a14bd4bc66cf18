"""The ligaments of the ankle: the two lateral ones that tear and carry a label, and others that do neither.

Lengths: ATFL 16.3 +- 3 mm in neutral position and 20.8 +- 2.7 in plantar flexion, CFL 28 +- 3 (de Asla et al. 2009, J
Orthop Surg Res 4:7); 14 +- 2.4 and 18.4 +- 3.9 in cadavers (Ahmed et al. 2024, Cureus 16:e53826).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.cords import Cord, CordBody, cord_body, paint_cord
from OrthoDiffusionLib.phantom.distances import Vector, bezier

UNLABELLED = 0


def paint_ligaments(
    canvas: AnatomyCanvas,
    shape: AnkleShape,
    findings: Mapping[str, float],
    label: int,
    generator: np.random.Generator,
) -> None:
    """Paint the ligaments into what bones and cartilage leave free.

    Args:
        canvas: with the bones and cartilage painted.
        shape: of the ankle.
        findings: severity 0 to 1.
        label: of the lateral ligaments.
        generator: where a tear lies.
    """
    for finding, cord in _lateral(shape).items():
        body = _with_even_surroundings(cord_body(canvas, cord, findings[finding], generator))
        paint_cord(canvas, body, label, findings[finding], generator)
    for cord in _others(shape):
        paint_cord(canvas, cord_body(canvas, cord, 0.0, generator), UNLABELLED, 0.0, generator)


def _with_even_surroundings(body: CordBody) -> CordBody:
    """A flat band's distance grows too slowly over its edges: outside, the true one to its surface takes its place."""
    outside = body.distance > 0
    true = ndimage.distance_transform_edt(outside, sampling=SPACING) - 0.5 * SPACING
    return body._replace(distance=np.where(outside, true, body.distance).astype(np.float32))


def _lateral(shape: AnkleShape) -> dict[str, Cord]:
    half = 0.5 * shape.ligament_thickness
    atfl, cfl = (width / shape.ligament_thickness for width in (shape.atfl_width, shape.cfl_width))
    neck, wall = shape.from_foot((16.0, 18.5, -20.5)), shape.from_foot((15.0, -14.0, -48.0))
    return {
        # From the talus before its lateral facet to the malleolus' front, 13 mm over the tip.
        "ATFL": Cord(
            bezier(neck, _between(neck, (25.0, 2.0, -14.5), (1.2, 0.6, 0)), (25.0, 2.0, -14.5), 8),
            half / shape.scale,
            (1.0, 1.0, atfl),
            (2.5, 2.0, -2.0),
        ),
        # From the calcaneus' lateral wall, under the peroneal tendons, to the front of the malleolus' tip.
        "CFL": Cord(
            bezier(wall, _between(wall, (23.5, -4.5, -24.5), (1.0, 0, 0)), (23.5, -4.5, -24.5), 8),
            half / shape.scale,
            (1.0, cfl, 1.0),
            (3.0, -1.5, 0.0),
        ),
    }


def _others(shape: AnkleShape) -> list[Cord]:
    def straight(start: Vector, end: Vector, radius: float, stretch: Vector = (1.0, 1.0, 1.0)) -> Cord:
        return Cord(bezier(start, _between(start, end, (0, 0, 0)), end, 4), radius, stretch)

    foot = shape.from_foot
    return [
        # Syndesmosis: in front, behind, and between.
        straight((22, 3, -6), (13, 16, 5), 1.2, (1, 1, 4)),
        straight((21, -15, -6), (8, -17, 6), 1.4, (1, 1, 5)),
        straight((20, -6, 14), (14, -5, 22), 1.6, (1, 3, 3)),
        # Posterior talofibular ligament.
        straight(foot((2, -19, -24)), (21, -12, -19), 1.6, (1, 1, 1.8)),
        # Deltoid: deep to the talus, superficial to sustentaculum and navicular.
        straight(foot((-13, -5, -24)), (-22, -3, -14), 2.4, (1, 1.8, 1)),
        straight(foot((-21, 6, -40)), (-25, 3, -13), 1.1, (1, 4, 1)),
        straight(foot((-22, 28, -28)), (-25, 9, -12), 1.1, (1, 1, 4)),
        # Sinus tarsi: cervical and interosseous; spring ligament; calcaneocuboid.
        straight(foot((9, 14, -43)), foot((3, 16, -32)), 1.6),
        straight(foot((-2, 6, -45)), foot((-2, 4, -33)), 1.5, (2.4, 1, 1)),
        straight(foot((-19, 12, -42)), foot((-22, 32, -36)), 1.6, (1, 1, 2)),
        straight(foot((5, 14, -66)), foot((8, 44, -65)), 1.8, (3, 1, 1)),
    ]


def _between(start: Vector, end: Vector, bulge: Vector) -> Vector:
    x, y, z = (0.5 * (a + b) + c for a, b, c in zip(start, end, bulge, strict=True))
    return x, y, z
