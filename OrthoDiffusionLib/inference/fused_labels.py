"""One label map of all planes on a fine grid: the same labels as `label_grid`'s, worked out only where one can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from OrthoDiffusionLib.inference.grids import SLAB_VOXELS, ScoreVolume, sample_at, sampling_grid, summed_at

LEAST_SHARE = 0.499
"""Of the structures together, at a voxel next to any that gets a label. Where one class outdoes the background in the
planes' mean, all of them have half or more, so one plane at least says half; the rest is room for rounding."""


def fused_labels(
    planes: Sequence[ScoreVolume],
    affine: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
    check: Callable[[], None],
) -> npt.NDArray[np.int16]:
    """Labels on a grid from the mean of the planes' class probabilities, as `label_grid` gives them.

    A knee's structures fill a twentieth of the grid that holds all planes. There alone the probabilities are
    interpolated, in a third of the time that the whole grid takes (4 against 13 s on one core, 15 million voxels).

    Args:
        planes: probabilities of each plane, background first; they need not cover the grid.
        affine: (4, 4), index of the grid to RAS in mm.
        shape: of the grid.
        check: called between slabs; raises to stop.
    """
    labels = torch.zeros(shape, dtype=torch.int16)
    near = [_near_structures(plane.scores) for plane in planes]
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        check()
        rows = (first, min(first + thickness, shape[0]))
        places = [sampling_grid(plane, affine, rows, shape) for plane in planes]
        wanted = torch.zeros((rows[1] - rows[0], *shape[1:]), dtype=torch.bool)
        for mask, (positions, inside) in zip(near, places, strict=True):
            wanted |= (sample_at(mask, positions, "nearest")[0] > 0) & inside
        if wanted.any():
            labels[slice(*rows)][wanted] = _winners(planes, places, wanted)
    return labels.numpy()


def _near_structures(scores: torch.Tensor) -> torch.Tensor:
    """1 where a voxel or one of its neighbours may be more structure than background, else 0: (1, k, i, j)."""
    some = (1 - scores[:1] >= LEAST_SHARE).float()
    return torch.nn.functional.max_pool3d(some[None], 3, stride=1, padding=1)[0]


def _winners(
    planes: Sequence[ScoreVolume], places: Sequence[tuple[torch.Tensor, torch.Tensor]], wanted: torch.Tensor
) -> torch.Tensor:
    """The class with the highest mean at the wanted voxels, in their order; int16."""
    points = [(positions[wanted][None, None], inside[wanted][None, None]) for positions, inside in places]
    return summed_at([plane.scores for plane in planes], points)[:, 0, 0].argmax(dim=0).to(torch.int16)
