"""Signed distances (mm, negative inside) to the simple bodies that an anatomy is put together from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Points = tuple[Field, Field, Field]
Vector = tuple[float, float, float]


def ellipsoid(points: Points, centre: Vector, radii: Vector) -> Field:
    """Distance to an ellipsoid; exact on its surface, a first-order estimate elsewhere."""
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    level = np.sqrt(sum(s * s for s in scaled))
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    distance: Field = (level * (level - 1) / np.maximum(slope, 1e-6)).astype(np.float32)
    return distance


def capsule(points: Points, start: Vector, end: Vector, radius: float) -> Field:
    """Distance to a cylinder with round ends."""
    distance, _ = segment(points, start, end)
    return distance - np.float32(radius)


def segment(points: Points, start: Vector, end: Vector) -> tuple[Field, Field]:
    """Distance to a line segment, and where along it (0 to 1) the nearest point lies."""
    axis = np.subtract(end, start)
    along = sum((p - s) * a for p, s, a in zip(points, start, axis, strict=True)) / float(axis @ axis)
    along = np.clip(along, 0, 1).astype(np.float32)
    squares = sum((p - s - along * a) ** 2 for p, s, a in zip(points, start, axis, strict=True))
    return np.sqrt(squares).astype(np.float32), along


def curve(points: Points, path: npt.NDArray[np.float64], stretch: Vector = (1, 1, 1)) -> tuple[Field, Field]:
    """Distance to a polyline, and where along it (0 to 1) the nearest point lies.

    Args:
        points: where.
        path: (n, 3), mm.
        stretch: divides the axes first, which turns a round cord into a flat band; distances shrink alike.
    """
    points = tuple((p / s).astype(np.float32) for p, s in zip(points, stretch, strict=True))  # type: ignore[assignment]
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


def difference(body: Field, removed: Field, blend: float = 0.0) -> Field:
    """A body without another one."""
    return -union(-body, removed, blend)
