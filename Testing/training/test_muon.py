"""Muon over convolutions: what a step changes, however the weights lie in memory, and that it can be interrupted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from OrthoDiffusionLib.errors import OrthoDiffusionError
from OrthoDiffusionLib.training.checkpoints import optimiser_tensors, restore_optimiser
from OrthoDiffusionLib.training.muon import ConvolutionMuon
from OrthoDiffusionLib.training.optimisers import optimisers

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
    hidden, edge = nn.Conv2d(16, 16, 1), nn.Conv2d(32, 48, 3)
    others = (nn.Conv3d(1, 32, 3), nn.Conv3d(32, 12, 1), nn.Linear(32, 32), nn.ConvTranspose3d(32, 32, 2))
    network = nn.Sequential(hidden, edge, *others)
    groups = [{"params": list(network.parameters()), "share": 0.5}]
    made = optimisers("muon", network, groups, torch.optim.Adam, edges=(edge,))
    assert [group["share"] for one in made.values() for group in one.param_groups] == [0.5, 0.5]
    assert [tuple(weight.shape) for weight in made["muon"].param_groups[0]["params"]] == [(16, 16)]
    assert len(made["optimiser"].param_groups[0]["params"]) == len(list(network.parameters())) - 1
    assert list(optimisers("adam", network, groups, torch.optim.Adam)) == ["optimiser"]


def test_a_pytorch_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(OrthoDiffusionError, match=r"no Muon\. Set optimiser: adam, or install PyTorch 2\.9"):
        optimisers("muon", nn.Linear(1, 1), [], torch.optim.Adam)
