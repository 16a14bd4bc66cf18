"""Signed distances (mm, negative inside) to the simple bodies that an anatomy is put together from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Points = tuple[Field, Field, Field]
Vector = tuple[float, float, float]


def ellipsoid(points: Points, centre: Vector, radii: Vector, exponent: float = 2.0) -> Field:
    """Distance to an ellipsoid, or with a higher exponent to a box-like superellipsoid; first order off its surface."""
    scaled = [np.abs(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    return _first_order(scaled, radii, exponent)


def loft(points: Points, sections: npt.ArrayLike, exponent: float = 2.0) -> Field:
    """Distance to a body of (super)elliptic sections along z, open at both ends.

    Args:
        points: where.
        sections: rows of z, centre x, centre y, half width along x and half depth along y, in mm, z rising; between
            rows everything is interpolated linearly, beyond the ends it is held.
        exponent: 2 for ellipses, more for rounder boxes.
    """
    table = np.asarray(sections, float)
    x, y, z = points
    cx, cy, a, b = (np.interp(z, table[:, 0], table[:, column]).astype(np.float32) for column in range(1, 5))
    return _first_order([np.abs(x - cx) / a, np.abs(y - cy) / b], (a, b), exponent)


def _first_order(scaled: list[Field], radii: tuple[float | Field, ...], exponent: float) -> Field:
    if exponent == 2:
        level = np.sqrt(sum(s * s for s in scaled))
        slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) / np.maximum(level, 1e-6)
    else:
        level = np.maximum(sum(s**exponent for s in scaled), 1e-12) ** (1 / exponent)
        parts = ((s / level) ** (exponent - 1) / r for s, r in zip(scaled, radii, strict=True))
        slope = np.sqrt(sum(part * part for part in parts))
    distance: Field = ((level - 1) / np.maximum(slope, 1e-3)).astype(np.float32)
    return distance


def capsule(points: Points, start: Vector, end: Vector, radius: float) -> Field:
    """Distance to a cylinder with round ends."""
    distance, _ = segment(points, start, end)
    return distance - np.float32(radius)


def segment(points: Points, start: Vector, end: Vector) -> tuple[Field, Field]:
    """Distance to a line segment, and where along it (0 to 1) the nearest point lies."""
    axis = np.subtract(end, start).astype(np.float32)
    along = sum((p - np.float32(s)) * a for p, s, a in zip(points, start, axis, strict=True)) / np.float32(axis @ axis)
    along = np.clip(along, 0, 1).astype(np.float32)
    squares = sum((p - np.float32(s) - along * a) ** 2 for p, s, a in zip(points, start, axis, strict=True))
    return np.sqrt(squares).astype(np.float32), along


def curve(points: Points, path: npt.NDArray[np.float64], stretch: Vector = (1, 1, 1)) -> tuple[Field, Field]:
    """Distance to a polyline, and where along it (0 to 1) the nearest point lies.

    Args:
        points: where.
        path: (n, 3), mm.
        stretch: divides the axes first, which turns a round cord into a flat band; distances shrink alike.
    """
    points = tuple((p / np.float32(s)).astype(np.float32) for p, s in zip(points, stretch, strict=True))  # type: ignore[assignment]
    path = path / np.asarray(stretch)
    nearest = np.full(np.broadcast_shapes(*(p.shape for p in points)), np.inf, np.float32)
    position = np.zeros_like(nearest)
    for index in range(len(path) - 1):
        distance, along = segment(points, tuple(path[index]), tuple(path[index + 1]))
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        position = np.where(closer, (index + along) / np.float32(len(path) - 1), position)
    return nearest, position


def bezier(start: Vector, control: Vector, end: Vector, pieces: int = 6) -> npt.NDArray[np.float64]:
    """A quadratic Bezier curve as a polyline of pieces + 1 points, (n, 3)."""
    t = np.linspace(0, 1, pieces + 1)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)


def union(first: Field, second: Field, blend: float = 0.0) -> Field:
    """Union of two bodies, its seam rounded over `blend` mm."""
    if blend <= 0:
        return np.minimum(first, second)
    mix = np.clip(0.5 + 0.5 * (second - first) / blend, 0, 1)
    smooth: Field = (second + (first - second) * mix - blend * mix * (1 - mix)).astype(np.float32)
    return smooth


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
