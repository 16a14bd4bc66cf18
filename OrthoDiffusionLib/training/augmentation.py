"""Random changes of a training window that leave its truth right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

BENDING_POINTS = 6
"""Points along each axis of a window whose shifts bend it: 32 mm apart in a field of view of 160 mm."""


def augment(
    image: torch.Tensor, labels: torch.Tensor, size: int, generator: np.random.Generator, elastic: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn, scale, shift and bend a window in its plane, and change its contrast.

    Left and right are never exchanged, nor up and down: the findings know medial from lateral, and the phantoms come
    of both sides.

    Args:
        image: (k, i, j), in [-1, 1].
        labels: integers, the same shape.
        size: pixels of the changed window along i and j.
        generator: draws rotation (+-15 degrees), scale (+-15 %, and +-12 % more between the axes), shift (+-8 %),
            gamma (0.7 to 1.4) and the bending.
        elastic: largest standard deviation, in pixels of the changed window, of the shifts that bend it, alike in all
            slices; up to 4 in SynthSeg (Billot et al. 2023, Med Image Anal 86:102789). With 0 nothing is drawn for it.

    Returns:
        image in [-1, 1] and labels, changed alike, both (k, size, size); labels are -1, not annotated, beyond the edge.
    """
    angle = math.radians(generator.uniform(-15, 15))
    scale = generator.uniform(0.85, 1.15) * np.array([1.0, generator.uniform(0.88, 1.12)])
    shift = generator.uniform(-0.16, 0.16, size=2)
    (cos, sin), (a, b) = (math.cos(angle), math.sin(angle)), 1 / scale
    matrix = torch.tensor([[a * cos, -b * sin, shift[0]], [a * sin, b * cos, shift[1]]], dtype=torch.float32)[None]
    grid = functional.affine_grid(matrix, [1, 1, size, size], align_corners=False)
    if elastic:
        grid = grid + _bending(size, elastic, generator)
    moved = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    # Beyond the window's edge the image goes on as a streak, of which nobody knows what it shows: -1, not annotated.
    truth = functional.grid_sample(labels[None].float() + 1, grid, mode="nearest", align_corners=False)[0] - 1
    gamma = generator.uniform(0.7, 1.4)
    low, high = moved.min(), moved.max()
    unit = (moved - low) / (high - low + 1e-8)
    return unit.pow(gamma) * 2 - 1, truth.to(labels.dtype)


def _bending(size: int, elastic: float, generator: np.random.Generator) -> torch.Tensor:
    """Smooth shifts of all pixels, (1, size, size, 2), in halves of the window's edge as `grid_sample` counts."""
    spread = generator.uniform(0, elastic) * 2 / size
    points = generator.normal(0, spread, (1, 2, BENDING_POINTS, BENDING_POINTS)).astype(np.float32)
    shifts = functional.interpolate(torch.from_numpy(points), size=(size, size), mode="bicubic", align_corners=True)
    return shifts.permute(0, 2, 3, 1)


CURVE_POINTS = 6


def randomise_contrast(image: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Another contrast than the scanned one, so that masks hold on protocols that no phantom has.

    Intensities go through a random continuous curve, which may rise and fall; then come a smooth bias field of up to
    +-30 % and noise of up to 8 % of the range. The idea is SynthSeg's (Billot et al. 2023), here on drawn images.

    Args:
        image: (k, i, j), in [-1, 1].
        generator: draws the curve, the field and the noise.

    Returns:
        The same shape, in [-1, 1].
    """
    values = generator.uniform(0, 1, CURVE_POINTS)
    if generator.random() < 0.5:
        values = np.sort(values)
    unit = np.interp((image.numpy() + 1) / 2, np.linspace(0, 1, CURVE_POINTS), values).astype(np.float32)
    coarse = torch.from_numpy(generator.uniform(-0.3, 0.3, (1, 1, 2, 3, 3)).astype(np.float32))
    field = functional.interpolate(coarse, size=image.shape, mode="trilinear", align_corners=True)[0, 0]
    noise = generator.standard_normal(unit.shape, dtype=np.float32) * np.float32(generator.uniform(0, 0.08))
    changed = torch.from_numpy(unit) * (1 + field) + torch.from_numpy(noise)
    low, high = changed.min(), changed.max()
    return (changed - low) / (high - low + 1e-8) * 2 - 1
