"""What a step of a segmentation training sees; it depends on the seed, the step and the window's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.training.augmentation import augment, randomise_contrast
from OrthoDiffusionLib.training.crops import crop_part
from OrthoDiffusionLib.training.divergence import SeenStudy
from OrthoDiffusionLib.training.draws import drawn_study, window_generator
from OrthoDiffusionLib.training.losses import NOT_ANNOTATED
from OrthoDiffusionLib.training.prepared_size import prepared_size
from OrthoDiffusionLib.training.scanned_windows import scanned_window
from OrthoDiffusionLib.training.settings import SegmentationSettings
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES, normalised

OVERHANG = 8
"""Slices by which a window may be drawn beyond a stack's ends, onto which it is then moved. Drawn evenly within a stack
of 26 slices, one window in eleven holds the outermost slice, where the collateral ligaments, the fibula and in coronal
stacks the patella lie; so drawn, one in three."""


DRAWS = 8
"""How often a window is drawn at most until it has an annotated voxel: of a 3D series of 160 slices, masks may cover
thirty."""


class NoisedWindows(NamedTuple):
    """Noised windows (n, 1, 16, size, size) and their labels (n, 16, size, size)."""

    noised: torch.Tensor
    labels: torch.Tensor


def segmentation_batch(
    studies: Sequence[CachedStudy], plane: Plane, size: int, settings: SegmentationSettings, step: int
) -> list[NoisedWindows]:
    """The windows of a step, in the parts that go through the networks together.

    Args:
        studies: with masked series of the plane.
        plane: to be trained.
        size: pixels of whole windows.
        settings: of the training.
        step: counted from 0.
    """
    parts = []
    cut = bool(
        np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, step])).random() < settings.crop_share
    )
    for first in range(0, settings.batch, settings.together):
        windows, labels = [], []
        for number in range(first, min(first + settings.together, settings.batch)):
            generator = window_generator(settings.seed, plane, step, number)
            window, truth = _draw(studies, plane, size, settings, generator)
            if cut and settings.crop:
                window, truth = crop_part(window, truth, settings.part, generator)
            noise = torch.from_numpy(generator.standard_normal((1, 1, *window.shape), dtype=np.float32))
            windows.append(cosine_schedule().noised(window[None, None], torch.tensor([settings.timestep]), noise)[0])
            labels.append(truth)
        parts.append(NoisedWindows(torch.stack(windows), torch.stack(labels)))
    return parts


def segmentation_studies(
    studies: Sequence[CachedStudy],
    plane: Plane,
    settings: SegmentationSettings,
    step: int,
    parts: Sequence[NoisedWindows],
) -> list[SeenStudy]:
    """The studies of a step's windows.

    Args:
        studies: with masked series of the plane.
        plane: to be trained.
        settings: of the training.
        step: counted from 0.
        parts: what `segmentation_batch` made of them for this step.
    """
    windows = [window for part in parts for window in part.noised]
    return [
        SeenStudy(
            drawn_study(studies, window_generator(settings.seed, plane, step, number)).id, bool(window.isfinite().all())
        )
        for number, window in enumerate(windows)
    ]


def _draw(
    studies: Sequence[CachedStudy],
    plane: Plane,
    size: int,
    settings: SegmentationSettings,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window with a mask, (16, size, size) each."""
    study = drawn_study(studies, generator)
    # Without such windows nothing is drawn for them: the same seed goes on seeing the same windows.
    if settings.scanned_share and generator.random() < settings.scanned_share:
        assert study.anatomy is not None
        image, labels = scanned_window(study.anatomy, plane, prepared_size(size), _first_slice, generator)
    else:
        image, labels = _prepared_window(study, plane, generator)
    whole, masks = torch.from_numpy(normalised(image)), torch.from_numpy(labels)
    window, truth = augment(whole, masks, size, generator, settings.elastic)
    if generator.random() < settings.contrast_share:
        window = randomise_contrast(window, generator)
    return window, truth


def _prepared_window(
    study: CachedStudy, plane: Plane, generator: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    series = int(generator.choice([index for index, masked in enumerate(study.masked[plane]) if masked]))
    for _ in range(DRAWS):
        start = _first_slice(study.depths[plane][series], generator)
        image, labels = study.window(plane, series, start)
        if labels is not None and (labels != NOT_ANNOTATED).any():
            break
    assert labels is not None
    return image, labels


def _first_slice(depth: int, generator: np.random.Generator) -> int:
    """Where a window begins: anywhere in a stack, and at its ends more often than elsewhere."""
    last = max(depth - WINDOW_SLICES, 0)
    return int(np.clip(generator.integers(-OVERHANG, last + OVERHANG + 1), 0, last))
