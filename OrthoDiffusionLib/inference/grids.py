"""From the network's class scores to labels on a grid of the person's, placed by affines alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

SLAB_VOXELS = 2_000_000
"""Voxels of the target grid worked on at a time: with 12 classes some 100 MB of scores, whatever the grid's size."""


@dataclass(frozen=True)
class ScoreVolume:
    """Class probabilities of one plane on the network's grid.

    Attributes:
        scores: float32, shape (classes, k, i, j): slices first, as the network has them.
        affine: index (i, j, k) of that grid to RAS position in mm.
    """

    scores: torch.Tensor
    affine: npt.NDArray[np.float64]


def network_grid_affine(affine: npt.NDArray[np.float64], shape: Sequence[int], size: int) -> npt.NDArray[np.float64]:
    """Affine of the grid that resizing a stack's slices to size x size pixels makes.

    Pixel centres follow the half-pixel rule of the resize: network pixel u lies at (u + 0.5) n / size - 0.5.

    Args:
        affine: (4, 4), index (i, j, k) of the stack to RAS in mm.
        shape: voxels of the stack along i, j, k.
        size: network pixels along i and along j.
    """
    to_native = np.eye(4)
    for axis in (0, 1):
        scale = shape[axis] / size
        to_native[axis, axis] = scale
        to_native[axis, 3] = 0.5 * scale - 0.5
    return np.asarray(affine @ to_native, dtype=np.float64)


def averaged(views: Sequence[ScoreVolume], grid: ScoreVolume, check: Callable[[], None]) -> ScoreVolume:
    """The mean of several planes' class probabilities on one plane's network grid; each counts where it reaches.

    A plane that finds a structure nowhere has no say in it, where another one does: thin structures that lie in a
    plane's outermost slices would else be outvoted by networks that are blind to them. Background is what the
    structures leave, not the planes' own mean, in which the blind would have their say after all: the Dice of lateral
    collateral ligaments rose from 0.49 to 0.53 on 6 phantoms.

    On the grids of the persons' own volumes, which have five times as many voxels, the mean was as good: on 4
    phantoms, a mean Dice of 0.738 against 0.737.

    Args:
        views: of the same joint.
        grid: the plane on whose grid the mean is wanted.
        check: called between slabs; raises to stop.
    """
    if all(view is grid for view in views):
        return grid
    depth, height, width = grid.scores.shape[1:]
    shape = (height, width, depth)
    says = torch.stack([_found(view.scores) for view in views])
    says[:, ~says.any(dim=0)] = True
    mean = torch.empty_like(grid.scores)
    thickness = max(1, SLAB_VOXELS // (width * depth))
    for first in range(0, height, thickness):
        check()
        rows = (first, min(first + thickness, height))
        total = torch.zeros(len(grid.scores), rows[1] - rows[0], width, depth)
        reached = torch.zeros_like(total)
        for view, has_say in zip(views, says, strict=True):
            scores, inside = sample_scores(view, grid.affine, rows, shape)
            total += scores * has_say[:, None, None, None]
            reached += inside * has_say[:, None, None, None]
        total /= reached.clamp(min=1.0)
        total[0] = torch.where(reached[0] > 0, (1 - total[1:].sum(dim=0)).clamp(min=0), 0)
        total /= total.sum(dim=0).clamp(min=1e-6)
        mean[:, :, rows[0] : rows[1]] = total.permute(0, 3, 1, 2)
    return ScoreVolume(mean, grid.affine)


def _found(scores: torch.Tensor) -> torch.Tensor:
    """Which classes win anywhere; the background counts as found. Bool, (classes,)."""
    found = torch.bincount(scores.argmax(dim=0).flatten(), minlength=len(scores)) > 0
    found[0] = True
    return found


def label_grid(
    planes: Sequence[ScoreVolume],
    affine: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
    check: Callable[[], None],
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Labels and confidence on a grid, from the class probabilities of one or more planes.

    Each plane's probabilities are interpolated linearly at the grid's voxel centres; where several planes reach,
    they are averaged. Half a voxel beyond a plane's outermost centres its edge value holds (a voxel reaches that far);
    where no plane reaches, the label is background and the confidence 0.

    Background with half of the probability or more has won; the structures' probabilities are interpolated in the rest
    alone, some tenth of a knee's grid.

    Args:
        planes: probabilities of each plane; they need not cover the grid.
        affine: (4, 4), index of the target grid to RAS in mm.
        shape: of the target grid.
        check: called between slabs; raises to stop.

    Returns:
        labels, int16, and the winning class's probability in percent, uint8 0 to 100, both of the target's shape.
    """
    labels = np.zeros(shape, np.int16)
    confidence = np.zeros(shape, np.uint8)
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        check()
        last = min(first + thickness, shape[0])
        places = [sampling_grid(plane, affine, (first, last), shape) for plane in planes]
        reached = torch.stack([inside.float() for _, inside in places]).sum(dim=0)
        best = summed_at([plane.scores[:1] for plane in planes], places)[0] / reached.clamp(min=1.0)
        winner = torch.zeros(best.shape, dtype=torch.int16)
        open_still = (best < 0.5) & (reached > 0)
        if open_still.any():
            points = [(grid[open_still][None, None], inside[open_still][None, None]) for grid, inside in places]
            total = summed_at([plane.scores for plane in planes], points)[:, 0, 0] / reached[open_still]
            highest, which = total.max(dim=0)
            best[open_still] = highest
            winner[open_still] = which.to(torch.int16)
        labels[first:last] = winner.numpy()
        confidence[first:last] = (best * (reached > 0) * 100.0).round().clamp(0, 100).numpy().astype(np.uint8)
    return labels, confidence


def summed_at(scores: Sequence[torch.Tensor], places: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The sum of volumes' values at their own positions of the same points; a volume that lies elsewhere adds none."""
    total: torch.Tensor | None = None
    for values, (positions, inside) in zip(scores, places, strict=True):
        sampled = sample_at(values, positions) * inside.float()
        total = sampled if total is None else total + sampled
    assert total is not None
    return total


def sample_scores(
    plane: ScoreVolume, affine: npt.NDArray[np.float64], rows: tuple[int, int], shape: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (classes, rows, j, k) at the target's voxel centres, zero outside, and where inside (0 or 1)."""
    grid, inside = sampling_grid(plane, affine, rows, shape)
    mask = inside.float()
    return sample_at(plane.scores, grid) * mask, mask


def sampling_grid(
    plane: ScoreVolume, affine: npt.NDArray[np.float64], rows: tuple[int, int], shape: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a target's voxel centres lie in a plane's volume.

    Args:
        plane: whose grid.
        affine: (4, 4), index of the target grid to RAS in mm.
        rows: first and last but one index of the target's first axis.
        shape: of the target grid.

    Returns:
        positions as `grid_sample` takes them, float32 (rows, j, k, 3); and which are inside, bool (rows, j, k).
    """
    to_plane = np.linalg.inv(plane.affine) @ affine
    axes = [torch.arange(*rows), torch.arange(shape[1]), torch.arange(shape[2])]
    i, j, k = (axis.to(torch.float64) for axis in axes)
    depth, height, width = plane.scores.shape[1:]
    # `grid_sample` wants the last axis of the input first: here j, i, k of a (k, i, j) array.
    extents = {0: height, 1: width, 2: depth}
    inside = torch.ones((rows[1] - rows[0], shape[1], shape[2]), dtype=torch.bool)
    normalised = []
    for axis in (1, 0, 2):
        row = to_plane[axis]
        position = (row[0] * i + row[3])[:, None, None] + (row[1] * j)[None, :, None] + (row[2] * k)[None, None, :]
        # 1e-6: a target's voxel on the very border is inside in spite of rounding.
        inside &= (position >= -0.5 - 1e-6) & (position <= extents[axis] - 0.5 + 1e-6)
        span = max(extents[axis] - 1, 1)
        normalised.append((2.0 * position / span - 1.0 if extents[axis] > 1 else torch.zeros_like(position)).float())
    return torch.stack(normalised, dim=-1), inside


def sample_at(scores: torch.Tensor, positions: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Values of a volume (classes, k, i, j) at positions (a, b, c, 3) of `sampling_grid`: (classes, a, b, c)."""
    return torch.nn.functional.grid_sample(
        scores[None], positions[None], mode=mode, padding_mode="border", align_corners=True
    )[0]
