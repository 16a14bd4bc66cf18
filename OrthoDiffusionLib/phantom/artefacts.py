"""What a scanner adds to the signal: shading, filters, fat shift, ghosts, fold-over and Rician noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from OrthoDiffusionLib.phantom.protocol import SeriesProtocol
from OrthoDiffusionLib.phantom.smooth_fields import smooth_field

Image = npt.NDArray[np.float32]


def shifted_fat(fat: Image, protocol: SeriesProtocol) -> Image:
    """The fat's image, misplaced along the read axis."""
    whole = int(np.floor(protocol.fat_shift))
    share = np.float32(protocol.fat_shift - whole)
    nearer, further = (np.roll(fat, step, protocol.read_axis) for step in (whole, whole + 1))
    return np.asarray((1 - share) * nearer + share * further, np.float32)


def folded(image: Image, margin: int) -> Image:
    """An image scanned `margin` pixels too far at both ends of its first axis, folded into its field of view."""
    if margin == 0:
        return image
    inside = image[margin:-margin].copy()
    inside[-margin:] += image[:margin]
    inside[:margin] += image[-margin:]
    return inside


def with_ghosts(image: Image, protocol: SeriesProtocol, generator: np.random.Generator) -> Image:
    """Faint copies along the phase axis, as a slight motion leaves."""
    if protocol.ghosts == 0:
        return image
    axis = 1 - protocol.read_axis
    distance = int(image.shape[axis] * generator.uniform(0.08, 0.35))
    copies = sum(np.roll(image, sign * distance, axis) for sign in (-1, 1))
    ghosted: Image = (1 - protocol.ghosts) * image + protocol.ghosts * copies
    return ghosted.astype(np.float32)


def shaded(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """The coil's sensitivity: brighter towards the skin, and uneven; and tissue that is not even itself."""
    i, j = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2])
    towards_skin = (i[:, None] ** 2 + j[None, :] ** 2)[:, :, None] - np.float32(0.5)
    field = strength * (0.8 * towards_skin + 0.5 * smooth_field(image.shape, (4, 4, 3), generator))
    knots = [max(2, n // 12) for n in image.shape[:2]]
    texture = 1 + 0.06 * smooth_field(image.shape, (*knots, max(2, image.shape[2] // 2)), generator)
    return np.asarray(image * np.exp(field) * np.maximum(texture, 0), np.float32)


def filtered(image: Image, sharpening: float) -> Image:
    """The point spread of the scan, and the vendor's filter in the plane: smoothing below 0, edges enhanced above."""
    blurred = gaussian_filter(image, (*[0.45 + 0.35 * max(-sharpening, 0)] * 2, 0))
    if sharpening <= 0:
        return np.asarray(blurred, np.float32)
    sharp = blurred + 0.6 * sharpening * (blurred - gaussian_filter(blurred, (1.0, 1.0, 0)))
    return np.asarray(np.maximum(sharp, 0), np.float32)


def noisy(image: Image, signal_to_noise: float, generator: np.random.Generator) -> Image:
    """Magnitude of the signal with Gaussian noise in both channels: Rician noise."""
    sigma = np.float32(np.percentile(image[::2, ::2], 99) / signal_to_noise)
    real = image + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * generator.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)
