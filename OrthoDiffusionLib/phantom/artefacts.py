"""What a scanner adds to the signal: shading, filters, fat shift, ghosts, fold-over and Rician noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from OrthoDiffusionLib.phantom.protocol import SeriesProtocol
from OrthoDiffusionLib.phantom.stack_part import StackPart

Image = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]

COIL_RADIUS = 75.0
"""mm from the limb's axis to the coil's elements."""


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


def shaded(
    image: Image,
    index_to_joint: Affine,
    strength: float,
    generator: np.random.Generator,
    part: StackPart | None = None,
) -> Image:
    """The coil's sensitivity: brighter towards the skin, weaker towards its ends, and uneven; and tissue that is not
    even itself.

    Args:
        image: (i, j, slices).
        index_to_joint: the stack's voxel index to the joint frame, mm, whose third axis runs along the limb.
        strength: of the shading; half of all vendors even out the limb's ends.
        generator: draws all of it.
        part: of the stack that the image is; None for all of it.
    """
    part = part or StackPart(0, image.shape[2], image.shape[2])
    x, y, z = _positions(image.shape, index_to_joint, part.first)
    ends = -0.5 * (z / generator.uniform(75, 130)) ** 2 * (generator.random() < 0.5)
    towards_skin = (x**2 + y**2) / COIL_RADIUS**2 - np.float32(0.5)
    field = strength * (0.8 * towards_skin + 0.5 * part.smooth_field(image.shape, (4, 4, 3), generator)) + ends
    knots = [max(2, n // 12) for n in image.shape[:2]]
    texture = 1 + 0.06 * part.smooth_field(image.shape, (*knots, max(2, part.slices // 2)), generator)
    # Fibres, fat cells and trabeculae of a pixel or two, which no voxel shows one by one.
    grain = gaussian_filter(generator.standard_normal(image.shape, dtype=np.float32), (0.6, 0.6, 0))
    texture += np.float32(generator.uniform(0.02, 0.08)) / grain.std() * grain
    return np.asarray(image * np.exp(field) * np.maximum(texture, 0), np.float32)


def unevenly_suppressed(
    fat: Image, fat_left: float, generator: np.random.Generator, part: StackPart | None = None
) -> Image:
    """What is left of the fat where suppression works better here than there, and in some series fails in a corner.

    Args:
        fat: its image, suppressed evenly to `fat_left`; where that is 1, it is given back.
        fat_left: share of the fat signal that is left on average.
        generator: draws where.
        part: of the stack that the image is; None for all of it.
    """
    if fat_left >= 1:
        return fat
    part = part or StackPart(0, fat.shape[2], fat.shape[2])
    share = fat_left * np.exp(0.5 * part.smooth_field(fat.shape, (3, 3, 3), generator))
    if generator.random() < 0.3:
        edge, height = generator.integers(2, size=2), generator.uniform(0.3, 0.8)
        i, j = (
            np.linspace(1, 0, n, dtype=np.float32)[:: -1 if end else 1] for n, end in zip(fat.shape, edge, strict=False)
        )
        corner = np.maximum(i[:, None] * generator.uniform(0, 1), j[None, :] * generator.uniform(0, 1)) ** 3
        share = np.maximum(share, np.float32(height) * corner[:, :, None])
    return np.asarray(fat * np.minimum(share / fat_left, 1 / fat_left), np.float32)


def _positions(shape: tuple[int, ...], index_to_joint: Affine, first: int) -> tuple[Image, Image, Image]:
    """Of the voxels' centres in the joint frame, mm; of slices from the first one on."""
    i, j, k = np.ogrid[: shape[0], : shape[1], first : first + shape[2]]
    x, y, z = ((a[0] * i + a[1] * j + a[2] * k + a[3]).astype(np.float32) for a in index_to_joint[:3])
    return x, y, z


def filtered(image: Image, sharpening: float) -> Image:
    """The point spread of the scan, and the vendor's filter in the plane: smoothing below 0, edges enhanced above."""
    blurred = gaussian_filter(image, (*[0.45 + 0.35 * max(-sharpening, 0)] * 2, 0))
    if sharpening <= 0:
        return np.asarray(blurred, np.float32)
    sharp = blurred + 0.6 * sharpening * (blurred - gaussian_filter(blurred, (1.0, 1.0, 0)))
    return np.asarray(np.maximum(sharp, 0), np.float32)


def noisy(
    image: Image, signal_to_noise: float, generator: np.random.Generator, brightest: np.float32 | None = None
) -> Image:
    """Magnitude of the signal with Gaussian noise in both channels: Rician noise.

    Args:
        image: (i, j, slices).
        signal_to_noise: of what is brightest.
        generator: draws the noise.
        brightest: its signal; None for the image's own brightest percentile.
    """
    sigma = np.float32((brightest_percentile(image) if brightest is None else brightest) / signal_to_noise)
    real = image + sigma * generator.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * generator.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def brightest_percentile(image: Image) -> np.float32:
    """The signal that 99 % of the pixels do not exceed."""
    return np.float32(np.percentile(image[::2, ::2], 99))
