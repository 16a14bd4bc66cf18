"""The ligaments of the knee: their courses, and the sheet of the medial collateral one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Joint
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.cords import Cord, CordBody, cord_body, paint_cord, paint_swelling
from OrthoDiffusionLib.phantom.distances import Field, Vector, bezier, curve, ellipsoid, union
from OrthoDiffusionLib.phantom.knee_bones import on_patella
from OrthoDiffusionLib.phantom.knee_flexion import on_femur
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.oedema import ON_LATTICE
from OrthoDiffusionLib.phantom.tissues import Tissue

UPPER_END = 33.0
"""Height of the medial collateral ligament's origin in the standard knee, mm."""


def paint_ligaments(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    joint: Joint,
    findings: Mapping[str, float],
    bones: Mapping[str, Field],
    generator: np.random.Generator,
) -> None:
    """Paint the ligaments into what bones, cartilage and menisci leave free.

    Args:
        canvas: with the bones and menisci painted.
        shape: of the knee.
        joint: whose structures give the labels.
        findings: severity 0 to 1.
        bones: signed distance to each, over the whole lattice.
        generator: where a tear lies.
    """
    for finding, cord in _cords(shape).items():
        body = cord_body(canvas, cord, findings[finding], generator)
        paint_cord(canvas, body, joint.structure(finding.lower()).label, findings[finding], generator)
    collateral = _medial_collateral(canvas, bones, findings["MCL"], generator)
    paint_cord(canvas, collateral, joint.structure("mcl").label, findings["MCL"], generator)
    _paint_restraint(canvas, shape, findings["PD"], generator.spawn(1)[0])


def _cords(shape: KneeShape) -> dict[str, Cord]:
    half = 0.5 * shape.notch_width / shape.scale
    acl, pcl = shape.acl_radius / shape.scale, shape.pcl_radius / shape.scale

    def at_femur(*point: float) -> Vector:
        return on_femur((point[0], point[1], point[2]), shape.flexion, shape.rotation)

    return {
        # 31 to 38 mm long, from before the spines to the back of the lateral wall of the notch.
        "ACL": Cord(bezier((-2, 12, 3), (2, 0, 13), at_femur(half - 0.5, -14, 33)), acl, (1.0, 1.2, 1.0), (0, 2, -6)),
        # 32 to 40 mm long and flat, from the hollow behind the plateau over its edge to the medial wall.
        "PCL": Cord(
            bezier((0, -24.5, -6), (-1, -23, 10), at_femur(-half + 1.5, -1, 18), 8), pcl, (2.2, 1, 1), (0, -3, 3)
        ),
        "LCL": Cord(
            bezier((45, -19, -26), (45.5, -13, 4), at_femur(41, -7, 33)),
            2.1 / shape.scale,
            (1, 1, 1),
            (2, -2, 0),
        ),
    }


def _medial_collateral(
    canvas: AnatomyCanvas, bones: Mapping[str, Field], severity: float, generator: np.random.Generator
) -> CordBody:
    """A sheet over the medial side of femur, meniscus and tibia: 90 to 110 mm long, 8 to 12 wide, 2 to 4 thick."""
    # 90 to 110 mm, whatever the size of the rest.
    low = UPPER_END - generator.uniform(90, 110) / canvas.scale
    region = canvas.region((-58, -24, low - 12), (-14, 26, 46))
    x, y, z = region.points
    bulge = ellipsoid(region.points, (0, 0, 3), (39.5, 27, 14))
    hull = union(union(region.part(bones["femur"]), region.part(bones["tibia"]), 4), bulge, 10)
    slack = severity * (2.5 * np.sin((z + 60) / 9 + generator.uniform(0, 6)) + 1.5)
    thickness = generator.uniform(2.2, 3.4)
    course = np.interp(z, (-60, 0, 32), (6, 1, -6))
    wide = np.interp(z, (-60, 0, 32), (5.5, 5.0, 4.0))
    sheet = np.abs(hull * canvas.scale - 0.6 - 0.5 * thickness - np.maximum(slack, 0)) - 0.5 * thickness
    ends = np.maximum(z - UPPER_END, low - z)
    distance = np.maximum(np.maximum(sheet, np.abs(y - course) - wide), np.maximum(ends, x + 12))
    return CordBody(
        region,
        region.fine(distance.astype(np.float32)),
        region.fine(((z - low) / (UPPER_END - low)).astype(np.float32)),
    )


def restraint_course(shape: KneeShape) -> npt.NDArray[np.float64]:
    """The medial patellofemoral ligament's course from the epicondyle to the patella, (n, 3), mm."""
    return bezier((-40, -2, 33), (-40, 26, 36), on_patella(shape, (-20, -4, 4)), 8)


def _paint_restraint(canvas: AnatomyCanvas, shape: KneeShape, dislocation: float, outline: np.random.Generator) -> None:
    """The medial patellofemoral ligament, a thin band from patella to epicondyle; torn when dislocated."""
    path = restraint_course(shape)
    region = canvas.region(tuple(path.min(axis=0) - 10), tuple(path.max(axis=0) + 10))
    distance, along = curve(region.points, path, (1, 1, 6), reach=9)
    body = CordBody(region, region.fine((distance - 1.0) * canvas.scale), region.fine(along))
    room = canvas.is_any(region, Tissue.FAT, Tissue.SEPTUM, Tissue.SYNOVIUM) & ~canvas.labelled(region)
    inside = room & (body.distance < 0)
    if dislocation:
        # Thickest at the tear, which is the patellar half's.
        paint_swelling(canvas, body, room, (body.along[ON_LATTICE] - 0.8) / 0.5, 1.5 + 2.5 * dislocation, outline)
    canvas.paint(region, inside, Tissue.TENDON)
    if dislocation:
        canvas.paint(region, inside & (np.abs(body.along - 0.75) < 0.1 + 0.15 * dislocation), Tissue.FLUID)
