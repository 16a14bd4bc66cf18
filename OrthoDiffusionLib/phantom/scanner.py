"""The scanner: where a series' slices lie, and what image it makes of the anatomy under them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.artefacts import filtered, folded, noisy, shaded, shifted_fat, with_ghosts
from OrthoDiffusionLib.phantom.canvas import SPACING, AnatomyCanvas
from OrthoDiffusionLib.phantom.contrast import Signals
from OrthoDiffusionLib.phantom.distances import Vector
from OrthoDiffusionLib.phantom.protocol import SeriesProtocol

SAMPLE_DISTANCE = 0.9
"""mm, at most, between the points through a slice's thickness whose signals are averaged: partial volume."""

TILT = 8.0
"""Largest angle in degrees by which a technician's slices miss the joint's own axes."""

OFF_CENTRE = 4.0
"""mm, standard deviation of the stack's middle around where it should be."""

DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
Affine = npt.NDArray[np.float64]


def place_stack(plane: Plane, centre: Vector, protocol: SeriesProtocol, generator: np.random.Generator) -> Affine:
    """Affine of a stack stored as dcm2niix stores this plane, voxel index to a frame with R, A, S axes at the joint.

    Args:
        plane: of the stack.
        centre: of the stack in the joint frame of a right joint, mm.
        protocol: its size.
        generator: draws the tilt and the misplacement.
    """
    axes = np.array([DIRECTIONS[code] for code in plane.network_axcodes], float).T
    rotation = _rotation(generator.uniform(-TILT, TILT, size=3))
    spacing = np.array([*protocol.pixel, protocol.slice_distance])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ axes * spacing
    count = np.array([*protocol.pixels, protocol.slices])
    affine[:3, 3] = np.array(centre) + generator.normal(0, OFF_CENTRE, size=3) - affine[:3, :3] @ ((count - 1) / 2)
    return affine


def scan(
    canvas: AnatomyCanvas,
    affine: Affine,
    to_joint: Affine,
    protocol: SeriesProtocol,
    signals: Signals,
    generator: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Image and truth of a series.

    Args:
        canvas: the anatomy, in the joint frame.
        affine: voxel index to RAS, mm.
        to_joint: RAS to the joint frame (mirrored for a left joint), mm.
        protocol: of the series.
        signals: water and fat signal of each tissue, (2, tissues).
        generator: noise, shading and texture.

    Returns:
        the image (0 to about one and a half times `protocol.maximum`) and the labels at the voxel centres, both int16,
        (i, j, slices).
    """
    shape = (*protocol.pixels, protocol.slices)
    index_to_joint = to_joint @ affine
    margin = round(protocol.fold * shape[0])
    water, fat = _signal(canvas, signals, index_to_joint, margin, protocol)
    image = folded(water + shifted_fat(fat, protocol), margin)
    image = with_ghosts(filtered(shaded(image, protocol.shading, generator), protocol.sharpening), protocol, generator)
    magnitude = noisy(image, protocol.signal_to_noise, generator)
    grey = np.rint(protocol.maximum / np.percentile(magnitude[::2, ::2], 99) * magnitude)
    return np.minimum(grey, np.iinfo(np.int16).max).astype(np.int16), _labels(canvas, index_to_joint, shape)


def _signal(
    canvas: AnatomyCanvas,
    signals: Signals,
    index_to_joint: Affine,
    margin: int,
    protocol: SeriesProtocol,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Water and fat of each voxel and of a margin at both ends along i, averaged through the slice's thickness."""
    tables = signals if signals[1].any() else signals[:1]
    volume = torch.stack([torch.from_numpy(table[canvas.tissue]) for table in tables])[None]
    count = max(1, int(np.ceil(protocol.slice_thickness / SAMPLE_DISTANCE)))
    half = 0.5 * protocol.slice_thickness / protocol.slice_distance
    offsets = (np.arange(count) + 0.5) / count * 2 * half - half
    rows, columns = protocol.pixels[0] + 2 * margin, protocol.pixels[1]
    total = torch.zeros((len(tables), rows, columns, protocol.slices))
    for k in range(protocol.slices):
        # One slice at a time: the points of a whole stack would take a gigabyte.
        points = [_positions(canvas, index_to_joint, (rows, columns), -margin, k + offset) for offset in offsets]
        sampled = functional.grid_sample(
            volume, torch.stack(points)[None], mode="bilinear", padding_mode="border", align_corners=True
        )
        total[..., k] = sampled[0].mean(dim=1)
    image = total.numpy()
    return image[0], image[1] if len(tables) == 2 else np.zeros_like(image[0])


def _positions(
    canvas: AnatomyCanvas, index_to_joint: Affine, shape: tuple[int, int], first: int, k: float
) -> torch.Tensor:
    """Where on the canvas the points of a slice lie, for `grid_sample`: (i, j, 3), -1 to 1, last axis z, y, x."""
    i = torch.arange(first, first + shape[0], dtype=torch.float32)
    j = torch.arange(shape[1], dtype=torch.float32)
    coordinates = []
    for axis in (2, 1, 0):
        a = index_to_joint[axis]
        position = float(a[0]) * i[:, None] + float(a[1]) * j[None, :] + float(a[2] * k + a[3])
        extent = 0.5 * SPACING * (canvas.tissue.shape[axis] - 1)
        coordinates.append((position - float(canvas.low[axis])) / extent - 1)
    return torch.stack(coordinates, dim=-1)


def _labels(canvas: AnatomyCanvas, index_to_joint: Affine, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """Structure at each voxel's centre; the nearest point of the canvas, whose border values hold beyond it."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    flat = np.zeros(shape, np.int64)
    for axis, n in enumerate(canvas.labels.shape):
        a = index_to_joint[axis].astype(np.float32)
        position = a[0] * i[:, None, None] + a[1] * j[None, :, None] + a[2] * k[None, None, :] + a[3]
        index = np.rint((position - np.float32(canvas.low[axis])) / np.float32(SPACING)).astype(np.int64)
        flat = flat * n + np.clip(index, 0, n - 1)
    return canvas.labels.ravel()[flat].astype(np.int16)


def _rotation(degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)
