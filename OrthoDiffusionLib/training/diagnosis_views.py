"""What a diagnosis head learns from: windows of each series, noised, or their feature maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.inference.plane_pass import noised_window
from OrthoDiffusionLib.training.augmentation import augment
from OrthoDiffusionLib.training.prepared_stacks import at_size
from OrthoDiffusionLib.training.settings import DiagnosisSettings
from OrthoDiffusionLib.training.stack_statistics import read_structures
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.windows import WINDOW_SLICES, centre_window, normalised


class SeriesViews(NamedTuple):
    """A series' views, or their feature maps, and the statistics of its structures.

    Attributes:
        views: float32, (views, 1, 16, size, size), or feature maps, (views, channels, k, i, j); after `drawn`, one of
            them without the first axis.
        statistics: float32, (structures x statistics,), NaN where unknown; None where the head reads none.
    """

    views: torch.Tensor
    statistics: torch.Tensor | None

    def drawn(self, generator: np.random.Generator) -> SeriesViews:
        """One of the views, alone."""
        return self._replace(views=self.views[int(generator.integers(len(self.views)))])


StudyViews = Callable[[int], Sequence[SeriesViews]]
"""The series of a study, by its number; that which a run would assess comes first."""


def by_depth(depths: Sequence[int]) -> list[int]:
    """Numbers of a plane's series, those with more slices first, as a run chooses; equal ones stay in order."""
    return sorted(range(len(depths)), key=lambda series: -depths[series])


def drawn_views(study: CachedStudy, start: TrainedPlane, settings: DiagnosisSettings) -> list[SeriesViews]:
    """Of each series, the centre window first and then changed ones: noised, (views, 1, 16, size, size) each; the
    series in the order of `by_depth`.

    They depend on the seed and the study alone, so that they can be drawn again instead of being kept: four views of
    each of 20,000 series take 84 GB at 128 pixels.
    """
    plane, size = start.description.plane, start.description.window_size
    generator = np.random.Generator(np.random.PCG64([settings.seed, plane.pose_id, *study.id.encode()]))
    stacks = []
    for series, depth in enumerate(study.depths[plane]):
        centre = centre_window(depth)
        windows = []
        for view in range(settings.views):
            shift = int(generator.integers(-1, 2)) if view else 0
            first = int(np.clip(centre + shift, 0, max(depth - WINDOW_SLICES, 0)))
            image, _ = study.window(plane, series, first)
            if view:
                whole = torch.from_numpy(normalised(image))
                changed, _ = augment(whole, torch.zeros(whole.shape, dtype=torch.int8), size, generator)
                window = changed.numpy()
            else:
                window = normalised(at_size(image, None, size)[0])
            windows.append(noised_window(window, plane, centre, settings.timestep, view, "cpu")[0][0])
        stacks.append(SeriesViews(torch.stack(windows), None))
    return [stacks[series] for series in by_depth(study.depths[plane])]


def feature_maps(
    studies: Sequence[CachedStudy],
    start: TrainedPlane,
    settings: DiagnosisSettings,
    tell: Callable[[float], None],
    device: torch.device | str,
) -> list[list[SeriesViews]]:
    """The frozen encoder's feature map of each view, and the structures' statistics where the head reads them.

    Args:
        studies: each with a series of the plane.
        start: the networks; they end on the CPU.
        settings: of the training.
        tell: told the share of the studies done, 0 to 1, before each.
        device: to compute on.
    """
    start.networks.to(device)
    mapped = []
    for number, study in enumerate(studies):
        tell(number / len(studies))
        mapped.append(study_feature_maps(study, start, settings, device))
    start.networks.to("cpu")
    return mapped


def study_feature_maps(
    study: CachedStudy, start: TrainedPlane, settings: DiagnosisSettings, device: torch.device | str
) -> list[SeriesViews]:
    """Those of one study, by networks that are on the device; arguments as for `feature_maps`."""
    timestep = torch.tensor([start.description.timestep], device=device)
    series = []
    stacks = drawn_views(study, start, settings)
    for index, stack in zip(by_depth(study.depths[start.description.plane]), stacks, strict=True):
        with torch.inference_mode():
            maps = [start.networks.features(view[None].to(device), timestep) for view in stack.views]
            kept = torch.cat(maps).cpu()
        told = None
        if settings.reads_structures:
            told = read_structures(start, study, index, device, around=settings.reads_around).clone()
        # Tensors of inference mode cannot be learnt from.
        series.append(SeriesViews(kept.clone(), told))
    return series
