"""The fine grid that an anatomy is painted on before any scanner looks at it.

Bodies are computed as signed distances on a lattice of 1.2 mm and interpolated to the 0.6 mm grid: a surface of 4 mm
radius is then off by less than 0.05 mm (h^2 / 8R), at an eighth of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.phantom.distances import Field, Points, Vector
from OrthoDiffusionLib.phantom.tissues import Tissue

SPACING = 0.6
"""mm, of the grid."""

STEP = 2
"""Grid points from one lattice point to the next."""

REACH = 6.0
"""mm by which a region is enlarged: an individual's deformation moves bodies less than that."""

Slices = tuple[slice, slice, slice]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class Region(NamedTuple):
    """A box of the grid, and its lattice points in the coordinates that bodies are described in."""

    slices: Slices
    cells: Slices
    points: Points

    def fine(self, field: Field) -> Field:
        """A field on the lattice points, interpolated to the grid points of the box."""
        shape = [(n - 1) * STEP + 1 for n in field.shape]
        coarse = torch.from_numpy(np.ascontiguousarray(field, np.float32))[None, None]
        return functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy()

    def part(self, field: Field) -> Field:
        """What a field over the whole lattice has in this box."""
        return field[self.cells]


class AnatomyCanvas:
    """Tissue and structure of each point of a joint, in the joint frame (mm).

    Args:
        low: lowest corner of the grid.
        high: highest corner; rounded up to whole lattice steps.
        describe: positions in the joint frame to the coordinates that bodies are described in (those of the standard
            joint); smooth, and within `REACH` of `scale` times them.
        scale: size of this joint over the standard one.

    Attributes:
        tissue: uint8, `Tissue` values, shape (x, y, z).
        labels: uint8, the joint's structure labels, 0 for none.
    """

    def __init__(
        self, low: Vector, high: Vector, describe: Callable[[Points], Points] = lambda points: points, scale: float = 1
    ) -> None:
        self.low = np.array(low, float)
        self.scale = scale
        counts = np.ceil((np.array(high) - self.low) / (SPACING * STEP)).astype(int) + 1
        shape = (counts - 1) * STEP + 1
        self.tissue: Bytes = np.full(shape, Tissue.AIR, np.uint8)
        self.labels: Bytes = np.zeros(shape, np.uint8)
        axes = (start + SPACING * STEP * np.arange(n) for start, n in zip(self.low, counts, strict=True))
        x, y, z = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij")
        self._points = describe((x, y, z))

    def region(self, low: Vector, high: Vector) -> Region:
        """The part of the grid that may hold bodies between two corners of the standard joint (mm)."""
        cells = []
        for axis, (first, last) in enumerate(zip(low, high, strict=True)):
            begin = int((first * self.scale - REACH - self.low[axis]) / (SPACING * STEP))
            end = int(np.ceil((last * self.scale + REACH - self.low[axis]) / (SPACING * STEP))) + 1
            cells.append(slice(max(begin, 0), min(end, self._points[0].shape[axis])))
        fine = [slice(cell.start * STEP, (cell.stop - 1) * STEP + 1) for cell in cells]
        x, y, z = (coordinate[cells[0], cells[1], cells[2]] for coordinate in self._points)
        return Region((fine[0], fine[1], fine[2]), (cells[0], cells[1], cells[2]), (x, y, z))

    def everywhere(self) -> Region:
        """The whole grid."""
        whole = (slice(None), slice(None), slice(None))
        return Region(whole, whole, self._points)

    def field(self, region: Region, values: Field, elsewhere: float = 99.0) -> Field:
        """A field over the whole lattice that has these values in a region."""
        whole = np.full(self._points[0].shape, elsewhere, np.float32)
        whole[region.cells] = values
        return whole

    def paint(self, region: Region, mask: Mask, tissue: Tissue | None, label: int | None = None) -> None:
        """Give the masked points of a region a tissue and a structure's label; None leaves what is there."""
        if tissue is not None:
            self.tissue[region.slices][mask] = tissue
        if label is not None:
            self.labels[region.slices][mask] = label

    def close_sides(self) -> None:
        """Leave air at the grid's sides, whose values a scanner takes for all that lies beyond; the ends go on."""
        for face in (0, -1):
            self.tissue[face], self.tissue[:, face] = Tissue.AIR, Tissue.AIR
            self.labels[face], self.labels[:, face] = 0, 0

    def is_any(self, region: Region, *tissues: Tissue) -> Mask:
        """Where a region holds one of these tissues."""
        table = np.zeros(256, bool)
        table[list(tissues)] = True
        return table[self.tissue[region.slices]]

    def labelled(self, region: Region, *labels: int) -> Mask:
        """Where a region holds one of these structures; any structure when none is named."""
        table = np.zeros(256, bool)
        table[list(labels) if labels else slice(1, None)] = True
        return table[self.labels[region.slices]]
