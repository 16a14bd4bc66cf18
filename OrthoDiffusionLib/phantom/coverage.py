"""Bodies on the grid that remember how far their surface is from the points beside it: for partial volume.

A mask says of a point only whether it is inside. Where a surface is nearly parallel to a slice that is not enough: it
would run through the grid in terraces, and each terrace's edge shows in the image as a contour line. A coverage is a
mask that has the signed distance too. `&` and `~` work on it as on masks; of distances they are maximum and complement
(Ricci 1973, Comput J 16:157). With a mask `&` leaves the surface as it is and says where there is room for the body.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int8]

PER_MM = 128
"""Steps of a coverage to the mm; a power of two, so that a distance keeps its sign to the last bit."""

FAR = 127
"""Steps of points that no surface is near: a mm or more away; ~FAR of those that lie as deep inside."""


class Coverage:
    """Points of a box of the grid that lie in a body.

    Attributes:
        steps: int8, signed distance to the surface in 1/128 mm, rounded down: under 0 inside, and only there.
        room: where the body may be; None for everywhere.
    """

    __array_ufunc__ = None
    """Has numpy leave `mask & coverage` to the coverage."""

    def __init__(self, steps: Steps, room: Mask | None = None) -> None:
        self.steps = steps
        self.room = room

    @property
    def mask(self) -> Mask:
        """Points of the body."""
        inside = np.asarray(self.steps < 0)
        return inside if self.room is None else inside & self.room

    def __and__(self, other: Coverage | Mask) -> Coverage:
        steps, room = (other.steps, other.room) if isinstance(other, Coverage) else (None, other)
        if self.room is not None:
            room = self.room if room is None else self.room & room
        return Coverage(self.steps if steps is None else np.maximum(self.steps, steps), room)

    __rand__ = __and__

    def __invert__(self) -> Coverage:
        if self.room is None:
            return Coverage(~self.steps)
        return Coverage(~np.where(self.room, self.steps, np.int8(FAR)))


class Surfaces(NamedTuple):
    """The surfaces of the tissues on a grid.

    Attributes:
        depth: int8, steps from each point to the nearest surface of its tissue, `FAR` where none is known.
        across: uint8, the tissue on that surface's other side when it was painted.
    """

    depth: Steps
    across: npt.NDArray[np.uint8]

    def part(self, box: tuple[slice, slice, slice]) -> Surfaces:
        """Those in a box of the grid, to be looked at or changed."""
        return Surfaces(self.depth[box], self.across[box])

    def cut(self, body: Coverage | Mask, tissue: npt.NDArray[np.uint8], painted: int) -> None:
        """Enter the surface of a body that is about to be painted.

        What it is painted over loses its surfaces. Where it is cut short for want of room it ends at the surface of
        what is there, which then has the body across. Of a mask that is all that is known.

        Args:
            body: to be painted.
            tissue: as it is before that.
            painted: the body's tissue.
        """
        steps, room = (body.steps, body.room) if isinstance(body, Coverage) else (None, body)
        replaced = None if room is None else _values(tissue, self.depth, body)
        for index, plane in enumerate(self.depth):
            # Plane by plane: what a plane needs stays in the processor's cache. Elsewhere nothing changes.
            known = plane != FAR
            if steps is None:
                changing = known if room is None else known & room[index]
            else:
                changing = (steps[index] != FAR) & (known | (steps[index] != ~FAR))
            at = np.nonzero(changing)
            if not len(at[0]):
                continue
            step = np.full(len(at[0]), ~FAR, np.int8) if steps is None else steps[index][at]
            before, depth, across = tissue[index][at], plane[at], self.across[index][at]
            distance = step ^ (step >> 7)
            mask, nearer = step < 0, distance < depth
            if replaced is None or room is None:
                nearer |= mask
            else:
                free, over = room[index][at], replaced[across]
                # Of what leaves no room by its tissue: across its surface there is some, and the body reaches there.
                firm = mask & over & ~nearer & ~replaced[before]
                across[firm] = painted
                mask &= free
                nearer &= free
                nearer |= mask & over
            # Nothing parts a body from what is of its tissue.
            nearer &= before != painted
            self.across[index][at] = np.where(nearer, np.where(mask, before, np.uint8(painted)), across)
            plane[at] = np.where(nearer, distance, depth)


def _values(tissue: npt.NDArray[np.uint8], depth: Steps, body: Coverage | Mask) -> Mask:
    """Which tissues a body takes the place of near their surfaces, (256,)."""
    found = np.zeros(256, bool)
    for index, plane in enumerate(tissue):
        mask = depth[index] != FAR
        if isinstance(body, Coverage):
            mask &= body.steps[index] < 0
            if body.room is not None:
                mask &= body.room[index]
        else:
            mask &= body[index]
        found[plane[mask]] = True
    return found
