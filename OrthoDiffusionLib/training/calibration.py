"""Temperatures and thresholds, chosen on studies that the networks were not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from OrthoDiffusionLib.bundles.manifest import FindingCalibration

TEMPERATURES = (0.25, 8.0)
"""Range searched."""

ROUNDING = 1e-9
"""By which two indices that are the same may differ."""


def calibrate(logits: npt.NDArray[np.float64], present: npt.NDArray[np.float64]) -> FindingCalibration:
    """Temperature that lowers the cross entropy most, and the threshold of the best Youden index.

    Of thresholds whose index is as good up to one study of the rarer kind, it is the one nearest to 0.5: the best by so
    little is chance, and may lie at a probability that nobody would call present.

    The cross entropy is taken against Platt's targets ("Probabilistic outputs for support vector machines", 1999),
    (n + 1) / (n + 2) instead of 1 and 1 / (n + 2) instead of 0 for n studies with or without the finding: else a
    finding that the few studies tell apart without an error would get probabilities of 0 and 1.

    Args:
        logits: of one finding, (studies,).
        present: 0 or 1, (studies,); both occur.

    Raises:
        ValueError: when the finding is present in all studies or in none.
    """
    if present.min() == present.max():
        raise ValueError("calibration needs studies with and without the finding")

    with_finding = float(present.sum())
    certain = (with_finding + 1) / (with_finding + 2), 1 / (len(present) - with_finding + 2)
    targets = np.where(present == 1, *certain)

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    bounds = (float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[1])))
    temperature = float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))
    probabilities = 1 / (1 + np.exp(-logits / temperature))
    values = np.unique(probabilities)
    candidates = np.concatenate([[0.5], (values[1:] + values[:-1]) / 2])
    youden = np.array(
        [
            (probabilities[present == 1] >= value).mean() + (probabilities[present == 0] < value).mean()
            for value in candidates
        ]
    )
    one_study = 1 / min(with_finding, len(present) - with_finding)
    good = candidates[youden >= youden.max() - one_study - ROUNDING]
    threshold = good[np.argmin(np.abs(good - 0.5))]
    return FindingCalibration(temperature=round(temperature, 4), threshold=round(float(threshold), 4))
