"""Osteophytes: lips of the bones themselves, beside the joint surfaces."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.knee import paint_knee
from OrthoDiffusionLib.phantom.knee_shape import draw_shape

KNEE = load_joint("knee")
LABEL = {structure.key: structure.label for structure in KNEE.structures}
SEEDS = (0, 3, 7)


@functools.lru_cache(maxsize=2 * len(SEEDS))
def worn(seed: int, osteophytes: float) -> AnatomyCanvas:
    """A knee with osteoarthritis and osteophytes of a size in mm; 3.5 is the largest drawn."""
    shape = replace(draw_shape(np.random.default_rng(seed)), cartilage_loss=0.6, osteophytes=osteophytes)
    return paint_knee(shape, {finding.key: 0.0 for finding in KNEE.findings}, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_bone_is_one_piece(seed: int) -> None:
    labels = worn(seed, 3.5).labels
    for key in ("femur", "tibia", "patella", "fibula"):
        bone = labels == LABEL[key]
        # Connected over voxels' faces: those that only touch at an edge do not count.
        _, pieces = ndimage.label(bone[ndimage.find_objects(bone.astype(np.uint8))[0]])
        assert pieces == 1, key


@pytest.mark.parametrize("seed", SEEDS)
def test_they_stand_out_of_the_bones_by_their_size(seed: int) -> None:
    smooth, grown = worn(seed, 0.0).labels, worn(seed, 3.5).labels
    for key in ("femur", "tibia", "patella"):
        near = ndimage.find_objects((grown == LABEL[key]).astype(np.uint8))[0]
        new = ((grown == LABEL[key]) & (smooth != LABEL[key]))[near]
        beyond = ndimage.distance_transform_edt((smooth != LABEL[key])[near], sampling=SPACING)[new]
        assert 1.8 < beyond.max() < 6, key
        assert not ((smooth == LABEL[key]) & (grown != LABEL[key])).any(), key


@pytest.mark.parametrize("seed", SEEDS)
def test_they_leave_menisci_and_ligaments_and_grow_no_cartilage(seed: int) -> None:
    smooth, grown = worn(seed, 0.0).labels, worn(seed, 3.5).labels
    assert not ((grown == LABEL["cartilage"]) & (smooth != LABEL["cartilage"])).any()
    for key in ("medial_meniscus", "lateral_meniscus", "acl", "pcl", "lcl"):
        before = smooth == LABEL[key]
        assert (before & (grown != LABEL[key])).sum() < 0.02 * before.sum(), key
    # The collateral ligament bends round the lips, and stays as large.
    before, after = ((labels == LABEL["mcl"]).sum() for labels in (smooth, grown))
    assert after == pytest.approx(before, rel=0.15)


def test_sides_differ_from_one_knee_to_the_next() -> None:
    shares = []
    for seed in SEEDS:
        new = (worn(seed, 3.5).labels == LABEL["femur"]) & (worn(seed, 0.0).labels != LABEL["femur"])
        middle = round(float(-worn(seed, 0.0).low[0]) / SPACING)
        shares.append(new[:middle].sum() / new.sum())
    # The medial side is the worn one.
    assert min(shares) > 0.45
    assert np.ptp(shares) > 0.03
