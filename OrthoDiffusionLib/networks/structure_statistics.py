"""How bright, how uneven and how large each segmented structure is: what a torn or swollen one changes.

A meniscal tear is one to two pixels of a window wide, and drowns in a feature map of one position for 16 x 16 x 16
voxels; within the meniscus's own mask it is plain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_dilation, gaussian_filter

from OrthoDiffusionLib.networks.surrounding_statistics import AROUND, LEAST_VOXELS, surrounding_statistics

STATISTICS = (
    "mean",
    "spread",
    "percentile_10",
    "percentile_50",
    "percentile_75",
    "percentile_90",
    "percentile_97",
    "brightest_slice",
    "rim_median",
    "rim_percentile_90",
    "size",
    "certainty",
)
"""Of each structure: intensities, then the logarithm of its size, and the mean probability of its voxels."""

USUAL_STACK = 30 * 128 * 128
"""Voxels of the stack in which sizes are told: thin slices must not make a structure large. A 3D series has five times
the slices of a 2D one of the same joint."""

INTENSITIES = 10

SMOOTHING = 0.7
"""Pixels, along i and j: an image's noise must not count as unevenness. On 46 phantoms, findings were told as well as
without it."""

NEIGHBOURS = np.ones((1, 3, 3), bool)


def statistics_of(*, around: bool) -> int:
    """How many statistics are told of each structure, with or without those of what lies around it."""
    return len(STATISTICS) + (len(AROUND) if around else 0)


def structure_statistics(
    image: npt.NDArray[np.float32], scores: torch.Tensor, *, around: bool = False
) -> npt.NDArray[np.float32]:
    """Statistics of each structure in one plane's stack, on the network's grid.

    Intensities are told on a scale on which the stack's 5th percentile is 0 and its 95th is 1. A structure's rim are
    the pixels around it in the same slice. Its size is in voxels of a stack of `USUAL_STACK`.

    Args:
        image: the stack, slices first, (k, i, j), in any unit.
        scores: class probabilities, background first, (classes, k, i, j), on the CPU.
        around: whether `AROUND` is told of each structure too, after `STATISTICS`.

    Returns:
        float32, (classes - 1, statistics_of(around=around)); NaN for what cannot be told of a structure that was not
        found.
    """
    low, high = np.percentile(image, [5, 95])
    intensity = gaussian_filter((image - low) / max(float(high - low), 1e-6), (0, SMOOTHING, SMOOTHING))
    best, winner = (part.numpy() for part in scores.max(dim=0))
    rows = np.full((len(scores) - 1, statistics_of(around=around)), np.nan, np.float32)
    for row, label in zip(rows, range(1, len(scores)), strict=True):
        mask = winner == label
        row[INTENSITIES] = np.log1p(mask.mean() * USUAL_STACK)
        if mask.sum() < LEAST_VOXELS:
            continue
        inside = intensity[mask]
        rim = intensity[binary_dilation(mask, NEIGHBOURS) & ~mask]
        slices = [part[there] for part, there in zip(intensity, mask, strict=True) if there.sum() >= LEAST_VOXELS]
        row[0], row[1] = inside.mean(), inside.std()
        row[2:7] = np.percentile(inside, [10, 50, 75, 90, 97])
        row[7] = max((np.percentile(part, 90) for part in slices), default=row[5])
        row[8:INTENSITIES] = np.percentile(rim, [50, 90]) if rim.size else np.nan
        row[INTENSITIES + 1] = best[mask].mean()
        if around:
            row[len(STATISTICS) :] = surrounding_statistics(intensity, mask, winner == 0)
    return rows
