"""The scanner: where a series' slices lie, and what image it makes of the anatomy under them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.phantom.canvas import AnatomyCanvas
from OrthoDiffusionLib.phantom.protocol import SeriesProtocol
from OrthoDiffusionLib.phantom.tissues import RELAXATION, Tissue

THROUGH_SLICE_SAMPLES = 5
"""Points through a slice's thickness whose signals are averaged: partial volume."""

TILT = 7.0
"""Largest angle in degrees by which a technician's slices miss the joint's own axes."""

CENTRES = {Plane.SAGITTAL: (0.0, -2.0, 4.0), Plane.CORONAL: (0.0, -2.0, 4.0), Plane.AXIAL: (0.0, -2.0, 12.0)}
"""Middle of each stack in the joint frame, mm: the published centre window (16 slices) then holds the joint."""

DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
Affine = npt.NDArray[np.float64]


def place_stack(plane: Plane, protocol: SeriesProtocol, generator: np.random.Generator) -> Affine:
    """Affine of a stack stored as dcm2niix stores this plane, voxel index to a frame with R, A, S axes at the joint."""
    axes = np.array([DIRECTIONS[code] for code in plane.network_axcodes], float).T
    rotation = _rotation(generator.uniform(-TILT, TILT, size=3))
    spacing = np.array([protocol.pixel, protocol.pixel, protocol.slice_distance])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ axes * spacing
    count = np.array([*protocol.pixels, protocol.slices])
    centre = np.array(CENTRES[plane]) + generator.normal(0, 2.5, size=3)
    affine[:3, 3] = centre - affine[:3, :3] @ ((count - 1) / 2)
    return affine


def scan(
    canvas: AnatomyCanvas,
    affine: Affine,
    to_joint: Affine,
    protocol: SeriesProtocol,
    generator: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Image and truth of a series.

    Args:
        canvas: the anatomy, in the joint frame.
        affine: voxel index to RAS, mm.
        to_joint: RAS to the joint frame (mirrored for a left knee), mm.
        protocol: of the series.
        generator: noise, bias and texture.

    Returns:
        the image (0 to about 1500) and the labels at the voxel centres, both int16, (i, j, slices).
    """
    shape = (*protocol.pixels, protocol.slices)
    signals = np.array([protocol.signal(RELAXATION[tissue]) for tissue in Tissue], np.float32)
    signals[1:] *= generator.normal(1.0, 0.06, size=len(signals) - 1).astype(np.float32)
    index_to_joint = to_joint @ affine
    half = 0.5 * protocol.slice_thickness / protocol.slice_distance
    image = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.int16)
    for offset in np.linspace(-half, half, THROUGH_SLICE_SAMPLES):
        tissue, structure = canvas.sample(_points(index_to_joint, shape, float(offset)))
        image += signals[tissue] / THROUGH_SLICE_SAMPLES
        if offset == 0:
            labels = structure.astype(np.int16)
    image *= 1 + 0.1 * _smooth_field(shape, (10, 10, 6), generator)
    image *= np.exp(0.35 * _smooth_field(shape, (3, 3, 2), generator))
    image = gaussian_filter(image, (0.45, 0.45, 0))
    sigma = float(np.percentile(image, 99)) / protocol.signal_to_noise
    real = image + generator.normal(0, sigma, shape).astype(np.float32)
    imaginary = generator.normal(0, sigma, shape).astype(np.float32)
    magnitude = np.hypot(real, imaginary)
    return np.rint(1000 * magnitude / np.percentile(magnitude, 99)).astype(np.int16), labels


def _points(affine: Affine, shape: tuple[int, int, int], offset: float) -> npt.NDArray[np.float32]:
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    k = k + np.float32(offset)
    a = affine.astype(np.float32)
    return np.stack(
        [
            a[row, 0] * i[:, None, None] + a[row, 1] * j[None, :, None] + a[row, 2] * k[None, None, :] + a[row, 3]
            for row in range(3)
        ],
        axis=-1,
    )


def _rotation(degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


def _smooth_field(
    shape: tuple[int, int, int], knots: tuple[int, int, int], generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """A random field between about -2 and 2 that varies over as many knots along each axis."""
    coarse = generator.standard_normal(knots).astype(np.float32)
    field: npt.NDArray[np.float32] = zoom(coarse, [n / k for n, k in zip(shape, knots, strict=True)], order=1)
    return field
