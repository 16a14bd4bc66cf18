"""The schedule is the published one, and noise depends on seed and key alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from conformance_tensors import relative_error

from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule

NUMBERS = Path(__file__).parents[1] / "data" / "conformance"


def test_schedule() -> None:
    expected = np.load(NUMBERS / "schedule.npz")
    schedule = cosine_schedule()
    assert relative_error(schedule.betas, expected["betas"]) < 1e-6
    assert relative_error(schedule.alphas_cumprod, expected["alphas_cumprod"]) < 1e-6


def test_buffers_are_finite_and_complete() -> None:
    buffers = cosine_schedule().buffers()
    assert len(buffers) == 12
    assert all(np.isfinite(values).all() and values.shape == (1000,) for values in buffers.values())


def test_noise_is_seeded_and_standard_normal() -> None:
    noise = noise_for(7, "sagittal/4", (1, 1, 16, 32, 32))
    assert torch.equal(noise, noise_for(7, "sagittal/4", (1, 1, 16, 32, 32)))
    assert not torch.equal(noise, noise_for(8, "sagittal/4", (1, 1, 16, 32, 32)))
    assert not torch.equal(noise, noise_for(7, "sagittal/5", (1, 1, 16, 32, 32)))
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.03
