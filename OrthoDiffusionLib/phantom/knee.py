"""A knee painted from its shape and its findings: soft tissue, fluid, bones, cartilage, menisci, ligaments, bruises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.phantom import knee_bones as bones
from OrthoDiffusionLib.phantom import knee_cartilage as cartilage
from OrthoDiffusionLib.phantom.bone_painting import paint_bone
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.cartilage_layer import paint_cartilage_layer
from OrthoDiffusionLib.phantom.distances import Field, Points
from OrthoDiffusionLib.phantom.knee_fluid import paint_capsule, paint_fluid
from OrthoDiffusionLib.phantom.knee_injuries import paint_bruises
from OrthoDiffusionLib.phantom.knee_ligaments import paint_ligaments
from OrthoDiffusionLib.phantom.knee_menisci import paint_menisci
from OrthoDiffusionLib.phantom.knee_osteophytes import with_osteophytes
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.knee_soft_tissue import paint_soft_tissue
from OrthoDiffusionLib.phantom.marrow import paint_red_marrow
from OrthoDiffusionLib.phantom.tissues import Tissue

LOW = (-84.0, -86.4, -98.4)
BEHIND = 0.4
"""mm of room more behind the joint for each degree of flexion; what lies further back few fields of view hold."""
HIGH = (84.0, 81.6, 126.0)

CORTEX = {"femur": 1.3, "tibia": 1.3, "fibula": 1.0, "patella": 1.2}
"""Thickness of the cortical rim in mm near the joint; 1 to 2 at the metaphysis. Order of magnitude,
no source."""

SHAFT_CORTEX = 4.5
"""Thickness in mm that the rim of the femur's and tibia's shafts reaches 90 mm from the joint; 4 to 7 further away. No
source: an order of magnitude."""

SOFT = (
    Tissue.FAT,
    Tissue.FLUID,
    Tissue.MUSCLE,
    Tissue.FATTY_MUSCLE,
    Tissue.SEPTUM,
    Tissue.SYNOVIUM,
    Tissue.TENDON,
    Tissue.VESSEL,
    Tissue.NERVE,
)


def paint_knee(shape: KneeShape, findings: Mapping[str, float], generator: np.random.Generator) -> AnatomyCanvas:
    """Paint a right knee.

    Args:
        shape: of the healthy knee.
        findings: severity 0 to 1 of each finding.
        generator: what is neither shape nor finding: where a lesion lies, vessels, muscles, texture.
    """
    joint = load_joint("knee")
    shape = dislocated(shape, findings["PD"])
    low = (LOW[0], LOW[1] - BEHIND * shape.flexion, LOW[2])
    canvas = AnatomyCanvas(low, HIGH, shape.describe, shape.scale)
    surroundings, lesions, growth = (
        np.random.Generator(np.random.PCG64(seed)) for seed in generator.integers(2**31, size=3)
    )
    smooth = _bone_fields(canvas, shape)
    fields = with_osteophytes(canvas, shape, smooth, growth)
    every_bone = np.minimum.reduce([field for _, field in fields.values()])
    paint_soft_tissue(canvas, shape, every_bone, surroundings)
    around = canvas.region((-58, -50, -40), (58, 66, 118))
    paint_capsule(canvas, around.part(every_bone), around)
    paint_fluid(canvas, shape, findings["EFFU"], around.part(every_bone), around)
    rim = surroundings.uniform(0.5, 1.0)
    for key, (region, field) in fields.items():
        paint_bone(canvas, region, region.part(field), joint.structure(key).label, rim * _cortex(region, key))
    # Its thickness is that over the smooth bones: what grew out of them has no cartilage of its own.
    _paint_cartilage(canvas, shape, smooth, joint, surroundings)
    paint_menisci(canvas, shape, joint, findings, lesions)
    paint_ligaments(canvas, shape, joint, findings, {key: field for key, (_, field) in fields.items()}, lesions)
    paint_red_marrow(canvas, surroundings, _from_joint_line)
    paint_bruises(canvas, shape, findings, lesions)
    canvas.close_sides()
    return canvas


def dislocated(shape: KneeShape, severity: float) -> KneeShape:
    """The patella lateral by over half its width and tilted by 20 degrees or more, the trochlea shallow, of a sulcus
    angle of 145 degrees or more; a severity of 0 leaves it in its groove."""
    if severity == 0:
        return shape
    return replace(
        shape,
        patella_shift=max(shape.patella_shift, 1) + 22 + 5 * severity,
        patella_tilt=max(shape.patella_tilt, 0) + 20 + 12 * severity,
        groove_depth=shape.groove_depth - 2.5,
        # What had a deep groove keeps a trace of it; the shallowest ones become nearly flat.
        groove_fill=0.6 + 0.5 * (8 - shape.groove_depth),
    )


def _bone_fields(canvas: AnatomyCanvas, shape: KneeShape) -> dict[str, tuple[Region, Field]]:
    """For each bone its region, and its signed distance over the whole lattice."""
    # At 30 degrees the shaft's end lies 60 mm further back than the straight one's.
    femoral = canvas.region((-48, -50 - shape.flexion, -8), (48, 56, 130))
    tibial = canvas.region((-46, -44, -130), (46, 46, 18))
    fibular = canvas.region((16, -40, -130), (52, 4, -8))
    patellar = canvas.region((-40, 20, -2), (60, 80, 76))
    distances = {
        "femur": (femoral, bones.femur(bones.in_femur(femoral.points, shape), shape)),
        "tibia": (tibial, bones.tibia(tibial.points, shape)),
        "fibula": (fibular, bones.fibula(fibular.points, shape)),
        "patella": (patellar, bones.patella(bones.in_patella(patellar.points, shape), shape)),
    }
    return {key: (region, canvas.field(region, distance)) for key, (region, distance) in distances.items()}


def _from_joint_line(points: Points) -> Field:
    """Height over the femur's condyles and depth under the tibia's plateau, mm; none in the kneecap."""
    _, y, z = points
    behind_patella = np.clip((46 - y) / 8, 0, 1)
    return np.asarray(np.where(z > 4, z - 24, -2 - z) * behind_patella, np.float32)


def _cortex(region: Region, key: str) -> float | Field:
    """Thickness of a bone's rim; the shafts' grows with the distance from the joint."""
    if key not in ("femur", "tibia"):
        return CORTEX[key]
    shaft = np.clip((np.abs(region.points[2] - (10 if key == "femur" else 0)) - 35) / 55, 0, 1.3)
    return (CORTEX[key] + (SHAFT_CORTEX - CORTEX[key]) * shaft).astype(np.float32)


def _paint_cartilage(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    fields: Mapping[str, tuple[Region, Field]],
    joint: Joint,
    generator: np.random.Generator,
) -> None:
    label = joint.structure("cartilage").label
    for key in ("tibia", "femur", "patella"):
        region, field = fields[key]
        distance = region.part(field)
        if key == "femur":
            points = bones.in_femur(region.points, shape)
            thickness = cartilage.femoral_thickness(points, distance, shape, generator)
        elif key == "tibia":
            thickness = cartilage.tibial_thickness(region.points, distance, shape, generator)
        else:
            thickness = cartilage.patellar_thickness(bones.in_patella(region.points, shape), distance, shape)
        paint_cartilage_layer(canvas, region, distance, thickness, label, SOFT)
