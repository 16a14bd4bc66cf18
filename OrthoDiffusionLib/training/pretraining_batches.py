"""What a step of pre-training sees; it depends on the seed, the step and the window's number alone.

So one process or many, and a run that was killed and goes on, see the same windows with the same noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.diffusion.schedule import STEPS
from OrthoDiffusionLib.training.augmentation import augment
from OrthoDiffusionLib.training.divergence import SeenStudy
from OrthoDiffusionLib.training.draws import drawn_study, window_generator
from OrthoDiffusionLib.training.prepared_stacks import at_size
from OrthoDiffusionLib.training.settings import PretrainSettings
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES, normalised

TEACHER_STEPS = 250
"""Timesteps of a teacher's views lie below: there, where features are taken from trained encoders, 85 % or more of a
window's variance is left."""


class NoisedViews(NamedTuple):
    """Windows in [-1, 1], or parts of them, and noise, both (n, 1, 16, size, size), and timesteps (n,)."""

    windows: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor


class PretrainBatch(NamedTuple):
    """Windows in [-1, 1] and noise, both (n, 1, 16, size, size), timesteps (n,) and patients.

    Attributes:
        windows: that the network sees noised, or parts of them.
        noise: of them.
        timesteps: of the noise.
        patients: whose windows they are, int64 (n,), the same number for the same name.
        teacher: other views of the same windows; None without distillation.
    """

    windows: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    patients: torch.Tensor
    teacher: NoisedViews | None


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
    drawn, teacher, patients = [], [], []
    for number in numbers:
        generator = window_generator(settings.seed, plane, step, number)
        study = drawn_study(studies, generator)
        series = int(generator.integers(len(study.depths[plane])))
        start = int(generator.integers(max(study.depths[plane][series] - WINDOW_SLICES, 0) + 1))
        image = normalised(study.window(plane, series, start)[0])
        drawn.append(_view(image, settings, STEPS, generator))
        patients.append(_number_of(study.patient))
        if settings.distillation:
            teacher.append(_view(image, settings, TEACHER_STEPS, generator))
    return PretrainBatch(*_stacked(drawn), torch.tensor(patients), _stacked(teacher) if teacher else None)


def pretraining_studies(
    studies: Sequence[CachedStudy], plane: Plane, settings: PretrainSettings, step: int
) -> list[SeenStudy]:
    """The studies of all windows of a step, whichever process sees them.

    Args:
        studies: that have a series of the plane.
        plane: to be trained.
        settings: of the training.
        step: counted from 0.
    """
    return [
        SeenStudy(
            drawn_study(studies, window_generator(settings.seed, plane, step, number)).id,
            bool(pretraining_batch(studies, plane, settings, step, [number]).windows.isfinite().all()),
        )
        for number in range(settings.batch)
    ]


def _view(
    image: npt.NDArray[np.float32], settings: PretrainSettings, steps: int, generator: np.random.Generator
) -> NoisedViews:
    """One view of a window (k, i, j), with noise of a timestep below `steps`; without a first axis."""
    window = torch.from_numpy(image if settings.augment else at_size(image, None, settings.window_size)[0])
    if settings.augment:
        empty = torch.zeros(window.shape, dtype=torch.int8)
        window, _ = augment(window, empty, settings.window_size, generator)
    if settings.crop:
        window = _part(window, settings.crop, generator)
    noise = torch.from_numpy(generator.standard_normal((1, *window.shape), dtype=np.float32))
    return NoisedViews(window[None], noise, torch.tensor(int(generator.integers(steps))))


def _part(window: torch.Tensor, size: int, generator: np.random.Generator) -> torch.Tensor:
    """A part (k, size, size) from anywhere in a window (k, i, j)."""
    rows, columns = (
        slice(first, first + size)
        for first in (int(generator.integers(length - size + 1)) for length in window.shape[1:])
    )
    return window[:, rows, columns]


def _stacked(views: Sequence[NoisedViews]) -> NoisedViews:
    return NoisedViews(*(torch.stack(tensors) for tensors in zip(*views, strict=True)))


def _number_of(patient: str) -> int:
    return int.from_bytes(hashlib.blake2b(patient.encode(), digest_size=8).digest(), "little", signed=True)
