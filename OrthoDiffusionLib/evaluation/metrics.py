"""What a segmentation and a diagnosis are measured by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

BOOTSTRAPS = 1000
CALIBRATION_BINS = 10


def dice(predicted: npt.NDArray[np.integer], truth: npt.NDArray[np.integer], label: int) -> float:
    """Dice overlap of one structure, 0 to 1; not a number where neither map has it. -1 in `truth` counts nowhere."""
    annotated = truth != -1
    first, second = (predicted == label) & annotated, truth == label
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else float("nan")


def expected_calibration_error(probabilities: npt.NDArray[np.float64], present: npt.NDArray[np.float64]) -> float:
    """Mean gap between probability and frequency over ten bins of equal width, weighted by their counts, 0 to 1."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(probabilities[bins == index].mean() - present[bins == index].mean()) * (bins == index).mean()
        for index in np.unique(bins)
    ]
    return float(np.sum(gaps))


def bootstrap_interval(measure: Callable[[npt.NDArray[np.intp]], float], count: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of a measure under resampling of the studies; not numbers where it is never defined.

    Args:
        measure: of the studies with these indices; not a number where they do not define it.
        count: of studies.
        seed: of the resampling.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    values = [measure(generator.integers(0, count, count)) for _ in range(BOOTSTRAPS)]
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
