"""Random fields that vary smoothly: shapes that differ, coils that shade, tissues that are not even."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import zoom
from torch.nn import functional

Field = npt.NDArray[np.float32]


def smooth_field(shape: Sequence[int], knots: Sequence[int], generator: np.random.Generator) -> Field:
    """A field of about unit variance that varies over as many knots along each axis.

    Args:
        shape: of the field.
        knots: along each axis, 2 or more.
        generator: draws the knots' values from a normal distribution.
    """
    coarse = generator.standard_normal(tuple(knots)).astype(np.float32)
    # Cubic through a few points, then linear to all: linear alone would leave creases at the knots.
    rounded = zoom(coarse, [min(4, max(1, n // k)) for n, k in zip(shape, knots, strict=True)], order=3, mode="nearest")
    field = torch.from_numpy(np.ascontiguousarray(rounded))[None, None]
    return functional.interpolate(field, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0].numpy()
