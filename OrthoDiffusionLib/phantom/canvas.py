"""The fine grid that an anatomy is painted on before any scanner looks at it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.distances import Points
from OrthoDiffusionLib.phantom.tissues import Tissue

SPACING = 0.8
"""mm: finer than any series' pixels (0.85 mm and more), coarse enough for 7 million voxels a knee."""

LOW = np.array([-74.0, -80.0, -84.0])
HIGH = np.array([74.0, 76.0, 94.0])

Slices = tuple[slice, slice, slice]
Mask = npt.NDArray[np.bool_]


class AnatomyCanvas:
    """Tissue and structure of each point of a joint, in the joint frame.

    Attributes:
        tissue: uint8, `Tissue` values, shape (x, y, z).
        labels: uint8, the joint's structure labels, 0 for none.
    """

    def __init__(self) -> None:
        counts = np.ceil((HIGH - LOW) / SPACING).astype(int) + 1
        self.tissue = np.full(counts, Tissue.AIR, np.uint8)
        self.labels = np.zeros(counts, np.uint8)
        self._axes = [(low + SPACING * np.arange(n)).astype(np.float32) for low, n in zip(LOW, counts, strict=True)]

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[Slices, Points]:
        """The part of the grid between two corners (mm), and its points as three arrays that broadcast."""
        bounds = [
            slice(int(np.searchsorted(axis, lo)), int(np.searchsorted(axis, hi, side="right")))
            for axis, lo, hi in zip(self._axes, low, high, strict=True)
        ]
        x, y, z = (axis[part] for axis, part in zip(self._axes, bounds, strict=True))
        return (bounds[0], bounds[1], bounds[2]), (x[:, None, None], y[None, :, None], z[None, None, :])

    def paint(self, box: Slices, mask: Mask, tissue: Tissue, label: int | None = None) -> None:
        """Give the masked points of a box a tissue, and a structure's label unless None."""
        mask = np.broadcast_to(mask, self.tissue[box].shape)
        self.tissue[box][mask] = tissue
        if label is not None:
            self.labels[box][mask] = label

    def is_any(self, box: Slices, *tissues: Tissue) -> Mask:
        """Where a box holds one of these tissues."""
        table = np.zeros(256, bool)
        table[list(tissues)] = True
        return table[self.tissue[box]]

    def free(self, box: Slices) -> Mask:
        """Where a box holds no structure yet."""
        return self.labels[box] == 0

    def sample(self, points: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Tissue and label at points (..., 3) of the joint frame, in mm; air beyond the grid."""
        index = np.rint((points - LOW.astype(np.float32)) / np.float32(SPACING)).astype(np.int32)
        shape = np.array(self.tissue.shape, np.int32)
        inside = np.all((index >= 0) & (index < shape), axis=-1)
        index = np.clip(index, 0, shape - 1)
        flat = (index[..., 0] * shape[1] + index[..., 1]) * shape[2] + index[..., 2]
        return self.tissue.ravel()[flat] * inside, self.labels.ravel()[flat] * inside
