"""The joints that a phantom can be made of, and what making and scanning one needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom import (
    ankle,
    ankle_findings,
    ankle_shape,
    knee,
    knee_findings,
    knee_shape,
    shoulder,
    shoulder_findings,
    shoulder_shape,
)
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.centres import Range
from OrthoDiffusionLib.phantom.distances import Vector
from OrthoDiffusionLib.phantom.findings import Prevalence, Rates

Sex = Literal["female", "male"]


class Painted(NamedTuple):
    """A right joint, and the sex that its sizes were drawn for; None where they are drawn for adults of any."""

    canvas: AnatomyCanvas
    sex: Sex | None = None


Paint = Callable[[Mapping[str, float], np.random.Generator, np.random.Generator], Painted]
"""A right joint with these severities; the first generator draws its shape, the second all else."""


class JointModel(NamedTuple):
    """A joint as a phantom.

    Attributes:
        paint: makes its anatomy.
        rates: how often its findings occur.
        stack_centres: middle of each plane's stack in the joint frame of a right joint, mm: the published centre window
            (16 slices) then holds what the findings change.
        further_up: mm by which a field of view may lie further up the limb than that, least and most.
    """

    paint: Paint
    rates: Mapping[Prevalence, Rates]
    stack_centres: Mapping[Plane, Vector]
    further_up: Range


def _knee(findings: Mapping[str, float], shape: np.random.Generator, details: np.random.Generator) -> Painted:
    drawn = knee_shape.draw_shape(shape)
    return Painted(knee.paint_knee(drawn, findings, details), "female" if drawn.female else "male")


def _ankle(findings: Mapping[str, float], shape: np.random.Generator, details: np.random.Generator) -> Painted:
    return Painted(ankle.paint_ankle(ankle_shape.draw_shape(shape), findings, details))


def _shoulder(findings: Mapping[str, float], shape: np.random.Generator, details: np.random.Generator) -> Painted:
    return Painted(shoulder.paint_shoulder(shoulder_shape.draw_shape(shape), findings, details))


JOINT_MODELS: Mapping[str, JointModel] = {
    "knee": JointModel(
        _knee,
        knee_findings.RATES,
        {Plane.AXIAL: (0.0, -4.0, 12.0), Plane.SAGITTAL: (0.0, -4.0, 4.0), Plane.CORONAL: (0.0, 2.0, 4.0)},
        # No source but the one real knee at hand, whose field of view has its middle 24 mm over the joint line, and
        # shows more of the thigh's muscles than phantoms whose middles all lie within 12 mm of it.
        (-10.0, 30.0),
    ),
    "ankle": JointModel(
        _ankle,
        ankle_findings.RATES,
        {Plane.AXIAL: (0.0, -4.0, -10.0), Plane.SAGITTAL: (4.0, -4.0, -16.0), Plane.CORONAL: (0.0, -14.0, -14.0)},
        (-8.0, 8.0),
    ),
    "shoulder": JointModel(
        _shoulder,
        shoulder_findings.RATES,
        {Plane.AXIAL: (-14.0, -4.0, 6.0), Plane.SAGITTAL: (-10.0, -4.0, -4.0), Plane.CORONAL: (-14.0, 2.0, -4.0)},
        (-8.0, 8.0),
    ),
}
