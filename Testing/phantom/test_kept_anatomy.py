"""Anatomies on disk: what is scanned of them is what would be scanned of the canvas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.centres import ANYWHERE
from OrthoDiffusionLib.phantom.kept_anatomy import KeptAnatomy, packed, read_anatomy
from OrthoDiffusionLib.phantom.scanner import _labels, _signal, fold_margin, scan
from OrthoDiffusionLib.phantom.series_plan import SeriesPlan, mirror, plan_series
from OrthoDiffusionLib.phantom.stack_part import StackPart
from OrthoDiffusionLib.phantom.study import Anatomy
from OrthoDiffusionLib.phantom.tissues import Tissue

BALL, RADIUS = np.array([9.0, -6.0, 5.0]), 8.0
"""mm, in the joint frame."""


@pytest.fixture(scope="module", params=["left", "right"])
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    """A ball of bone, the structure 2, in a cylinder of muscle with a layer of fat."""
    canvas = AnatomyCanvas((-33, -30, -37), (30, 33, 34))
    region = canvas.everywhere()
    x, y, z = region.points
    for radius, tissue in ((27, Tissue.FAT), (22, Tissue.MUSCLE)):
        canvas.paint(region, region.covered(np.hypot(x, y) - radius), tissue)
    ball = np.sqrt((x - BALL[0]) ** 2 + (y - BALL[1]) ** 2 + (z - BALL[2]) ** 2) - RADIUS
    canvas.paint(region, region.covered(ball), Tissue.MARROW, 2)
    return Anatomy("knee", canvas, {}, request.param, 0)


@pytest.fixture(scope="module")
def kept(anatomy: Anatomy, tmp_path_factory: pytest.TempPathFactory) -> KeptAnatomy:
    path: Path = tmp_path_factory.mktemp("kept") / "anatomy.npz"
    path.write_bytes(packed(anatomy))
    return read_anatomy(path)


def oblique(anatomy: Anatomy, plane: Plane, seed: int) -> SeriesPlan:
    """A series of the small joint, tilted as all are, of odd sizes and pixels that are not square."""
    joint_centre = np.eye(4)
    joint_centre[:3, 3] = (31, -17, 12)
    generator = np.random.default_rng(seed)
    plan = plan_series("knee", anatomy.laterality, plane, ANYWHERE, "random", joint_centre, generator)
    scale = np.diag([1.1 / plan.protocol.pixel[0], 0.8 / plan.protocol.pixel[1], 2.7 / plan.protocol.slice_distance])
    affine = plan.affine.copy()
    affine[:3, :3] = affine[:3, :3] @ scale
    affine[:3, 3] = joint_centre[:3, 3] - affine[:3, :3] @ ((np.array([47, 71, 21]) - 1) / 2)
    protocol = dataclasses.replace(
        plan.protocol, pixel=(1.1, 0.8), pixels=(47, 71), slices=21, slice_distance=2.7, slice_thickness=2.3, fold=0.07
    )
    return dataclasses.replace(plan, protocol=protocol, affine=affine)


def test_all_of_it_comes_back(anatomy: Anatomy, kept: KeptAnatomy) -> None:
    canvas = anatomy.canvas
    whole = kept.between(canvas.low - 5, canvas.low + SPACING * np.array(canvas.tissue.shape) + 5)
    assert (kept.joint, kept.laterality) == ("knee", anatomy.laterality)
    painted = (canvas.low, canvas.tissue, canvas.labels, *canvas.shared)
    for back, before in zip((*whole[:3], *whole.shared), painted, strict=True):
        assert back.dtype == before.dtype
        assert np.array_equal(back, before)


@pytest.mark.parametrize("plane", list(Plane))
def test_a_part_is_that_of_the_whole_scan(anatomy: Anatomy, kept: KeptAnatomy, plane: Plane) -> None:
    plan = oblique(anatomy, plane, 3)
    whole = StackPart(0, 21, 21)
    index_to_joint = plan.to_joint @ plan.affine
    margin = fold_margin(plan.protocol)
    assert margin
    signal = _signal(anatomy.canvas, plan.signals, index_to_joint, margin, plan.protocol, whole)
    labels = _labels(anatomy.canvas, index_to_joint, plan.protocol.pixels, whole)
    for first, end in ((0, 5), (8, 9), (7, 21)):
        part = StackPart(first, end, 21)
        grid = kept.between(*plan.reach(part))
        found = _signal(grid, plan.signals, index_to_joint, margin, plan.protocol, part)
        # Positions are in float32, counted from another point.
        assert np.abs(found - signal[..., first:end]).max() < 1e-3
        _, truth = scan(grid, plan.affine, plan.to_joint, plan.protocol, plan.signals, np.random.default_rng(0), part)
        # Nor is the nearest of two points that are as near always the same.
        assert (truth != labels[..., first:end]).mean() < 1e-4
    assert grid.tissue.size < anatomy.canvas.tissue.size


def test_a_part_lies_where_its_affine_says(anatomy: Anatomy, kept: KeptAnatomy) -> None:
    for plane in Plane:
        plan = oblique(anatomy, plane, 5)
        part = StackPart(3, 19, 21)
        image, labels = scan(
            kept.between(*plan.reach(part)),
            plan.affine, plan.to_joint, plan.protocol, plan.signals, np.random.default_rng(0), part,
        )  # fmt: skip
        assert image.shape == labels.shape == (47, 71, 16)
        middle = np.argwhere(labels == 2).mean(axis=0)
        found = plan.part_affine(part) @ [*middle, 1]
        expected = np.array([31, -17, 12]) + (mirror(anatomy.laterality) @ [*BALL, 1])[:3]
        assert np.abs(found[:3] - expected).max() < 0.2, plane


def test_slices_in_air_hold_noise_alone(anatomy: Anatomy, kept: KeptAnatomy) -> None:
    plan = oblique(anatomy, Plane.SAGITTAL, 5)
    plan = dataclasses.replace(plan, protocol=dataclasses.replace(plan.protocol, slices=60, signal_to_noise=20.0))
    part = StackPart(44, 60, 60)
    grid = kept.between(*plan.reach(part))
    with np.errstate(all="raise"):
        image, labels = scan(
            grid, plan.affine, plan.to_joint, plan.protocol, plan.signals, np.random.default_rng(0), part
        )
    assert not labels.any()
    assert 0 < np.percentile(image, 99) < 0.3 * plan.protocol.maximum
