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
from OrthoDiffusionLib.diffusion.noise import noise_for
from OrthoDiffusionLib.diffusion.schedule import cosine_schedule
from OrthoDiffusionLib.inference.one_piece import keep_one_piece
from OrthoDiffusionLib.inference.segmentation import blend_windows
from OrthoDiffusionLib.networks.structure_statistics import structure_statistics
from OrthoDiffusionLib.training.trained_plane import TrainedPlane
from OrthoDiffusionLib.volumes.windows import normalised, overlapping_windows

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
    times = torch.tensor([trained.description.timestep])
    depth = study.depths[plane][series]
    image = np.zeros((depth, size, size), np.float32)

    def scores_of(start: int) -> torch.Tensor:
        window = torch.from_numpy(study.window(plane, series, start, SLICES)[0])
        if window.shape[-1] != size:
            window = functional.interpolate(window[None], size=(size, size), mode="bilinear")[0]
        used = min(SLICES, depth - start)
        image[start : start + used] = window[:used].numpy()
        x0 = torch.from_numpy(normalised(window.numpy()))[None, None]
        noised = cosine_schedule().noised(x0, times, noise_for(0, f"{plane.value}/{start}", x0.shape))
        return trained.networks.scores_and_features(noised.to(device), times.to(device))[0][0]

    with torch.inference_mode():
        scores = blend_windows(overlapping_windows(depth, SLICES, SLICES // 2), depth, SLICES, scores_of)
        structures = load_joint(trained.description.joint).structures
        keep_one_piece(scores, [structure.label for structure in structures if structure.one_piece])
        return torch.from_numpy(structure_statistics(image, scores)).flatten()
