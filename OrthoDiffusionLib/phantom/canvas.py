"""The fine grid that an anatomy is painted on before any scanner looks at it.

Bodies are computed as signed distances on a lattice of 1.2 mm and interpolated to the 0.6 mm grid: a surface of 4 mm
radius is then off by less than 0.05 mm (h^2 / 8R), at an eighth of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.coverage import FAR, Coverage, Surfaces
from OrthoDiffusionLib.phantom.distances import Field, Points, Vector
from OrthoDiffusionLib.phantom.partial_volume import SharedPoints, shared_points
from OrthoDiffusionLib.phantom.tissues import Tissue
from OrthoDiffusionLib.phantom.upsampling import STEP, below, covered, extent, on_grid, upsampled

SPACING = 0.6
"""mm, of the grid."""

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
        return upsampled(field)

    def below(self, field: Field, level: float = 0.0) -> Mask:
        """Grid points of the box at which a field on its lattice points, interpolated to them, lies under a level."""
        return below(field, level)

    def covered(self, distance: Field, level: float = 0.0) -> Coverage:
        """As `below`, for a signed distance in mm: a body whose surface keeps its place between the grid's points."""
        return covered(distance, level)

    def part(self, field: Field) -> Field:
        """What a field over the whole lattice has in this box."""
        return field[self.cells]

    def cells_in(self, outer: Region) -> Slices:
        """The lattice points of this box, counted from the first one of a box round it."""
        first, second, third = (
            slice(mine.start - whole.start, mine.stop - whole.start)
            for mine, whole in zip(self.cells, outer.cells, strict=True)
        )
        return first, second, third

    def around(self, *fields: Field, level: float = 0.0) -> tuple[Region, list[Field]]:
        """The smallest part of the box that holds all points at which the first field lies under a level.

        Args:
            fields: on the box's lattice points.
            level: of the first field.

        Returns:
            the part, a corner of the box when there is no such point; and the fields there.
        """
        box = extent(fields[0] < level) or (slice(0, 2),) * 3
        first, second, third = (
            slice(outer.start + inner.start, outer.start + inner.stop)
            for outer, inner in zip(self.cells, box, strict=True)
        )
        x, y, z = (coordinate[box] for coordinate in self.points)
        cells = (first, second, third)
        return Region(on_grid(cells), cells, (x, y, z)), [field[box] for field in fields]


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
        surfaces: of the tissues, between the points.
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
        self.surfaces = Surfaces(np.full(shape, FAR, np.int8), np.full(shape, Tissue.AIR, np.uint8))
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
        box = (cells[0], cells[1], cells[2])
        x, y, z = (coordinate[box] for coordinate in self._points)
        return Region(on_grid(box), box, (x, y, z))

    def everywhere(self) -> Region:
        """The whole grid."""
        first, second, third = (slice(0, n) for n in self._points[0].shape)
        whole = (first, second, third)
        return Region(on_grid(whole), whole, self._points)

    def field(self, region: Region, values: Field, elsewhere: float = 99.0) -> Field:
        """A field over the whole lattice that has these values in a region."""
        whole = np.full(self._points[0].shape, elsewhere, np.float32)
        whole[region.cells] = values
        return whole

    @cached_property
    def shared(self) -> SharedPoints:
        """The points that several tissues share; found when they are asked for after something was painted."""
        return shared_points(self.tissue, self.surfaces, SPACING)

    def paint(self, region: Region, body: Mask | Coverage, tissue: Tissue | None, label: int | None = None) -> None:
        """Give a body's points in a region a tissue and a structure's label; None leaves what is there."""
        mask = body.mask if isinstance(body, Coverage) else body
        if tissue is not None:
            self.__dict__.pop("shared", None)
            self.surfaces.part(region.slices).cut(body, self.tissue[region.slices], tissue)
            np.copyto(self.tissue[region.slices], np.uint8(tissue), where=mask)
        if label is not None:
            np.copyto(self.labels[region.slices], np.uint8(label), where=mask)

    def close_sides(self) -> None:
        """Leave air at the grid's sides, whose values a scanner takes for all that lies beyond; the ends go on."""
        for face in (0, -1):
            self.tissue[face], self.tissue[:, face] = Tissue.AIR, Tissue.AIR
            self.labels[face], self.labels[:, face] = 0, 0

    def is_any(self, region: Region, *tissues: Tissue) -> Mask:
        """Where a region holds one of these tissues."""
        return _any_of(self.tissue[region.slices], tissues)

    def labelled(self, region: Region, *labels: int) -> Mask:
        """Where a region holds one of these structures; any structure when none is named."""
        part = self.labels[region.slices]
        return _any_of(part, labels) if labels else np.asarray(part != 0)


def _any_of(part: Bytes, values: Sequence[int]) -> Mask:
    """Where an array has one of some values: for a few values, comparisons are faster than a look-up table."""
    mask = part == np.uint8(values[0])
    for value in values[1:]:
        mask |= part == np.uint8(value)
    return mask
