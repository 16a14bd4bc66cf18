"""The loss of a segmentation decoder."""

from __future__ import annotations

import torch
from torch.nn import functional

CROSS_ENTROPY_SHARE = 0.2
"""Weight of the cross entropy beside the soft Dice loss, as published."""

NOT_ANNOTATED = -1


def segmentation_loss(scores: torch.Tensor, labels: torch.Tensor, *, balanced: bool = False) -> torch.Tensor:
    """0.2 cross entropy + soft Dice over the structures that occur in the batch.

    Args:
        scores: logits, (batch, classes, k, i, j).
        labels: integers (batch, k, i, j); -1 is not annotated and counts nowhere.
        balanced: whether a voxel of a class weighs in the cross entropy by one over the root of the class's share.
            Where a structure is given up, soft Dice and an even cross entropy hardly pull it back: its probability is a
            factor of the one's gradient, and its share of the other's.
    """
    annotated = labels != NOT_ANNOTATED
    counts = torch.bincount(labels[annotated].long(), minlength=scores.shape[1]).to(scores.dtype)
    weights = counts.clamp(min=1).rsqrt() if balanced else torch.ones_like(counts)
    # The mean over nothing, of a window outside the annotated slices, would be no number.
    total_entropy = functional.cross_entropy(
        scores, labels.long(), weight=weights, ignore_index=NOT_ANNOTATED, reduction="sum"
    )
    cross_entropy = total_entropy / (counts * weights).sum().clamp(min=weights.min())
    probabilities = torch.softmax(scores, dim=1) * annotated[:, None]
    truth = torch.zeros_like(probabilities).scatter_(1, labels.clamp(min=0).long()[:, None], 1) * annotated[:, None]
    axes = (0, 2, 3, 4)
    overlap = (probabilities * truth).sum(axes)[1:]
    total = (probabilities.sum(axes) + truth.sum(axes))[1:]
    occurs = truth.sum(axes)[1:] > 0
    dice = (2 * overlap + 1) / (total + 1)
    soft_dice = 1 - dice[occurs].mean() if bool(occurs.any()) else scores.new_zeros(())
    return CROSS_ENTROPY_SHARE * cross_entropy + soft_dice
