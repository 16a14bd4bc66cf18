"""What is read off a segmented structure: its own intensities, nothing where it was not found, and for its finding."""

from __future__ import annotations

import numpy as np
import torch

from OrthoDiffusionLib.networks.structure_reading import StructureReading
from OrthoDiffusionLib.networks.structure_statistics import STATISTICS, USUAL_STACK, structure_statistics


def stack_with_meniscus(torn: bool) -> tuple[np.ndarray, torch.Tensor]:
    """A dark bar (label 2) in a bright joint, a bright line through it when torn; 1 is a bone, 3 is absent."""
    image = np.full((9, 40, 40), 100.0, np.float32)
    image[:, 20:] = 300.0
    labels = np.zeros(image.shape, np.int64)
    labels[:, 20:, :] = 1
    labels[3:6, 5:13, 10:30] = 2
    image[labels == 2] = 20.0
    if torn:
        image[3:6, 5:13, 19:22] = 280.0
    scores = torch.full((4, *labels.shape), 0.1).scatter(0, torch.from_numpy(labels)[None], 0.7)
    return image, scores


def test_a_tear_makes_its_structure_uneven_and_no_other() -> None:
    whole, torn = (structure_statistics(*stack_with_meniscus(torn)) for torn in (False, True))
    assert whole.shape == (3, len(STATISTICS))
    spread, size, brightest = (STATISTICS.index(name) for name in ("spread", "size", "brightest_slice"))
    assert torn[1, spread] > 3 * whole[1, spread]
    assert torn[1, brightest] > whole[1, brightest] + 0.3
    assert np.allclose(torn[0], whole[0], atol=1e-6)
    assert np.isclose(whole[1, size], np.log1p(3 * 8 * 20 / (9 * 40 * 40) * USUAL_STACK))
    assert np.isclose(whole[1, STATISTICS.index("certainty")], 0.7)


def test_thinner_slices_make_no_structure_larger() -> None:
    image, scores = stack_with_meniscus(True)
    thin = structure_statistics(image.repeat(5, axis=0), scores.repeat_interleave(5, dim=1))
    assert np.allclose(thin, structure_statistics(image, scores), atol=0.02, equal_nan=True)


def test_bundles_count_on_these_statistics_in_this_order() -> None:
    assert STATISTICS == (
        "mean", "spread", "percentile_10", "percentile_50", "percentile_75", "percentile_90", "percentile_97",
        "brightest_slice", "rim_median", "rim_percentile_90", "size", "certainty",
    )  # fmt: skip


def test_a_structure_that_was_not_found_has_no_intensities() -> None:
    absent = structure_statistics(*stack_with_meniscus(False))[2]
    size = STATISTICS.index("size")
    assert absent[size] == 0
    assert np.isnan(np.delete(absent, size)).all()
    image, scores = stack_with_meniscus(False)
    assert np.isfinite(structure_statistics(np.zeros_like(image), scores)[:2]).all()


def test_brightness_and_contrast_of_the_scanner_change_nothing() -> None:
    image, scores = stack_with_meniscus(True)
    other = structure_statistics(3.5 * image + 70, scores)
    assert np.allclose(structure_statistics(image, scores), other, atol=1e-4, equal_nan=True)


def test_a_finding_reads_its_own_structures_alone() -> None:
    reading = StructureReading(4, 2)
    known = torch.tensor([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 5.0, float("nan")]])
    reading.prepare(known, torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]))
    torch.nn.init.ones_(reading.weight)
    with torch.no_grad():
        logits = reading(torch.tensor([[3.0, float("nan"), 4.0, 4.0], [2.0, 2.0, 1e6, 4.0]]))
    assert torch.allclose(logits, torch.tensor([[1.0, 0.0], [0.0, 5.0]]), atol=1e-5)
