"""The 48 ways to store one image: which axis comes first, and which way each runs."""

from __future__ import annotations

import itertools

import numpy as np

from OrthoDiffusionLib.volumes.volume import Volume

Order = tuple[int, int, int]
Flips = tuple[bool, bool, bool]


def storage_orders() -> list[tuple[Order, Flips]]:
    """All (order, flips): six permutations of the axes with eight sets of flips."""
    return [
        ((a, b, c), (x, y, z))
        for a, b, c in itertools.permutations(range(3))
        for x, y, z in itertools.product((False, True), repeat=3)
    ]


def stored_as(volume: Volume, order: Order, flips: Flips) -> Volume:
    """The same image in another storage order; each voxel keeps its place in the patient.

    Args:
        volume: any volume.
        order: axis of `volume` behind each new axis.
        flips: whether each new axis runs against it.

    Returns:
        a volume whose array is a view of the given one.
    """
    to_given = np.zeros((4, 4))
    to_given[3, 3] = 1.0
    for new, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        to_given[axis, new] = -1.0 if flip else 1.0
        to_given[axis, 3] = volume.shape[axis] - 1 if flip else 0.0
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return Volume(volume.array.transpose(order)[steps], volume.affine @ to_given, volume.source)
