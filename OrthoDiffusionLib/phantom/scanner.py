"""The scanner: where a series' slices lie, and what image it makes of the anatomy under them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.artefacts import (
    brightest_percentile,
    filtered,
    folded,
    noisy,
    shaded,
    shifted_fat,
    unevenly_suppressed,
    with_ghosts,
)
from OrthoDiffusionLib.phantom.canvas import SPACING
from OrthoDiffusionLib.phantom.contrast import Signals
from OrthoDiffusionLib.phantom.distances import Vector
from OrthoDiffusionLib.phantom.protocol import SeriesProtocol
from OrthoDiffusionLib.phantom.sampling import Body
from OrthoDiffusionLib.phantom.stack_part import StackPart
from OrthoDiffusionLib.phantom.texture import textured
from OrthoDiffusionLib.phantom.tissue_grid import TissueGrid

SAMPLE_DISTANCE = 0.6
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
    canvas: TissueGrid,
    affine: Affine,
    to_joint: Affine,
    protocol: SeriesProtocol,
    signals: Signals,
    generator: np.random.Generator,
    part: StackPart | None = None,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Image and truth of a series.

    Args:
        canvas: the anatomy, in the joint frame.
        affine: voxel index to RAS, mm.
        to_joint: RAS to the joint frame (mirrored for a left joint), mm.
        protocol: of the series.
        signals: water and fat signal of each tissue, (2, tissues); with a third row, the spread of their sum.
        generator: noise, shading and texture.
        part: the slices that are scanned; None for all. They are shaded as the whole stack is; noise and grain are
            drawn for them alone, and their grey values scaled by themselves.

    Returns:
        the image (0 to about one and a half times `protocol.maximum`) and the labels at the voxel centres, both int16,
        (i, j, slices).
    """
    # What is bright in the whole stack may be missing in a part, which can lie in air: half of the brightest tissue's
    # signal is about the least that a stack's brightest percentile has.
    least = np.float32(0 if part is None else 0.5 * signals[:2].sum(axis=0).max())
    part = part or StackPart(0, protocol.slices, protocol.slices)
    index_to_joint = to_joint @ affine
    margin = fold_margin(protocol)
    water, fat, *spread = _signal(canvas, signals, index_to_joint, margin, protocol, part)
    if spread:
        both = water + fat
        uneven = textured(both, spread[0], (*protocol.pixel, protocol.slice_distance), generator)
        # Of a voxel that is brighter than its tissue, water and fat are so alike.
        water = np.divide(water * uneven, both, out=np.zeros_like(both), where=both > 0)
        fat = uneven - water
    fat = unevenly_suppressed(fat, protocol.sequence.fat_left, generator, part)
    image = folded(water + shifted_fat(fat, protocol), margin)
    image = shaded(image, index_to_joint, protocol.shading, generator, part)
    image = with_ghosts(filtered(image, protocol.sharpening), protocol, generator)
    magnitude = noisy(image, protocol.signal_to_noise, generator, max(brightest_percentile(image), least))
    grey = np.rint(protocol.maximum / max(brightest_percentile(magnitude), least) * magnitude)
    labels = _labels(canvas, index_to_joint, protocol.pixels, part)
    return np.minimum(grey, np.iinfo(np.int16).max).astype(np.int16), labels


def fold_margin(protocol: SeriesProtocol) -> int:
    """Pixels beyond each end along i whose signal folds over."""
    return round(protocol.fold * protocol.pixels[0])


def _signal(
    canvas: TissueGrid,
    signals: Signals,
    index_to_joint: Affine,
    margin: int,
    protocol: SeriesProtocol,
    part: StackPart,
) -> npt.NDArray[np.float32]:
    """The rows of `signals` in each voxel and in a margin at both ends along i, averaged through the slice's thickness.

    (rows, i, j, slices).
    """
    present = signals.any(axis=1)
    body = Body.of(canvas, signals[present], index_to_joint)
    count = max(1, int(np.ceil(protocol.slice_thickness / SAMPLE_DISTANCE)))
    half = half_thickness(protocol)
    offsets = (np.arange(count) + 0.5) / count * 2 * half - half
    rows, columns = protocol.pixels[0] + 2 * margin, protocol.pixels[1]
    image = np.zeros((len(signals), rows, columns, part.end - part.first), np.float32)
    for number, k in enumerate(range(part.first, part.end)):
        # One slice at a time: the points of a whole stack would take a gigabyte.
        image[present, :, :, number] = body.mean_of_planes((rows, columns), -margin, k + offsets)
    return image


def half_thickness(protocol: SeriesProtocol) -> float:
    """From a slice's middle to its side, in slices' distances."""
    return 0.5 * protocol.slice_thickness / protocol.slice_distance


def _labels(
    canvas: TissueGrid, index_to_joint: Affine, pixels: tuple[int, int], part: StackPart
) -> npt.NDArray[np.int16]:
    """Structure at each voxel's centre; the nearest point of the canvas, whose border values hold beyond it."""
    i, j = (np.arange(n, dtype=np.float32) for n in pixels)
    labels = np.empty((*pixels, part.end - part.first), np.int16)
    for number, k in enumerate(range(part.first, part.end)):
        flat = np.zeros(pixels, np.int32)
        for axis, n in enumerate(canvas.labels.shape):
            a = index_to_joint[axis].astype(np.float32)
            position = a[0] * i[:, None] + a[1] * j[None, :] + a[2] * np.float32(k) + a[3]
            index = np.rint((position - np.float32(canvas.low[axis])) / np.float32(SPACING)).astype(np.int32)
            flat = flat * np.int32(n) + np.clip(index, 0, n - 1)
        labels[..., number] = canvas.labels.ravel()[flat]
    return labels


def _rotation(degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)
