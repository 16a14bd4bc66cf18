"""What is read around a structure: what lies at a known distance, in its slices, and belongs to no other structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from OrthoDiffusionLib.networks.structure_statistics import STATISTICS, structure_statistics
from OrthoDiffusionLib.networks.surrounding_statistics import AROUND, LEAST_VOXELS, surrounding_statistics

SHAPE = (3, 40, 44)


@pytest.fixture
def ligament() -> np.ndarray:
    """A bar of 2 x 12 pixels in the middle slice."""
    mask = np.zeros(SHAPE, bool)
    mask[1, 18:20, 15:27] = True
    return mask


def told(intensity: np.ndarray, mask: np.ndarray, free: np.ndarray) -> dict[str, float]:
    return dict(zip(AROUND, surrounding_statistics(intensity.astype(np.float32), mask, free).tolist(), strict=True))


@pytest.mark.parametrize(
    ("slice_index", "row", "shell"), [(1, 21, "near"), (1, 25, "far"), (1, 35, None), (0, 21, None), (2, 25, None)]
)
def test_fluid_is_seen_in_the_shell_in_which_it_lies(
    ligament: np.ndarray, slice_index: int, row: int, shell: str | None
) -> None:
    intensity = np.zeros(SHAPE)
    intensity[slice_index, row : row + 3, 16:26] = 1.0
    seen = told(intensity, ligament, ~ligament)
    for name in ("near", "far"):
        if name == shell:
            assert seen[f"{name}_percentile_97"] == 1 and seen[f"{name}_spread"] > 0.1 and seen[f"{name}_mean"] > 0
        else:
            assert seen[f"{name}_percentile_97"] == seen[f"{name}_spread"] == seen[f"{name}_mean"] == 0


def test_a_neighbouring_structure_is_not_taken_for_fluid(ligament: np.ndarray) -> None:
    neighbour = np.zeros(SHAPE, bool)
    neighbour[1, 21:24] = True
    seen = told(neighbour * 1.0, ligament, ~(ligament | neighbour))
    assert seen["near_mean"] == seen["near_percentile_97"] == seen["far_mean"] == 0
    assert told(neighbour * 1.0, ligament, ~ligament)["near_percentile_97"] == 1


def test_a_structure_at_the_edge_has_the_part_of_its_shells_that_is_there() -> None:
    corner = np.zeros(SHAPE, bool)
    corner[2, 0, 0] = True
    intensity = np.indices(SHAPE)[1].astype(float)
    distance = np.hypot(*np.indices(SHAPE[1:]))
    near = intensity[2][(distance > 0) & (distance <= 4)]
    assert told(intensity, corner, ~corner)["near_mean"] == pytest.approx(near.mean())


def test_of_a_shell_that_is_hardly_there_nothing_is_told(ligament: np.ndarray) -> None:
    free = np.zeros(SHAPE, bool)
    free[1, 17, 15 : 15 + LEAST_VOXELS - 1] = True
    assert np.isnan(surrounding_statistics(np.ones(SHAPE, np.float32), ligament, free)).all()
    free[1, 17, 15 : 15 + LEAST_VOXELS] = True
    seen = told(np.ones(SHAPE), ligament, free)
    assert seen["near_mean"] == 1 and np.isnan(seen["far_mean"])


def test_they_come_after_a_structures_own_on_the_same_scale() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    image = generator.uniform(0, 1, SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, np.int64)
    labels[1, 10:16, 10:30], labels[0:2, 25:28, 10:30] = 1, 2
    scores = torch.full((4, *SHAPE), 0.1).scatter(0, torch.from_numpy(labels)[None], 0.7)
    own, both = structure_statistics(image, scores), structure_statistics(image, scores, around=True)
    assert both.shape == (3, len(STATISTICS) + len(AROUND))
    assert np.array_equal(both[:, : len(STATISTICS)], own, equal_nan=True)
    assert np.isfinite(both[:2]).all() and np.isnan(both[2, len(STATISTICS) :]).all()
    other = structure_statistics(3.5 * image + 70, scores, around=True)
    assert np.allclose(both, other, atol=1e-4, equal_nan=True)


def test_bundles_count_on_these_statistics_in_this_order() -> None:
    names = ("mean", "spread", "percentile_10", "percentile_50", "percentile_90", "percentile_97")
    assert (*(f"near_{name}" for name in names), *(f"far_{name}" for name in names)) == AROUND
