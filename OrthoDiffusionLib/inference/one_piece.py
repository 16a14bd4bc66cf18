"""Bones in one piece: what a network takes for bone far from the bone is given to what it thought of next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import label as connected

LEAST_SHARE = 0.5
"""Of the largest piece's voxels. A stack may cut a bone apart, as one through the condyles alone does, into halves of
like size; on a real knee the pieces that lay in muscle had at most a third of the bone's."""


def keep_one_piece(scores: torch.Tensor, labels: Sequence[int], check: Callable[[], None] = lambda: None) -> None:
    """Take a structure's probability away, in place, where it wins in a piece apart from the largest.

    The others keep theirs, so that the winner there has the low confidence that it deserves.

    Args:
        scores: class probabilities of a stack, background first, (classes, k, i, j), on the CPU.
        labels: of the structures that are one piece; pieces touch at faces.
        check: called before each is looked at; raises to stop.
    """
    changed = True
    while changed:
        # Every round takes something away for good, so there is a last one.
        winner = scores.argmax(dim=0).numpy()
        changed = False
        for label in labels:
            check()
            pieces, count = connected(winner == label)
            if count < 2:
                continue
            sizes = np.bincount(pieces.ravel())[1:]
            small = np.concatenate([[False], sizes < LEAST_SHARE * sizes.max()])[pieces]
            if small.any():
                scores[label][torch.from_numpy(small)] = 0.0
                changed = True
