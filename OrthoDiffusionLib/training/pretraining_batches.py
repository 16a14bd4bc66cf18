"""What a step of pre-training sees; it depends on the seed, the step and the window's number alone.

So one process or many, and a run that was killed and goes on, see the same windows with the same noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.diffusion.schedule import STEPS
from OrthoDiffusionLib.training.augmentation import augment
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.volumes.windows import normalised


class PretrainBatch(NamedTuple):
    """Windows in [-1, 1] and noise, both (n, 1, 16, size, size), and timesteps (n,)."""

    windows: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor


def pretraining_batch(
    studies: Sequence[CachedStudy], plane: Plane, settings: PretrainSettings, step: int, numbers: Sequence[int]
) -> PretrainBatch:
    """The windows of a step with these numbers, 0 to `settings.batch` - 1.

    Args:
        studies: that have a series of the plane.
        plane: to be trained.
        settings: of the training.
        step: counted from 0.
        numbers: of the windows that this process is to see.
    """
    windows, noise, timesteps = [], [], []
    for number in numbers:
        generator = np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, step, number]))
        study = studies[int(generator.integers(len(studies)))]
        series = int(generator.integers(len(study.depths[plane])))
        start = int(generator.integers(max(study.depths[plane][series] - 16, 0) + 1))
        image, _ = study.window(plane, series, start)
        window = torch.from_numpy(normalised(image))
        if settings.augment or window.shape[-1] != settings.window_size:
            empty = torch.zeros(window.shape, dtype=torch.int8)
            window, _ = augment(window, empty, settings.window_size, generator)
        windows.append(window[None])
        noise.append(torch.from_numpy(generator.standard_normal((1, *window.shape), dtype=np.float32)))
        timesteps.append(int(generator.integers(STEPS)))
    return PretrainBatch(torch.stack(windows), torch.stack(noise), torch.tensor(timesteps))
