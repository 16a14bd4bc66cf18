"""Muon over convolutions: what a step changes, however the weights lie in memory, and that it can be interrupted."""

from __future__ import annotations

import torch
from torch import nn

from OrthoDiffusionLib.training.checkpoints import optimiser_tensors, restore_optimiser
from OrthoDiffusionLib.training.muon import ConvolutionMuon, is_hidden_convolution

RATE = 1e-3


def _convolution(*, channels_last: bool = False) -> nn.Conv3d:
    torch.manual_seed(0)
    convolution = nn.Conv3d(24, 16, 3)
    return convolution.to(memory_format=torch.channels_last_3d) if channels_last else convolution


def _step(optimiser: ConvolutionMuon, convolution: nn.Conv3d, seed: int) -> torch.Tensor:
    """What a step on an image of chance changes."""
    before = convolution.weight.detach().clone()
    convolution.zero_grad(set_to_none=True)
    image = torch.randn(1, 24, 5, 5, 5, generator=torch.Generator().manual_seed(seed))
    convolution(image).square().mean().backward()
    optimiser.step()
    return convolution.weight.detach() - before


def _muon(convolution: nn.Conv3d) -> ConvolutionMuon:
    return ConvolutionMuon([{"params": [convolution.weight], "lr": RATE}])


def test_all_directions_change_alike_and_as_much_as_by_adam() -> None:
    convolution = _convolution()
    changed = _step(_muon(convolution), convolution, 1)
    sizes = torch.linalg.svdvals(changed.flatten(1)) / (0.2 * RATE * (24 * 27) ** 0.5)
    assert sizes.min() > 0.5
    assert sizes.max() < 1.3
    assert 0.1 * RATE < changed.square().mean().sqrt() < 0.3 * RATE


def test_how_weights_lie_in_memory_changes_nothing() -> None:
    plain, other = _convolution(), _convolution(channels_last=True)
    changes = [_step(_muon(convolution), convolution, 1) for convolution in (plain, other)]
    # The iteration's bfloat16 turns the gradients' last bits into some per mille.
    assert torch.allclose(*changes, atol=0.02 * RATE)


def test_weights_without_a_gradient_stay() -> None:
    convolution = _convolution()
    before = convolution.weight.detach().clone()
    _muon(convolution).step()
    assert torch.equal(convolution.weight, before)


def test_it_goes_on_exactly_where_it_was() -> None:
    whole, broken = _convolution(), _convolution()
    optimiser = _muon(whole)
    for seed in (1, 2, 3):
        _step(optimiser, whole, seed)
    optimiser = _muon(broken)
    for seed in (1, 2):
        _step(optimiser, broken, seed)
    kept = optimiser_tensors(optimiser)
    optimiser = _muon(broken)
    restore_optimiser(optimiser, kept)
    _step(optimiser, broken, 3)
    assert torch.equal(whole.weight, broken.weight)


def test_it_is_for_convolutions_between_hidden_channels() -> None:
    chosen = [layer for layer in (_convolution(), nn.Conv2d(16, 16, 1)) if is_hidden_convolution(layer.weight)]
    left = [nn.Conv3d(1, 32, 3), nn.Conv3d(32, 12, 1), nn.Linear(32, 32), nn.Conv1d(32, 32, 1)]
    assert len(chosen) == 2
    assert not any(is_hidden_convolution(layer.weight) for layer in left)
