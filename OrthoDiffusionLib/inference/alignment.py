"""Whether two planes show the knee in the same place: between their series, a person may have moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from OrthoDiffusionLib.inference.grids import ScoreVolume, sample_scores

STEP = 8
"""Every so many pixels of a plane are compared, at windows of 128 some 10 mm apart, in every slice."""

FARTHEST_MM = 15.0
"""Largest displacement looked for, along each axis."""

LEAST_SHARED = 100
"""Compared voxels that must hold structures in each plane."""

LEAST_GAIN = 0.01
"""Of overlap, from 0 to 1, by which a shift must be better than none."""

LEAST_OVERLAP = 0.1
"""From 0 to 1, of planes within the search's reach: farther apart they hardly touch, and no shift looks better."""


def displacement(first: ScoreVolume, second: ScoreVolume) -> npt.NDArray[np.float64] | None:
    """How far the second plane's structures lie from the first's: the shift that makes them overlap best, undone.

    Shifts beyond `FARTHEST_MM` are found as far as that; structures that hardly overlap at any shift within it lie that
    far apart along all axes.

    Args:
        first: class probabilities of one plane, background first.
        second: of another.

    Returns:
        RAS in mm, (3,), zeros where no shift is better than none; None where the planes share too little to say.
    """
    depth, height, width = first.scores.shape[1:]
    shape = (-(-height // STEP), -(-width // STEP), depth)
    affine = first.affine @ np.diag([STEP, STEP, 1.0, 1.0])
    own = first.scores[1:, :, ::STEP, ::STEP].permute(0, 2, 3, 1)
    other, inside = sample_scores(second, affine, (0, shape[0]), shape)
    if min(int((part.sum(dim=0) * inside > 0.5).sum()) for part in (own, other[1:])) < LEAST_SHARED:
        return None

    def disagreement(shift: npt.NDArray[np.float64]) -> float:
        moved = affine.copy()
        moved[:3, 3] += shift
        found, reached = sample_scores(second, moved, (0, shape[0]), shape)
        both, theirs = own * reached, found[1:]
        return 1.0 - float(2 * (both * theirs).sum() / (both.square().sum() + theirs.square().sum()).clamp(min=1e-6))

    still = disagreement(np.zeros(3))
    bounds = [(-FARTHEST_MM, FARTHEST_MM)] * 3
    best = minimize(disagreement, np.zeros(3), method="Powell", bounds=bounds, options={"xtol": 0.1, "ftol": 1e-3})
    if best.fun > 1 - LEAST_OVERLAP:
        return np.full(3, FARTHEST_MM)
    # The search along a line may end on a worse place than it began; and a shift that gains nothing is no movement.
    if best.fun > still - LEAST_GAIN:
        return np.zeros(3)
    # A tenth of a millimetre is more than the estimate is worth, and what sums in another order leave alone.
    return np.asarray(best.x, dtype=np.float64).round(1)
