"""The noise schedule: how much of a window is left at each timestep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

STEPS = 1000
COSINE_OFFSET = 0.008
BETA_MAX = 0.999


@dataclass(frozen=True)
class NoiseSchedule:
    """Cosine schedule of Nichol and Dhariwal (2021) as the paper uses it.

    Attributes:
        betas: float64, shape (1000,).
        alphas_cumprod: float64, shape (1000,): the share of the window's variance that is left.
    """

    betas: npt.NDArray[np.float64]
    alphas_cumprod: npt.NDArray[np.float64]

    def noised(self, x0: torch.Tensor, timesteps: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise.

        Args:
            x0: windows in [-1, 1], (batch, 1, k, i, j).
            timesteps: integers (batch,), 0 to 999.
            noise: standard normal, the shape of `x0`.
        """
        # Cast to float32 before the root, as the published buffers are.
        kept = torch.as_tensor(np.sqrt(self.alphas_cumprod), dtype=torch.float32, device=x0.device)[timesteps]
        added = torch.as_tensor(np.sqrt(1.0 - self.alphas_cumprod), dtype=torch.float32, device=x0.device)[timesteps]
        shape = (-1, *([1] * (x0.ndim - 1)))
        return kept.reshape(shape) * x0 + added.reshape(shape) * noise

    def buffers(self) -> dict[str, npt.NDArray[np.float64]]:
        """The buffers of a published checkpoint that follow from the schedule, by published name, float64 (1000,).

        A checkpoint carries a thirteenth, `posterior_mean_coef3`, whose definition is not published.
        """
        abar = self.alphas_cumprod
        previous = np.append(1.0, abar[:-1])
        variance = self.betas * (1.0 - previous) / (1.0 - abar)
        return {
            "betas": self.betas,
            "alphas_cumprod": abar,
            "alphas_cumprod_prev": previous,
            "sqrt_alphas_cumprod": np.sqrt(abar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - abar),
            "log_one_minus_alphas_cumprod": np.log(1.0 - abar),
            "sqrt_recip_alphas_cumprod": np.sqrt(1.0 / abar),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1.0 / abar - 1.0),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": self.betas * np.sqrt(previous) / (1.0 - abar),
            "posterior_mean_coef2": (1.0 - previous) * np.sqrt(1.0 - self.betas) / (1.0 - abar),
        }


@cache
def cosine_schedule() -> NoiseSchedule:
    """The published schedule: 1000 steps, offset 0.008, on numpy.linspace(0, 1001, 1001), betas clipped to 0.999."""
    position = np.linspace(0, STEPS + 1, STEPS + 1) / (STEPS + 1)
    curve = np.cos((position + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi * 0.5) ** 2
    curve = curve / curve[0]
    betas = np.clip(1.0 - curve[1:] / curve[:-1], 0.0, BETA_MAX)
    return NoiseSchedule(betas=betas, alphas_cumprod=np.cumprod(1.0 - betas))
