"""A shoulder painted from its shape and its findings: soft tissue, bones, cartilage, fluid, biceps tendon, cuff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from OrthoDiffusionLib.anatomy import Joint, load_joint
from OrthoDiffusionLib.phantom import shoulder_bones as bones
from OrthoDiffusionLib.phantom import shoulder_cartilage as cartilage
from OrthoDiffusionLib.phantom.bone_painting import paint_bone
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.cartilage_layer import paint_cartilage_layer
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.marrow import paint_red_marrow
from OrthoDiffusionLib.phantom.shoulder_ac_joint import paint_ac_joint, with_osteophytes
from OrthoDiffusionLib.phantom.shoulder_biceps import biceps, paint_biceps, paint_sheath
from OrthoDiffusionLib.phantom.shoulder_cuff import cuff_bodies, paint_cuff
from OrthoDiffusionLib.phantom.shoulder_fluid import film, paint_bursa, paint_capsule, paint_joint_fluid
from OrthoDiffusionLib.phantom.shoulder_shape import ShoulderShape
from OrthoDiffusionLib.phantom.shoulder_soft_tissue import WALL, lung_distance, paint_soft_tissue
from OrthoDiffusionLib.phantom.tissues import Tissue

LOW = (-115.2, -100.8, -110.4)
HIGH = (76.8, 88.8, 74.4)

CORTEX = {"humerus": 1.2, "scapula": 1.0, "clavicle": 1.3}
"""Thickness of the cortical rim in mm near the joint."""

SHAFT_CORTEX = 3.5
"""Thickness in mm that the rim of the humerus' shaft reaches 90 mm below the head; 3 to 5 further away."""

SOFT = (Tissue.FAT, Tissue.FLUID, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SEPTUM, Tissue.AIR)


def paint_shoulder(
    shape: ShoulderShape, findings: Mapping[str, float], generator: np.random.Generator
) -> AnatomyCanvas:
    """Paint a right shoulder.

    Args:
        shape: of the healthy shoulder.
        findings: severity 0 to 1 of each finding.
        generator: what is neither shape nor finding: where a lesion lies, vessels, muscles, texture.
    """
    joint = load_joint("shoulder")
    if findings["AC"]:
        shape = replace(shape, osteophytes=0.6 + 2.4 * findings["AC"])
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    surroundings, *lesions = (np.random.Generator(np.random.PCG64(seed)) for seed in generator.integers(2**31, size=4))
    fields = _bone_fields(canvas, shape)
    fossae, head = canvas.region((-130, -86, -84), (46, 52, 54)), canvas.region((-46, -46, -52), (46, 46, 46))
    humerus = fields["humerus"][1]
    at_humerus = bones.in_humerus(head.points, shape)
    layer = cartilage.humeral_thickness(at_humerus, shape)
    # Off the cartilage the tendons grow into the bone, without a film of fluid between.
    floor = np.where(layer > 0.2, (layer + film(findings["GHJ"])) / shape.scale, 0).astype(np.float32)
    beneath = fossae.part(canvas.field(head, floor, elsewhere=0.0))
    chest = WALL - lung_distance(fossae)
    cuff = [
        body._replace(distance=np.maximum(body.distance, chest))
        for body in cuff_bodies(fossae.points, shape, fossae.part(humerus), beneath, findings)
    ]
    every_bone = np.minimum.reduce([field for _, field in fields.values()])
    covered = np.minimum(canvas.field(fossae, np.minimum.reduce([body.distance for body in cuff])), humerus)
    paint_soft_tissue(canvas, shape, every_bone, covered, cuff, fossae, surroundings)
    for key, (region, field) in fields.items():
        paint_bone(canvas, region, region.part(field), joint.structure(key).label, _cortex(region, key))
    _paint_cartilage(canvas, shape, fields, joint)
    paint_joint_fluid(canvas, shape, findings["GHJ"], head.part(humerus), floor, head)
    tendon = biceps(canvas, shape, findings["LHBT_INJURY"], lesions[0])
    paint_biceps(canvas, tendon, joint.structure("biceps_tendon").label, lesions[0])
    paint_cuff(canvas, fossae, cuff, joint, findings, lesions[1])
    paint_capsule(canvas, head.part(humerus), head)
    paint_bursa(canvas, findings["SASD"], head.part(covered), at_humerus, head)
    paint_sheath(canvas, tendon, findings["LHBT_EFFUSION"])
    paint_red_marrow(canvas, surroundings)
    paint_ac_joint(canvas, shape, fields["scapula"][1], fields["clavicle"][1], findings["AC"], lesions[2])
    canvas.close_sides()
    return canvas


def _bone_fields(canvas: AnatomyCanvas, shape: ShoulderShape) -> dict[str, tuple[Region, Field]]:
    """For each bone its region, and its signed distance over the whole lattice."""
    humeral = canvas.region((-46, -46, -130), (52, 46, 46))
    scapular = canvas.region((-130, -90, -130), (42, 52, 60))
    clavicular = canvas.region((-140, -32, 20), (14, 52, 66))
    scapula = canvas.field(scapular, bones.scapula(bones.in_scapula(scapular.points, shape), shape))
    clavicle = canvas.field(clavicular, bones.clavicle(clavicular.points, shape))
    points = canvas.everywhere().points
    scapula, clavicle = (
        with_osteophytes(scapula, clavicle, points, shape, 1),
        with_osteophytes(clavicle, scapula, points, shape, -1),
    )
    humerus = canvas.field(humeral, bones.humerus(bones.in_humerus(humeral.points, shape)))
    return {"humerus": (humeral, humerus), "scapula": (scapular, scapula), "clavicle": (clavicular, clavicle)}


def _cortex(region: Region, key: str) -> float | Field:
    """Thickness of a bone's rim; the humeral shaft's grows with the distance from the joint."""
    if key != "humerus":
        return CORTEX[key]
    shaft = np.clip((-region.points[2] - 30) / 60, 0, 1.2)
    return (CORTEX[key] + (SHAFT_CORTEX - CORTEX[key]) * shaft).astype(np.float32)


def _paint_cartilage(
    canvas: AnatomyCanvas, shape: ShoulderShape, fields: Mapping[str, tuple[Region, Field]], joint: Joint
) -> None:
    """Cartilage of socket and head, and the labrum where they leave room."""
    label = joint.structure("cartilage").label
    socket, head = canvas.region((-40, -32, -30), (6, 22, 30)), canvas.region((-34, -34, -34), (34, 34, 34))
    points = bones.in_scapula(socket.points, shape)
    thickness = cartilage.glenoid_thickness(points, shape)
    paint_cartilage_layer(canvas, socket, socket.part(fields["scapula"][1]), thickness, label, SOFT)
    thickness = cartilage.humeral_thickness(bones.in_humerus(head.points, shape), shape)
    paint_cartilage_layer(canvas, head, head.part(fields["humerus"][1]), thickness, label, SOFT)
    ring = socket.covered(cartilage.labrum(points, shape) * canvas.scale)
    free = canvas.is_any(socket, *SOFT) & ~canvas.labelled(socket)
    canvas.paint(socket, ring & free, Tissue.MENISCUS)
