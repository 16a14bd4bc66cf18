"""The menisci: two C-shaped wedges that fill the space between condyles and plateaus, whole or torn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import Joint
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.coverage import Coverage
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.knee_bones import plateau
from OrthoDiffusionLib.phantom.knee_parameniscal import Rim, paint_parameniscal_oedema
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.oedema import ON_LATTICE
from OrthoDiffusionLib.phantom.tissues import Tissue

ROOM = (Tissue.FLUID, Tissue.FAT, Tissue.SYNOVIUM, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE)

DEGENERATION_RATE = 0.3
"""Share of whole menisci with signal inside that does not reach the surface: no tear, and the usual look-alike."""


class Ring(NamedTuple):
    """A meniscus seen from above in the standard knee: its side, its outer outline and the angle that it leaves open.

    Medial menisci are 40 to 46 mm long and open towards the middle, lateral ones 32 to 36 mm and nearly closed.
    """

    key: str
    side: int
    centre: tuple[float, float]
    radii: tuple[float, float]
    opening: float


RINGS = {
    "MM": Ring("medial_meniscus", -1, (17.0, -1.5), (22.0, 23.5), 52.0),
    "LM": Ring("lateral_meniscus", 1, (20.0, -1.5), (18.8, 19.0), 32.0),
}


class _Wedge(NamedTuple):
    """Where a point of the grid lies in a meniscus: 0 at the free edge to 1 at the rim; 0 below to 1 on top; angle."""

    region: Region
    body: Coverage
    rise: Field
    level: Field
    angle: Field


def paint_menisci(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    joint: Joint,
    findings: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Paint both menisci; a torn one is cleft by fluid that reaches its surface, and pushed out of the joint."""
    for finding, ring in RINGS.items():
        wedge = _wedge(canvas, shape, ring, findings[finding])
        canvas.paint(wedge.region, wedge.body, Tissue.MENISCUS, joint.structure(ring.key).label)
        draws = generator.uniform(size=5)
        # A stream of its own: what it draws leaves the tears as they were.
        (beside,) = generator.spawn(1)
        rise, level, angle = (field[ON_LATTICE] for field in (wedge.rise, wedge.level, wedge.angle))
        rim = Rim(wedge.region, rise, level, angle)
        paint_parameniscal_oedema(canvas, rim, findings[finding], _middle_of_tear(draws), beside)
        if findings[finding]:
            _tear(canvas, wedge, findings[finding], draws)
        elif draws[0] < DEGENERATION_RATE:
            inside = (np.abs(wedge.level - 0.5) < 0.2) & (wedge.rise > 0.4) & (wedge.rise < 0.9)
            canvas.paint(wedge.region, wedge.body & inside & (wedge.angle < -25), Tissue.DEGENERATE)


def _wedge(canvas: AnatomyCanvas, shape: KneeShape, ring: Ring, severity: float) -> _Wedge:
    region = canvas.region(
        (-48.0, -34.0, -12.0) if ring.side < 0 else (-2.0, -30.0, -12.0),
        (2.0, 30.0, 16.0) if ring.side < 0 else (48.0, 26.0, 16.0),
    )
    x, y, z = region.points
    (cx, cy), (rx, ry) = ring.centre, ring.radii
    # A torn meniscus is extruded, by 3 mm and more when the tear is large.
    outward = ring.side * x - cx - 3.2 * severity**1.5 / shape.scale
    forward = y - cy
    radius = np.sqrt((outward / rx) ** 2 + (forward / ry) ** 2)
    body_width = shape.medial_meniscus_width if ring.side < 0 else shape.lateral_meniscus_width
    angle = np.degrees(np.arctan2(forward / ry, outward / rx))
    # The medial posterior horn is wider than the body; the anterior one narrower.
    wider = 1 + (0.22 * np.clip(-angle / 90, -1, 1) if ring.side < 0 else 0.0)
    width = body_width * wider / (0.5 * (rx + ry)) / shape.scale
    rise = 1 - (1 - radius) / width
    above = (z - plateau(x, y, shape)) * shape.scale - 0.9 * shape.tibial_cartilage
    height = 0.8 + (shape.meniscus_height - 0.8) * np.clip(rise, 0, 1)
    level = above / height
    open_part = np.abs(angle) - (180 - ring.opening)
    fine = region.fine
    fine_rise, fine_level = fine(rise.astype(np.float32)), fine(level.astype(np.float32))
    # mm outside the free edge, the rim and the top.
    from_edge, from_rim = -rise * body_width * wider, (rise - 1) * body_width * wider
    sides = (field.astype(np.float32) for field in (from_edge, from_rim, above - height))
    edge, rim, top = (region.covered(field) for field in sides)
    body = edge & rim & top & ~region.below(above.astype(np.float32), -1.5)
    # The angle jumps behind the ring's middle, where the opening is; interpolating it there does no harm.
    body &= region.below(open_part.astype(np.float32)) & canvas.is_any(region, *ROOM)
    return _Wedge(region, body, fine_rise, fine_level, fine(angle.astype(np.float32)))


def _middle_of_tear(draws: np.ndarray) -> float:
    """Angle in degrees of a tear's middle: mostly in the posterior horn."""
    kind, place = (float(draw) for draw in draws[:2])
    return -65.0 + 50.0 * place if kind < 0.85 else 20.0 + 60.0 * place


def _tear(canvas: AnatomyCanvas, wedge: _Wedge, severity: float, draws: np.ndarray) -> None:
    """A horizontal, vertical, radial or complex tear, mostly of the posterior horn, wider with its severity."""
    slant, spread, look = (float(draw) for draw in draws[2:])
    centre = _middle_of_tear(draws)
    extent = (16.0 + 34.0 * severity) * (0.7 + 0.6 * spread)
    there = wedge.body & (np.abs(wedge.angle - centre) < extent)
    width = 0.1 + 0.16 * severity
    masks = {
        "horizontal": there & (np.abs(wedge.level - (0.35 + 0.3 * slant) - 0.25 * (wedge.rise - 0.5)) < width),
        "vertical": there & (np.abs(wedge.rise - (0.45 + 0.35 * slant)) < width * 0.9),
        "radial": wedge.body
        & (np.abs(wedge.angle - centre) < 3.0 + 6.0 * severity)
        & (wedge.rise < 0.5 + 0.6 * severity),
    }
    chosen: tuple[str, ...]
    if severity > 0.7:
        chosen = ("horizontal", "vertical", "radial") if look < 0.4 else ("horizontal", "radial")
    else:
        chosen = (("horizontal", "vertical", "radial")[int(look * 2.999)],)
    for name in chosen:
        canvas.paint(wedge.region, masks[name], Tissue.FLUID)
    if "radial" in chosen:
        # A gap from edge to rim is no meniscus; a cleft within it is drawn as part of it, as readers do.
        canvas.paint(wedge.region, masks["radial"], None, 0)
    frayed = there & canvas.is_any(wedge.region, Tissue.MENISCUS) & (wedge.rise < 0.5)
    if severity > 0.5:
        canvas.paint(wedge.region, frayed & (np.abs(wedge.level - 0.5) < 0.25), Tissue.DEGENERATE)
