"""A shoulder painted from its shape and its findings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import shoulder_bones as bones
from OrthoDiffusionLib.phantom.bone_painting import paint_bone
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas, Region
from OrthoDiffusionLib.phantom.distances import Field
from OrthoDiffusionLib.phantom.marrow import paint_red_marrow
from OrthoDiffusionLib.phantom.shoulder_shape import ShoulderShape

LOW = (-115.2, -100.8, -110.4)
HIGH = (76.8, 88.8, 74.4)

CORTEX = {"humerus": 1.2, "scapula": 1.0, "clavicle": 1.3}
"""Thickness of the cortical rim in mm."""


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
    canvas = AnatomyCanvas(LOW, HIGH, shape.describe, shape.scale)
    surroundings, lesions = (np.random.Generator(np.random.PCG64(seed)) for seed in generator.integers(2**31, size=2))
    fields = _bone_fields(canvas, shape)
    for key, (region, field) in fields.items():
        paint_bone(canvas, region, region.part(field), joint.structure(key).label, CORTEX[key])
    paint_red_marrow(canvas, surroundings)
    canvas.close_sides()
    return canvas


def _bone_fields(canvas: AnatomyCanvas, shape: ShoulderShape) -> dict[str, tuple[Region, Field]]:
    """For each bone its region, and its signed distance over the whole lattice."""
    humeral = canvas.region((-46, -46, -130), (52, 46, 46))
    scapular = canvas.region((-130, -90, -130), (42, 52, 60))
    clavicular = canvas.region((-140, -32, 20), (8, 46, 66))
    distances = {
        "humerus": (humeral, bones.humerus(bones.in_humerus(humeral.points, shape))),
        "scapula": (scapular, bones.scapula(bones.in_scapula(scapular.points, shape), shape)),
        "clavicle": (clavicular, bones.clavicle(clavicular.points, shape)),
    }
    return {key: (region, canvas.field(region, distance)) for key, (region, distance) in distances.items()}
