"""Labels worked out only where one can be are those of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dicom_files import oblique_volume

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.fused_labels import fused_labels
from OrthoDiffusionLib.inference.grids import ScoreVolume, label_grid


def ball_scores(seed: int, affine: np.ndarray, shape: tuple[int, int, int]) -> ScoreVolume:
    """Class probabilities (k, i, j) of a plane that is unsure, and least so inside a ball at the origin of RAS."""
    generator = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3], axis=-1)
    logits = 1.5 * generator.standard_normal((4, *shape))
    logits[0] += 0.2 * (distance - 12)
    scores = torch.softmax(torch.from_numpy(logits.astype(np.float32)), dim=0)
    return ScoreVolume(scores.permute(0, 3, 1, 2).contiguous(), affine)


def plane_at_origin(shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int) -> ScoreVolume:
    affine = oblique_volume(shape, spacing).affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + seed
    return ball_scores(seed, affine, shape)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_labels_as_on_the_whole_grid(count: int) -> None:
    sizes = [((33, 27, 9), (1.3, 1.6, 4.1)), ((21, 35, 11), (2.1, 1.2, 3.3)), ((29, 31, 7), (1.5, 1.5, 5.0))]
    planes = [plane_at_origin(shape, spacing, seed) for seed, (shape, spacing) in enumerate(sizes[:count])]
    # Oblique to all planes, wider than any, and odd-sized.
    affine = oblique_volume((61, 57, 67), (0.9, 0.9, 0.9)).affine @ np.diag([1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ np.array([30, 28, 33])
    found = fused_labels(planes, affine, (61, 57, 67), lambda: None)
    expected, _ = label_grid(planes, affine, (61, 57, 67), lambda: None)
    assert found.dtype == np.int16
    assert 0.02 < (expected > 0).mean() < 0.7
    assert np.array_equal(found, expected)


def test_a_grid_that_no_plane_reaches_is_background() -> None:
    plane = plane_at_origin((15, 17, 5), (1.0, 1.0, 3.0), 0)
    far = np.eye(4)
    far[:3, 3] = 500
    assert not fused_labels([plane], far, (9, 8, 7), lambda: None).any()


def test_it_can_be_stopped() -> None:
    def stop() -> None:
        raise OrthoDiffusionError(ErrorKind.CANCELLED, "Stopped.", "Start again.")

    plane = plane_at_origin((15, 17, 5), (1.0, 1.0, 3.0), 0)
    with pytest.raises(OrthoDiffusionError, match="Stopped"):
        fused_labels([plane], plane.affine, (15, 17, 5), stop)
