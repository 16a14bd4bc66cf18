"""The cartilage of the humeral head and the glenoid, and the labrum around it, in the standard right shoulder (mm)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.distances import Field, Points, curve
from OrthoDiffusionLib.phantom.shoulder_shape import HEAD, ShoulderShape

INCLINATION = 45.0
"""Degrees by which the head's axis rises over the horizontal (neck to shaft 135: Iannotti et al. 1992)."""

COVERED = 72.0
"""Degrees from the head's axis to the edge of its cartilage: the head is two fifths of a sphere or a little more."""

MEAN_RETROVERSION = 25.0
"""Degrees at which the head's axis lies in the plane through the tuberosities' tops."""

SOCKET = (18.4, 13.3)
"""mm, half height and half width of the glenoid's cartilage."""


def rising(value: npt.NDArray[Any], width: float) -> Field:
    """0 below zero, 1 above `width`, smooth between."""
    t = np.clip(value / width, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def head_axis(shape: ShoulderShape) -> npt.NDArray[np.float64]:
    """Unit vector from the head's middle to that of its cartilage, in the humerus' frame."""
    up, back = np.radians(INCLINATION), np.radians(shape.retroversion - MEAN_RETROVERSION)
    return np.array([-np.cos(up) * np.cos(back), -np.cos(up) * np.sin(back), np.sin(up)])


def humeral_thickness(points: Points, shape: ShoulderShape) -> Field:
    """mm of cartilage over each point near the head; thickest in the middle; `points` in the humerus' frame."""
    radius = np.maximum(np.sqrt(sum(p * p for p in points)), 1.0)
    along = sum(p * np.float32(a) for p, a in zip(points, head_axis(shape), strict=True)) / radius
    angle = np.degrees(np.arccos(np.clip(along, -1, 1)))
    thick = shape.humeral_cartilage * (1.05 - 0.25 * (angle / COVERED) ** 2)
    return np.asarray(thick * rising(COVERED - angle, 9.0) * (radius < HEAD + 8), np.float32)


def glenoid_thickness(points: Points, shape: ShoulderShape) -> Field:
    """mm of cartilage over each point near the glenoid, thicker towards the rim; `points` in the scapula's frame."""
    x, y, z = points
    out = np.sqrt((z / SOCKET[0]) ** 2 + (y / (SOCKET[1] * np.clip(1 - 0.008 * (z + 4), 0.78, 1.03))) ** 2)
    facing = (x > -(HEAD + 7.0)) & (x < -(HEAD - 8.0))
    thick = shape.glenoid_cartilage * (0.78 + 0.4 * np.minimum(out, 1) ** 2)
    return np.asarray(thick * rising(1.02 - out, 0.12) * facing, np.float32)


def labrum(points: Points, shape: ShoulderShape) -> Field:
    """Distance to the labrum: a ring on the glenoid's rim, 4 to 5 mm high; `points` in the scapula's frame."""
    turn = np.linspace(0, 2 * np.pi, 19)
    height, width = SOCKET[0] * np.cos(turn), SOCKET[1] * np.sin(turn)
    width *= np.clip(1 - 0.008 * (height + 4), 0.78, 1.03)
    beyond = HEAD + shape.humeral_cartilage / shape.scale + 2.6
    depth = -np.sqrt(np.maximum(beyond**2 - height**2 - width**2, 1.0))
    distance, _ = curve(points, np.stack([depth, width, height], axis=1), reach=8)
    return distance - np.float32(2.3)
