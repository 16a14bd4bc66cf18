"""Partial volume: the points of the grid whose surroundings a surface cuts, and what they hold beside their own tissue.

Of the cube round a point a surface at distance d leaves the share 1/2 + d / h to the point's own tissue, h being the
grid's spacing: exact for surfaces parallel to a face, which are those that show, and within 0.1 for others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.coverage import FAR, PER_MM, Surfaces
from OrthoDiffusionLib.phantom.tissues import Tissue

Bytes = npt.NDArray[np.uint8]

TOLERANCE = 10
"""Steps by which the distances of two neighbours to the surface between them may miss the way from one to the other."""


class SharedPoints(NamedTuple):
    """Points of a grid that two tissues share, or three.

    Attributes:
        place: index along each axis, int16, (3, points).
        own: tissue of each point itself, uint8.
        others: tissues across the nearest surface and across the opposite one, uint8, (2, points).
        shares: of the others, float32, (2, points), 0 to 1/2.
    """

    place: npt.NDArray[np.int16]
    own: Bytes
    others: Bytes
    shares: npt.NDArray[np.float32]

    def mixed(self, table: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Signal of the points, from each tissue's signal."""
        own = table[self.own]
        return own + (self.shares * (table[self.others] - own)).sum(axis=0)

    def within(self, box: tuple[slice, slice, slice]) -> SharedPoints:
        """Those that lie in a box; places are still counted from the grid's first point."""
        inside = np.ones(len(self.own), bool)
        for index, piece in zip(self.place, box, strict=True):
            inside &= (index >= piece.start) & (index < piece.stop)
        if inside.all():
            return self
        return SharedPoints(self.place[:, inside], self.own[inside], self.others[:, inside], self.shares[:, inside])


def shared_points(tissue: Bytes, surfaces: Surfaces, spacing: float) -> SharedPoints:
    """Find the points that several tissues share.

    Args:
        tissue: of each point of a grid, in C order.
        surfaces: of the tissues, on the same grid.
        spacing: of the grid, mm.
    """
    apart = round(spacing * PER_MM)
    near = surfaces.depth < np.int8(apart // 2 + 1)
    for axis in range(near.ndim):
        # A point at the grid's sides lacks a neighbour, and all that a scanner finds beyond is like it.
        np.moveaxis(near, axis, 0)[[0, -1]] = False
    index = np.flatnonzero(near)
    tissues, depths = tissue.ravel(), surfaces.depth.ravel()
    own, depth = tissues[index], depths[index].astype(np.int16)
    other = own.copy()
    opposite, beyond = own.copy(), np.zeros(len(index), np.int16)
    # A surface between two neighbours is as far from the one as is left of the way to the other: of several neighbours
    # that differ, the one that fits best lies across it. On the far side of a thin layer, and along it, they do not.
    best = np.full(len(index), 2 * FAR, np.int16)
    # A layer that lies between two points is found at neither, but known to both from when it was painted.
    acrosses = surfaces.across.ravel()
    across = acrosses[index]
    layer = np.zeros(len(index), bool)
    for stride in tissue.strides:
        pair = [index - stride, index + stride]
        sides = [(tissues[beside], depths[beside].astype(np.int16)) for beside in pair]
        for (neighbour, away), (facing, rest) in (sides, sides[::-1]):
            misfit = np.abs(depth + away - np.int16(apart))
            fits = (neighbour != own) & (misfit < best)
            np.copyto(best, misfit, where=fits)
            np.copyto(other, neighbour, where=fits)
            np.copyto(opposite, facing, where=fits)
            np.copyto(beyond, rest, where=fits)
        for beside, (neighbour, away) in zip(pair, sides, strict=True):
            layer |= (acrosses[beside] == across) & (neighbour != across) & (depth + away < apart)
    # Beyond the skin no scanner looks for one.
    np.copyto(other, across, where=layer & (best > TOLERANCE) & (own != Tissue.AIR))
    two = np.flatnonzero(other != own)
    shares = np.stack([apart / 2 - (depth[two] + 0.5), beyond[two] + 0.5 - apart / 2]).astype(np.float32) / apart
    shares[1, opposite[two] == own[two]] = 0
    place = np.stack(np.unravel_index(index[two], tissue.shape)).astype(np.int16)
    return SharedPoints(place, own[two], np.stack([other[two], opposite[two]]), np.clip(shares, 0, 0.5))
