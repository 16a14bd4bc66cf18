"""Bruises of the marrow: where each injury's bones met, and by themselves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Vector, ellipsoid
from OrthoDiffusionLib.phantom.knee_bones import on_patella
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.oedema import seeping
from OrthoDiffusionLib.phantom.tissues import Tissue

# Centre and radius (mm) in the standard knee: pivot shift, dashboard, patella against the lateral condyle, valgus.
SPOTS: Mapping[str, tuple[tuple[Vector, float], ...]] = {
    "ACL": (((24.0, 14.0, 16.0), 11.0), ((24.0, -16.0, -8.0), 10.0)),
    "PCL": (((4.0, 16.0, -14.0), 11.0),),
    "PD": (((33.0, 18.0, 28.0), 11.0),),
    "MCL": (((30.0, 2.0, 14.0), 9.0),),
}

BRUISED = {"ACL": 0.65, "PCL": 0.5, "PD": 0.85, "MCL": 0.4}
"""Share of each injury that is fresh enough to show a bruise: orders of magnitude. Of recent ACL tears 80 % have one
(Spindler et al. 1993, Am J Sports Med 21:551), and not every torn one is recent; the others have no source."""

INCIDENTAL = 0.12
"""Share of knees with a bruise of another cause, anywhere at the joint surfaces: order of magnitude, no source."""

FRINGE = 0.2
"""Width of a bruise's fringe over its radius."""


def paint_bruises(
    canvas: AnatomyCanvas, shape: KneeShape, findings: Mapping[str, float], generator: np.random.Generator
) -> None:
    """Paint marrow oedema under the surfaces that met; osteoarthritis has it under the worn cartilage."""
    spots: list[tuple[Vector, float]] = []
    for key, places in SPOTS.items():
        fresh, size = generator.random(), generator.uniform(0.7, 1.2)
        if findings[key] and fresh < BRUISED[key]:
            spots += [(centre, radius * size * (0.6 + 0.5 * findings[key])) for centre, radius in places]
    if findings["PD"]:
        spots.append((on_patella(shape, (-12, 0, 0)), 8 + 5 * findings["PD"]))
    if generator.random() < INCIDENTAL:
        side, up = generator.choice((-1, 1), size=2)
        spots.append(((24.0 * side, generator.uniform(-14, 14), 4 + 9.0 * up), generator.uniform(5, 11)))
    if shape.cartilage_loss > 0.3:
        spots.append(((-24.0, 2.0, -5.0), 6 + 5 * shape.cartilage_loss))
    for centre, radius in spots:
        _paint_bruise(canvas, centre, radius, generator)


def _paint_bruise(canvas: AnatomyCanvas, centre: Vector, radius: float, generator: np.random.Generator) -> None:
    x, y, z = centre
    reach = 1.5 * radius + 3
    region = canvas.region((x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach))
    distance = ellipsoid(region.points, centre, (radius, radius, radius))
    # Contusions have no outline: spared marrow lies in them, and they fade into it.
    bruise = seeping(distance, 0.25 * radius, 0.25 * radius, generator)
    marrow = canvas.is_any(region, Tissue.MARROW, Tissue.RED_MARROW)
    # The fringe holds some water among its fat, as red marrow does.
    canvas.paint(region, region.below(bruise, FRINGE * radius) & marrow, Tissue.RED_MARROW)
    canvas.paint(region, region.below(bruise) & marrow, Tissue.OEDEMA)
