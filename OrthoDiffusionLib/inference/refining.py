"""A plane's class probabilities refined with the detail of its own images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from OrthoDiffusionLib.inference.grids import ScoreVolume, network_grid_affine
from OrthoDiffusionLib.networks.refinement import FACTOR, MULTIPLE, RefinementNetwork, with_neighbours

LEAST_SHARE = 0.1
"""Probability of any structure from which a pixel may be one."""

MARGIN = 16
"""Coarse pixels that are refined around those: 19 mm of 1.2, a meniscus with what it lies between. The network reaches
37, but learns from parts of 64 that end anywhere."""

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
        float32, (k, 2 size, 2 size), of mean 0 and standard deviation 1 over the stack, cut off at `BRIGHTEST`; all
        zeros for a constant stack.
    """
    slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 2, 0), np.float32))[:, None]
    # To at most 1 first: the squares of some scanners' floats are beyond what a float holds.
    slices = slices / slices.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    fine = functional.interpolate(
        slices, (FACTOR * size, FACTOR * size), mode="bilinear", antialias=True, align_corners=False
    )[:, 0]
    spread = fine.std()
    if spread < LEAST_SPREAD:
        return torch.zeros_like(fine)
    return ((fine - fine.mean()) / spread).clamp(-BRIGHTEST, BRIGHTEST)


def refined(
    network: RefinementNetwork,
    images: torch.Tensor,
    own: ScoreVolume,
    mean: ScoreVolume,
    check: Callable[[], None],
) -> ScoreVolume:
    """A plane's class probabilities on a grid twice as fine; where `mean` adds up to less than one, so do they.

    Args:
        network: in evaluation mode.
        images: of the plane's slices, as `detail_images` makes them.
        own: class probabilities by the plane's own networks.
        mean: those of all planes together, on the same grid; they are refined.
        check: called between parts of the stack; raises to stop.
    """
    device = next(network.parameters()).device
    classes, depth, size, _ = mean.scores.shape
    fine = torch.empty(classes, depth, FACTOR * size, FACTOR * size)
    found = mean.scores.transpose(0, 1)
    for first in range(0, depth, SLICES):
        check()
        last = min(first + SLICES, depth)
        part = slice(first, last)
        before = functional.interpolate(found[part], scale_factor=FACTOR, mode="bilinear", align_corners=False)
        fine[:, part] = before.transpose(0, 1)
        near = _near_structures(mean.scores[:, part])
        if near is None:
            continue
        rows, columns = near
        fine_rows, fine_columns = (slice(FACTOR * place.start, FACTOR * place.stop) for place in near)
        scores = network(
            with_neighbours(images[:, fine_rows, fine_columns], first, last).to(device),
            own.scores[:, part, rows, columns].transpose(0, 1).to(device),
            with_neighbours(found[:, :, rows, columns], first, last).to(device),
        )
        # What was taken from a bone's loose piece is no other class's: the winner there keeps its low probability.
        sums = before[:, :, fine_rows, fine_columns].sum(dim=1, keepdim=True)
        fine[:, part, fine_rows, fine_columns] = (torch.softmax(scores.float(), dim=1).cpu() * sums).transpose(0, 1)
    return ScoreVolume(fine, network_grid_affine(mean.affine, (size, size), FACTOR * size))


def _near_structures(scores: torch.Tensor) -> tuple[slice, slice] | None:
    """Rows and columns around pixels that may be a structure in any of these slices; None where there are none."""
    some = (1 - scores[0]).amax(dim=0) >= LEAST_SHARE
    if not some.any():
        return None
    parts = []
    for axis in (1, 0):
        places = torch.nonzero(some.any(dim=axis)).flatten()
        first, last = int(places[0]) - MARGIN, min(int(places[-1]) + 1 + MARGIN, some.shape[1 - axis])
        parts.append(slice(max(first, 0) // MULTIPLE * MULTIPLE, -(-last // MULTIPLE) * MULTIPLE))
    return parts[0], parts[1]
