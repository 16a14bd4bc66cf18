"""The parts of trainings: windows, losses and precision and calibration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from OrthoDiffusionLib.evaluation.metrics import dice, expected_calibration_error
from OrthoDiffusionLib.training.augmentation import augment, randomise_contrast
from OrthoDiffusionLib.training.bfloat16 import multiply_in_bfloat16
from OrthoDiffusionLib.training.calibration import calibrate
from OrthoDiffusionLib.training.crops import crop_part
from OrthoDiffusionLib.training.losses import segmentation_loss


def test_bfloat16_gives_the_gradients_of_float32() -> None:
    """At the level of the demonstration's networks where the processor's own kernel does not (see NARROW)."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv3d(64, 64, 3, padding=1))
    x = torch.randn(4, 64, 2, 12, 12)
    gradients = []
    for enabled in (False, True):
        layer.zero_grad()
        with multiply_in_bfloat16(layer, enabled=enabled):
            y = layer(x)
        y.float().square().mean().backward()
        gradients.append(layer[0].weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-2, atol=1e-4)
    assert "forward" not in vars(layer[0])


def test_a_contrast_of_chance_keeps_place_and_range() -> None:
    image = torch.linspace(-1, 1, 16 * 24 * 24).reshape(16, 24, 24)
    changed, again = (randomise_contrast(image, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(changed, again)
    assert (changed.shape, changed.min(), changed.max()) == (image.shape, -1, 1)
    assert (changed - image).abs().mean() > 0.1


def test_parts_hold_small_structures_as_often_as_large_ones() -> None:
    labels = torch.zeros(4, 64, 64, dtype=torch.int8)
    labels[:, :, :40] = 1
    labels[2, 60, 60] = 2
    image = torch.arange(4 * 64 * 64).reshape(4, 64, 64).float()
    generator = np.random.default_rng(0)
    parts = [crop_part(image, labels, (32, 48), generator) for _ in range(60)]
    assert 0.3 < np.mean([bool((truth == 2).any()) for _, truth in parts]) < 0.7
    for part, truth in parts:
        assert part.shape == truth.shape == (4, 32, 48)
        row, column = divmod(int(part[0, 0, 0]), 64)
        assert torch.equal(truth, labels[:, row : row + 32, column : column + 48])
    empty, _ = crop_part(image, torch.zeros_like(labels), (32, 48), generator)
    assert empty.shape == (4, 32, 48)


def test_some_parts_lie_far_from_any_structure() -> None:
    labels = torch.zeros(4, 128, 128, dtype=torch.int8)
    labels[:, :8, :8] = 1
    generator = np.random.default_rng(0)
    parts = [crop_part(torch.zeros_like(labels), labels, (32, 32), generator) for _ in range(200)]
    assert np.mean([bool((truth == 0).all()) for _, truth in parts]) == pytest.approx(0.25, abs=0.07)


def test_unannotated_voxels_count_nowhere() -> None:
    scores = torch.randn(1, 12, 4, 4, 4)
    labels = torch.randint(0, 12, (1, 4, 4, 4))
    labels[:, :2] = -1
    changed = scores.clone()
    changed[:, :, :2] = 50 * torch.randn(1, 12, 2, 4, 4)
    assert torch.allclose(segmentation_loss(scores, labels), segmentation_loss(changed, labels), atol=1e-6)
    assert dice(np.array([1, 1, 0]), np.array([1, -1, 1]), 1) == pytest.approx(2 / 3)


def test_a_structure_that_was_given_up_is_pulled_back_when_balanced() -> None:
    labels = torch.zeros(1, 4, 16, 16, dtype=torch.int8)
    labels[0, 2, 5:7, 5:7] = 3
    pulls = []
    for balanced in (False, True):
        scores = torch.zeros(1, 12, 4, 16, 16)
        scores[:, 3] = -8
        scores.requires_grad_()
        segmentation_loss(scores, labels, balanced=balanced).backward()
        assert scores.grad is not None
        pulls.append(-float(scores.grad[0, 3][labels[0] == 3].mean()))
    assert pulls[1] > 5 * pulls[0] > 0


@pytest.mark.parametrize("elastic", [0.0, 4.0])
def test_augmentation_moves_image_and_labels_alike(elastic: float) -> None:
    image = torch.full((16, 64, 64), -1.0)
    image[:, 20:44, 24:40] = 1.0
    labels = (image > 0).to(torch.int8)
    moved, truth = augment(image, labels, 48, np.random.default_rng(3), elastic)
    assert moved.shape == truth.shape == (16, 48, 48)
    overlap = ((moved > 0) & (truth == 1)).sum() / ((moved > 0) | (truth == 1)).sum()
    assert float(overlap) > 0.9


def test_bending_bends_edges_without_tearing_them() -> None:
    labels = torch.zeros(2, 160, 160, dtype=torch.int8)
    labels[:, :, 80:] = 1
    rows = np.arange(64)
    bent: dict[float, list[float]] = {0.0: [], 4.0: []}
    for elastic, seed in itertools.product(bent, range(8)):
        _, truth = augment(labels.float(), labels, 128, np.random.default_rng(seed), elastic)
        edge = (truth[0] == 1).double().argmax(dim=1).numpy()[32:96]
        bent[elastic].append(np.abs(edge - np.polyval(np.polyfit(rows, edge, 1), rows)).max())
        assert np.abs(np.diff(edge)).max() <= 4
    assert max(bent[0.0]) <= 1
    assert 2 < max(bent[4.0]) < 16


def test_calibration_lowers_the_error() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 1.5, 4000)
    present = (generator.random(4000) < 1 / (1 + np.exp(-truth))).astype(float)
    overconfident = 4 * truth
    found = calibrate(overconfident, present)
    assert found.temperature == pytest.approx(4, rel=0.15)
    before, after = (1 / (1 + np.exp(-overconfident / t)) for t in (1.0, found.temperature))
    assert expected_calibration_error(after, present) < 0.5 * expected_calibration_error(before, present)
    separated = np.repeat([-6.0, 6.0], 20)
    never_certain = calibrate(separated, (separated > 0).astype(float))
    assert 1 / (1 + np.exp(-6 / never_certain.temperature)) == pytest.approx(21 / 22, abs=0.01)
    with pytest.raises(ValueError, match="with and without"):
        calibrate(overconfident, np.ones(4000))


@pytest.mark.parametrize(("doubtful", "low"), [(1, False), (2, True)])
def test_one_study_alone_moves_no_threshold_away_from_the_middle(doubtful: int, low: bool) -> None:
    present = np.repeat([0.0, 1.0], [30, 20])
    logits = np.where(present == 1, 4.0, -6.0)
    logits[-doubtful:] = -2.0
    found = calibrate(logits, present)
    told = 1 / (1 + np.exp(2.0 / found.temperature))
    assert (found.threshold < told) == low
    assert low or found.threshold == 0.5
