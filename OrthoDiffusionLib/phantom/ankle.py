"""An ankle painted from its shape and its findings: soft tissue, fluid, bones, cartilage, ligaments, lesions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import ankle_bones as bones
from OrthoDiffusionLib.phantom.ankle_achilles import paint_achilles
from OrthoDiffusionLib.phantom.ankle_cartilage import paint_cartilage
from OrthoDiffusionLib.phantom.ankle_fluid import paint_fluid
from OrthoDiffusionLib.phantom.ankle_lesions import paint_bruises, paint_dome_lesion
from OrthoDiffusionLib.phantom.ankle_ligaments import paint_ligaments
from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.ankle_soft_tissue import paint_soft_tissue
from OrthoDiffusionLib.phantom.ankle_tendons import paint_tendons
from OrthoDiffusionLib.phantom.body_regions import region_near
from OrthoDiffusionLib.phantom.bone_painting import paint_bone
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.marrow import paint_red_marrow
from OrthoDiffusionLib.phantom.tissues import Tissue

LOW = (-54.0, -90.0, -117.6)
HIGH = (54.0, 97.2, 98.4)

CRUS = ((-60.0, -50.0, -55.0), (60.0, 50.0, 110.0))
FOOT = ((-60.0, -100.0, -130.0), (60.0, 110.0, 30.0))
"""Corners (mm, standard ankle) of what tibia and fibula, and the foot's bones, are described in: 25 mm and more beyond
them. Skin and fascia are never further from a bone that raises them."""

CORTEX = {"tibia": 1.1, "fibula": 1.1, "talus": 0.9, "calcaneus": 1.0}
"""Thickness of the cortical rim in mm near the joint."""

OTHER_CORTEX = 0.9
"""Thickness of the rim of the bones without a label."""

SHAFT_CORTEX = {"tibia": 4.0, "fibula": 2.4}
"""Thickness in mm that the rim reaches in the shaft, 70 mm over the joint."""


def paint_ankle(shape: AnkleShape, findings: Mapping[str, float], generator: np.random.Generator) -> AnatomyCanvas:
    """Paint a right ankle.

    Args:
        shape: of the healthy ankle.
        findings: severity 0 to 1 of each finding.
        generator: what is neither shape nor finding: where a lesion lies, vessels, muscles, texture.
    """
    joint = load_joint("ankle")
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    # A stream for each: what one finding draws leaves the others where they are.
    surroundings, ligaments, tendon, marrow, dome = (
        np.random.Generator(np.random.PCG64(seed)) for seed in generator.integers(2**31, size=5)
    )
    label = {structure.key: structure.label for structure in joint.structures}
    bone, others = _bone_fields(canvas, shape)
    crus = np.minimum(bone["tibia"], bone["fibula"])
    apart = [crus, bone["talus"], bone["calcaneus"], *others]
    paint_soft_tissue(canvas, shape, np.minimum.reduce(apart), surroundings)
    paint_tendons(canvas, shape, surroundings)
    paint_fluid(canvas, shape, apart)
    for key, field in bone.items():
        region = region_near(canvas, field)
        paint_bone(canvas, region, region.part(field), label[key], _cortex(region, key))
    for field in others:
        region = region_near(canvas, field)
        paint_bone(canvas, region, region.part(field), 0, OTHER_CORTEX)
    paint_cartilage(canvas, shape, bone, others, label["cartilage"], surroundings)
    paint_ligaments(canvas, shape, findings, label["lateral_ligaments"], ligaments)
    paint_achilles(canvas, shape, findings["ATR"], label["achilles_tendon"], tendon)
    paint_red_marrow(canvas, surroundings)
    paint_bruises(canvas, shape, max(findings["ATFL"], findings["CFL"]), marrow)
    paint_dome_lesion(canvas, shape, findings["OLT"], bone["talus"], label["talus"], dome)
    _close(canvas)
    return canvas


def _close(canvas: AnatomyCanvas) -> None:
    """Leave air beyond the grid beside, behind and under the foot; the leg goes on above and the foot in front."""
    for face in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, :, 0]):
        canvas.tissue[face], canvas.labels[face] = Tissue.AIR, 0


def _bone_fields(canvas: AnatomyCanvas, shape: AnkleShape) -> tuple[dict[str, Field], list[Field]]:
    """Distances over the whole lattice, mm of the standard ankle: to the labelled bones by key, and to the others."""
    crus, foot = canvas.region(*CRUS), canvas.region(*FOOT)
    at_crus, at_foot = shape.in_foot(crus.points), shape.in_foot(foot.points)
    calcaneus = bones.calcaneus(at_foot)
    talus, mortise = bones.talus(at_foot, calcaneus, shape), bones.dome(at_crus)
    fibula = bones.fibula(crus.points, mortise, shape)
    tibia = bones.tibia(crus.points, mortise, fibula, shape)
    others = bones.foot_bones(at_foot, talus, calcaneus, shape)
    labelled = {
        "tibia": canvas.field(crus, tibia),
        "fibula": canvas.field(crus, fibula),
        "talus": canvas.field(foot, talus),
        "calcaneus": canvas.field(foot, calcaneus),
    }
    return labelled, [canvas.field(foot, field) for field in others]


def _cortex(region: Region, key: str) -> float | Field:
    """Thickness of a bone's rim; the shafts' grows with the height over the joint."""
    if key not in SHAFT_CORTEX:
        return CORTEX[key]
    shaft = np.clip((region.points[2] - 12) / 58, 0, 1.2)
    return (CORTEX[key] + (SHAFT_CORTEX[key] - CORTEX[key]) * shaft).astype(np.float32)
