"""The bent knee: the thigh turns with its femur, and the kneecap keeps to its groove or, dislocated, beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom import knee_bones as bones
from OrthoDiffusionLib.phantom.canvas import SPACING
from OrthoDiffusionLib.phantom.findings import MILDEST
from OrthoDiffusionLib.phantom.knee import dislocated, paint_knee
from OrthoDiffusionLib.phantom.knee_flexion import FLEXION_AXIS, flexed, flexed_box, on_femur, straightened
from OrthoDiffusionLib.phantom.knee_shape import KneeShape, draw_shape
from OrthoDiffusionLib.phantom.tissues import Tissue

KNEE = load_joint("knee")
ANGLES = st.floats(0, 30)


def within_the_leg(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


def shape_at(seed: int, flexion: float) -> KneeShape:
    return replace(draw_shape(np.random.default_rng(seed)), flexion=flexion)


@given(within_the_leg(-60, 60), within_the_leg(-58, 58), within_the_leg(-110, 120), ANGLES)
def test_straightening_takes_bending_back(x: float, y: float, z: float, flexion: float) -> None:
    bent = flexed((x, y, z), flexion)
    points = tuple(np.full((1,), value, np.float32) for value in bent)
    assert np.allclose(np.ravel(straightened(points, flexion)), (x, y, z), atol=0.05)


@given(within_the_leg(-50, 50), within_the_leg(-50, 50), ANGLES)
def test_the_lower_leg_stays_and_the_thigh_turns_with_the_femur(x: float, y: float, flexion: float) -> None:
    below = (x, y, -60.0)
    assert flexed(below, flexion) == pytest.approx(below, abs=1e-4)
    above = (x, y, 110.0)
    assert flexed(above, flexion) == pytest.approx(on_femur(above, flexion, 0.0), abs=1e-3)


@given(ANGLES, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_bent_box_holds_what_the_straight_one_does(flexion: float, shares: list[float]) -> None:
    low, high = (10.0, -45.0, -30.0), (40.0, 12.0, 120.0)
    inside = tuple(a + share * (b - a) for a, b, share in zip(low, high, shares, strict=True))
    bent_low, bent_high = flexed_box(low, high, flexion)
    point = np.array(flexed((inside[0], inside[1], inside[2]), flexion))
    # A slice's thickness of room: the box is taken from points on its edges.
    assert (point >= np.array(bent_low) - 1).all()
    assert (point <= np.array(bent_high) + 1).all()


def test_the_shaft_stays_in_the_middle_of_its_thigh() -> None:
    """Distance from the femur's shaft to the skin before and behind it, 80 mm over the joint; a thigh that stayed
    straight would lose 26 mm behind the shaft at 30 degrees."""
    room = []
    for flexion in (0.0, 30.0):
        shape = shape_at(2, flexion)
        canvas = paint_knee(shape, {finding.key: 0.0 for finding in KNEE.findings}, np.random.default_rng(5))
        level = canvas.labels[:, :, round((80 - canvas.low[2]) / SPACING)] == KNEE.structure("femur").label
        across = round(float(np.argwhere(level)[:, 0].mean()))
        leg = canvas.tissue[across, :, round((80 - canvas.low[2]) / SPACING)] != Tissue.AIR
        shaft = np.flatnonzero(level[across])
        room.append(((shaft[0] - np.flatnonzero(leg)[0]) * SPACING, (np.flatnonzero(leg)[-1] - shaft[-1]) * SPACING))
    assert np.allclose(room[0], room[1], atol=14)


@pytest.mark.parametrize("seed", range(4))
def test_the_kneecap_keeps_its_distance_from_the_groove(seed: int) -> None:
    distances = [clearance(replace(shape_at(seed, flexion), rotation=0.0)) for flexion in (0.0, 15.0, 30.0)]
    assert np.ptp(distances) < 1.5
    assert min(distances) > 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("severity", [MILDEST, 1.0])
def test_a_dislocated_kneecap_lies_beside_its_groove_and_not_in_the_bone(seed: int, severity: float) -> None:
    for flexion in (0.0, 30.0):
        shape = shape_at(seed, flexion)
        ill = dislocated(shape, severity)
        # Over half of its width of 46 mm in the standard knee.
        assert ill.patella_shift > 23
        assert ill.patella_tilt >= 20
        assert clearance(ill) > -1.5


def clearance(shape: KneeShape) -> float:
    """mm of the standard knee between the bone of kneecap and femur, negative where they overlap."""
    grid = np.meshgrid(np.arange(-30, 60, 1.5), np.arange(10, 70, 1.5), np.arange(5, 75, 1.5), indexing="ij")
    x, y, z = (axis.astype(np.float32) for axis in grid)
    kneecap = bones.patella(bones.in_patella((x, y, z), shape), shape)
    femur = bones.femur(bones.in_femur((x, y, z), shape), shape)
    return float((kneecap + femur).min())


def test_the_axis_of_flexion_stays() -> None:
    assert on_femur(FLEXION_AXIS, 30.0, 0.0) == pytest.approx(FLEXION_AXIS, abs=1e-4)
