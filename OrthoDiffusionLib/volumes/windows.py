"""The windows of 16 slices that the network sees of a stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

WINDOW_SLICES = 16
"""Slices of a window, as published."""

MIN_MAX_EPSILON = 1e-8
"""In the denominator of the published min-max normalisation."""


def centre_window(depth: int, slices: int = WINDOW_SLICES) -> int:
    """First slice of the published centre window: depth // 2 - slices // 2, or 0 for a stack that is shorter."""
    return max(depth // 2 - slices // 2, 0)


def overlapping_windows(depth: int, slices: int = WINDOW_SLICES, stride: int = 8) -> list[int]:
    """First slices of windows that cover a stack, in order; the last one ends with the stack."""
    last = max(depth - slices, 0)
    return [*range(0, last, stride), last]


def resize_matrix(n: int, size: int) -> npt.NDArray[np.float32]:
    """Linear interpolation of n samples to `size`, with half-pixel centres and no antialiasing, (size, n).

    Sample u is taken at (u + 0.5) n / size - 0.5, held at the border: the published resize.
    """
    position = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, n - 1)
    share = position - below
    matrix = np.zeros((size, n))
    rows = np.arange(size)
    np.add.at(matrix, (rows, below), 1 - share)
    np.add.at(matrix, (rows, above), share)
    return matrix.astype(np.float32)


def resize_slices(stack: npt.NDArray[Any], size: int) -> npt.NDArray[np.float32]:
    """Resize each slice of a stack (i, j, k) to size x size; the result has slices first: (k, size, size)."""
    rows, columns = resize_matrix(stack.shape[0], size), resize_matrix(stack.shape[1], size)
    slices_first = np.moveaxis(stack, 2, 0).astype(np.float32)
    return np.asarray(rows @ slices_first @ columns.T, np.float32)


def normalised(window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Min-max over the whole window, to [-1, 1]; a constant window becomes -1."""
    low, high = window.min(), window.max()
    return ((window - low) / (high - low + np.float32(MIN_MAX_EPSILON)) * 2 - 1).astype(np.float32)


def window_tensor(
    stack: npt.NDArray[Any], start: int, size: int = 256, slices: int = WINDOW_SLICES
) -> npt.NDArray[np.float32]:
    """One window as the network takes it.

    Args:
        stack: (i, j, k) in the network's axes for its plane.
        start: first slice; a stack shorter than the window repeats its last slice.
        size: network pixels along i and j.
        slices: of the window.

    Returns:
        float32 in [-1, 1], shape (1, slices, size, size): channel, k, i, j.
    """
    window = resize_slices(stack[:, :, start : start + slices], size)
    if window.shape[0] < slices:
        window = np.concatenate([window, np.repeat(window[-1:], slices - window.shape[0], axis=0)])
    return normalised(window)[None]
