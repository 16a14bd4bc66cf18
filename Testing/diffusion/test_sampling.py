"""Sampling depends on the seed alone, and finds the window of a network that knows it."""

from __future__ import annotations

import pytest
import torch

from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.sampling import Prediction, Predictor, sample, sampling_timesteps
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.networks.config import UNetConfig
from OrthoDiffusionLib.networks.unet import DenoisingUNet

SHAPE = (1, 1, 4, 8, 8)
PREDICTIONS: tuple[Prediction, ...] = ("noise", "velocity")


@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_a_perfect_prediction_leads_to_the_window(steps: int) -> None:
    truth = noise_for(3, "truth", SHAPE).clamp(-1, 1)

    def predict(x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        kept = float(cosine_schedule().alphas_cumprod[int(timesteps[0])])
        return (x_t - kept**0.5 * truth) / (1 - kept) ** 0.5

    assert torch.allclose(sample(predict, SHAPE, seed=0, steps=steps), truth, atol=1e-4)


def knows_two_windows(prediction: Prediction, windows: torch.Tensor) -> Predictor:
    """What a network tells that was trained perfectly on two windows, equally often: their mean, as the noise leaves
    it likely."""

    def predict(x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        kept = float(cosine_schedule().alphas_cumprod[int(timesteps[0])])
        x = x_t.double()
        distances = ((x[:, None] - kept**0.5 * windows[None]) ** 2).sum(dim=(2, 3, 4, 5))
        likely = torch.softmax(-distances / (2 * (1 - kept)), dim=1)
        clean = (likely[:, :, None, None, None, None] * windows[None]).sum(dim=1)
        noise = (x - kept**0.5 * clean) / (1 - kept) ** 0.5
        told = noise if prediction == "noise" else kept**0.5 * noise - (1 - kept) ** 0.5 * clean
        return told.float()

    return predict


def test_networks_of_noise_and_of_velocity_that_know_the_same_draw_the_same() -> None:
    windows = noise_for(3, "windows", (2, *SHAPE[1:])).clamp(-1, 1).double()
    shape = (6, *SHAPE[1:])
    drawn = {
        prediction: sample(knows_two_windows(prediction, windows), shape, seed=0, prediction=prediction)
        for prediction in PREDICTIONS
    }
    assert torch.allclose(drawn["noise"], drawn["velocity"], atol=2e-3)
    distances = (drawn["velocity"].double()[:, None] - windows[None]).abs().amax(dim=(2, 3, 4, 5))
    assert distances.amin(dim=1).max() < 1e-3
    assert set(distances.argmin(dim=1).tolist()) == {0, 1}


def test_a_velocity_is_exact_where_only_noise_is_left() -> None:
    """By way of the noise, float32's rounding made errors of 0.002 in windows of [-1, 1] at timestep 999."""
    believed = noise_for(5, "believed", SHAPE).clamp(-1, 1) * 0.5
    seen: list[torch.Tensor] = []

    def predict(x_t: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        seen.append(x_t)
        return -believed

    sample(predict, SHAPE, seed=0, steps=2, prediction="velocity")
    kept = float(cosine_schedule().alphas_cumprod[0])
    noise = noise_for(0, "sample", SHAPE)
    assert torch.allclose(seen[1], kept**0.5 * believed + (1 - kept) ** 0.5 * noise, atol=3e-4)


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
