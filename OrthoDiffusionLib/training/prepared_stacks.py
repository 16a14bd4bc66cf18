"""Prepared stacks through a plane's networks, all slices, as a run sends a volume through them.

Probabilities are a run's where stacks are prepared at the window's size; larger ones are resized once more, which
smooths an image's noise a little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.inference.plane_pass import noised_window, stack_scores
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES, normalised


class SegmentedStack(NamedTuple):
    """A series at the window's size.

    Attributes:
        image: float32, (k, size, size), intensities as prepared.
        labels: int8, the same shape; None without a mask.
        scores: class probabilities, float32 (classes, k, size, size), on the CPU.
    """

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8] | None
    scores: torch.Tensor


def segmented_stack(
    trained: TrainedPlane, study: CachedStudy, series: int, device: torch.device | str
) -> SegmentedStack:
    """Segment all slices of a series.

    Args:
        trained: networks with a segmentation decoder, on `device`.
        study: that has the series.
        series: of the networks' plane, counted from 0.
        device: of the networks.
    """
    plane, size = trained.description.plane, trained.description.window_size
    depth = study.depths[plane][series]
    image = np.zeros((depth, size, size), np.float32)
    labels = np.zeros((depth, size, size), np.int8) if study.masked[plane][series] else None

    def noised(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        window, truth = at_size(*study.window(plane, series, start, WINDOW_SLICES), size)
        used = min(WINDOW_SLICES, depth - start)
        image[start : start + used] = window[:used]
        if labels is not None and truth is not None:
            labels[start : start + used] = truth[:used]
        return noised_window(normalised(window), plane, start, trained.description.timestep, 0, device)

    with torch.inference_mode():
        scores = stack_scores(trained.networks, depth, WINDOW_SLICES, noised)
    return SegmentedStack(image, labels, scores)


def at_size(
    image: npt.NDArray[np.float32], labels: npt.NDArray[np.int8] | None, size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8] | None]:
    """A prepared window's slices at size x size pixels; where they are so already, the window itself."""
    if image.shape[-1] == size:
        return image, labels
    resized = functional.interpolate(torch.from_numpy(image)[None], size=(size, size), mode="bilinear")[0].numpy()
    if labels is None:
        return resized, None
    truth = functional.interpolate(torch.from_numpy(labels)[None].float(), size=(size, size), mode="nearest-exact")[0]
    return resized, truth.numpy().astype(labels.dtype)
