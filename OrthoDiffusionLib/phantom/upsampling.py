"""From the lattice to the grid, which has a point halfway between every two of the lattice's.

Plane by plane: what a plane needs stays in the processor's cache. 26 million grid points take 0.06 s of a core for a
mask and 0.2 s for a field, a quarter and a half of what torch's interpolation takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.coverage import FAR, PER_MM, Coverage

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

STEP = 2
"""Grid points from one lattice point to the next."""

HALF = np.float32(0.5)


def upsampled(field: Field) -> Field:
    """A field on lattice points (n, ...), interpolated to grid points (2n - 1, ...)."""
    fine = np.empty([(n - 1) * STEP + 1 for n in field.shape], np.float32)
    for index, plane in _planes(field):
        fine[index] = plane
    return fine


def below(field: Field, level: float = 0.0) -> Mask:
    """Grid points at which a field on lattice points lies under a level; shapes as for `upsampled`."""
    mask = np.zeros([(n - 1) * STEP + 1 for n in field.shape], bool)
    box = extent(field < level)
    if box is None:
        return mask
    part = mask[on_grid(box)]
    for index, plane in _planes(field[box]):
        np.less(plane, np.float32(level), out=part[index])
    return mask


def covered(field: Field, level: float = 0.0) -> Coverage:
    """The points that `below` gives, with their distances; the field is one of signed distances in mm."""
    steps = np.full([(n - 1) * STEP + 1 for n in field.shape], FAR, np.int8)
    reach = np.float32(level + 1)
    box = extent(field < reach)
    if box is None:
        return Coverage(steps)
    part = steps[on_grid(box)]
    # Powers of two scale without rounding: the points inside are those of `below` to the last one.
    threshold = np.float32(level) * np.float32(PER_MM)
    for index, plane in _planes(field[box] * np.float32(PER_MM)):
        plane = plane - threshold
        np.clip(plane, np.float32(-FAR - 1), np.float32(FAR), out=plane)
        np.floor(plane, out=plane)
        part[index] = plane
    return Coverage(steps)


def extent(mask: Mask, beyond: int = 1) -> tuple[slice, slice, slice] | None:
    """The smallest box round a mask and so many points beyond it; None when the mask is empty."""
    box = []
    for axis, size in enumerate(mask.shape):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(mask.any(axis=others))
        if not len(there):
            return None
        box.append(slice(max(int(there[0]) - beyond, 0), min(int(there[-1]) + beyond + 1, size)))
    return box[0], box[1], box[2]


def on_grid(box: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
    """The grid points from the first to the last lattice point of a box."""
    first, second, third = (slice(piece.start * STEP, (piece.stop - 1) * STEP + 1) for piece in box)
    return first, second, third


def _planes(field: Field) -> Iterator[tuple[int, Field]]:
    """Each grid plane across the first axis with its index."""
    before = np.empty(0, np.float32)
    for index, lattice_plane in enumerate(field):
        plane = _plane(np.asarray(lattice_plane, np.float32))
        if index:
            yield 2 * index - 1, (before + plane) * HALF
        yield 2 * index, plane
        before = plane


def _plane(lattice: Field) -> Field:
    """A plane of lattice points on the grid."""
    fine = np.empty([(n - 1) * STEP + 1 for n in lattice.shape], np.float32)
    rows = fine[::2]
    rows[:, ::2] = lattice
    np.multiply(lattice[:, :-1] + lattice[:, 1:], HALF, out=rows[:, 1::2])
    np.multiply(rows[:-1] + rows[1:], HALF, out=fine[1::2])
    return fine
