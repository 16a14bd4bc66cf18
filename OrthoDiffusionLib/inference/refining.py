"""A plane's class probabilities refined with the detail of its own images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.anatomy import Plane
from OrthoDiffusionLib.inference.grids import ScoreVolume, network_grid_affine
from OrthoDiffusionLib.networks.refinement import FACTOR, REACH, RefinementNetwork
from OrthoDiffusionLib.volumes.orientation import to_network_axes
from OrthoDiffusionLib.volumes.volume import Volume

LEAST_SHARE = 0.02
"""Probability of any structure from which a pixel may be one."""

BRIGHTEST = 5.0
"""Standard deviations from the mean at which intensities are cut off: vessels and wrapped skin outshine all else."""

LEAST_SPREAD = 1e-5
"""Standard deviation, relative to the brightest voxel, of a constant stack after rounding."""

SLICES = 4
"""That go through the network at a time."""


def detail_images(array: npt.NDArray[np.generic], size: int) -> torch.Tensor:
    """Slices as the refinement sees them, at twice the networks' resolution.

    Args:
        array: (i, j, k) in the network's axes.
        size: pixels of the networks' windows.

    Returns:
        float32, (k, 1, 2 size, 2 size), of mean 0 and standard deviation 1 over the stack, cut off at `BRIGHTEST`; all
        zeros for a constant stack.
    """
    slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 2, 0), np.float32))[:, None]
    # To at most 1 first: the squares of some scanners' floats are beyond what a float holds.
    slices = slices / slices.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    fine = functional.interpolate(
        slices, (FACTOR * size, FACTOR * size), mode="bilinear", antialias=True, align_corners=False
    )
    spread = fine.std()
    if spread < LEAST_SPREAD:
        return torch.zeros_like(fine)
    return ((fine - fine.mean()) / spread).clamp(-BRIGHTEST, BRIGHTEST)


def refined(
    network: RefinementNetwork,
    stack: Volume,
    plane: Plane,
    own: ScoreVolume,
    mean: ScoreVolume,
    check: Callable[[], None],
) -> ScoreVolume:
    """A plane's class probabilities on a grid twice as fine; where `mean` adds up to less than one, so do they.

    Args:
        network: in evaluation mode.
        stack: the plane's slices.
        plane: that they lie in.
        own: class probabilities by the plane's own networks.
        mean: those of all planes together, on the same grid; they are refined.
        check: called between parts of the stack; raises to stop.
    """
    turned = to_network_axes(stack, plane)
    size = mean.scores.shape[2]
    images = detail_images(turned.array, size)
    device = next(network.parameters()).device
    fine = torch.empty(mean.scores.shape[0], mean.scores.shape[1], FACTOR * size, FACTOR * size)
    rows, columns = _near_structures(mean.scores)
    fine_rows, fine_columns = (slice(FACTOR * part.start, FACTOR * part.stop) for part in (rows, columns))
    for first in range(0, fine.shape[1], SLICES):
        check()
        part = slice(first, min(first + SLICES, fine.shape[1]))
        found = mean.scores[:, part].transpose(0, 1)
        before = functional.interpolate(found, scale_factor=FACTOR, mode="bilinear", align_corners=False)
        fine[:, part] = before.transpose(0, 1)
        scores = network(
            images[part, :, fine_rows, fine_columns].to(device),
            own.scores[:, part, rows, columns].transpose(0, 1).to(device),
            found[:, :, rows, columns].to(device),
        )
        # What was taken from a bone's loose piece is no other class's: the winner there keeps its low probability.
        sums = before[:, :, fine_rows, fine_columns].sum(dim=1, keepdim=True)
        fine[:, part, fine_rows, fine_columns] = (torch.softmax(scores.float(), dim=1).cpu() * sums).transpose(0, 1)
    return ScoreVolume(fine, network_grid_affine(turned.affine, turned.array.shape, FACTOR * size))


def _near_structures(scores: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns within reach of a pixel that may be a structure in any slice; all where there is none."""
    some = (1 - scores[0]).amax(dim=0) >= LEAST_SHARE
    parts = []
    for axis in (1, 0):
        places = torch.nonzero(some.any(dim=axis)).flatten()
        length = some.shape[1 - axis]
        if len(places):
            parts.append(slice(max(int(places[0]) - REACH, 0), min(int(places[-1]) + 1 + REACH, length)))
        else:
            parts.append(slice(0, length))
    return parts[0], parts[1]
