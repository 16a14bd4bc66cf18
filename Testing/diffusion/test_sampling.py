"""Sampling depends on the seed alone, and finds the window of a network that knows it."""

from __future__ import annotations

import pytest
import torch

from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.sampling import sample, sampling_timesteps
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.unet import DenoisingUNet

SHAPE = (1, 1, 4, 8, 8)


@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_a_perfect_prediction_leads_to_the_window(steps: int) -> None:
    truth = noise_for(3, "truth", SHAPE).clamp(-1, 1)

    def predict(x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        kept = float(cosine_schedule().alphas_cumprod[int(timesteps[0])])
        return (x_t - kept**0.5 * truth) / (1 - kept) ** 0.5

    assert torch.allclose(sample(predict, SHAPE, seed=0, steps=steps), truth, atol=1e-4)


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(0)
    network = DenoisingUNet(UNetConfig(base_channels=32, channel_multipliers=(1, 1))).eval()
    first = sample(network, SHAPE, seed=1, steps=4)
    torch.manual_seed(99)
    assert torch.equal(first, sample(network, SHAPE, seed=1, steps=4))
    assert not torch.equal(first, sample(network, SHAPE, seed=2, steps=4))
    assert first.shape == SHAPE
    assert float(first.abs().max()) <= 1


def test_timesteps_run_from_the_noisiest_to_the_first() -> None:
    timesteps = sampling_timesteps(50)
    assert (timesteps[0], timesteps[-1], len(set(timesteps))) == (999, 0, 50)
    assert sampling_timesteps(1000) == tuple(range(999, -1, -1))


@pytest.mark.parametrize("count", [0, 1, 1001])
def test_impossible_numbers_of_steps_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="2 to 1000 steps"):
        sampling_timesteps(count)
