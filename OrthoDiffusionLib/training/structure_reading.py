"""Statistics of the structures that a plane's own networks find in a prepared stack.

They are a run's statistics where stacks are prepared at the window's size; larger ones are resized once more, which
smooths an image's noise a little.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from OrthoDiffusionLib.anatomy import load_joint
from OrthoDiffusionLib.datasets.cache import CachedStudy
from OrthoDiffusionLib.inference.one_piece import keep_one_piece
from OrthoDiffusionLib.inference.plane_pass import noised_window, stack_scores
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.windows import normalised

SLICES = 16


def read_structures(trained: TrainedPlane, study: CachedStudy, series: int, device: torch.device | str) -> torch.Tensor:
    """Segment all slices of a series, and tell the structures' statistics.

    Args:
        trained: networks with a segmentation decoder, on `device`.
        study: that has the series.
        series: of the networks' plane, counted from 0.
        device: of the networks.

    Returns:
        float32, (structures x statistics,), NaN where unknown.
    """
    plane, size = trained.description.plane, trained.description.window_size
    depth = study.depths[plane][series]
    image = np.zeros((depth, size, size), np.float32)

    def noised(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        window = torch.from_numpy(study.window(plane, series, start, SLICES)[0])
        if window.shape[-1] != size:
            window = functional.interpolate(window[None], size=(size, size), mode="bilinear")[0]
        used = min(SLICES, depth - start)
        image[start : start + used] = window[:used].numpy()
        return noised_window(normalised(window.numpy()), plane, start, trained.description.timestep, 0, device)

    with torch.inference_mode():
        scores = stack_scores(trained.networks, depth, SLICES, noised)
        structures = load_joint(trained.description.joint).structures
        keep_one_piece(scores, [structure.label for structure in structures if structure.one_piece])
        return torch.from_numpy(structure_statistics(image, scores)).flatten()
