"""How bright and how uneven it is around a structure: where fluid collects, and where a torn one has gone.

An effusion fills recesses that no mask outlines, and a torn ligament is missing from its own mask.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

SHELLS = (0.0, 4.0, 10.0)
"""Pixels from a structure, in its slices, between which a shell lies; at 128 pixels for a knee 1.2 mm each."""

IN_A_SHELL = ("mean", "spread", "percentile_10", "percentile_50", "percentile_90", "percentile_97")

AROUND = tuple(f"{shell}_{name}" for shell in ("near", "far") for name in IN_A_SHELL)
"""Of each structure: intensities of the shell next to it, then of the one beyond."""

LEAST_VOXELS = 8
"""Of a structure, of its part in a slice, and of a shell, for intensities to be told."""


def surrounding_statistics(
    intensity: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], free: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Statistics of the shells around a structure, of voxels that belong to no structure.

    Shells lie within slices, for these are thick and far apart. Other structures, whose intensities are told of
    themselves, are left out: a bright one beside it is no fluid.

    Args:
        intensity: of the stack, (k, i, j).
        mask: of the structure, the same shape, with a voxel or more.
        free: where no structure is, the same shape.

    Returns:
        float32, (len(AROUND),); NaN for shells of fewer than `LEAST_VOXELS`.
    """
    there = np.argwhere(mask)
    reach = int(SHELLS[-1]) + 1
    low, high = np.maximum(there.min(axis=0)[1:] - reach, 0), there.max(axis=0)[1:] + reach + 1
    box = (np.unique(there[:, 0]), slice(low[0], high[0]), slice(low[1], high[1]))
    distance = np.stack([distance_transform_edt(~part) for part in mask[box]])
    row = np.full((len(SHELLS) - 1, len(IN_A_SHELL)), np.nan, np.float32)
    for values, nearest, farthest in zip(row, SHELLS, SHELLS[1:], strict=False):
        shell = intensity[box][(distance > nearest) & (distance <= farthest) & free[box]]
        if shell.size >= LEAST_VOXELS:
            values[:] = shell.mean(), shell.std(), *np.percentile(shell, [10, 50, 90, 97])
    return row.flatten()
