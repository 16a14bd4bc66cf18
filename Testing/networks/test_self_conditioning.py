"""Self-conditioning begins as nothing, steers the decoder alone, and never reaches an encoder's file."""

from __future__ import annotations

import pytest
import torch

from OrthoDiffusionLib.diffusion.sampling import sample
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.encoder import DenoisingEncoder, encoder_state
from OrthoDiffusionLib.networks.self_conditioning import SELF_CONDITIONING_PART
from OrthoDiffusionLib.networks.unet import DenoisingUNet

PLAIN, STEERED = UNetConfig(32, (1, 2)), UNetConfig(32, (1, 2), self_conditioning=True)


def network(config: UNetConfig) -> DenoisingUNet:
    torch.manual_seed(0)
    return DenoisingUNet(config).eval()


@pytest.fixture
def steered() -> DenoisingUNet:
    """A network whose self-conditioning has learned something."""
    made = network(STEERED)
    with torch.no_grad():
        for parameter in made.self_conditioning.parameters():  # type: ignore[union-attr]
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


@pytest.fixture(scope="module")
def seen() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([3, 700])


@torch.no_grad()
def test_it_begins_as_the_plain_network(seen: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert torch.equal(network(PLAIN)(*seen), network(STEERED)(*seen))


@torch.no_grad()
def test_it_steers_the_decoder_and_leaves_the_encoder(
    steered: DenoisingUNet, seen: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain = network(PLAIN)
    assert not torch.allclose(plain(*seen), steered(*seen), atol=1e-3)
    for block in plain.block_names:
        assert torch.equal(plain.features(*seen, block), steered.features(*seen, block))
    summary = steered.denoised_and_summary(*seen)[1]
    assert torch.equal(summary, plain.features(*seen, "mid_2").mean(dim=(2, 3, 4)))


def test_encoders_never_see_it(steered: DenoisingUNet) -> None:
    state = encoder_state(steered.state_dict())
    assert state.keys() == encoder_state(network(PLAIN).state_dict()).keys()
    DenoisingEncoder(PLAIN).load_state_dict(state)
    DenoisingEncoder(STEERED).load_state_dict(state)


@torch.no_grad()
def test_plain_weights_make_it_the_plain_network(
    steered: DenoisingUNet, seen: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain = network(PLAIN)
    steered.load_state_dict(plain.state_dict())
    assert torch.equal(steered(*seen), plain(*seen))


def test_half_of_it_and_a_network_without_it_are_refused(steered: DenoisingUNet) -> None:
    state = steered.state_dict()
    with pytest.raises(RuntimeError, match="Unexpected"):
        network(PLAIN).load_state_dict(state)
    del state[next(name for name in state if name.startswith(SELF_CONDITIONING_PART))]
    with pytest.raises(RuntimeError, match="Missing"):
        steered.load_state_dict(state)


def test_samples_are_drawn_with_it(steered: DenoisingUNet) -> None:
    shape = (1, 1, 16, 16, 16)
    drawn = sample(steered, shape, seed=1, steps=4)
    assert torch.isfinite(drawn).all()
    assert torch.equal(drawn, sample(steered, shape, seed=1, steps=4))
    assert not torch.allclose(drawn, sample(network(PLAIN), shape, seed=1, steps=4), atol=1e-2)
