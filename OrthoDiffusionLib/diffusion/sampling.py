"""Windows drawn from a denoising network: what it has learned to expect, made visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import STEPS, cosine_schedule

Predictor = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From noised windows (batch, 1, k, i, j) and timesteps (batch,) to the noise or velocity in them, such as a
`DenoisingUNet`."""

Prediction = Literal["noise", "velocity"]
"""What a network tells: the noise, or the velocity of Salimans and Ho (2022), sqrt(abar) noise - sqrt(1 - abar) x_0."""


def sampling_timesteps(count: int) -> tuple[int, ...]:
    """Timesteps that sampling passes through, evenly spaced from the noisiest, 999, down to 0.

    Raises:
        ValueError: when `count` is not between 2 and 1000.
    """
    if not 2 <= count <= STEPS:
        raise ValueError(f"sampling takes 2 to {STEPS} steps, not {count}")
    return tuple(int(timestep) for timestep in np.linspace(STEPS - 1, 0, count).round())


@torch.inference_mode()
def sample(
    predict: Predictor,
    shape: Sequence[int],
    *,
    seed: int,
    steps: int = 50,
    prediction: Prediction = "noise",
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Draw windows by deterministic DDIM (Song et al. 2021, equation 12 without added noise).

    Args:
        predict: a network in evaluation mode, on `device`.
        shape: of the windows, (batch, 1, k, i, j).
        seed: of the noise that sampling starts from; the only randomness.
        steps: evaluations of the network, 2 to 1000.
        prediction: what `predict` tells.
        device: to compute on.

    Returns:
        float32 in [-1, 1], of the given shape, on `device`.

    Raises:
        ValueError: for a number of steps out of range.
    """
    timesteps = sampling_timesteps(steps)
    kept = [float(cosine_schedule().alphas_cumprod[timestep]) for timestep in timesteps]
    window = noise_for(seed, "sample", shape).to(device)
    for timestep, now, following in zip(timesteps, kept, [*kept[1:], 1.0], strict=True):
        told = predict(window, torch.full((window.shape[0],), timestep, device=window.device))
        if prediction == "noise":
            # At the noisiest steps hardly any signal is left and this division magnifies every error of the prediction.
            clean = (window - (1 - now) ** 0.5 * told) / now**0.5
        else:
            # Not by way of the noise: the same division would magnify float32's rounding at the noisiest steps.
            clean = now**0.5 * window - (1 - now) ** 0.5 * told
        # Windows lie in [-1, 1], and the noise is derived again so that both still add up to the window.
        clean = clean.clamp(-1, 1)
        noise = (window - now**0.5 * clean) / (1 - now) ** 0.5
        window = following**0.5 * clean + (1 - following) ** 0.5 * noise
    return window
