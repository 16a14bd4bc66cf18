"""A knee painted from its shape and its findings: background, bones, cartilage, menisci, ligaments, fluid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.phantom import knee_bones as bones
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Mask, Slices
from OrthoDiffusionLib.phantom.distances import Field, Points, ellipsoid
from OrthoDiffusionLib.phantom.knee_background import paint_background
from OrthoDiffusionLib.phantom.knee_ligaments import paint_ligaments
from OrthoDiffusionLib.phantom.knee_menisci import paint_menisci
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.tissues import Tissue

CORTEX = 1.4
"""Thickness of the cortical rim in mm; 1 to 2 at the metaphysis."""


def paint_knee(shape: KneeShape, findings: Mapping[str, float], generator: np.random.Generator) -> AnatomyCanvas:
    """Paint a right knee.

    Args:
        shape: of the healthy knee.
        findings: severity 0 to 1 of each finding.
        generator: where within its range a lesion lies.
    """
    joint = load_joint("knee")
    shape = _dislocated(shape, findings["PD"])
    canvas = AnatomyCanvas()
    paint_background(canvas, shape, findings["EFFU"])
    _paint_bones(canvas, shape, joint)
    paint_menisci(canvas, shape, joint, findings, generator)
    paint_ligaments(canvas, shape, joint, findings, generator)
    _paint_bruises(canvas, shape, findings)
    return canvas


def _dislocated(shape: KneeShape, severity: float) -> KneeShape:
    if severity == 0:
        return shape
    return replace(
        shape,
        patella_shift=shape.patella_shift + 10 + 12 * severity,
        patella_tilt=shape.patella_tilt + 14 + 16 * severity,
    )


def _paint_bones(canvas: AnatomyCanvas, shape: KneeShape, joint: Joint) -> None:
    cartilage = joint.structure("cartilage").label

    box, points = canvas.box((-58, -52, -2), (58, 50, 94))
    femoral = bones.in_femur(bones.scaled(points, shape), shape)
    distance = bones.femur(femoral, shape)
    _, y, z = femoral
    # Cartilage covers what meets tibia and patella: below and behind the epicondyles, and the trochlea in front.
    load_bearing = (z < 26) & (y > -34) | (y > 14) & (z < 48)
    layer = (distance > 0) & (distance < shape.femoral_cartilage / shape.scale) & load_bearing
    canvas.paint(box, layer & ~_in_notch(femoral, shape), Tissue.CARTILAGE, cartilage)
    _paint_bone(canvas, box, distance, joint.structure("femur").label)

    box, points = canvas.box((-58, -48, -84), (58, 46, 16))
    tibial = bones.scaled(points, shape)
    distance = bones.tibia(tibial, shape)
    x, y, z = tibial
    plateaus = (((np.abs(x) - 20) / 16) ** 2 + ((y + 4) / 21) ** 2) < 1
    layer = (distance > 0) & (distance < shape.tibial_cartilage / shape.scale) & plateaus & (z > -8)
    canvas.paint(box, layer & canvas.free(box), Tissue.CARTILAGE, cartilage)
    _paint_bone(canvas, box, distance, joint.structure("tibia").label)

    box, points = canvas.box((18, -52, -84), (62, 4, 4))
    _paint_bone(canvas, box, bones.fibula(bones.scaled(points, shape), shape), joint.structure("fibula").label)

    box, points = canvas.box((-46, 12, -8), (62, 76, 80))
    patellar = bones.in_patella(bones.scaled(points, shape), shape)
    distance = bones.patella(patellar, shape)
    x, y, z = patellar
    layer = (distance > 0) & (distance < shape.patellar_cartilage / shape.scale)
    layer &= (y < 0) & (np.abs(x) < 18) & (z > -12) & (z < 15)
    canvas.paint(box, layer & canvas.free(box), Tissue.CARTILAGE, cartilage)
    _paint_bone(canvas, box, distance, joint.structure("patella").label)


def _in_notch(points: Points, shape: KneeShape) -> Mask:
    x, y, z = points
    return (np.abs(x) < 0.5 * shape.notch_width + 1) & (y < 6) & (z > 8)


def _paint_bone(canvas: AnatomyCanvas, box: Slices, distance: Field, label: int) -> None:
    inside = (distance < 0) & canvas.free(box)
    canvas.paint(box, inside, Tissue.CORTEX, label)
    canvas.paint(box, inside & (distance < -CORTEX), Tissue.MARROW)


def _paint_bruises(canvas: AnatomyCanvas, shape: KneeShape, findings: Mapping[str, float]) -> None:
    """Marrow oedema where each injury's bones met (pivot shift, dashboard, patella against the lateral condyle)."""
    scale = shape.scale
    spots = {
        "ACL": [((22.0, 10.0, 14.0), 10.0), ((22.0, -20.0, -8.0), 9.0)],
        "PCL": [((4.0, 16.0, -12.0), 10.0)],
        "PD": [((30.0, 14.0, 26.0), 11.0)],
    }
    for key, places in spots.items():
        severity = findings[key]
        for centre, radius in places if severity else ():
            _paint_bruise(canvas, tuple(scale * c for c in centre), scale * radius * (0.6 + 0.5 * severity))
    if findings["PD"]:
        box, points = canvas.box((-46, 12, -8), (62, 76, 80))
        x, _, _ = bones.in_patella(bones.scaled(points, shape), shape)
        medial = (x < -4) & (canvas.labels[box] == load_joint("knee").structure("patella").label)
        canvas.paint(box, medial & canvas.is_any(box, Tissue.MARROW), Tissue.OEDEMA)


def _paint_bruise(canvas: AnatomyCanvas, centre: tuple[float, ...], radius: float) -> None:
    x, y, z = centre
    box, points = canvas.box((x - radius, y - radius, z - radius), (x + radius, y + radius, z + radius))
    inside = ellipsoid(points, (x, y, z), (radius, radius, radius)) < 0
    canvas.paint(box, inside & canvas.is_any(box, Tissue.MARROW), Tissue.OEDEMA)
