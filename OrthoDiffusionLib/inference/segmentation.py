"""All slices of a stack segmented: overlapping windows, blended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def depth_weights(slices: int) -> torch.Tensor:
    """Weight of each slice of a window in the blend: a triangle, highest in the middle, where the network sees most.

    Args:
        slices: of a window, at least 1.

    Returns:
        float32, shape (slices,), symmetric, all above zero.
    """
    position = torch.arange(slices, dtype=torch.float32) + 0.5
    return torch.minimum(position, slices - position)


def blend_windows(
    starts: Sequence[int], depth: int, slices: int, scores_of: Callable[[int], torch.Tensor]
) -> torch.Tensor:
    """Class probabilities of a whole stack from windows over it, one window in memory at a time.

    Args:
        starts: first slice of each window; the windows together cover the stack.
        depth: slices of the stack; where it is under `slices`, the one window's surplus is cut off behind.
        slices: of a window.
        scores_of: gives a window's class scores (logits), float32 (classes, slices, i, j).

    Returns:
        float32, shape (classes, depth, i, j); they sum to one over the classes.
    """
    weights = depth_weights(slices)
    total: torch.Tensor | None = None
    weight_sum = torch.zeros(depth)
    for start in starts:
        probabilities = torch.softmax(scores_of(start).float().cpu(), dim=0)
        used = min(slices, depth - start)
        if total is None:
            total = torch.zeros((probabilities.shape[0], depth, *probabilities.shape[2:]))
        total[:, start : start + used] += probabilities[:, :used] * weights[:used, None, None]
        weight_sum[start : start + used] += weights[:used]
    if total is None:
        raise ValueError("a stack needs at least one window")
    return total.div_(weight_sum[:, None, None])
