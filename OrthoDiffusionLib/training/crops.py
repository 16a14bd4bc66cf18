"""Parts of a training window, most of them around a structure, so that time goes to what is small."""

from __future__ import annotations

import numpy as np
import torch

ANYWHERE = 0.25
"""Share of the parts that lie anywhere. Where all lay around a structure, networks hardly saw the muscles far from the
joint."""


def crop_part(
    image: torch.Tensor, labels: torch.Tensor, size: tuple[int, int], generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a part out of a window: mostly one that holds a place of a structure, each that is there as likely as the
    next.

    A thin ligament is as often in the middle as the femur, which has a hundred times its pixels.

    Args:
        image: (k, i, j).
        labels: integers, the same shape; 0 and below are no structure.
        size: pixels of the part along i and j, each at most the window's.
        generator: draws whether it lies around a structure, which, its place and where in the part that lies; of a
            window without a structure, any part.

    Returns:
        image and labels, both (k, *size).
    """
    axes = list(zip(size, image.shape[1:], strict=True))
    corner = [int(generator.integers(0, whole - part + 1)) for part, whole in axes]
    there = torch.unique(labels[labels > 0])
    if len(there) and generator.random() >= ANYWHERE:
        chosen = there[int(generator.integers(0, len(there)))]
        places = torch.nonzero(labels == chosen)
        place = places[int(generator.integers(0, len(places)))][1:]
        corner = [
            int(np.clip(at - generator.integers(part // 4, part - part // 4), 0, whole - part))
            for at, (part, whole) in zip(place.tolist(), axes, strict=True)
        ]
    rows, columns = (slice(first, first + part) for first, part in zip(corner, size, strict=True))
    return image[:, rows, columns], labels[:, rows, columns]
