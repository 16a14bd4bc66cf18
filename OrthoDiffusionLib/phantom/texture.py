"""Texture: the voxels of a tissue differ around its mean, those of each tissue by a spread of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Image = npt.NDArray[np.float32]

GRAIN = (0.4, 1.2)
"""mm, standard deviation of the Gaussian that makes neighbours alike: spots of 1 to 3 mm, as fat's lobules and muscle's
bundles are; the canvas has a point every 0.6 mm."""


def textured(signal: Image, spread: Image, spacing: Sequence[float], generator: np.random.Generator) -> Image:
    """Tissues that are not even: Gaussian around their means, correlated over `GRAIN`, never below 0.

    The spread is that of whole voxels: drawn on the canvas and then averaged through slices of 3 mm and more, little of
    it would be left. Where tissues share a voxel, they share their spreads in the same proportions.

    Args:
        signal: mean of each voxel's tissues, (i, j, slices).
        spread: standard deviation of each voxel, of the same shape.
        spacing: mm between voxel centres along i, j and the slices.
        generator: draws all of it.
    """
    sigma = generator.uniform(*GRAIN) / np.asarray(spacing)
    noise = gaussian_filter(generator.standard_normal(signal.shape, dtype=np.float32), sigma)
    noise *= spread / noise.std()
    noise += signal
    return np.maximum(noise, 0, out=noise)
