"""Signed distances (mm, negative inside) to the simple bodies that an anatomy is put together from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.phantom.slabs import slabwise

Field = npt.NDArray[np.float32]
Points = tuple[Field, Field, Field]
Vector = tuple[float, float, float]

BLOCK = 8000
"""Points worked out together, so that most pieces of a curve are further from all of them than another piece."""


@slabwise
def ellipsoid(points: Points, centre: Vector, radii: Vector, exponent: float = 2.0) -> Field:
    """Distance to an ellipsoid, or with a higher exponent to a box-like superellipsoid; first order off its surface."""
    scaled = [np.abs(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    return _first_order(scaled, radii, exponent)


@slabwise
def loft(points: Points, sections: npt.ArrayLike, exponent: float = 2.0) -> Field:
    """Distance to a body of (super)elliptic sections along z, open at both ends.

    Args:
        points: where.
        sections: rows of z, centre x, centre y, half width along x and half depth along y, in mm, z rising; between
            rows everything is interpolated linearly, beyond the ends it is held.
        exponent: 2 for ellipses, more for rounder boxes.
    """
    table = np.asarray(sections, np.float32)
    x, y, z = points
    cx, cy, a, b = _interpolated(z, table)
    return _first_order([np.abs(x - cx) / a, np.abs(y - cy) / b], (a, b), exponent)


def _interpolated(at: Field, table: Field) -> Field:
    """Columns 1 and on of a table, interpolated linearly at values of column 0 and held beyond: (columns - 1, ...)."""
    knots = table[:, 0]
    lengths = np.diff(knots)
    ramps = np.clip(at.reshape(1, -1) - knots[:-1, None], 0, lengths[:, None])
    slopes = np.diff(table[:, 1:], axis=0) / lengths[:, None]
    values = slopes.T @ ramps + table[0, 1:, None]
    return np.asarray(values.reshape(-1, *at.shape), np.float32)


def _first_order(scaled: list[Field], radii: tuple[float | Field, ...], exponent: float) -> Field:
    if exponent == 2:
        level = np.sqrt(sum(s * s for s in scaled))
        slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) / np.maximum(level, 1e-6)
    else:
        powers = [s**exponent for s in scaled]
        total = np.maximum(sum(powers), 1e-12)
        level = total ** (1 / exponent)
        parts = (power / (np.maximum(s, 1e-6) * r) for power, s, r in zip(powers, scaled, radii, strict=True))
        slope = np.sqrt(sum(part * part for part in parts)) * (level / total)
    distance: Field = ((level - 1) / np.maximum(slope, 1e-3)).astype(np.float32)
    return distance


def capsule(points: Points, start: Vector, end: Vector, radius: float) -> Field:
    """Distance to a cylinder with round ends."""
    distance, _ = segment(points, start, end)
    return distance - np.float32(radius)


def segment(points: Points, start: Vector, end: Vector) -> tuple[Field, Field]:
    """Distance to a line segment, and where along it (0 to 1) the nearest point lies."""
    square, along = _square(points, np.array(start), np.array(end))
    return np.sqrt(square), along


def _square(points: Points, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> tuple[Field, Field]:
    """As `segment`, with the distance's square."""
    axis = np.subtract(end, start).astype(np.float32)
    from_start = [p - np.float32(s) for p, s in zip(points, start, strict=True)]
    along = from_start[0] * axis[0]
    along += from_start[1] * axis[1]
    along += from_start[2] * axis[2]
    along /= axis @ axis
    np.clip(along, 0, 1, out=along)
    square = np.zeros_like(along)
    for away, a in zip(from_start, axis, strict=True):
        away = away - along * a
        away *= away
        square += away
    return square, along


def curve(
    points: Points, path: npt.NDArray[np.float64], stretch: Vector = (1, 1, 1), reach: float = np.inf
) -> tuple[Field, Field]:
    """Distance to a polyline, and where along it (0 to 1) the nearest point lies.

    Args:
        points: where.
        path: (n, 3), mm.
        stretch: divides the axes first, which turns a round cord into a flat band; distances shrink alike.
        reach: distances up to this are right; further away there may be a lower one, over the reach, and no position.
    """
    shape = np.broadcast_shapes(*(p.shape for p in points))
    points = tuple(np.broadcast_to(p, shape) for p in points)  # type: ignore[assignment]
    path = path / np.asarray(stretch)
    distance, position = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for block in _blocks(shape):
        x, y, z = (p[block] / np.float32(s) for p, s in zip(points, stretch, strict=True))
        distance[block], position[block] = _nearest_on((x, y, z), path, reach)
    return distance, position


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Boxes of `BLOCK` points or less, as near to cubes as the shape allows, that fill it."""
    edges: list[int] = []
    for axis, n in enumerate(shape):
        left = BLOCK / float(np.prod(edges))
        edges.append(min(n, max(1, round(left ** (1 / (len(shape) - axis))))))
    return itertools.product(
        *([slice(a, a + edge) for a in range(0, n, edge)] for n, edge in zip(shape, edges, strict=True))
    )


def _nearest_on(points: Points, path: npt.NDArray[np.float64], reach: float) -> tuple[Field | float, Field | float]:
    """As `curve`, for points that lie together: pieces that are further from all of them than another are left out."""
    low, high = np.array([(p.min(), p.max()) for p in points], float).T
    middle, spread = 0.5 * (low + high), 0.5 * float(np.linalg.norm(high - low))
    axes = np.diff(path, axis=0)
    along = np.clip(((middle - path[:-1]) * axes).sum(axis=1) / (axes**2).sum(axis=1), 0, 1)
    away = np.linalg.norm(middle - path[:-1] - along[:, None] * axes, axis=1)
    nearest = float(away.min())
    if nearest - spread > reach:
        return nearest - spread, 0.0
    pieces = np.flatnonzero(away - spread <= nearest + spread)
    squares, position = np.full(points[0].shape, np.inf, np.float32), np.zeros(points[0].shape, np.float32)
    for index in pieces:
        square, share = _square(points, path[index], path[index + 1])
        closer = square < squares
        np.copyto(squares, square, where=closer)
        np.copyto(position, (index + share) / np.float32(len(path) - 1), where=closer)
    return np.sqrt(squares), position


def bezier(start: Vector, control: Vector, end: Vector, pieces: int = 6) -> npt.NDArray[np.float64]:
    """A quadratic Bezier curve as a polyline of pieces + 1 points, (n, 3)."""
    t = np.linspace(0, 1, pieces + 1)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)


@slabwise
def union(first: Field, second: Field, blend: float = 0.0) -> Field:
    """Union of two bodies, its seam rounded over `blend` mm."""
    if blend <= 0:
        return np.minimum(first, second)
    seam = np.abs(first - second)
    np.subtract(np.float32(blend), seam, out=seam)
    np.maximum(seam, 0, out=seam)
    seam *= seam
    seam *= np.float32(-0.25 / blend)
    seam += np.minimum(first, second)
    return np.asarray(seam, np.float32)


@slabwise
def _two_smallest(*fields: Field) -> list[Field]:
    nearest = np.full_like(fields[0], 1e3)
    second = nearest.copy()
    for field in fields:
        second = np.minimum(np.maximum(nearest, field), second)
        nearest = np.minimum(nearest, field)
    return [nearest, second]


def two_nearest(bodies: Sequence[Field]) -> tuple[Field, Field]:
    """Distances to the nearest of some bodies and to the second nearest."""
    nearest, second = _two_smallest(*bodies)
    return nearest, second


def intersection(first: Field, second: Field, blend: float = 0.0) -> Field:
    """What two bodies share, its edge rounded over `blend` mm."""
    return -union(-first, -second, blend)


def difference(body: Field, removed: Field, blend: float = 0.0) -> Field:
    """A body without another one."""
    return -union(-body, removed, blend)


def turned(points: Points, axis: int, degrees: float, pivot: Vector) -> Points:
    """Points turned about an axis (0 x, 1 y, 2 z) through a pivot, by the right-hand rule."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    moved = list(points)
    p, q = points[first] - np.float32(pivot[first]), points[second] - np.float32(pivot[second])
    moved[first] = cos * p - sin * q + np.float32(pivot[first])
    moved[second] = sin * p + cos * q + np.float32(pivot[second])
    return moved[0], moved[1], moved[2]
