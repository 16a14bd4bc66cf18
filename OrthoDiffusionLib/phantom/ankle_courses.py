"""Courses of what crosses the ankle from the leg to the foot: tendons, vessels, nerves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from OrthoDiffusionLib.phantom.ankle_shape import AnkleShape
from OrthoDiffusionLib.phantom.distances import Vector


def course(
    shape: AnkleShape, leg: Sequence[Vector], foot: Sequence[Vector], pieces: int = 20
) -> npt.NDArray[np.float64]:
    """A smooth polyline of pieces + 1 points in the joint frame, (n, 3), mm.

    Args:
        shape: of the ankle, whose foot is plantar-flexed.
        leg: points that stand still, from above downwards.
        foot: points in the foot's frame that go on from there.
        pieces: of the polyline.
    """
    knots = np.array([*leg, *(shape.from_foot(point) for point in foot)])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    # Without overshoot: a tendon keeps its distance from the bone that it runs round.
    return np.asarray(PchipInterpolator(length, knots)(np.linspace(0, length[-1], pieces + 1)))
