"""An ankle painted from its shape and its findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import ankle_bones as bones
from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.bone_painting import paint_bone
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.tissues import Tissue

LOW = (-54.0, -90.0, -117.6)
HIGH = (54.0, 97.2, 98.4)

CORTEX = {"tibia": 1.1, "fibula": 1.1, "talus": 0.9, "calcaneus": 1.0}
"""Thickness of the cortical rim in mm near the joint."""

SHAFT_CORTEX = {"tibia": 4.0, "fibula": 2.4}
"""Thickness in mm that the rim reaches in the shaft, 70 mm over the joint."""


class AnkleBones(NamedTuple):
    """Distances to the bones over the whole lattice, mm of the standard ankle: labelled ones by key, and the others."""

    labelled: Mapping[str, Field]
    others: list[Field]

    def every(self) -> Field:
        """Distance to the nearest bone."""
        return np.minimum.reduce([*self.labelled.values(), *self.others])


def paint_ankle(shape: AnkleShape, findings: Mapping[str, float], generator: np.random.Generator) -> AnatomyCanvas:
    """Paint a right ankle.

    Args:
        shape: of the healthy ankle.
        findings: severity 0 to 1 of each finding.
        generator: what is neither shape nor finding: where a lesion lies, vessels, muscles, texture.
    """
    joint = load_joint("ankle")
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    fields = _bone_fields(canvas, shape)
    region = canvas.everywhere()
    canvas.paint(region, region.fine(fields.every()) < 12, Tissue.FAT)
    for key, field in fields.labelled.items():
        paint_bone(canvas, region, field, joint.structure(key).label, _cortex(region, key))
    for field in fields.others:
        paint_bone(canvas, region, field, 0, 1.0)
    return canvas


def _bone_fields(canvas: AnatomyCanvas, shape: AnkleShape) -> AnkleBones:
    points = canvas.everywhere().points
    foot = shape.in_foot(points)
    talus, calcaneus, mortise = bones.talus(foot, shape), bones.calcaneus(foot), bones.dome(foot)
    fibula = bones.fibula(points, mortise, shape)
    tibia = bones.tibia(points, mortise, fibula, shape)
    labelled = {"tibia": tibia, "fibula": fibula, "talus": talus, "calcaneus": calcaneus}
    return AnkleBones(labelled, bones.foot_bones(foot, talus, calcaneus, shape))


def _cortex(region: Region, key: str) -> float | Field:
    """Thickness of a bone's rim; the shafts' grows with the height over the joint."""
    if key not in SHAFT_CORTEX:
        return CORTEX[key]
    shaft = np.clip((region.points[2] - 12) / 58, 0, 1.2)
    return (CORTEX[key] + (SHAFT_CORTEX[key] - CORTEX[key]) * shaft).astype(np.float32)
