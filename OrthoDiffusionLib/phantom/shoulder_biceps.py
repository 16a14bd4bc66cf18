"""The tendon of the biceps' long head, from above the glenoid over the head into its groove: whole, torn or slipped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.cords import COMPLETE, Cord, CordBody, cord_body, paint_cord
from OrthoDiffusionLib.phantom.shoulder_bones import GROOVE, from_humerus, from_scapula
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape
from OrthoDiffusionLib.phantom.tissues import Tissue

ORIGIN = np.array([(-26.5, 1.0, 19.0)])
"""Supraglenoid tubercle, in the scapula's frame."""

DISLOCATED = 0.45
"""Share of the severe injuries in which the tendon lies whole beside its groove."""


class Biceps(NamedTuple):
    """The tendon on the grid, and what an injury made of it."""

    body: CordBody
    severity: float
    torn: bool


def biceps(canvas: AnatomyCanvas, shape: ShoulderShape, severity: float, generator: np.random.Generator) -> Biceps:
    """The tendon's body; a severe injury parts it, or lets it slip out of the groove over the lesser tuberosity."""
    slips = generator.random() < DISLOCATED and severity >= COMPLETE
    path = _course(shape, 6.0 + 7.0 * severity if slips else 0.0)
    radius = shape.biceps_radius / shape.scale * (1 + 0.5 * severity * (not slips))
    body = cord_body(canvas, Cord(path, radius, sag=(1.0, 1.0, 0.0)), severity * (not slips), generator)
    return Biceps(body, severity, severity >= COMPLETE and not slips)


def paint_biceps(canvas: AnatomyCanvas, tendon: Biceps, label: int, generator: np.random.Generator) -> None:
    """Paint the tendon; a thickened or dislocated one is bright within, a torn one parted."""
    whole = tendon.severity if tendon.torn else 0.0
    paint_cord(canvas, tendon.body, label, whole, generator, Tissue.TENDON)
    if tendon.severity and not tendon.torn:
        region = tendon.body.region
        own = canvas.labelled(region, label)
        canvas.paint(region, own & (tendon.body.distance < -0.5), Tissue.DEGENERATE)
        split = (tendon.body.distance < -1.6 + 0.7 * tendon.severity) & (tendon.body.along < 0.75)
        canvas.paint(region, own & split, Tissue.TORN_FIBRES)


def paint_sheath(canvas: AnatomyCanvas, tendon: Biceps, severity: float) -> None:
    """Fluid around the tendon, from its entry into the groove down to the end of its sheath."""
    if not severity:
        return
    region = tendon.body.region
    along = tendon.body.along
    thick = (1.0 + 3.0 * severity) * np.clip((0.66 - along) / 0.08, 0, 1) * np.clip((along - 0.02) / 0.12, 0, 1)
    soft = (Tissue.FAT, Tissue.SEPTUM, Tissue.MUSCLE, Tissue.FATTY_MUSCLE, Tissue.SOFT_OEDEMA, Tissue.SYNOVIUM)
    room = canvas.is_any(region, *soft) & ~canvas.labelled(region)
    canvas.paint(region, room & (tendon.body.distance < thick + 0.6) & (thick > 0), Tissue.SYNOVIUM)
    canvas.paint(region, room & (tendon.body.distance < thick), Tissue.FLUID)


def _course(shape: ShoulderShape, slip: float) -> npt.NDArray[np.float64]:
    """Positions (n, 3) from the arm upwards in the joint frame; `slip` is how far it lies medial of the groove, mm."""
    groove = GROOVE[::-1].copy()
    # It lies on the groove's floor, not at its mouth.
    groove[:, :2] *= 0.965
    if slip:
        # Along the circumference, and outwards over the lesser tuberosity's ridge.
        amount = slip * np.clip((groove[:, 2:] + 62) / 40, 0, 1)
        groove += amount * np.array([-0.75, 0.66, 0.0])
        groove[:, :2] *= 1 + 0.018 * amount
    groove = np.vstack([(18.5, 12.0, -78.0), groove])
    low = from_humerus(groove, shape)
    top, origin = low[-1], from_scapula(ORIGIN, shape)[0]
    high, far = float(np.linalg.norm(top)), float(np.linalg.norm(origin))
    first, last = top / high, origin / far
    between = np.arccos(np.clip(first @ last, -1, 1))
    over = (HEAD * shape.scale + shape.humeral_cartilage + shape.biceps_radius + 0.5) / shape.scale
    arch = []
    for t in np.linspace(0, 1, 11)[1:]:
        direction = (np.sin((1 - t) * between) * first + np.sin(t * between) * last) / np.sin(between)
        height = np.interp(t, (0, 0.3, 0.8, 1), (high, over, over, far))
        arch.append(direction * height)
    return np.vstack([low, arch])
