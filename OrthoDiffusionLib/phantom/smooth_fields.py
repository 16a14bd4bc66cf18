"""Random fields that vary smoothly: shapes that differ, coils that shade, tissues that are not even."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class SmoothField(NamedTuple):
    """A smooth field that is worked out where it is asked for: the knots' values times a matrix for each axis.

    Attributes:
        coarse: values at the knots, (x, y, z).
        matrices: from the knots to the points along each axis, (points, knots).
    """

    coarse: Field
    matrices: tuple[Field, Field, Field]

    def part(self, box: Sequence[slice] = (slice(None),) * 3) -> Field:
        """The field in a box of its points."""
        x, y, z = (matrix[piece] for matrix, piece in zip(self.matrices, box, strict=True))
        return self._rows(x, y) @ np.ascontiguousarray(z.T)

    def between(self, low: float, high: float, box: Sequence[slice] = (slice(None),) * 3) -> Mask:
        """Where in a box of its points the field lies between two values.

        Plane by plane: the values of 26 million points are never in memory at once, which takes the longest.
        """
        x, y, z = (matrix[piece] for matrix, piece in zip(self.matrices, box, strict=True))
        along = np.ascontiguousarray(z.T)
        mask = np.empty((len(x), len(y), len(z)), bool)
        for index, plane in enumerate(self._rows(x, y)):
            values = plane @ along
            np.logical_and(values > np.float32(low), values < np.float32(high), out=mask[index])
        return mask

    def _rows(self, x: Field, y: Field) -> Field:
        """The field at the points along the first two axes and the knots of the last one."""
        first = np.tensordot(x, self.coarse, axes=1)
        return np.ascontiguousarray(np.matmul(y, first))


def draw_smooth_field(shape: Sequence[int], knots: Sequence[int], generator: np.random.Generator) -> SmoothField:
    """A field of about unit variance that varies over as many knots along each axis.

    Args:
        shape: of the field.
        knots: along each axis, 2 or more.
        generator: draws the knots' values from a normal distribution.
    """
    coarse = generator.standard_normal(tuple(knots)).astype(np.float32)
    x, y, z = (_matrix(n, k) for n, k in zip(shape, knots, strict=True))
    return SmoothField(coarse, (x, y, z))


def smooth_field(shape: Sequence[int], knots: Sequence[int], generator: np.random.Generator) -> Field:
    """The values of `draw_smooth_field` at all points; arguments as there."""
    return draw_smooth_field(shape, knots, generator).part()


@functools.lru_cache(maxsize=256)
def _matrix(points: int, knots: int) -> Field:
    """From values at knots to values at as many points as given, (points, knots)."""
    # Cubic through a few points, then linear to all: linear alone would leave creases at the knots.
    rounded = zoom(np.eye(knots), (min(4, max(1, points // knots)), 1), order=3, mode="nearest")
    place = np.linspace(0, len(rounded) - 1, points)
    before = np.minimum(place.astype(int), len(rounded) - 2)
    share = (place - before)[:, None]
    matrix = ((1 - share) * rounded[before] + share * rounded[before + 1]).astype(np.float32)
    matrix.flags.writeable = False
    return matrix
