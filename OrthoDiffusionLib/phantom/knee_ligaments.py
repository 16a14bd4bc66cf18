"""The four ligaments, whole or torn: a torn one is interrupted, lax, thick and bright where fluid is bright."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Joint
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.distances import Vector, bezier, curve
from OrthoDiffusionLib.phantom.knee_bones import scaled
from OrthoDiffusionLib.phantom.knee_shape import KneeShape
from OrthoDiffusionLib.phantom.tissues import Tissue


class Ligament(NamedTuple):
    """A ligament's course from distal to proximal, its half thickness, and how much wider it is along an axis."""

    key: str
    path: npt.NDArray[np.float64]
    radius: float
    stretch: Vector
    sag: Vector


def paint_ligaments(
    canvas: AnatomyCanvas,
    shape: KneeShape,
    joint: Joint,
    findings: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Paint the ligaments into what bones, cartilage and menisci leave free."""
    for finding, ligament in _ligaments(shape).items():
        gap = float(generator.uniform(0.38, 0.62))
        _paint(canvas, shape, joint.structure(ligament.key).label, ligament, findings[finding], gap)


def _ligaments(shape: KneeShape) -> dict[str, Ligament]:
    half = 0.5 * shape.notch_width
    return {
        "ACL": Ligament(
            "acl", bezier((-1, 9, 1), (3, -2, 12), (half - 1, -15, 29)), shape.acl_radius, (1, 1.15, 1), (0, -2, -5)
        ),
        "PCL": Ligament(
            "pcl", bezier((0, -27, -9), (-1, -24, 13), (-half + 2, 2, 19)), shape.pcl_radius, (1, 1, 1), (0, -4, 2)
        ),
        "MCL": Ligament("mcl", bezier((-31, 5, -56), (-43.5, 0, -6), (-41, -2, 34)), 1.7, (1, 3.0, 1), (-3, 0, 0)),
        "LCL": Ligament("lcl", bezier((40, -20, -12), (43, -13, 12), (40, -5, 33)), 2.3, (1, 1, 1), (4, 0, 0)),
    }


def _paint(
    canvas: AnatomyCanvas, shape: KneeShape, label: int, ligament: Ligament, severity: float, gap: float
) -> None:
    path = ligament.path.copy()
    if severity:
        bow = np.sin(np.linspace(0, np.pi, len(path)))[:, None]
        path += severity * bow * np.array(ligament.sag)
    margin = 8 + ligament.radius * max(ligament.stretch)
    low, high = path.min(axis=0) - margin, path.max(axis=0) + margin
    size = shape.scale * np.array([shape.width, shape.depth, 1.0])
    box, raw = canvas.box(tuple(low * size), tuple(high * size))
    distance, along = curve(scaled(raw, shape), path, ligament.stretch)
    open_space = canvas.free(box) & ~canvas.is_any(box, Tissue.AIR, Tissue.SKIN)
    radius = ligament.radius / shape.scale
    if severity:
        radius *= 1.25 + 0.35 * severity
        halo = open_space & (distance < radius + 2.0 + 2.5 * severity) & (np.abs(along - gap) < 0.42)
        canvas.paint(box, halo, Tissue.SOFT_OEDEMA)
    body = open_space & (distance < radius)
    canvas.paint(box, body, Tissue.LIGAMENT, label)
    if severity:
        frayed = body & (np.abs(along - gap) < 0.12 + 0.22 * severity)
        canvas.paint(box, frayed, Tissue.TORN_FIBRES)
        if severity > 0.55:
            canvas.paint(box, body & (np.abs(along - gap) < 0.05 + 0.09 * severity), Tissue.FLUID, 0)
