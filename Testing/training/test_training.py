"""Training lowers its losses, calibration its error, and the gate weighs planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.evaluation.metrics import dice, expected_calibration_error
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.plane_networks import PlaneNetworks
from OrthoDiffusionLib.training import plane_training
from OrthoDiffusionLib.training.augmentation import augment, randomise_contrast
from OrthoDiffusionLib.training.calibration import calibrate
from OrthoDiffusionLib.training.crops import crop_around_structure
from OrthoDiffusionLib.training.gate_training import train_gate
from OrthoDiffusionLib.training.half_precision import multiply_in_bfloat16
from OrthoDiffusionLib.training.losses import segmentation_loss
from OrthoDiffusionLib.training.phantom_stacks import PlaneStack, StudyStacks
from OrthoDiffusionLib.training.plane_training import PlaneTraining, Report, train_plane


def toy_studies(count: int = 4) -> list[StudyStacks]:
    """Stacks with one bright ball of label 1; bright in half of them, which is finding 0."""
    generator = np.random.default_rng(0)
    studies = []
    k, i, j = np.ogrid[:18, :32, :32]
    for number in range(count):
        ball = ((i - 16) ** 2 + (j - 16) ** 2 < 64) & (k > 2) & (k < 15)
        image = generator.normal(100, 10, (18, 32, 32)) + ball * (300 if number % 2 else 120)
        stack = PlaneStack(image.astype(np.float16), ball.astype(np.int8))
        present = np.zeros(8, np.float32)
        present[0] = number % 2
        studies.append(StudyStacks(dict.fromkeys(Plane, stack), dict.fromkeys(Plane, stack), present))
    return studies


@pytest.mark.parametrize(("skips", "half_precision"), [(False, False), (True, False), (True, True)])
def test_losses_fall(skips: bool, half_precision: bool) -> None:
    torch.manual_seed(0)
    networks = PlaneNetworks(UNetConfig(32), "mid_0", 12, 8, skips=skips)
    told: list[tuple[float, float]] = []
    settings = PlaneTraining(steps=24, size=32, batch=2, learning_rate=3e-3, warm_up=2, half_precision=half_precision)
    train_plane(networks, toy_studies(), Plane.AXIAL, settings, lambda _, s, d: told.append((s, d)))
    first, last = (np.mean([s for s, _ in part]) for part in (told[:6], told[-6:]))
    assert last < 0.9 * first
    assert not networks.training


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


def test_a_frozen_encoder_stays_as_it_is() -> None:
    torch.manual_seed(0)
    networks = PlaneNetworks(UNetConfig(32), "mid_0", 12, 8, skips=True)
    before = {name: tensor.clone() for name, tensor in networks.encoder.state_dict().items()}
    settings = PlaneTraining(steps=2, size=32, batch=1, encoder_rate=0.0, diagnosis_share=0.0)
    train_plane(networks, toy_studies(), Plane.AXIAL, settings, lambda *_: None)
    assert all(torch.equal(before[name], tensor) for name, tensor in networks.encoder.state_dict().items())


def test_interrupted_it_goes_on_exactly_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_training, "SAVE_EVERY", 2)
    settings = PlaneTraining(steps=5, size=32, batch=2, crop=16, crop_share=0.5, learning_rate=1e-3)

    def interrupted(step: int, *_: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    def trained(folder: Path | None, report: Report, settings: PlaneTraining = settings) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        networks = PlaneNetworks(UNetConfig(32), "mid_0", 12, 8)
        train_plane(networks, toy_studies(), Plane.AXIAL, settings, report, folder)
        return networks.state_dict()

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, interrupted)
    again, whole = trained(tmp_path, lambda *_: None), trained(None, lambda *_: None)
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    with pytest.raises(OrthoDiffusionError, match="with other settings"):
        trained(tmp_path, lambda *_: None, PlaneTraining(steps=6, size=32))


def test_parts_hold_small_structures_as_often_as_large_ones() -> None:
    labels = torch.zeros(4, 64, 64, dtype=torch.int8)
    labels[:, :, :40] = 1
    labels[2, 60, 60] = 2
    image = torch.arange(4 * 64 * 64).reshape(4, 64, 64).float()
    generator = np.random.default_rng(0)
    parts = [crop_around_structure(image, labels, 32, generator) for _ in range(60)]
    assert 0.3 < np.mean([bool((truth == 2).any()) for _, truth in parts]) < 0.7
    for part, truth in parts:
        assert part.shape == truth.shape == (4, 32, 32)
        row, column = divmod(int(part[0, 0, 0]), 64)
        assert torch.equal(truth, labels[:, row : row + 32, column : column + 32])
    empty, _ = crop_around_structure(image, torch.zeros_like(labels), 32, generator)
    assert empty.shape == (4, 32, 32)


def test_a_poisoned_study_stops_with_a_clear_message() -> None:
    study = toy_studies(1)[0]
    study.planes[Plane.AXIAL].image[:] = np.nan
    networks = PlaneNetworks(UNetConfig(32), "mid_0", 12, 8)
    with pytest.raises(FloatingPointError, match="loss is nan at step 0 of the axial plane"):
        train_plane(networks, [study], Plane.AXIAL, PlaneTraining(steps=2, size=32, batch=1), lambda *_: None)


def test_unannotated_voxels_count_nowhere() -> None:
    scores = torch.randn(1, 12, 4, 4, 4)
    labels = torch.randint(0, 12, (1, 4, 4, 4))
    labels[:, :2] = -1
    changed = scores.clone()
    changed[:, :, :2] = 50 * torch.randn(1, 12, 2, 4, 4)
    assert torch.allclose(segmentation_loss(scores, labels), segmentation_loss(changed, labels), atol=1e-6)
    assert dice(np.array([1, 1, 0]), np.array([1, -1, 1]), 1) == pytest.approx(2 / 3)


def test_augmentation_moves_image_and_labels_alike() -> None:
    image = torch.full((16, 64, 64), -1.0)
    image[:, 20:44, 24:40] = 1.0
    labels = (image > 0).to(torch.int8)
    moved, truth = augment(image, labels, 48, np.random.default_rng(3))
    assert moved.shape == truth.shape == (16, 48, 48)
    overlap = ((moved > 0) & (truth == 1)).sum() / ((moved > 0) | (truth == 1)).sum()
    assert float(overlap) > 0.9


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


def test_the_gate_trusts_the_plane_that_knows() -> None:
    generator = torch.Generator().manual_seed(0)
    present = (torch.rand(200, 8, generator=generator) < 0.5).float()
    logits = torch.randn(200, 3, 8, generator=generator)
    logits[:, 1] = 6 * (present - 0.5)
    gate = train_gate(logits, present)
    weights = gate(logits)
    assert torch.allclose(weights.sum(dim=1), torch.ones(200, 8), atol=1e-6)
    fused = (weights * logits).sum(dim=1)
    agreement = ((fused > 0).float() == present).float().mean()
    plain = ((logits.mean(dim=1) > 0).float() == present).float().mean()
    assert agreement > plain
