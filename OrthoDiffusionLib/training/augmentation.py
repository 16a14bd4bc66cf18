"""Random changes of a training window that leave its truth right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional


def augment(
    image: torch.Tensor, labels: torch.Tensor, size: int, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn, scale and shift a window in its plane, and change its contrast.

    Left and right are never exchanged, nor up and down: the findings know medial from lateral, and the phantoms come
    of both sides.

    Args:
        image: (k, i, j), in [-1, 1].
        labels: integers, the same shape.
        size: pixels of the changed window along i and j.
        generator: draws rotation (+-10 degrees), scale (+-12 %), shift (+-6 %) and gamma (0.7 to 1.4).

    Returns:
        image in [-1, 1] and labels, changed alike, both (k, size, size).
    """
    angle = math.radians(generator.uniform(-10, 10))
    scale = generator.uniform(0.88, 1.12)
    shift = generator.uniform(-0.12, 0.12, size=2)
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]], dtype=torch.float32)[None]
    grid = functional.affine_grid(matrix, [1, 1, size, size], align_corners=False)
    moved = functional.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    truth = functional.grid_sample(labels[None].float(), grid, mode="nearest", align_corners=False)[0]
    gamma = generator.uniform(0.7, 1.4)
    low, high = moved.min(), moved.max()
    unit = (moved - low) / (high - low + 1e-8)
    return unit.pow(gamma) * 2 - 1, truth.to(labels.dtype)
