"""What a scanner asks of an anatomy: tissues and structures of the points of a grid."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.partial_volume import SharedPoints

Bytes = npt.NDArray[np.uint8]


class TissueGrid(Protocol):
    """A grid of points `canvas.SPACING` apart in the joint frame; what holds at its border holds beyond it."""

    @property
    def low(self) -> npt.NDArray[np.float64]:
        """Position of the first point, mm."""

    @property
    def tissue(self) -> Bytes:
        """`Tissue` values, (x, y, z)."""

    @property
    def labels(self) -> Bytes:
        """The joint's structure labels, 0 for none, (x, y, z)."""

    @property
    def shared(self) -> SharedPoints:
        """The points that several tissues share."""


class GridPart(NamedTuple):
    """A box of a grid that is all a scanner will look at; attributes as those of `TissueGrid`."""

    low: npt.NDArray[np.float64]
    tissue: Bytes
    labels: Bytes
    shared: SharedPoints
